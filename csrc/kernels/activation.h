// Activation functions y_i = f(x_i) and their pullbacks dx_i = dy_i f'(x_i).
//
// Where f has a corner, the formula says which slope is taken there; it is PyTorch's choice.
#pragma once
#include "runtime/signature.h"

namespace pullback {

template <class... Scalars>
constexpr Signature activation(const char* name, const char* formula, Scalars... scalars) {
  return {name, formula, {in("x", kFloat), out("y", kFloat), scalars...}};
}
template <class... Scalars>
constexpr Signature activation_backward(const char* name, const char* formula, const char* saved, Scalars... scalars) {
  return {name, formula, {in("dy", kFloat), in(saved, kFloat), out("dx", kFloat), scalars...}};
}

inline constexpr Signature activation_signatures[] = {
    {"relu", "y = max(x, 0)", {in("x", kNumber), out("y", kNumber)}},
    activation("leaky_relu", "y = x for x > 0, else negative_slope x", real("negative_slope")),
    activation("elu", "y = scale x for x > 0, else scale alpha (e^(input_scale x) − 1)", real("alpha"), real("scale"),
               real("input_scale")),
    activation("gelu", "y = x Φ(x), Φ(x) = (1 + erf(x/√2)) / 2"),
    activation("gelu_tanh", "y = x (1 + tanh u) / 2, u = √(2/π) (x + 0.044715 x³)"),
    activation("silu", "y = x σ(x), σ(x) = 1/(1 + e⁻ˣ)"),
    activation("mish", "y = x tanh(ln(1 + eˣ))"),
    activation("softplus", "y = ln(1 + e^(beta x)) / beta, but x where beta x > threshold", real("beta"),
               real("threshold")),
    activation("hardtanh", "y = min(max(x, low), high)", real("low"), real("high")),
    activation("hardsigmoid", "y = min(max(x + 3, 0), 6) / 6"),
    activation("hardswish", "y = x min(max(x + 3, 0), 6) / 6"),
    activation("logsigmoid", "y = ln σ(x) = min(x, 0) − ln(1 + e^−|x|)"),
    activation("softsign", "y = x / (1 + |x|)"),
    activation("threshold", "y = value where x ≤ threshold, else x", real("threshold"), real("value")),
    {"heaviside",
     "y = 0 for x < 0, values where x = 0, 1 for x > 0, 0 for NaN",
     {in("x", kAny), in("values", kAny), out("y", kAny)}},
    {"prelu", "y = x for x > 0, else weight x", {in("x", kFloat), in("weight", kFloat), out("y", kFloat)}},
    activation_backward("relu_backward", "dx = 0 where y ≤ 0, else dy", "y"),
    activation_backward("leaky_relu_backward", "dx = dy for x > 0, else negative_slope dy", "x",
                        real("negative_slope")),
    activation_backward("elu_backward", "dx = scale alpha input_scale e^(input_scale x) dy where x ≤ 0, else scale dy",
                        "x", real("alpha"), real("scale"), real("input_scale")),
    activation_backward("gelu_backward", "dx = dy (Φ(x) + x φ(x)), φ(x) = e^(−x²/2) / √(2π)", "x"),
    activation_backward("gelu_tanh_backward", "dx = dy (s + x s (1 − s) 2u'), s = σ(2u) = (1 + tanh u) / 2", "x"),
    activation_backward("silu_backward", "dx = dy σ(x) (1 + x (1 − σ(x)))", "x"),
    activation_backward("mish_backward", "dx = dy (w + x (1 − w²) σ(x)), w = tanh(ln(1 + eˣ))", "x"),
    activation_backward("softplus_backward", "dx = dy σ(beta x), but dy where beta x > threshold", "x", real("beta"),
                        real("threshold")),
    activation_backward("hardtanh_backward", "dx = 0 where y ≤ low or y ≥ high, else dy", "y", real("low"),
                        real("high")),
    activation_backward("hardsigmoid_backward", "dx = dy / 6 for −3 < x < 3, else 0", "x"),
    activation_backward("hardswish_backward", "dx = 0 where x ≤ −3, dy (x/3 + 1/2) where x < 3, else dy", "x"),
    activation_backward("logsigmoid_backward", "dx = dy σ(−x)", "x"),
    activation_backward("softsign_backward", "dx = dy / (1 + |x|)²", "x"),
    activation_backward("threshold_backward", "dx = 0 where x ≤ threshold, else dy", "x", real("threshold")),
    {"prelu_backward",
     "dx = dy for x > 0, else weight dy; dweight = 0 for x > 0, else x dy, before its sum over what shares a "
     "weight",
     {in("dy", kFloat), in("x", kFloat), in("weight", kFloat), out("dx", kFloat), out("dweight", kFloat)}},
};

}  // namespace pullback
