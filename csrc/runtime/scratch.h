// Temporary memory of kernels: a stack that each thread keeps, so that taking from it costs an addition.
#pragma once

#include <cstdint>

namespace pullback {

struct ScratchArena;
struct ScratchChunk;

// Everything taken through a Scratch is given back when it goes out of scope. Scratch objects nest: the
// innermost one of a thread is the one to take from, and they end in reverse order. Not to be handed to
// another thread.
//
//   Scratch scratch;
//   float* packed = scratch.take<float>(m * k);  // 64-byte aligned, not initialised
class Scratch {
 public:
  Scratch();
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  // n >= 0 elements. Throws std::bad_alloc when the system has no memory left.
  template <class T>
  [[gnu::always_inline]] inline T* take(int64_t n) {
    constexpr int64_t size = sizeof(T);
    return static_cast<T*>(take_bytes(n > INT64_MAX / size ? INT64_MAX : n * size));
  }

 private:
  void* take_bytes(int64_t bytes);

  ScratchArena* arena_;
  Scratch* outer_;       // the Scratch that this one is nested in
  ScratchChunk* chunk_;  // where the stack ended when this one began
  int64_t used_;
};

}  // namespace pullback
