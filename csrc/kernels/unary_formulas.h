// The functions and derivatives of unary.h. V is a vector on the CPU, one number on the GPU: both sources include this
// after the functions that the table at the end names.
#pragma once
#include "kernels/unary.h"

namespace pullback::ISA_NAMESPACE {
namespace {

inline constexpr double kLn2 = 0.69314718055994530942;
inline constexpr double kLn10 = 2.30258509299404568402;
inline constexpr double kTwoOverSqrtPi = 1.12837916709551257390;

// f is the function; df its derivative, from what the contract says is saved. V is Vec<float> or Vec<double>; the
// functions that integers have as well are written for plain numbers too.
#define UNARY(Name, expression) \
  struct Name {                 \
    template <class V>          \
    PB_INLINE static V f(V x) { \
      return expression;        \
    }                           \
  };
#define UNARY_D(Name, expression, saved, derivative) \
  struct Name {                                      \
    template <class V>                               \
    PB_INLINE static V f(V x) {                      \
      return expression;                             \
    }                                                \
    template <class V>                               \
    PB_INLINE static V df(V saved) {                 \
      return derivative;                             \
    }                                                \
  };

template <class T>
PB_INLINE T sign_of(T x) {
  return x != x ? x : static_cast<T>((x > 0) - (x < 0));
}
template <class T>
PB_INLINE T abs_of(T x) {
  return static_cast<T>(x < 0 ? 0 - x : x);
}

UNARY(Neg, static_cast<V>(-x))
UNARY(Sign, sign_of(x))
UNARY(Floor, floor(x))
UNARY(Ceil, ceil(x))
UNARY(Round, round(x))
UNARY(Trunc, trunc(x))
UNARY_D(Abs, abs_of(x), x, sign_of(x))
UNARY_D(Square, static_cast<V>(x* x), x, x + x)
UNARY_D(Reciprocal, V(1) / x, y, -(y* y))
UNARY_D(Sqrt, sqrt(x), y, V(0.5) / y)
UNARY_D(Rsqrt, rsqrt(x), y, V(-0.5) * y * (y * y))
UNARY_D(Exp, exp(x), y, y)
UNARY_D(Exp2, exp2(x), y, y* V(kLn2))
UNARY_D(Expm1, expm1(x), y, y + V(1))
UNARY_D(Log, log(x), x, V(1) / x)
UNARY_D(Log2, log2(x), x, V(1) / (x * V(kLn2)))
UNARY_D(Log10, log10(x), x, V(1) / (x * V(kLn10)))
UNARY_D(Log1p, log1p(x), x, V(1) / (x + V(1)))
UNARY_D(Sin, sin(x), x, cos(x))
UNARY_D(Cos, cos(x), x, -sin(x))
UNARY_D(Tan, tan(x), y, fma(y, y, V(1)))
UNARY_D(Asin, asin(x), x, V(1) / sqrt((V(1) - x) * (V(1) + x)))
UNARY_D(Acos, acos(x), x, V(-1) / sqrt((V(1) - x) * (V(1) + x)))
UNARY_D(Atan, atan(x), x, V(1) / fma(x, x, V(1)))
UNARY_D(Sinh, sinh(x), x, cosh(x))
UNARY_D(Cosh, cosh(x), x, sinh(x))
UNARY_D(Tanh, tanh(x), y, (V(1) - y) * (V(1) + y))
UNARY_D(Asinh, asinh(x), x, V(1) / sqrt(fma(x, x, V(1))))
UNARY_D(Acosh, acosh(x), x, V(1) / sqrt((x - V(1)) * (x + V(1))))
UNARY_D(Atanh, atanh(x), x, V(1) / ((V(1) - x) * (V(1) + x)))
UNARY_D(Sigmoid, sigmoid(x), y, y*(V(1) - y))
UNARY_D(Erf, erf(x), x, V(kTwoOverSqrtPi) * exp(-(x * x)))
UNARY_D(Erfc, erfc(x), x, V(-kTwoOverSqrtPi) * exp(-(x * x)))

struct IsNan {
  template <class T>
  PB_INLINE static bool test(T x) {
    return x != x;
  }
};
struct IsInf {
  template <class T>
  PB_INLINE static bool test(T x) {
    return __builtin_fabs(static_cast<double>(x)) == __builtin_inf();
  }
};
struct IsFinite {
  template <class T>
  PB_INLINE static bool test(T x) {
    return __builtin_fabs(static_cast<double>(x)) < __builtin_inf();
  }
};

constexpr EntryRow rows[] = {
    {"neg", forward_number<Neg>, kHalves},
    {"abs", forward_number<Abs>, kHalves},
    {"sign", forward_number<Sign>, kHalves},
    {"square", forward_number<Square>, kHalves},
    {"floor", forward<Floor>, kHalves},
    {"ceil", forward<Ceil>, kHalves},
    {"round", forward<Round>, kHalves},
    {"trunc", forward<Trunc>, kHalves},
    {"reciprocal", forward<Reciprocal>, kHalves},
    {"sqrt", forward<Sqrt>, kHalves},
    {"rsqrt", forward<Rsqrt>, kHalves},
    {"exp", forward<Exp>, kHalves},
    {"exp2", forward<Exp2>, kHalves},
    {"expm1", forward<Expm1>, kHalves},
    {"log", forward<Log>, kHalves},
    {"log2", forward<Log2>, kHalves},
    {"log10", forward<Log10>, kHalves},
    {"log1p", forward<Log1p>, kHalves},
    {"sin", forward<Sin>, kHalves},
    {"cos", forward<Cos>, kHalves},
    {"tan", forward<Tan>, kHalves},
    {"asin", forward<Asin>, kHalves},
    {"acos", forward<Acos>, kHalves},
    {"atan", forward<Atan>, kHalves},
    {"sinh", forward<Sinh>, kHalves},
    {"cosh", forward<Cosh>, kHalves},
    {"tanh", forward<Tanh>, kHalves},
    {"asinh", forward<Asinh>, kHalves},
    {"acosh", forward<Acosh>, kHalves},
    {"atanh", forward<Atanh>, kHalves},
    {"sigmoid", forward<Sigmoid>, kHalves},
    {"erf", forward<Erf>, kHalves},
    {"erfc", forward<Erfc>, kHalves},
    {"isnan", test<IsNan>, kHalves},
    {"isinf", test<IsInf>, kHalves},
    {"isfinite", test<IsFinite>, kHalves},
    {"abs_backward", backward<Abs>, kHalves},
    {"square_backward", backward<Square>, kHalves},
    {"reciprocal_backward", backward<Reciprocal>, kHalves},
    {"sqrt_backward", backward<Sqrt>, kHalves},
    {"rsqrt_backward", backward<Rsqrt>, kHalves},
    {"exp_backward", backward<Exp>, kHalves},
    {"exp2_backward", backward<Exp2>, kHalves},
    {"expm1_backward", backward<Expm1>, kHalves},
    {"log_backward", backward<Log>, kHalves},
    {"log2_backward", backward<Log2>, kHalves},
    {"log10_backward", backward<Log10>, kHalves},
    {"log1p_backward", backward<Log1p>, kHalves},
    {"sin_backward", backward<Sin>, kHalves},
    {"cos_backward", backward<Cos>, kHalves},
    {"tan_backward", backward<Tan>, kHalves},
    {"asin_backward", backward<Asin>, kHalves},
    {"acos_backward", backward<Acos>, kHalves},
    {"atan_backward", backward<Atan>, kHalves},
    {"sinh_backward", backward<Sinh>, kHalves},
    {"cosh_backward", backward<Cosh>, kHalves},
    {"tanh_backward", backward<Tanh>, kHalves},
    {"asinh_backward", backward<Asinh>, kHalves},
    {"acosh_backward", backward<Acosh>, kHalves},
    {"atanh_backward", backward<Atanh>, kHalves},
    {"sigmoid_backward", backward<Sigmoid>, kHalves},
    {"erf_backward", backward<Erf>, kHalves},
    {"erfc_backward", backward<Erfc>, kHalves},
};

}  // namespace

extern const Family unary_family;
const Family unary_family = {rows, sizeof(rows) / sizeof(rows[0])};

}  // namespace pullback::ISA_NAMESPACE
