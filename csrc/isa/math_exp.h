#pragma once
// exp and its kin: exp2, expm1, sigmoid, tanh. All of them split x = k ln 2 + r, k whole and |r| <= ln 2 / 2.

#include "isa/math_common.h"

namespace pullback::ISA_NAMESPACE {
namespace {

// (e^r - 1 - r) / r² on |r| <= ln 2 / 2, and ln 2 = ln2_high + ln2_low, k ln2_high exact for every k that
// occurs. Beyond lowest and highest, e^x is 0 and inf; lowest2 and highest2 bound 2^x likewise.
template <class T>
struct ExpTable;
template <>
struct ExpTable<float> {
  static constexpr float log2e = 0x1.715476p+0f;
  static constexpr float ln2_high = 0x1.62e4p-1f;
  static constexpr float ln2_low = 0x1.7f7d1cp-20f;
  static constexpr float lowest = -104.0f;
  static constexpr float highest = 89.0f;
  static constexpr float lowest2 = -151.0f;
  static constexpr float highest2 = 129.0f;
  static constexpr float q[] = {0x1p-1f, 0x1.5554aap-3f, 0x1.55553ap-5f, 0x1.122c28p-7f, 0x1.6cd53cp-10f};
};
template <>
struct ExpTable<double> {
  static constexpr double log2e = 0x1.71547652b82fep+0;
  static constexpr double ln2_high = 0x1.62e42feep-1;
  static constexpr double ln2_low = 0x1.a39ef35793c76p-33;
  static constexpr double lowest = -746.0;
  static constexpr double highest = 710.0;
  static constexpr double lowest2 = -1076.0;
  static constexpr double highest2 = 1025.0;
  static constexpr double q[] = {0x1p-1,
                                 0x1.5555555555559p-3,
                                 0x1.555555555555ap-5,
                                 0x1.111111110f6a7p-7,
                                 0x1.6c16c16c14424p-10,
                                 0x1.a01a01afe89d8p-13,
                                 0x1.a01a01b0c1535p-16,
                                 0x1.71ddf849f8a63p-19,
                                 0x1.27e4c59010332p-22,
                                 0x1.af5ed14ac91c2p-26,
                                 0x1.1f95775e0172fp-29};
};

// (tanh x / x - 1) / x² on |x| <= 9/16, in x². Beyond `one`, tanh x is 1.
template <class T>
struct TanhTable;
template <>
struct TanhTable<float> {
  static constexpr float one = 9.1f;
  static constexpr float small[] = {-0x1.555548p-2f, 0x1.110c5ep-3f, -0x1.b905c6p-5f, 0x1.581302p-6f, -0x1.946402p-8f};
};
template <>
struct TanhTable<double> {
  static constexpr double one = 19.1;
  static constexpr double small[] = {-0x1.555555555543dp-2,  0x1.11111110fbf1ap-3,  -0x1.ba1ba1a87039dp-5,
                                     0x1.664f44d7afaedp-6,   -0x1.226dc4fb4e497p-7, 0x1.d6c3188d56e33p-9,
                                     -0x1.7cd64096b6722p-10, 0x1.2ef59ef54b06bp-11, -0x1.b4ac79c02d972p-13,
                                     0x1.a011221b7e208p-15};
};

// e^x = 2^k (1 + m)
template <class T>
struct ExpSplit {
  Vec<T> k, m, rounded;  // rounded = k + Layout<T>::round

  ISA_INLINE Vec<T> power() const { return pow2_rounded(rounded); }  // 2^k
};

// e^r - 1 = r + r² q(r)
template <class T>
ISA_INLINE Vec<T> expm1_small(Vec<T> r) {
  return fma(r * r, polynomial(r, ExpTable<T>::q), r);
}

template <class T>
ISA_INLINE ExpSplit<T> exp_split(Vec<T> x) {
  using C = ExpTable<T>;
  const Vec<T> rounded = fma(x, Vec<T>(C::log2e), Vec<T>(Layout<T>::round)), k = rounded - Layout<T>::round;
  const Vec<T> r = fma(k, Vec<T>(-C::ln2_low), fma(k, Vec<T>(-C::ln2_high), x));
  return {k, expm1_small(r), rounded};
}
// The same of x + low, |low| much smaller than ln 2.
template <class T>
ISA_INLINE ExpSplit<T> exp_split(Vec<T> x, Vec<T> low) {
  using C = ExpTable<T>;
  const Vec<T> rounded = fma(x, Vec<T>(C::log2e), Vec<T>(Layout<T>::round)), k = rounded - Layout<T>::round;
  const Vec<T> r = fma(k, Vec<T>(-C::ln2_high), x) + fma(k, Vec<T>(-C::ln2_low), low);
  return {k, expm1_small(r), rounded};
}

// x within [low, high]; NaN stays.
template <class T>
ISA_INLINE Vec<T> clamp(Vec<T> x, T low, T high) {
  return max_fast(Vec<T>(low), min_fast(Vec<T>(high), x));
}

// e^x where ExpTable's lowest <= x <= highest.
template <class T>
ISA_INLINE Vec<T> exp_inside(Vec<T> x) {
  const ExpSplit<T> s = exp_split(x);
  return scale(T(1) + s.m, s.k);
}
// Error: 1.05 / 0.98.
template <class T>
ISA_INLINE Vec<T> exp(Vec<T> x) {
  return exp_inside(clamp(x, ExpTable<T>::lowest, ExpTable<T>::highest));
}
// The same for x <= 0.
template <class T>
ISA_INLINE Vec<T> exp_below(Vec<T> x) {
  return exp_inside(max_fast(Vec<T>(ExpTable<T>::lowest), x));
}

// 2^x = 2^k e^(r ln 2), k = round(x), r = x - k. Error: 1.05 / 0.98 (1.18 / 1.10).
template <class T>
ISA_INLINE Vec<T> exp2(Vec<T> x) {
  using C = ExpTable<T>;
  x = clamp(x, C::lowest2, C::highest2);
  const Vec<T> k = round(x), r = x - k;
  const Vec<T> m = expm1_small(fma(r, Vec<T>(C::ln2_high), r * C::ln2_low));
  return scale(T(1) + m, k);
}

// e^x - 1 = 2 (2^(k-1) m + (2^(k-1) - 1/2)): 2^k itself overflows for the largest x, and where x is so small
// that 2^(k-1) m would be subnormal, x is the answer. Error: 1.57 / 1.81 (1.70 / 1.93).
template <class T>
ISA_INLINE Vec<T> expm1(Vec<T> x) {
  using C = ExpTable<T>;
  const ExpSplit<T> s = exp_split(clamp(x, T(-40), C::highest));
  const Vec<T> half = pow2(s.k - T(1));
  const Vec<T> y = T(2) * fma(half, s.m, half - T(0.5));
  return select(abs(x) < Vec<T>(Layout<T>::min_normal * 2), x, y);
}

// With e^|x| = 2^k (1 + m): 1 / (1 + e^|x|) = 2^-k / (2^-k + 1 + m), the small ones of the three terms added first, and
// what that leaves of 1 for a positive x. Error: 2.00 / 1.97.
template <class T>
ISA_INLINE Vec<T> sigmoid(Vec<T> x) {
  const Vec<T> one = T(1);
  const ExpSplit<T> s = exp_split(min_fast(Vec<T>(-ExpTable<T>::lowest), abs(x)));
  const Vec<T> power = scale(one, -s.k), below = power / (power + s.m + one);
  return select(x < Vec<T>(0), below, one - below);
}

// |x| < 9/16: x + x³ p(x²); beyond: 1 - 2 / (1 + e^2|x|) with the sign of x. Error: 1.33 / 1.31.
template <class T>
ISA_INLINE Vec<T> tanh(Vec<T> x) {
  using C = TanhTable<T>;
  const Vec<T> a = min_fast(Vec<T>(C::one), abs(x)), z = a * a;
  const Vec<T> small = fma(a * z, polynomial(z, C::small), a);
  const ExpSplit<T> s = exp_split(a + a);
  const Vec<T> power = s.power();
  const Vec<T> large = T(1) - T(2) / fma(power, s.m, power + T(1));
  return copysign(select(a < Vec<T>(T(0.5625)), small, large), x);
}

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
