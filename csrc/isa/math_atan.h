#pragma once
// The inverse trigonometric functions: atan, atan2, asin, acos.

#include "isa/math_common.h"

namespace pullback::ISA_NAMESPACE {
namespace {

// π/2 = half_high + half_low. In z = t²: atan: (atan t / t - 1) / z on [0, 1]; asin: (asin t / t - 1) / z on [0, 1/2].
template <class T>
struct AtanTable;
template <>
struct AtanTable<float> {
  static constexpr float half_high = 0x1.921fb6p+0f, half_low = -0x1.777a5cp-25f;
  static constexpr float atan[] = {-0x1.55553ep-2f, 0x1.9991fep-3f,  -0x1.2421b8p-3f, 0x1.c09a1p-4f,  -0x1.5834bep-4f,
                                   0x1.daca6ep-5f,  -0x1.fed25ap-6f, 0x1.65a75p-7f,   -0x1.d6318p-10f};
  static constexpr float asin[] = {0x1.5555c8p-3f, 0x1.3301e4p-4f, 0x1.747e4ap-5f, 0x1.8c282ep-6f, 0x1.596d38p-5f};
};
template <>
struct AtanTable<double> {
  static constexpr double half_high = 0x1.921fb54442d18p+0, half_low = 0x1.1a62633145c07p-54;
  static constexpr double atan[] = {
      -0x1.5555555555526p-2, 0x1.9999999995549p-3,  -0x1.249249237e273p-3,  0x1.c71c717f95544p-4,
      -0x1.745d11ab00789p-4, 0x1.3b1366769ca52p-4,  -0x1.110e502201bb1p-4,  0x1.e1bb9b5c59d64p-5,
      -0x1.ae5e454dc22aap-5, 0x1.82da47cf0167p-5,   -0x1.59a29d11fd6e7p-5,  0x1.2c2bb2a509448p-5,
      -0x1.e9f2047f6a124p-6, 0x1.683359e1a511p-6,   -0x1.c77ebd413c106p-7,  0x1.d7a1dff5c689ep-8,
      -0x1.7a226fcb7e85p-9,  0x1.b3db124e14f7ep-11, -0x1.3f1b97b42eeeap-13, 0x1.bbc3f22f81a89p-17};
  static constexpr double asin[] = {0x1.555555555539p-3,  0x1.333333336e7acp-4,  0x1.6db6db427daa9p-5,
                                    0x1.f1c72c3809724p-6, 0x1.6e89f45456545p-6,  0x1.1c6be0913a3a2p-6,
                                    0x1.c6fdd55c83b84p-7, 0x1.8ec28462fef8ep-7,  0x1.abd32c9f828e4p-8,
                                    0x1.3ff232dff2139p-6, -0x1.09cf7bb47e5c3p-6, 0x1.056c38b26888dp-5};
};

// turns π/2 + sign (t + rest), the large terms and the small ones added first. turns is 0, 1 or 2.
template <class T>
ISA_INLINE Vec<T> add_quarters(Vec<T> turns, Vec<T> sign, Vec<T> t, Vec<T> rest) {
  using C = AtanTable<T>;
  return fma(sign, t, turns * C::half_high) + fma(sign, rest, turns * C::half_low);
}

// atan t - t for 0 <= t <= 1
template <class T>
ISA_INLINE Vec<T> atan_rest(Vec<T> t) {
  const Vec<T> z = t * t;
  return t * z * polynomial(z, AtanTable<T>::atan);
}

// atan |x|, or π/2 - atan |1 / x| beyond 1, with the sign of x. Error: 1.30 / 1.42 (1.39 / 1.50).
template <class T>
ISA_INLINE Vec<T> atan(Vec<T> x) {
  const Vec<T> a = abs(x), zero = 0, one = 1;
  const Mask<T> beyond = a > one;
  const Vec<T> t = select(beyond, one / a, a);
  return copysign(add_quarters(select(beyond, one, zero), select(beyond, -one, one), t, atan_rest(t)), x);
}

// The angle of (x, y): φ = atan (low / high) of the smaller and the larger of |x| and |y| is the angle to the nearest
// axis, and leaves from 0, π/2 or π by its sign. low / high is 1 for two infinities and 0 for two zeros; it is NaN
// where x or y is, since min_fast and max_fast then give their second arguments. Error: 1.63 / 1.63.
template <class T>
ISA_INLINE Vec<T> atan2(Vec<T> y, Vec<T> x) {
  const Vec<T> a = abs(x), b = abs(y), zero = 0, one = 1, two = 2;
  const Vec<T> low = min_fast(b, a), high = max_fast(a, b);
  const Vec<T> t = select(low == high, select(high == zero, zero, one), low / high);
  const Mask<T> steep = b > a, left = bits_as<T>(bits_as<IntOf<T>>(x) < Vec<IntOf<T>>(0));
  const Vec<T> turns = select(steep, one, select(left, two, zero)), sign = select(steep ^ left, -one, one);
  return copysign(add_quarters(turns, sign, t, atan_rest(t)), y);
}

// asin t = t + rest with t = |x|; in `outer` lanes, |x| > 1/2, t = √((1 - |x|) / 2) with asin |x| = π/2 - 2 asin t.
template <class T>
struct AsinSplit {
  Vec<T> t, rest;
  Mask<T> outer;
};
template <class T>
ISA_INLINE AsinSplit<T> asin_split(Vec<T> x) {
  const Vec<T> a = abs(x), half = T(0.5);
  const Mask<T> outer = a > half;
  const Vec<T> z = select(outer, fma(-half, a, half), a * a), t = select(outer, sqrt_fast(z), a);
  return {t, t * z * polynomial(z, AtanTable<T>::asin), outer};
}

// Error: 1.65 / 1.73.
template <class T>
ISA_INLINE Vec<T> asin(Vec<T> x) {
  using C = AtanTable<T>;
  const auto [t, rest, outer] = asin_split(x);
  const Vec<T> y = t + select(outer, rest - C::half_low / 2, rest);
  return copysign(select(outer, fma(Vec<T>(-2), y, Vec<T>(C::half_high)), y), x);
}

// π/2 - asin x in the middle; 2 asin t for x > 1/2, π - 2 asin t for x < -1/2. Error: 1.17 / 1.18.
template <class T>
ISA_INLINE Vec<T> acos(Vec<T> x) {
  const auto [t, rest, outer] = asin_split(x);
  const Vec<T> one = 1, zero = 0, two = 2;
  const Vec<T> turns = select(outer, select(x < zero, two, zero), one), sign = select(outer, two, -one);
  return add_quarters(turns, copysign(one, x) * sign, t, rest);
}

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
