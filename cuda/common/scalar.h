// One number where the CPU's formulas have a vector: the functions of isa/vec.h and isa/math.h that are not CUDA's own,
// under the same names. The rest (exp, log, erf, fma, …) comes from math.h, on the device from CUDA's mathematics.
#pragma once
#include "common/device.h"

namespace pullback::cuda {
namespace {

// What a formula calls V of T.
template <class T>
using Vec = T;

template <class T>
PB_DEVICE T select(bool condition, T a, T b) {
  return condition ? a : b;
}

// NaN where either is; the fast ones give b where a is NaN, and where b is.
template <class T>
PB_DEVICE T max(T a, T b) {
  return a > b || a != a ? a : b;
}
template <class T>
PB_DEVICE T min(T a, T b) {
  return a < b || a != a ? a : b;
}
template <class T>
PB_DEVICE T max_fast(T a, T b) {
  return a > b ? a : b;
}
template <class T>
PB_DEVICE T min_fast(T a, T b) {
  return a < b ? a : b;
}
template <class T>
PB_DEVICE T clamp(T x, T low, T high) {
  return min_fast(high, max_fast(low, x));
}

template <class T>
PB_DEVICE T abs(T x) {
  return fabs(x);
}
template <class T>
PB_DEVICE T round(T x) {  // halves to even
  return rint(x);
}
template <class T>
PB_DEVICE T rsqrt(T x) {
  return T(1) / sqrt(x);
}
// From the side where e^−|x| does not overflow, so that a small result keeps its bits.
template <class T>
PB_DEVICE T sigmoid(T x) {
  const T e = exp(-abs(x));
  return (x < T(0) ? e : T(1)) / (T(1) + e);
}

// A function of one lane at a time.
template <class F, class... T>
PB_DEVICE auto lanes(F&& f, T... x) {
  return f(x...);
}

// eˣ for x ≤ 0; ln(1 + x) for 0 ≤ x ≤ 1.
template <class T>
PB_DEVICE T exp_below(T x) {
  return exp(x);
}
template <class T>
PB_DEVICE T log1p_unit(T x) {
  return log1p(x);
}

// Φ(x) and e^(−x²/2)
template <class T>
struct Normal {
  T cdf, bell;
};
template <class T>
PB_DEVICE Normal<T> normal(T x) {
  return {T(0.5) * erfc(x * T(-0.70710678118654752440)), exp(T(-0.5) * x * x)};
}

}  // namespace
}  // namespace pullback::cuda
