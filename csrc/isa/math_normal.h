#pragma once
// The standard normal distribution function Φ(x) = (1 + erf(x/√2)) / 2, and erfc x = 2 Φ(-√2 x).

#include "isa/math_exp.h"

namespace pullback::ISA_NAMESPACE {
namespace {

// Φ(−a) e^(a²/2) = t p(2t − 1) for a >= 0, t = 1 / (1 + slope a): smooth from a = 0, where it is 1/2, to infinity,
// where it falls as 1/a. Relative errors of p: 2.9e-8 and 2.4e-17. From `far` on, e^(−a²/2) is 0.
template <class T>
struct NormalTable;
template <>
struct NormalTable<float> {
  static constexpr float slope = 0x1.6p-2f, far = 14.422f;
  static constexpr float p[] = {0x1.fed90cp-3f,  0x1.5e09dep-3f,  0x1.2bf352p-4f,  0x1.91a982p-7f,  -0x1.2c0d2cp-8f,
                                -0x1.049eccp-9f, 0x1.2f4c48p-11f, 0x1.08f794p-12f, -0x1.c0616cp-14f};
};
template <>
struct NormalTable<double> {
  static constexpr double slope = 0x1.8p-3, far = 38.62;
  static constexpr double p[] = {
      0x1.2897222860a86p-3,  0x1.04c47b8643a74p-3,   0x1.91abf19ca2194p-4,   0x1.0cc75ae57aac1p-4,
      0x1.33f33b09ec89dp-5,  0x1.263cb8fa68f35p-6,   0x1.bd7695dd30dfcp-8,   0x1.d68d41132a479p-10,
      0x1.6a7ef5d8d179p-13,  -0x1.a56882c801955p-14, -0x1.9cb614dffbc6dp-15, -0x1.9ab066ec53c14p-19,
      0x1.462062272564cp-18, 0x1.72aa480c8332fp-20,  -0x1.94f57924a7c1p-22,  -0x1.0095275505355p-22,
      0x1.b79c2a56c96fdp-26, 0x1.3bc0aa6a1009ep-25,  -0x1.1e95f929d4ffbp-29, -0x1.7710dfc81f3f9p-28,
      0x1.26b0e83340b79p-31, 0x1.4e49ae8778e46p-31,  -0x1.39056c850365cp-33};
};

// Φ(x), and e^(−x²/2), which is √(2π) times its derivative: both from one exponential.
template <class T>
struct Normal {
  Vec<T> cdf, bell;
};

template <class T>
ISA_INLINE Normal<T> normal(Vec<T> x) {
  using C = NormalTable<T>;
  const Vec<T> one = T(1), a = min_fast(Vec<T>(C::far), abs(x)), t = one / fma(a, Vec<T>(C::slope), one);
  const Vec<T> bell = exp_inside(T(-0.5) * a * a), tail = bell * (t * polynomial(fma(t, Vec<T>(2), Vec<T>(-1)), C::p));
  return {select(x < Vec<T>(0), tail, one - tail), bell};
}

// 2 Φ(−√2 x) for x >= 0, with as many digits as a T has. The square is two numbers, as its error would be one of the
// whole result: h² of x's high bits, and (x - h)(x + h). So would be the error of t, which 1 - t (1 + slope x) tells.
template <class T>
ISA_INLINE Vec<double> erfc_above(Vec<double> x) {
  using C = NormalTable<T>;
  constexpr double slope = 1.41421356237309504880 * C::slope, zero_beyond = 27.3;
  constexpr std::int64_t high_bits = -(std::int64_t{1} << 27);
  const Vec<double> a = min_fast(Vec<double>(zero_beyond), x), one = 1, u = fma(a, Vec<double>(slope), one);
  const Vec<double> t = one / u;
  Vec<double> q = fma(t, Vec<double>(2), -one), error = 0;
  if constexpr (sizeof(T) == sizeof(double)) {
    error = fma(-u, t, one) - t * fma(a, Vec<double>(slope), one - u);
    q = fma(t + t, error, q);
  }
  const Vec<double> high = bits_as<double>(bits_as<std::int64_t>(a) & Vec<std::int64_t>(high_bits));
  const ExpSplit<double> s = exp_split(-high * high, (high - a) * (high + a));
  const Vec<double> y = 2.0 * t * polynomial(q, C::p);
  return scale(fma(s.m + error, y, y), s.k);
}
template <class T>
ISA_INLINE Vec<double> erfc_in_double(Vec<double> x) {
  const Vec<double> above = erfc_above<T>(abs(x));
  return select(x < Vec<double>(0), 2.0 - above, above);
}

// Error: 1.78 / 3.71, in double without fma libm's.
ISA_INLINE Vec<float> erfc(Vec<float> x) {
  const auto [x0, x1] = widen(x);
  return narrow({erfc_in_double<float>(x0), erfc_in_double<float>(x1)});
}
ISA_INLINE Vec<double> erfc(Vec<double> x) {
  if constexpr (native::fused) {
    return erfc_in_double<double>(x);
  } else {
    return lanes(libm<double>(::erfcf, ::erfc), x);
  }
}

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
