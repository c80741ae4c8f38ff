// The steps of optimizer_adaptive.h. V is a vector on the CPU, one number on the GPU: both sources include this after
// `root` of a V, and `power` and `square_root` of a double.
//
// `prepare` works out in double, from the scalars and the step count of a parameter, what its elements are moved with;
// the operator moves one element, or a vector of them: p, and s, its state in the order of the contract.
#pragma once
#include "kernels/optimizer_adaptive.h"

namespace pullback::ISA_NAMESPACE {
namespace {

// g ← ±g + λp, and p ← (1 − ηλ)p where that is decoupled.
template <class T>
struct Decay {
  T sign, coupled, keep;

  PB_INLINE static Decay prepare(double lr, double weight_decay, bool maximize, bool decoupled) {
    return {T(maximize ? -1 : 1), static_cast<T>(decoupled ? 0 : weight_decay),
            static_cast<T>(decoupled ? 1 - lr * weight_decay : 1)};
  }
  template <class V>
  PB_INLINE V operator()(V g, V& p) const {
    g = g * V(sign);
    if (coupled != T(0)) g = fma(V(coupled), p, g);
    if (keep != T(1)) p = p * V(keep);
    return g;
  }
};

// x ← βx + (1 − β)y
template <class T>
struct Average {
  T beta, fresh;

  PB_INLINE static Average prepare(double beta) { return {static_cast<T>(beta), static_cast<T>(1 - beta)}; }
  template <class V>
  PB_INLINE void operator()(V& x, V y) const {
    x = fma(V(beta), x, V(fresh) * y);
  }
};

// s ← s + g²;  p ← p − η/(1 + (t − 1)γ) g / (√s + ε)
template <class T>
struct Adagrad {
  static constexpr int states = 1;
  Decay<T> decay;
  T step_size, eps;

  template <class Call>
  PB_INLINE static Adagrad prepare(const Call& c, double t) {
    return {Decay<T>::prepare(c.real(0), c.real(3), c.flag(4), false),
            static_cast<T>(c.real(0) / (1 + (t - 1) * c.real(1))), static_cast<T>(c.real(2))};
  }
  template <class V>
  PB_INLINE void operator()(V& p, V g, V (&s)[states]) const {
    g = decay(g, p);
    s[0] = fma(g, g, s[0]);
    p = fma(V(-step_size), g / (root(s[0]) + V(eps)), p);
  }
};

// v ← ρv + (1 − ρ)g²;  δ = √(a + ε)/√(v + ε) g;  a ← ρa + (1 − ρ)δ²;  p ← p − ηδ
template <class T>
struct Adadelta {
  static constexpr int states = 2;
  Decay<T> decay;
  Average<T> average;
  T lr, eps;

  template <class Call>
  PB_INLINE static Adadelta prepare(const Call& c, double) {
    return {Decay<T>::prepare(c.real(0), c.real(3), c.flag(4), false), Average<T>::prepare(c.real(1)),
            static_cast<T>(c.real(0)), static_cast<T>(c.real(2))};
  }
  template <class V>
  PB_INLINE void operator()(V& p, V g, V (&s)[states]) const {
    g = decay(g, p);
    average(s[0], g * g);
    const V delta = root(s[1] + V(eps)) / root(s[0] + V(eps)) * g;
    average(s[1], delta * delta);
    p = fma(V(-lr), delta, p);
  }
};

// m ← β₁m + (1 − β₁)g;  u ← max(β₂u, |g| + ε);  p ← p − η/(1 − β₁ᵗ) m / u
template <class T>
struct Adamax {
  static constexpr int states = 2;
  Decay<T> decay;
  Average<T> average;
  T beta2, eps, step_size;

  template <class Call>
  PB_INLINE static Adamax prepare(const Call& c, double t) {
    return {Decay<T>::prepare(c.real(0), c.real(4), c.flag(5), false), Average<T>::prepare(c.real(1)),
            static_cast<T>(c.real(2)), static_cast<T>(c.real(3)),
            static_cast<T>(c.real(0) / (1 - power(c.real(1), t)))};
  }
  template <class V>
  PB_INLINE void operator()(V& p, V g, V (&s)[states]) const {
    g = decay(g, p);
    average(s[0], g);
    s[1] = max(V(beta2) * s[1], abs(g) + V(eps));
    p = fma(V(-step_size), s[0] / s[1], p);
  }
};

// μ(t) = β₁(1 − ½·0.96^(tψ)) of NAdam
PB_INLINE double nadam_momentum(double beta1, double decay, double t) {
  return beta1 * (1 - 0.5 * power(0.96, t * decay));
}

// m ← β₁m + (1 − β₁)g;  v ← β₂v + (1 − β₂)g²;  d = √v/√(1 − β₂ᵗ) + ε;
// p ← p − η(1 − μ(t))/(1 − P) g/d − ημ(t+1)/(1 − Pμ(t+1)) m/d
template <class T>
struct Nadam {
  static constexpr int states = 2;
  Decay<T> decay;
  Average<T> first, second;
  T scale, eps, of_gradient, of_average;

  template <class Call>
  PB_INLINE static Nadam prepare(const Call& c, double t, double product) {
    const double lr = c.real(0), now = nadam_momentum(c.real(1), c.real(5), t),
                 next = nadam_momentum(c.real(1), c.real(5), t + 1);
    return {Decay<T>::prepare(lr, c.real(4), c.flag(6), c.flag(7)),
            Average<T>::prepare(c.real(1)),
            Average<T>::prepare(c.real(2)),
            static_cast<T>(1 / square_root(1 - power(c.real(2), t))),
            static_cast<T>(c.real(3)),
            static_cast<T>(lr * (1 - now) / (1 - product)),
            static_cast<T>(lr * next / (1 - product * next))};
  }
  template <class V>
  PB_INLINE void operator()(V& p, V g, V (&s)[states]) const {
    g = decay(g, p);
    first(s[0], g);
    second(s[1], g * g);
    const V d = fma(V(scale), root(s[1]), V(eps));
    p = fma(V(-of_gradient), g / d, p);
    p = fma(V(-of_average), s[0] / d, p);
  }
};

// m ← β₁m + (1 − β₁)g;  v ← β₂v + (1 − β₂)g²;  p ← p − step_size m/(√v + ε), or p − step_size m as long as the variance
// of 1/√v is not finite (ρ ≤ 5)
template <class T>
struct Radam {
  static constexpr int states = 2;
  Decay<T> decay;
  Average<T> first, second;
  T eps, step_size;
  bool rectified;

  template <class Call>
  PB_INLINE static Radam prepare(const Call& c, double t) {
    const double beta2 = c.real(2), decayed = power(beta2, t), correction2 = 1 - decayed;
    const double most = 2 / (1 - beta2) - 1, rho = most - 2 * t * decayed / correction2;
    const bool rectified = rho > 5;
    double step_size = c.real(0) / (1 - power(c.real(1), t));
    if (rectified) {
      const double r2 = (rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho);
      step_size *= square_root(r2) * square_root(correction2);
    }
    return {Decay<T>::prepare(c.real(0), c.real(4), c.flag(5), c.flag(6)),
            Average<T>::prepare(c.real(1)),
            Average<T>::prepare(beta2),
            static_cast<T>(c.real(3)),
            static_cast<T>(step_size),
            rectified};
  }
  template <class V>
  PB_INLINE void operator()(V& p, V g, V (&s)[states]) const {
    g = decay(g, p);
    first(s[0], g);
    second(s[1], g * g);
    p = fma(V(-step_size), rectified ? s[0] / (root(s[1]) + V(eps)) : s[0], p);
  }
};

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
