#pragma once
// Elementary functions of Vec<float> and Vec<double>. The frequent ones are computed on whole vectors, the
// others lane by lane in libm.

#include "isa/math_erf.h"
#include "isa/math_exp.h"
#include "isa/math_log.h"
#include "isa/math_trig.h"

namespace pullback::ISA_NAMESPACE {
namespace {

// 1 / √x. Error: 1.50 / 1.50.
template <class T>
ISA_INLINE Vec<T> rsqrt(Vec<T> x) {
  return T(1) / sqrt(x);
}

template <class T>
ISA_INLINE Vec<T> asin(Vec<T> x) {
  return lanes(libm<T>(::asinf, ::asin), x);
}
template <class T>
ISA_INLINE Vec<T> acos(Vec<T> x) {
  return lanes(libm<T>(::acosf, ::acos), x);
}
template <class T>
ISA_INLINE Vec<T> atan(Vec<T> x) {
  return lanes(libm<T>(::atanf, ::atan), x);
}
template <class T>
ISA_INLINE Vec<T> atan2(Vec<T> y, Vec<T> x) {
  return lanes(libm<T>(::atan2f, ::atan2), y, x);
}
template <class T>
ISA_INLINE Vec<T> sinh(Vec<T> x) {
  return lanes(libm<T>(::sinhf, ::sinh), x);
}
template <class T>
ISA_INLINE Vec<T> cosh(Vec<T> x) {
  return lanes(libm<T>(::coshf, ::cosh), x);
}
template <class T>
ISA_INLINE Vec<T> asinh(Vec<T> x) {
  return lanes(libm<T>(::asinhf, ::asinh), x);
}
template <class T>
ISA_INLINE Vec<T> acosh(Vec<T> x) {
  return lanes(libm<T>(::acoshf, ::acosh), x);
}
template <class T>
ISA_INLINE Vec<T> atanh(Vec<T> x) {
  return lanes(libm<T>(::atanhf, ::atanh), x);
}
// The remainder of x / y with the sign of x.
template <class T>
ISA_INLINE Vec<T> fmod(Vec<T> x, Vec<T> y) {
  return lanes(libm<T>(::fmodf, ::fmod), x, y);
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
