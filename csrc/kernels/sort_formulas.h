// The order of sort.h as the order of integers, and searching by it, on the CPU and on the GPU.
#pragma once
#include <type_traits>

#include "kernels/sort.h"
#include "runtime/operands.h"

namespace pullback::ISA_NAMESPACE {
namespace {

template <class K>
inline constexpr K kLargest = static_cast<K>(~std::make_unsigned_t<K>{0} >> 1);

// key(a) < key(b) where a comes before b when ascending; keys of equals (−0 and 0, two NaN) are equal.
template <class K, class T>
PB_INLINE K key_of(T x) {
  if constexpr (is_float<T>) {
    using Bits = std::conditional_t<sizeof(T) == 8, int64_t, int32_t>;
    const Bits bits = __builtin_bit_cast(Bits, x + T(0));  // −0 + 0 = 0
    return x != x ? kLargest<Bits> : bits < 0 ? bits ^ kLargest<Bits> : bits;
  } else {
    return x;
  }
}

// |{k: s_k < v}|, or |{k: s_k ≤ v}|, by halves
template <class T>
PB_INLINE int64_t search(const T* s, int64_t step, int64_t n, T v, bool right) {
  if (v != v) return n;
  int64_t low = 0;
  while (n > 0) {
    const int64_t half = n / 2;
    const T middle = s[(low + half) * step];
    const bool above = right ? middle <= v : middle < v;
    low += above ? half + 1 : 0;
    n = above ? n - half - 1 : half;
  }
  return low;
}

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
