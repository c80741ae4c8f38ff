// Elementwise functions of one operand, y_i = f(x_i), and their pullbacks, dx_i = dy_i f'(x_i).
//
// A pullback reads x or y, whichever gives f' more cheaply; the formula says which.
#pragma once
#include "runtime/signature.h"

namespace pullback {

constexpr Signature unary(const char* name, const char* formula, Types types = kFloat) {
  return {name, formula, {in("x", types), out("y", types)}};
}
constexpr Signature unary_backward(const char* name, const char* formula, const char* saved) {
  return {name, formula, {in("dy", kFloat), in(saved, kFloat), out("dx", kFloat)}};
}
constexpr Signature unary_test(const char* name, const char* formula) {
  return {name, formula, {in("x", kFloat), out("y", kBool)}};
}

inline constexpr Signature unary_signatures[] = {
    unary("neg", "y = −x", kNumber),
    unary("abs", "y = |x|", kNumber),
    unary("sign", "y = −1, 0 or 1", kNumber),
    unary("square", "y = x²", kNumber),
    unary("floor", "y = ⌊x⌋"),
    unary("ceil", "y = ⌈x⌉"),
    unary("round", "y = x to the nearest integer, halves to even"),
    unary("trunc", "y = x towards zero"),
    unary("reciprocal", "y = 1/x"),
    unary("sqrt", "y = √x"),
    unary("rsqrt", "y = 1/√x"),
    unary("exp", "y = eˣ"),
    unary("exp2", "y = 2ˣ"),
    unary("expm1", "y = eˣ − 1"),
    unary("log", "y = ln x"),
    unary("log2", "y = log₂ x"),
    unary("log10", "y = log₁₀ x"),
    unary("log1p", "y = ln(1 + x)"),
    unary("sin", "y = sin x"),
    unary("cos", "y = cos x"),
    unary("tan", "y = tan x"),
    unary("asin", "y = arcsin x"),
    unary("acos", "y = arccos x"),
    unary("atan", "y = arctan x"),
    unary("sinh", "y = sinh x"),
    unary("cosh", "y = cosh x"),
    unary("tanh", "y = tanh x"),
    unary("asinh", "y = arsinh x"),
    unary("acosh", "y = arcosh x"),
    unary("atanh", "y = artanh x"),
    unary("sigmoid", "y = 1/(1 + e⁻ˣ)"),
    unary("erf", "y = 2/√π ∫₀ˣ e^(−t²) dt"),
    unary("erfc", "y = 1 − erf x"),
    unary_test("isnan", "y = x is NaN"),
    unary_test("isinf", "y = x is +∞ or −∞"),
    unary_test("isfinite", "y = x is neither infinite nor NaN"),
    unary_backward("abs_backward", "dx = dy sign(x)", "x"),
    unary_backward("square_backward", "dx = 2 dy x", "x"),
    unary_backward("reciprocal_backward", "dx = −dy y²", "y"),
    unary_backward("sqrt_backward", "dx = dy / (2y)", "y"),
    unary_backward("rsqrt_backward", "dx = −dy y³ / 2", "y"),
    unary_backward("exp_backward", "dx = dy y", "y"),
    unary_backward("exp2_backward", "dx = dy y ln 2", "y"),
    unary_backward("expm1_backward", "dx = dy (y + 1)", "y"),
    unary_backward("log_backward", "dx = dy / x", "x"),
    unary_backward("log2_backward", "dx = dy / (x ln 2)", "x"),
    unary_backward("log10_backward", "dx = dy / (x ln 10)", "x"),
    unary_backward("log1p_backward", "dx = dy / (1 + x)", "x"),
    unary_backward("sin_backward", "dx = dy cos x", "x"),
    unary_backward("cos_backward", "dx = −dy sin x", "x"),
    unary_backward("tan_backward", "dx = dy (1 + y²)", "y"),
    unary_backward("asin_backward", "dx = dy / √(1 − x²)", "x"),
    unary_backward("acos_backward", "dx = −dy / √(1 − x²)", "x"),
    unary_backward("atan_backward", "dx = dy / (1 + x²)", "x"),
    unary_backward("sinh_backward", "dx = dy cosh x", "x"),
    unary_backward("cosh_backward", "dx = dy sinh x", "x"),
    unary_backward("tanh_backward", "dx = dy (1 − y²)", "y"),
    unary_backward("asinh_backward", "dx = dy / √(x² + 1)", "x"),
    unary_backward("acosh_backward", "dx = dy / √(x² − 1)", "x"),
    unary_backward("atanh_backward", "dx = dy / (1 − x²)", "x"),
    unary_backward("sigmoid_backward", "dx = dy y (1 − y)", "y"),
    unary_backward("erf_backward", "dx = dy 2/√π e^(−x²)", "x"),
    unary_backward("erfc_backward", "dx = −dy 2/√π e^(−x²)", "x"),
};

}  // namespace pullback
