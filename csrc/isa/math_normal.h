#pragma once
// The standard normal distribution function Φ(x) = (1 + erf(x/√2)) / 2.

#include "isa/math_exp.h"

namespace pullback::ISA_NAMESPACE {
namespace {

// Φ(−a) e^(a²/2) = t p(t) for a >= 0, t = 1 / (1 + slope a): smooth from a = 0, where it is 1/2, to infinity, where it
// falls as 1/a. Relative errors of p: 2.9e-8 and 2.3e-17. From `far` on, e^(−a²/2) is 0.
template <class T>
struct NormalTable;
template <>
struct NormalTable<float> {
  static constexpr float slope = 0x1.6p-2f, far = 14.422f;
  static constexpr float p[] = {0x1.18d314p-3f, 0x1.199f1ap-3f,  0x1.df319ap-4f, 0x1.c910eep-4f, -0x1.2bb272p-5f,
                                0x1.7e5178p-3f, -0x1.122d54p-2f, 0x1.226e82p-3f, -0x1.c06138p-6f};
};
template <>
struct NormalTable<double> {
  static constexpr double slope = 0x1.8p-3, far = 38.62;
  static constexpr double p[] = {
      0x1.32633e6e873fcp-4,  0x1.32633e4985a67p-4,  0x1.279dc55a9e740p-4, 0x1.12127da7c3660p-4,  0x1.e5d144b2f4260p-5,
      0x1.98767bff4f5acp-5,  0x1.44f85ae3a0738p-5,  0x1.c8c714248101cp-6, 0x1.833d52556d8a9p-6,  -0x1.b9167ef08a879p-9,
      0x1.5d3bfac58f630p-5,  -0x1.375f2408cca48p-4, 0x1.f0f4888639a52p-4, -0x1.27aad457540b0p-3, 0x1.be2bb08322c19p-4,
      -0x1.c7dcfdd995ce1p-6, -0x1.b90030d75e8bfp-5, 0x1.598788dac62dap-4, -0x1.f302bde28b1aap-5, 0x1.9e7169a545cc6p-6,
      -0x1.7e9f675118800p-8, 0x1.331691a66391cp-11};
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
  const Vec<T> bell = exp_inside(T(-0.5) * a * a), tail = bell * (t * polynomial(t, C::p));
  return {select(x < Vec<T>(0), tail, one - tail), bell};
}

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
