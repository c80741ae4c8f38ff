#pragma once
// Elementary functions of Vec<float> and Vec<double>. The frequent ones are computed on whole vectors, the
// others lane by lane in libm.

#include "isa/math_atan.h"
#include "isa/math_erf.h"
#include "isa/math_exp.h"
#include "isa/math_fmod.h"
#include "isa/math_hyperbolic.h"
#include "isa/math_log.h"
#include "isa/math_normal.h"
#include "isa/math_trig.h"

namespace pullback::ISA_NAMESPACE {
namespace {

// 1 / √x. Error: 1.50 / 1.50.
template <class T>
ISA_INLINE Vec<T> rsqrt(Vec<T> x) {
  return T(1) / sqrt(x);
}

// Numbers beyond `large` and below `small` are multiplied by `down` and `up` before they are squared: no square of the
// larger number overflows or is subnormal, and what is lost of the smaller one's is nothing beside it.
template <class T>
struct HypotTable;
template <>
struct HypotTable<float> {
  static constexpr float large = 0x1p58f, down = 0x1p-70f, small = 0x1p-46f, up = 0x1p100f;
};
template <>
struct HypotTable<double> {
  static constexpr double large = 0x1p500, down = 0x1p-600, small = 0x1p-450, up = 0x1p700;
};

// √(x² + y²); inf where x or y is infinite, even beside a NaN. Error: 1.04 / 1.03 (1.19 / 1.19).
template <class T>
ISA_INLINE Vec<T> hypot(Vec<T> x, Vec<T> y) {
  using C = HypotTable<T>;
  const Vec<T> a = abs(x), b = abs(y), one = 1, infinity = Layout<T>::infinity;
  const Vec<T> high = max_fast(a, b), low = min_fast(b, a);  // one of them is NaN where x or y is
  const Mask<T> large = high > Vec<T>(C::large), small = high < Vec<T>(C::small);
  const Vec<T> power = select(large, Vec<T>(C::down), select(small, Vec<T>(C::up), one));
  const Vec<T> back = select(large, Vec<T>(1 / C::down), select(small, Vec<T>(1 / C::up), one));
  const Vec<T> p = power * high, q = power * low;
  return select((a == infinity) | (b == infinity), infinity, back * sqrt_fast(fma(p, p, q * q)));
}

// ln |Γ(x)|, without the global sign that std::lgamma writes from every thread.
ISA_INLINE Vec<float> lgamma(Vec<float> x) {
  int sign;
  return lanes([&sign](float a) { return ::lgammaf_r(a, &sign); }, x);
}
ISA_INLINE Vec<double> lgamma(Vec<double> x) {
  int sign;
  return lanes([&sign](double a) { return ::lgamma_r(a, &sign); }, x);
}

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
