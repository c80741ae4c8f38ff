// The functions and derivatives of activation.h. V is a vector on the CPU, one number on the GPU: both sources include
// this after the functions that the table at the end names.
#pragma once
#include "kernels/activation.h"

namespace pullback::ISA_NAMESPACE {
namespace {

// Each struct is one activation with its scalars: f(x) is the function, pull(dy, saved) = dy f' its pullback.
template <class T>
struct Relu {
  using V = Vec<T>;
  PB_INLINE explicit Relu(const Call&) {}
  PB_INLINE V f(V x) const { return max_fast(V(0), x); }  // x where it is NaN
  PB_INLINE V pull(V dy, V y) const { return select(y <= V(0), V(0), dy); }
};

template <class T>
struct LeakyRelu {
  using V = Vec<T>;
  V slope;
  PB_INLINE explicit LeakyRelu(const Call& c) : slope(T(c.real(0))) {}
  PB_INLINE V f(V x) const { return select(x > V(0), x, slope * x); }
  PB_INLINE V pull(V dy, V x) const { return select(x > V(0), dy, slope * dy); }
};

template <class T>
struct Elu {
  using V = Vec<T>;
  V scale, scaled_alpha, input_scale;
  PB_INLINE explicit Elu(const Call& c)
      : scale(T(c.real(1))), scaled_alpha(T(c.real(0) * c.real(1))), input_scale(T(c.real(2))) {}
  PB_INLINE V f(V x) const { return select(x > V(0), scale * x, scaled_alpha * expm1(input_scale * x)); }
  PB_INLINE V pull(V dy, V x) const {
    return dy * select(x <= V(0), scaled_alpha * input_scale * exp(input_scale * x), scale);
  }
};

template <class T>
struct Gelu {
  using V = Vec<T>;
  static constexpr T kOverSqrtTwoPi = T(0.39894228040143267794);
  PB_INLINE explicit Gelu(const Call&) {}
  PB_INLINE V f(V x) const { return x * normal(x).cdf; }
  PB_INLINE V pull(V dy, V x) const {
    const auto [cdf, bell] = normal(x);
    return dy * fma(x * kOverSqrtTwoPi, bell, cdf);
  }
};

// 2u = x (a + b x²); (1 + tanh u) / 2 = σ(2u), which keeps its accuracy as it goes to 0.
template <class T>
struct GeluTanh {
  using V = Vec<T>;
  static constexpr T a = T(2 * 0.79788456080286535588), b = T(2 * 0.79788456080286535588 * 0.044715);
  PB_INLINE explicit GeluTanh(const Call&) {}
  PB_INLINE V f(V x) const { return x * sigmoid(x * fma(V(b), x * x, V(a))); }
  PB_INLINE V pull(V dy, V x) const {
    x = clamp(x, T(-30), T(30));  // beyond, s (1 − s) is 0, and x² must not overflow against it
    const V z = x * x, s = sigmoid(x * fma(V(b), z, V(a)));
    const V slope = x * fma(V(3 * b), z, V(a));
    return dy * fma(slope * s, V(1) - s, s);
  }
};

template <class T>
struct Silu {
  using V = Vec<T>;
  PB_INLINE explicit Silu(const Call&) {}
  PB_INLINE V f(V x) const { return x * sigmoid(x); }
  PB_INLINE V pull(V dy, V x) const {
    const V s = sigmoid(x);
    return dy * (s * fma(x, V(1) - s, V(1)));
  }
};

// With e = eˣ and n = (1 + e)² − 1 = e² + 2e, tanh(ln(1 + e)) = n / (n + 2). Beyond 40 that is 1, and e² no
// overflow.
template <class T>
struct Mish {
  using V = Vec<T>;
  PB_INLINE explicit Mish(const Call&) {}
  PB_INLINE V f(V x) const {
    const V e = exp(min_fast(V(40), x)), n = fma(e, e, e + e);
    return x * (n / (n + V(2)));
  }
  // (1 − w²) σ(x) = 4 (n + 1) / (n + 2)² · e / (1 + e) = 4 e (1 + e) / (n + 2)²
  PB_INLINE V pull(V dy, V x) const {
    x = min_fast(V(40), x);
    const V e = exp(x), n = fma(e, e, e + e), q = V(1) / (n + V(2));
    return dy * fma(V(4) * x, (e * q) * fma(e, q, q), n * q);
  }
};

template <class T>
struct Softplus {
  using V = Vec<T>;
  V beta, over_beta, threshold;
  PB_INLINE explicit Softplus(const Call& c)
      : beta(T(c.real(0))), over_beta(T(1 / c.real(0))), threshold(T(c.real(1))) {}
  // ln(1 + e^z) = max(z, 0) + ln(1 + e^−|z|)
  PB_INLINE V f(V x) const {
    const V z = beta * x;
    return select(z > threshold, x, (max_fast(V(0), z) + log1p_unit(exp_below(-abs(z)))) * over_beta);
  }
  PB_INLINE V pull(V dy, V x) const {
    const V z = beta * x;
    return select(z > threshold, dy, dy * sigmoid(z));
  }
};

template <class T>
struct Hardtanh {
  using V = Vec<T>;
  T low, high;
  PB_INLINE explicit Hardtanh(const Call& c) : low(T(c.real(0))), high(T(c.real(1))) {}
  PB_INLINE V f(V x) const { return clamp(x, low, high); }
  PB_INLINE V pull(V dy, V y) const { return select((y <= V(low)) | (y >= V(high)), V(0), dy); }
};

template <class T>
struct Hardsigmoid {
  using V = Vec<T>;
  PB_INLINE explicit Hardsigmoid(const Call&) {}
  PB_INLINE V f(V x) const { return clamp(x + V(3), T(0), T(6)) / V(6); }
  PB_INLINE V pull(V dy, V x) const { return select((x > V(-3)) & (x < V(3)), dy / V(6), V(0)); }
};

template <class T>
struct Hardswish {
  using V = Vec<T>;
  PB_INLINE explicit Hardswish(const Call&) {}
  PB_INLINE V f(V x) const { return x * clamp(x + V(3), T(0), T(6)) / V(6); }
  PB_INLINE V pull(V dy, V x) const {
    return select(x <= V(-3), V(0), select(x < V(3), dy * (x / V(3) + V(T(0.5))), dy));
  }
};

template <class T>
struct Logsigmoid {
  using V = Vec<T>;
  PB_INLINE explicit Logsigmoid(const Call&) {}
  PB_INLINE V f(V x) const { return min_fast(V(0), x) - log1p_unit(exp_below(-abs(x))); }
  PB_INLINE V pull(V dy, V x) const { return dy * sigmoid(-x); }
};

template <class T>
struct Softsign {
  using V = Vec<T>;
  PB_INLINE explicit Softsign(const Call&) {}
  PB_INLINE V f(V x) const { return x / (V(1) + abs(x)); }
  PB_INLINE V pull(V dy, V x) const {
    const V d = V(1) + abs(x);
    return dy / (d * d);
  }
};

template <class T>
struct Threshold {
  using V = Vec<T>;
  V threshold;
  PB_INLINE explicit Threshold(const Call& c) : threshold(T(c.real(0))) {}
  PB_INLINE V pull(V dy, V x) const { return select(x <= threshold, V(0), dy); }
};
template <class T>
struct ThresholdForward : Threshold<T> {
  using V = Vec<T>;
  V value;
  PB_INLINE explicit ThresholdForward(const Call& c) : Threshold<T>(c), value(T(c.real(1))) {}
  PB_INLINE V f(V x) const { return select(x <= this->threshold, value, x); }
};

constexpr EntryRow rows[] = {
    {"relu", relu, kHalves},
    {"leaky_relu", forward<LeakyRelu>, kHalves},
    {"elu", forward<Elu>, kHalves},
    {"gelu", forward<Gelu>, kHalves},
    {"gelu_tanh", forward<GeluTanh>, kHalves},
    {"silu", forward<Silu>, kHalves},
    {"mish", forward<Mish>, kHalves},
    {"softplus", forward<Softplus>, kHalves},
    {"hardtanh", forward<Hardtanh>, kHalves},
    {"hardsigmoid", forward<Hardsigmoid>, kHalves},
    {"hardswish", forward<Hardswish>, kHalves},
    {"logsigmoid", forward<Logsigmoid>, kHalves},
    {"softsign", forward<Softsign>, kHalves},
    {"threshold", forward<ThresholdForward>, kHalves},
    {"heaviside", heaviside, kHalves},
    {"prelu", prelu, kHalves},
    {"relu_backward", backward<Relu>, kHalves},
    {"leaky_relu_backward", backward<LeakyRelu>, kHalves},
    {"elu_backward", backward<Elu>, kHalves},
    {"gelu_backward", backward<Gelu>, kHalves},
    {"gelu_tanh_backward", backward<GeluTanh>, kHalves},
    {"silu_backward", backward<Silu>, kHalves},
    {"mish_backward", backward<Mish>, kHalves},
    {"softplus_backward", backward<Softplus>, kHalves},
    {"hardtanh_backward", backward<Hardtanh>, kHalves},
    {"hardsigmoid_backward", backward<Hardsigmoid>, kHalves},
    {"hardswish_backward", backward<Hardswish>, kHalves},
    {"logsigmoid_backward", backward<Logsigmoid>, kHalves},
    {"softsign_backward", backward<Softsign>, kHalves},
    {"threshold_backward", backward<Threshold>, kHalves},
    {"prelu_backward", prelu_backward, kHalves},
};

}  // namespace

extern const Family activation_family;
const Family activation_family = {rows, sizeof(rows) / sizeof(rows[0])};

}  // namespace pullback::ISA_NAMESPACE
