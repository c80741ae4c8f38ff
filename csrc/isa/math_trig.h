#pragma once
// sin, cos and tan, on whole vectors where |x| is not too large and by libm where it is. Error: 1.58 / 1.89, of
// tan 0.51 / 3.47.

#include "isa/math_common.h"
#include "isa/trig_table.h"

namespace pullback::ISA_NAMESPACE {
namespace {

// π/2 = high + middle + low; k high and k middle are exact for |k| < 2^20.
constexpr double kPiHalfHigh = 0x1.921fb544p+0;
constexpr double kPiHalfMiddle = 0x1.0b4611a6p-34;
constexpr double kPiHalfLow = 0x1.3198a2e037073p-69;
constexpr double kTwoOverPi = 0x1.45f306dc9c883p-1;
// Up to here the reduction keeps its accuracy; larger angles go to libm.
constexpr double kLargestAngle = 262144;

// x = k π/2 + r, |r| <= π/4 (1 + 2^-5); k modulo 4 is in the low bits of quadrant.
template <class T>
struct Angle {
  Vec<T> r;
  Vec<IntOf<T>> quadrant;
};
ISA_INLINE Vec<double> subtract_quadrants(Vec<double> x, Vec<double> k) {
  x = fma(k, Vec<double>(-kPiHalfHigh), x);
  x = fma(k, Vec<double>(-kPiHalfMiddle), x);
  return fma(k, Vec<double>(-kPiHalfLow), x);
}
ISA_INLINE Angle<double> reduce_angle(Vec<double> x) {
  const Vec<double> shifted = fma(x, Vec<double>(kTwoOverPi), Vec<double>(Layout<double>::round));
  return {subtract_quadrants(x, shifted - Layout<double>::round), bits_as<std::int64_t>(shifted)};
}
ISA_INLINE Angle<float> reduce_angle(Vec<float> x) {
  const float two_over_pi = static_cast<float>(kTwoOverPi);
  const Vec<float> shifted = fma(x, Vec<float>(two_over_pi), Vec<float>(Layout<float>::round));
  const auto [x0, x1] = widen(x);
  const auto [k0, k1] = widen(shifted - Layout<float>::round);
  return {narrow({subtract_quadrants(x0, k0), subtract_quadrants(x1, k1)}), bits_as<std::int32_t>(shifted)};
}

// r + r³ s(r²)
template <class T>
ISA_INLINE Vec<T> sin_small(Vec<T> r, Vec<T> z) {
  return fma(r * z, polynomial(z, TrigTable<T>::sine), r);
}
// 1 - r²/2 + r⁴ c(r²)
template <class T>
ISA_INLINE Vec<T> cos_small(Vec<T> z) {
  return fma(z * z, polynomial(z, TrigTable<T>::cosine), fma(z, Vec<T>(T(-0.5)), Vec<T>(1)));
}

// The sign bit of x, or of bit 1 of n, elsewhere 0.
template <class T>
ISA_INLINE Vec<IntOf<T>> sign_bit(Vec<T> x) {
  return bits_as<IntOf<T>>(x) & bits_as<IntOf<T>>(Vec<T>(T(-0.0)));
}
template <class Int>
ISA_INLINE Vec<Int> sign_from_bit1(Vec<Int> n) {
  return (n & Vec<Int>(2)) << (8 * static_cast<int>(sizeof(Int)) - 2);
}
template <class T>
ISA_INLINE Vec<T> flip_sign(Vec<T> x, Vec<IntOf<T>> sign) {
  return bits_as<T>(bits_as<IntOf<T>>(x) ^ sign);
}
template <class T>
ISA_INLINE Mask<T> is_odd(Vec<IntOf<T>> n) {
  return bits_as<T>((n & Vec<IntOf<T>>(1)) != Vec<IntOf<T>>(0));
}

// sin (r + q π/2): sin r, cos r, -sin r, -cos r for q = 0, 1, 2, 3
template <class T>
ISA_INLINE Vec<T> sin_of_angle(Vec<T> r, Vec<IntOf<T>> quadrant) {
  const Vec<T> z = r * r;
  return flip_sign(select(is_odd<T>(quadrant), cos_small(z), sin_small(r, z)), sign_from_bit1(quadrant));
}

// y, but libm's f of x in the lanes where |x| is large or infinite
template <class T, class F>
ISA_INLINE Vec<T> libm_if_large(Vec<T> x, Vec<T> y, F f) {
  const Mask<T> large = abs(x) > Vec<T>(T(kLargestAngle));
  if (__builtin_expect(any(large), 0)) return select(large, lanes(f, x), y);
  return y;
}

// of |x|, then with the sign of x, so that sin -0 is -0
template <class T>
ISA_INLINE Vec<T> sin(Vec<T> x) {
  const auto [r, quadrant] = reduce_angle(abs(x));
  const Vec<T> y = flip_sign(sin_of_angle(r, quadrant), sign_bit(x));
  return libm_if_large(x, y, libm<T>(::sinf, ::sin));
}

// cos x = sin (x + π/2)
template <class T>
ISA_INLINE Vec<T> cos(Vec<T> x) {
  const auto [r, quadrant] = reduce_angle(abs(x));
  return libm_if_large(x, sin_of_angle(r, quadrant + IntOf<T>(1)), libm<T>(::cosf, ::cos));
}

// sin r / cos r, or -cos r / sin r in an odd quadrant; for float in double, since the quotient adds three
// roundings
ISA_INLINE Vec<double> tan(Vec<double> x) {
  const auto [r, quadrant] = reduce_angle(abs(x));
  const Vec<double> z = r * r, s = sin_small(r, z), c = cos_small(z);
  const Mask<double> odd = is_odd<double>(quadrant);
  const Vec<double> y = flip_sign(select(odd, -c, s) / select(odd, s, c), sign_bit(x));
  return libm_if_large(x, y, libm<double>(::tanf, ::tan));
}
ISA_INLINE Vec<float> tan(Vec<float> x) {
  const auto [low, high] = widen(x);
  return narrow({tan(low), tan(high)});
}

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
