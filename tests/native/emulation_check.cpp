// Kernels with a planted fault each, and two without: what the emulation of CUDA has to see. Prints what the kernel
// computed, or exits with 1 and the emulation's words. The sanitizers' own reports end it in their own way.
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>

#include "common/device.h"
#include "common/mma.h"
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

// The same with a wait for the warp where one for the block belongs.
__global__ void reverse_in_warps(const float* x, float* y) {
  float* s = shared<float, kThreads>();
  s[thread()] = x[thread()];
  shuffle(0, 0);
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

// --- on tensor cores -------------------------------------------------------------------------------------------------

struct alignas(16) Factors {
  Half a[16][16], b[16][8];
};
const Factors factors = [] {
  Factors f;
  for (int k = 0; k < 16; ++k) {
    for (int i = 0; i < 16; ++i) f.a[i][k] = Half((16 * i + k) % 7 - 3);
    for (int j = 0; j < 8; ++j) f.b[k][j] = Half((8 * k + j) % 5 - 2);
  }
  return f;
}();

float product(int i, int j) {
  float sum = 0;
  for (int k = 0; k < 16; ++k) sum += static_cast<float>(factors.a[i][k]) * static_cast<float>(factors.b[k][j]);
  return sum;
}

enum class Slip { none, registers, lane, address, layout, missing_wait, early_wait, alignment };

// y = how many of the 4 elements of a b that the thread has are wrong; every warp computes it for itself.
template <Slip slip>
__global__ void multiply_fragments(const float*, float* y) {
  Chunk* a = shared<Chunk, kThreads / kWarpSize * 48>() + warp() * 48;  // [16][2]
  Chunk* b = a + 32;                                                    // [16]
  const auto* from = reinterpret_cast<const char*>(&factors) + (slip == Slip::alignment ? 2 : 0);
  copy_async(a + lane(), from + 16 * lane(), true);
  commit_copies();
  if (lane() < 16) copy_async(b + lane(), from + 16 * (32 + lane()), true);
  commit_copies();
  if constexpr (slip != Slip::missing_wait) wait_copies<slip == Slip::early_wait>();  // but for b's
  sync_block();

  const int matrix = lane() / 8, row = matrix % 2 * 8 + (slip == Slip::address ? lane() % 8 ^ 1 : lane() % 8);
  uint32_t of_a[4], of_b[4];
  load_matrices<false>(of_a, a + 2 * row + matrix / 2);
  load_matrices<slip != Slip::layout>(of_b, b + row);
  if constexpr (slip == Slip::registers) std::swap(of_a[1], of_a[2]);
  float d[4] = {};
  mma<Half>(d, of_a, of_b);

  if constexpr (slip == Slip::early_wait) wait_copies<0>();
  const int g = lane() / 4, t = slip == Slip::lane ? lane() / 8 : lane() % 4;
  y[thread()] = 0;
  for (int e = 0; e < 4; ++e) y[thread()] += !(d[e] == product(g + e / 2 * 8, 2 * t + e % 2));
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
    {"barrier of a warp", reverse_in_warps},
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
    {"fragments", multiply_fragments<Slip::none>},
    {"registers of a fragment", multiply_fragments<Slip::registers>},
    {"lane of a fragment", multiply_fragments<Slip::lane>},
    {"address of a row", multiply_fragments<Slip::address>},
    {"layout of a fragment", multiply_fragments<Slip::layout>},
    {"missing wait", multiply_fragments<Slip::missing_wait>},
    {"early wait", multiply_fragments<Slip::early_wait>},
    {"misaligned copy", multiply_fragments<Slip::alignment>},
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
