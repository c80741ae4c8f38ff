#pragma once
// The remainder of a division, exact.

#include "isa/math_common.h"

namespace pullback::ISA_NAMESPACE {
namespace {

// a - q b where that is a T, so that nothing is rounded: without a fused multiply-add, float goes through double.
template <class T>
ISA_INLINE Vec<T> subtract_multiple(Vec<T> a, Vec<T> q, Vec<T> b) {
  if constexpr (native::fused) {
    return fma(-q, b, a);
  } else {
    const auto [a0, a1] = widen(a);
    const auto [q0, q1] = widen(q);
    const auto [b0, b1] = widen(b);
    return narrow({a0 - q0 * b0, a1 - q1 * b1});
  }
}

// a - b trunc(a / b) with the sign of a: libm's bits, and NaN where a is infinite or b is 0.
//
// For 0 < b <= a and n = ⌊a / b⌋: rounding keeps order, and n and n + 1 are numbers of T up to 2^mantissa_bits, so q =
// trunc(a / b), of the rounded quotient, is n or n + 1. r = a - q b, which is the remainder or that minus b, is a
// multiple of b's last place, as a and b are, and |r| <= b: so it is a number of T, and neither the fused r nor r + b
// is rounded. Larger quotients are left to libm, which takes a step for each bit of them.
template <class T>
ISA_INLINE Vec<T> fmod(Vec<T> a, Vec<T> b) {
  if constexpr (!native::fused && sizeof(T) == sizeof(double)) {
    return lanes(libm<T>(::fmodf, ::fmod), a, b);
  } else {
    using L = Layout<T>;
    const Vec<T> x = abs(a), y = abs(b), zero = 0, quotient = x / y;
    Vec<T> r = subtract_multiple(x, trunc(quotient), y);
    r = select(r < zero, r + y, r);
    r = select(x < y, x, r);  // also where y is infinite
    const Mask<T> large = (quotient >= Vec<T>(L::whole)) & (x < Vec<T>(L::infinity)) & (y != zero);
    if (__builtin_expect(any(large), 0)) r = lanes_where(large, libm<T>(::fmodf, ::fmod), x, y, r);
    return copysign(r, a);
  }
}

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
