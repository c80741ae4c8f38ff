#pragma once
// The error function erf x = 2/√π ∫₀ˣ e^(-t²) dt; its complement is in math_normal.h.

#include "isa/math_exp.h"

namespace pullback::ISA_NAMESPACE {
namespace {

// slope + slope_low = 2/√π; small: (erf x / x - 2/√π) / x² on [0, 7/8], in x²; large: -ln(erfc(7/8 + t)) up
// to `one`, from where on erf is 1.
template <class T>
struct ErfTable;
template <>
struct ErfTable<float> {
  static constexpr float slope = 0x1.20dd76p+0f, slope_low = -0x1.f7ac92p-25f;
  static constexpr float one = 4.0f;
  static constexpr float small[] = {-0x1.81271cp-2f, 0x1.ce22f2p-4f, -0x1.b70842p-6f, 0x1.4a304cp-8f, -0x1.46a8dep-11f};
  static constexpr float large[] = {0x1.88672ep+0f, 0x1.37118cp+1f, 0x1.a72b76p-1f,  0x1.815bb6p-5f,
                                    -0x1.7a3dcp-7f, 0x1.2bc56cp-9f, -0x1.15c332p-12f};
};
template <>
struct ErfTable<double> {
  static constexpr double slope = 0x1.20dd750429b6dp+0, slope_low = 0x1.1ae3a914fed8p-56;
  static constexpr double one = 6.0;
  static constexpr double small[] = {-0x1.812746b03798ap-2,  0x1.ce2f21a03d0e2p-4,   -0x1.b82ce31098a66p-6,
                                     0x1.565bccba80c45p-8,   -0x1.c02da3a4c5d6ap-11, 0x1.f9a12c7617d1ep-14,
                                     -0x1.f4ab05d3ee929p-17, 0x1.b7ee5788fd53bp-20,  -0x1.4f96369fd1dbfp-23,
                                     0x1.67f36339fc09ep-27};
  static constexpr double large[] = {0x1.88672ea9b34dcp+0,   0x1.3711709c17b18p+1,   0x1.a730790b5008bp-1,
                                     0x1.802c278f6422dp-5,   -0x1.730b0dd029794p-7,  0x1.1904848a6541cp-9,
                                     -0x1.a50d6e2f57ae2p-13, -0x1.f1a08d2ae8e24p-15, 0x1.4ae9b260405efp-15,
                                     -0x1.9be5b875b2934p-17, 0x1.2286bb62df3ecp-19,  0x1.16fc049115618p-25,
                                     -0x1.724a1529f0f15p-23, 0x1.1be1584a4fe97p-24,  -0x1.fe1569ce74a0dp-27,
                                     0x1.253151c3871e8p-29,  -0x1.90f180e135f3dp-33, 0x1.f206ae586b07cp-38};
};

// |x| < 7/8: 2/√π x + x³ p(x²); beyond: 1 - e^-q(|x| - 7/8) with the sign of x.
// Error: 1.08 / 1.13 (1.81 / 1.80).
template <class T>
ISA_INLINE Vec<T> erf(Vec<T> x) {
  using C = ErfTable<T>;
  const Vec<T> a = min_fast(Vec<T>(C::one), abs(x)), z = a * a;
  const Vec<T> small = fma(a, Vec<T>(C::slope), a * fma(z, polynomial(z, C::small), Vec<T>(C::slope_low)));
  const ExpSplit<T> e = exp_split(-polynomial(a - T(0.875), C::large));
  const Vec<T> power = e.power(), large = T(1) - fma(power, e.m, power);
  return copysign(select(a < Vec<T>(T(0.875)), small, large), x);
}

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
