// What CUDA kernels are written in. nvcc compiles it for a GPU; a host compiler runs the same source under emulate.h.
//
// Grids and blocks have one dimension. Shuffles need whole warps: a block has a multiple of 32 threads there.
#pragma once
#include <math.h>

#include <type_traits>

#include "runtime/operands.h"
#include "runtime/signature.h"

#if defined(__CUDACC__)
#include <cuda_runtime.h>
#else
#include "common/emulate.h"
#endif

#define PB_DEVICE __device__ __forceinline__

// Before a loop over an array that has to stay in registers; before one whose copies would only be code to compile.
#if defined(__CUDACC__)
#define PB_UNROLL _Pragma("unroll")
#define PB_ROLLED _Pragma("unroll 1")
#else
#define PB_UNROLL
#define PB_ROLLED
#endif

namespace pullback::cuda {

inline constexpr int kWarpSize = 32;
inline constexpr int kBlockSize = 256;             // threads, where nothing speaks for another number
inline constexpr int64_t kMostBlocks = 32 * 1024;  // of a kernel that strides over its grid

// --- on the device ---------------------------------------------------------------------------------------------------

#if defined(__CUDACC__)

PB_DEVICE int thread() { return static_cast<int>(threadIdx.x); }
PB_DEVICE int threads() { return static_cast<int>(blockDim.x); }
PB_DEVICE int64_t block() { return blockIdx.x; }
PB_DEVICE int64_t blocks() { return gridDim.x; }

PB_DEVICE void sync_block() { __syncthreads(); }

// What lane `from` of the warp holds; every lane has to ask.
template <class T>
PB_DEVICE T shuffle(T value, int from) {
  if constexpr (std::is_arithmetic_v<T>) {
    return __shfl_sync(0xffffffffu, value, from);
  } else {
    constexpr int n = sizeof(T) / sizeof(int);
    static_assert(sizeof(T) % sizeof(int) == 0);
    int words[n];
    memcpy(words, &value, sizeof(T));
    for (int i = 0; i < n; ++i) words[i] = __shfl_sync(0xffffffffu, words[i], from);
    memcpy(&value, words, sizeof(T));
    return value;
  }
}

// n elements that the threads of a block share. Two pieces of one type and size in one kernel differ in their tag.
template <class T, int n, int tag = 0>
PB_DEVICE T* shared() {
  __shared__ T piece[n];
  return piece;
}

// What stood there before. Only integers: the order in which threads come must not show.
PB_DEVICE int compare_and_swap(int* word, int expected, int desired) { return atomicCAS(word, expected, desired); }
PB_DEVICE int fetch_add(int* word, int value) { return atomicAdd(word, value); }
PB_DEVICE int64_t fetch_add(int64_t* word, int64_t value) {
  return static_cast<int64_t>(atomicAdd(reinterpret_cast<unsigned long long*>(word), value));
}
PB_DEVICE int64_t fetch_max(int64_t* word, int64_t value) {
  return atomicMax(reinterpret_cast<long long*>(word), value);
}

#else

PB_DEVICE int thread() { return emulate::thread(); }
PB_DEVICE int threads() { return emulate::threads(); }
PB_DEVICE int64_t block() { return emulate::block(); }
PB_DEVICE int64_t blocks() { return emulate::blocks(); }

PB_DEVICE void sync_block(emulate::Site site = emulate::Site::current()) { emulate::sync_block(site); }

template <class T>
PB_DEVICE T shuffle(T value, int from, emulate::Site site = emulate::Site::current()) {
  uint64_t words[(sizeof(T) + 7) / 8] = {};
  __builtin_memcpy(words, &value, sizeof(T));
  for (uint64_t& word : words) {
    emulate::hand_in(&word, 1, site);
    word = *emulate::handed_in(from);
  }
  __builtin_memcpy(&value, words, sizeof(T));
  return value;
}

template <class T, int n, int tag = 0>
PB_DEVICE T* shared() {
  static const char key = 0;
  return static_cast<T*>(emulate::shared(&key, n * sizeof(T)));
}

PB_DEVICE int compare_and_swap(int* word, int expected, int desired) {
  __atomic_compare_exchange_n(word, &expected, desired, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  return expected;
}
template <class Integer>
PB_DEVICE Integer fetch_add(Integer* word, std::type_identity_t<Integer> value) {
  return __atomic_fetch_add(word, value, __ATOMIC_RELAXED);
}
PB_DEVICE int64_t fetch_max(int64_t* word, int64_t value) {
  int64_t there = __atomic_load_n(word, __ATOMIC_RELAXED);
  while (there < value &&
         !__atomic_compare_exchange_n(word, &there, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return there;
}

#endif

PB_DEVICE int lane() { return thread() % kWarpSize; }
PB_DEVICE int warp() { return thread() / kWarpSize; }

// Where a thread begins that takes elements i, i + stride(), i + 2 stride(), …
PB_DEVICE int64_t first() { return block() * threads() + thread(); }
PB_DEVICE int64_t stride() { return blocks() * threads(); }

// What only the data can tell; the first report stands.
PB_DEVICE void report(Error* error, ErrorCode code, int64_t value, int64_t bound) {
  if (compare_and_swap(reinterpret_cast<int*>(&error->code), 0, static_cast<int>(code)) != 0) return;
  error->value = value;
  error->bound = bound;
}

// --- on the host -----------------------------------------------------------------------------------------------------

// Blocks for n elements, where each thread takes `each` of them at a time.
inline int64_t blocks_for(int64_t n, int64_t each = 1) {
  const int64_t per_block = kBlockSize * each, wanted = (n + per_block - 1) / per_block;
  return wanted < kMostBlocks ? wanted : kMostBlocks;
}

// kernel(args...) on every thread of the grid, in the order of the current stream.
#if defined(__CUDACC__)

cudaStream_t current_stream();  // of the array library that owns the memory
[[noreturn]] void refuse_launch(cudaError_t status, int64_t blocks, int threads);

template <class... Parameters, class... Args>
void launch(void (*kernel)(Parameters...), int64_t blocks, int threads, Args... args) {
  if (blocks == 0) return;
  kernel<<<static_cast<unsigned>(blocks), static_cast<unsigned>(threads), 0, current_stream()>>>(args...);
  const cudaError_t status = cudaGetLastError();
  if (status != cudaSuccess) refuse_launch(status, blocks, threads);
}

#else

template <class... Parameters, class... Args>
void launch(void (*kernel)(Parameters...), int64_t blocks, int threads, Args... args) {
  const auto run = [=] { kernel(args...); };
  const auto body = [](const void* context) { (*static_cast<decltype(run)*>(context))(); };
  emulate::in_order([=] { emulate::run(blocks, threads, body, &run); });
}

#endif

// Where the kernels of a call report what only the data can tell; read when the host waits for the device.
Error* device_error(const Call& call);

}  // namespace pullback::cuda
