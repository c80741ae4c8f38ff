#pragma once
// The hyperbolic functions and their inverses.

#include "isa/math_log.h"

namespace pullback::ISA_NAMESPACE {
namespace {

// (sinh x / x - 1) / x² on |x| <= 1, in x². Beyond `far`, sinh x and cosh x are infinite.
template <class T>
struct SinhTable;
template <>
struct SinhTable<float> {
  static constexpr float far = 89.5f;
  static constexpr float small[] = {0x1.555556p-3f, 0x1.111134p-7f, 0x1.9ffe92p-13f, 0x1.7a15bap-19f};
};
template <>
struct SinhTable<double> {
  static constexpr double far = 710.6;
  static constexpr double small[] = {0x1.5555555555556p-3,  0x1.11111111110a6p-7,  0x1.a01a01a02899dp-13,
                                     0x1.71de3a465b241p-19, 0x1.ae64671b14756p-26, 0x1.611a561f36bb8p-33,
                                     0x1.b4c75a3579fd1p-41};
};

// With e^a = 2^k (1 + m): (e^a ± e^-a) / 2, added up as 2^(k-2) m + (2^(k-2) ± e^-a / 4), since 2^k itself overflows
// for the largest a.
template <class T>
struct Hyperbola {
  Vec<T> power, m, fourth;  // 2^(k-2), and e^-a / 4
  ISA_INLINE Vec<T> half_difference() const { return T(2) * (fma(power, m, -fourth) + power); }
  ISA_INLINE Vec<T> half_sum() const { return T(2) * (fma(power, m, fourth) + power); }
};
template <class T>
ISA_INLINE Hyperbola<T> hyperbola(Vec<T> a) {
  const ExpSplit<T> s = exp_split(min_fast(Vec<T>(SinhTable<T>::far), a));
  const Vec<T> power = pow2_rounded(s.rounded - T(2));
  return {power, s.m, T(0.0625) / fma(power, s.m, power)};
}

// |x| < 1: x + x³ p(x²). Error: 1.27 / 1.21 (1.29 / 1.23).
template <class T>
ISA_INLINE Vec<T> sinh(Vec<T> x) {
  const Vec<T> a = abs(x), z = x * x, small = fma(x * z, polynomial(z, SinhTable<T>::small), x);
  return select(a < Vec<T>(1), small, copysign(hyperbola(a).half_difference(), x));
}
// Error: 1.25 / 1.22 (1.30 / 1.23).
template <class T>
ISA_INLINE Vec<T> cosh(Vec<T> x) {
  return hyperbola(abs(x)).half_sum();
}

// ln(1 + a + b) for a >= b >= 0, with what their sum loses, about (1 - f) as much in the logarithm of 1 + f; ln 2a
// where a is so large that 1 is lost and b is a.
template <class T>
ISA_INLINE Vec<T> log1p_sum(Vec<T> a, Vec<T> b) {
  const Vec<T> sum = a + b, one = 1;
  const Mask<T> large = a > Vec<T>(T(0x1p60));
  const LogSplit<T> s = log1p_split(select(large, a, sum));
  const Vec<T> lost = select(large, Vec<T>(0), ((a - sum) + b) * inverse_power<T>(s.exponent));
  return log_sum<Natural<T>>(select(large, s.e + one, s.e), s.f, fma(lost, one - s.f, log_curve(s.f)));
}

// ln(1 + a + a² / (1 + √(1 + a²))) with the sign of x. Error: 1.71 / 1.67.
template <class T>
ISA_INLINE Vec<T> asinh(Vec<T> x) {
  const Vec<T> a = abs(x), z = a * a, one = 1;
  const Vec<T> y = log1p_sum(a, z / (one + sqrt(one + z)));
  return copysign(select(a < Vec<T>(Layout<T>::infinity), y, a), x);
}

// ln(1 + √(t (t + 2)) + t), t = x - 1; the root is that of a smaller t where t itself is what counts. Error: 1.89
// / 1.88 (1.89 / 1.90).
template <class T>
ISA_INLINE Vec<T> acosh(Vec<T> x) {
  using L = Layout<T>;
  const Vec<T> one = 1, t = x - one, s = min_fast(Vec<T>(T(0x1p61)), t);
  const Vec<T> y = log1p_sum(max_fast(t, sqrt(fma(s, s, s + s))), t);
  return select(x < one, Vec<T>(L::nan), select(x < Vec<T>(L::infinity), y, x));
}

// ln(1 + 2a + 2a² / (1 - a)) / 2 with the sign of x. Error: 1.68 / 1.64.
template <class T>
ISA_INLINE Vec<T> atanh(Vec<T> x) {
  using L = Layout<T>;
  const Vec<T> a = abs(x), one = 1, twice = a + a, rest = twice * a / (one - a);
  const Vec<T> y = T(0.5) * log1p_sum(max_fast(twice, rest), min_fast(rest, twice));
  return copysign(select(a < one, y, select(a == one, Vec<T>(L::infinity), Vec<T>(L::nan))), x);
}

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
