// Memory that the launches of one call hand on to one another.
//
//   Scratch scratch;
//   int64_t* counts = scratch.take<int64_t>(n);  // on the device, aligned for any pack, not initialised
#pragma once
#include "common/device.h"

#if !defined(__CUDACC__)
#include <cstring>
#include <memory>
#include <vector>
#endif

namespace pullback::cuda {

#if defined(__CUDACC__)

// From the array library's pool, in the order of the current stream; the binding gives it back when the call has made
// its launches. Throws where there is none.
void* device_scratch(size_t bytes);

class Scratch {
 public:
  template <class T>
  T* take(int64_t n) {
    return static_cast<T*>(device_scratch(static_cast<size_t>(n) * sizeof(T)));
  }
};

#else

// Every bit is set, as in shared memory; each piece is an allocation of its own, so that AddressSanitizer sees its end.
class Scratch {
 public:
  template <class T>
  T* take(int64_t n) {
    const size_t bytes = static_cast<size_t>(n) * sizeof(T);
    pieces_.emplace_back(new char[bytes]);
    emulate::in_order([piece = pieces_.back(), bytes] { std::memset(piece.get(), 0xFF, bytes); });
    return reinterpret_cast<T*>(pieces_.back().get());
  }

 private:
  std::vector<std::shared_ptr<char[]> > pieces_;  // of which captured work holds its share
};

#endif

// p[i] = value, i < n
template <class T>
__global__ void fill_elements(int64_t n, T value, T* p) {
  for (int64_t i = first(); i < n; i += stride()) p[i] = value;
}
template <class T>
void fill_scratch(T* p, int64_t n, T value) {
  launch(fill_elements<T>, blocks_for(n), kBlockSize, n, value, p);
}

}  // namespace pullback::cuda
