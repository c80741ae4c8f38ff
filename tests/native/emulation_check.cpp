// Kernels with a planted fault each, and two without: what the emulation of CUDA has to see. Prints what the kernel
// computed, or exits with 1 and the emulation's words. The sanitizers' own reports end it in their own way.
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>

#include "common/device.h"
#include "common/scratch.h"

using namespace pullback;
using namespace pullback::cuda;

namespace {

constexpr int kThreads = 64;

// y_i = x_{n−1−i}, through shared memory
template <bool has_barrier>
__global__ void reverse(const float* x, float* y) {
  float* s = shared<float, kThreads>();
  s[thread()] = x[thread()];
  if constexpr (has_barrier) sync_block();
  y[thread()] = s[kThreads - 1 - thread()];
}

// Half of the threads wait at one barrier, half at another: two on one line.
__global__ void diverge(const float*, float* y) {
  // clang-format off
  if (thread() < kThreads / 2) { sync_block(); } else { sync_block(); }
  // clang-format on
  y[thread()] = 0;
}

__global__ void leave_before_barrier(const float*, float* y) {
  if (thread() == 5) return;
  sync_block();
  y[thread()] = 0;
}

__global__ void leave_before_shuffle(const float* x, float* y) {
  if (thread() == 5) return;
  y[thread()] = shuffle(x[thread()], 0);
}

__global__ void beyond_shared(const float* x, float* y) {
  float* s = shared<float, kThreads>();
  s[thread() + 1] = x[thread()];
  sync_block();
  y[thread()] = s[thread()];
}

__global__ void unwritten_shared(const float*, float* y) {
  const float* s = shared<float, kThreads>();
  y[thread()] = s[thread()];
}

// One element further than there is.
__global__ void beyond_scratch(const float* piece, float* y) { y[thread()] = piece[thread() + 1]; }

__global__ void copy(const float* piece, float* y) { y[thread()] = piece[thread()]; }

// The number of threads that were counted before, and the largest number counted: both come out the same in any order.
__global__ void count_threads(const float*, float* y) {
  int64_t* counted = shared<int64_t, 2>();
  if (thread() < 2) counted[thread()] = 0;
  sync_block();
  fetch_max(counted + 1, fetch_add(counted, 1));
  sync_block();
  y[thread()] = static_cast<float>(counted[thread() % 2]);
}

__global__ void unguarded_sum(const float* x, float* y) { y[0] += x[thread()]; }

// Σ x within a warp, and the order of lanes after it
__global__ void sum_of_warp(const float* x, float* y) {
  float sum = x[thread()];
  for (int step = 1; step < kWarpSize; step *= 2) sum += shuffle(sum, lane() ^ step);
  y[thread()] = sum;
}

enum class Input { numbers, scratch, filled };  // 0, 1, 2, …; scratch memory as it comes; scratch memory of ones

struct Fault {
  const char* name;
  void (*kernel)(const float*, float*);
  int blocks = 1;
  Input input = Input::numbers;
};
constexpr Fault faults[] = {
    {"none", reverse<true>},
    {"missing barrier", reverse<false>},
    {"divergent barrier", diverge},
    {"thread left before barrier", leave_before_barrier},
    {"lane left before shuffle", leave_before_shuffle},
    {"beyond shared memory", beyond_shared},
    {"unwritten shared memory", unwritten_shared},
    {"beyond scratch memory", beyond_scratch, 1, Input::scratch},
    {"unwritten scratch memory", copy, 1, Input::scratch},
    {"filled scratch memory", copy, 1, Input::filled},
    {"count of threads", count_threads},
    {"unguarded sum", unguarded_sum},
    {"two blocks on one place", reverse<true>, 2},
    {"sum of warp", sum_of_warp},
};

}  // namespace

// emulation_check FAULT ORDER
int main(int, char** argv) {
  float x[kThreads], y[kThreads] = {};
  for (int i = 0; i < kThreads; ++i) x[i] = static_cast<float>(i);
  const std::string order = argv[2];
  emulate::set_order(order == "forward"    ? emulate::Order::forward
                     : order == "reversed" ? emulate::Order::reversed
                                           : emulate::Order::shuffled,
                     1);
  for (const Fault& fault : faults) {
    if (std::strcmp(fault.name, argv[1]) != 0) continue;
    try {
      Scratch scratch;
      float* piece = scratch.take<float>(kThreads);
      if (fault.input == Input::filled) fill_scratch(piece, kThreads, 1.0f);
      const float* input = fault.input == Input::numbers ? x : piece;
      launch(fault.kernel, fault.blocks, kThreads, input, static_cast<float*>(y));
    } catch (const std::runtime_error& e) {
      std::fprintf(stderr, "%s\n", e.what());
      return 1;
    }
    for (const float value : y) std::printf("%g ", value);
    std::printf("\n");
    return 0;
  }
  return 2;
}
