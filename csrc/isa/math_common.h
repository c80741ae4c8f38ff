#pragma once
// What the vector functions of math_*.h are made of: the layout of a float, powers of two, polynomials, and a
// way out to libm for one lane after the other.
//
// The polynomials are minimax fits (Remez, in 60 digits) with coefficients rounded to T, lowest power first.
//
// "Error" beside a function is the largest that tests/native/math_ulp.cpp found, in ulp of the exact result, for
// float / double; in brackets that of the portable set of x86, which has no fma, where it is larger. Tried were
// all floats with 2^-12 <= |x| < 2^8, each 16th of the others, and ten million doubles. Subnormal numbers are
// numbers as all others, as arguments and as results.

#include <math.h>

#include <cstdint>

#include "isa/vec.h"

namespace pullback::ISA_NAMESPACE {
namespace {

// The bits of a T: sign, exponent with a bias, mantissa_bits. From `whole` on all numbers are whole. Adding
// and then subtracting `round` leaves the nearest whole number, and in between the low bits of the sum are
// that number in two's complement.
template <class T>
struct Layout;
template <>
struct Layout<float> {
  using Unsigned = std::uint32_t;
  static constexpr int mantissa_bits = 23;
  static constexpr std::int32_t bias = 127;
  static constexpr std::int32_t one = 0x3f800000;  // the bits of 1
  static constexpr float whole = 0x1p23f;
  static constexpr float round = 0x1.8p23f;
  static constexpr float min_normal = 0x1p-126f;
  static constexpr float largest = __FLT_MAX__;
  static constexpr float infinity = __builtin_inff();
  static constexpr float nan = __builtin_nanf("");
};
template <>
struct Layout<double> {
  using Unsigned = std::uint64_t;
  static constexpr int mantissa_bits = 52;
  static constexpr std::int64_t bias = 1023;
  static constexpr std::int64_t one = 0x3ff0000000000000;
  static constexpr double whole = 0x1p52;
  static constexpr double round = 0x1.8p52;
  static constexpr double min_normal = 0x1p-1022;
  static constexpr double largest = __DBL_MAX__;
  static constexpr double infinity = __builtin_inf();
  static constexpr double nan = __builtin_nan("");
};

// c[0] + x (c[1] + x (c[2] + …))
template <int i = 0, class T, class C, int n>
ISA_INLINE Vec<T> polynomial(Vec<T> x, const C (&c)[n]) {
  if constexpr (i == n - 1) {
    return T(c[i]);
  } else {
    return fma(polynomial<i + 1>(x, c), x, Vec<T>(T(c[i])));
  }
}

// 2^k for a whole k with min_normal <= 2^k < inf; pow2_rounded takes k + round.
template <class T>
ISA_INLINE Vec<T> pow2_rounded(Vec<T> rounded) {
  using L = Layout<T>;
  return bits_as<T>((bits_as<IntOf<T>>(rounded) + L::bias) << L::mantissa_bits);
}
template <class T>
ISA_INLINE Vec<T> pow2(Vec<T> k) {
  return pow2_rounded(k + Layout<T>::round);
}

// x 2^k for a whole k, rounded once also where the result is subnormal; |k| may be twice what pow2 takes.
template <class T>
ISA_INLINE Vec<T> scale(Vec<T> x, Vec<T> k) {
#if ISA_VECTOR_BYTES == 64
  return Vec<T>(native::scale(x.raw, k.raw));
#else
  const Vec<T> half = fma(k, Vec<T>(T(0.5)), Vec<T>(Layout<T>::round)) - Layout<T>::round;
  return x * pow2(half) * pow2(k - half);
#endif
}

// f of each lane on its own: for what is called too rarely to deserve a vector function.
template <class T, class F>
ISA_INLINE Vec<T> lanes(F f, Vec<T> x) {
  for (int i = 0; i < Vec<T>::size; ++i) x.raw[i] = f(x.raw[i]);
  return x;
}
template <class T, class F>
ISA_INLINE Vec<T> lanes(F f, Vec<T> x, Vec<T> y) {
  for (int i = 0; i < Vec<T>::size; ++i) x.raw[i] = f(x.raw[i], y.raw[i]);
  return x;
}
// The same in the lanes where m holds, otherwise elsewhere.
template <class T, class F>
ISA_INLINE Vec<T> lanes_where(Mask<T> m, F f, Vec<T> x, Vec<T> y, Vec<T> otherwise) {
  for (int i = 0; i < Vec<T>::size; ++i)
    if (m.raw[i]) otherwise.raw[i] = f(x.raw[i], y.raw[i]);
  return otherwise;
}

// libm's function for T, as a pointer to C's own: std::sin and its like may leave behind a weak symbol.
template <class T>
constexpr auto libm([[maybe_unused]] float (*for_float)(float), [[maybe_unused]] double (*for_double)(double)) {
  if constexpr (sizeof(T) == sizeof(float)) {
    return for_float;
  } else {
    return for_double;
  }
}
template <class T>
constexpr auto libm([[maybe_unused]] float (*for_float)(float, float),
                    [[maybe_unused]] double (*for_double)(double, double)) {
  if constexpr (sizeof(T) == sizeof(float)) {
    return for_float;
  } else {
    return for_double;
  }
}

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
