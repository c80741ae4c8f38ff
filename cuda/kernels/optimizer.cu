// A step of an optimizer. What changes between steps, the step counts and whatever of the hyper-parameters lies in a
// cell of memory, is read on the device, so that a captured step can be replayed.
#include "common/optimizer.h"
#include "kernels/optimizer.h"

namespace pullback::cuda {
namespace {

// g ← ±g + λp
template <class T>
struct Gradient {
  T weight_decay;
  bool maximize;
  PB_DEVICE T operator()(T g, T p) const {
    const T signed_g = maximize ? -g : g;
    return weight_decay == T(0) ? signed_g : fma(weight_decay, p, signed_g);
  }
};

// A hyper-parameter as the kernel computes with it, and 1 minus it, taken in double.
template <class T>
PB_DEVICE T value(const Scalar& s) {
  return static_cast<T>(s.real());
}
template <class T>
PB_DEVICE T complement(const Scalar& s) {
  return static_cast<T>(1 - s.real());
}

// --- stochastic gradient descent -------------------------------------------------------------------------------------

// p ← p − ηg
template <class T>
struct Sgd {
  Gradient<T> gradient;
  T lr;
  PB_DEVICE void operator()(T p, T g, T& to) const { to = fma(-lr, gradient(g, p), p); }
};
// b ← g at the first step, else μb + (1 − τ)g; u = g + μb with nesterov, else b; p ← p − ηu
template <class T>
struct SgdMomentum {
  Gradient<T> gradient;
  T lr, momentum, fresh;  // fresh is 1 − τ
  bool nesterov, is_first;
  PB_DEVICE void operator()(T p, T g, T b, T& to, T& b_to) const {
    g = gradient(g, p);
    b = is_first ? g : fma(momentum, b, g * fresh);
    b_to = b;
    to = fma(-lr, nesterov ? fma(momentum, b, g) : b, p);
  }
};

struct SgdCall {
  Scalar lr, momentum, dampening, weight_decay;
  bool nesterov, maximize, is_first;
  explicit SgdCall(const Call& c)
      : lr(c.scalars[0]),
        momentum(c.scalars[1]),
        dampening(c.scalars[2]),
        weight_decay(c.scalars[3]),
        nesterov(c.flag(4)),
        maximize(c.flag(5)),
        is_first(c.flag(6)) {}
};
template <class T>
struct PrepareSgd : SgdCall {
  PB_DEVICE Sgd<T> prepare(const History&) const { return {{value<T>(weight_decay), maximize}, value<T>(lr)}; }
};
template <class T>
struct PrepareSgdMomentum : SgdCall {
  PB_DEVICE SgdMomentum<T> prepare(const History&) const {
    return {{value<T>(weight_decay), maximize}, value<T>(lr), value<T>(momentum),
            complement<T>(dampening),           nesterov,     is_first};
  }
};

template <class T>
void sgd_of(const Call& c) {
  using C = Computed<T>;
  const SgdCall h(c);
  if (c.list(2).count == 0) {
    step_of_parameters<const T, const T, T>(c, {0, 1, 0}, {}, Unless<PrepareSgd<C>>{c.scalars[7], {h}});
  } else {
    step_of_parameters<const T, const T, const T, T, T>(c, {0, 1, 2, 0, 2}, {},
                                                        Unless<PrepareSgdMomentum<C>>{c.scalars[7], {h}});
  }
}

// --- Adam ------------------------------------------------------------------------------------------------------------

// m ← β₁m + (1 − β₁)g; v ← β₂v + (1 − β₂)g²; p ← p − η/(1 − β₁ᵗ) m / (√v/√(1 − β₂ᵗ) + ε)
template <class T>
struct Adam {
  Gradient<T> gradient;
  T keep;  // of p, where decay is decoupled
  T beta1, fresh1, beta2, fresh2, eps, step_size, scale;

  // What divides is w, the largest v so far, with amsgrad.
  PB_DEVICE void update(T& p, T g, T& m, T& v, T* w) const {
    g = gradient(g, p);
    p *= keep;
    m = fma(beta1, m, fresh1 * g);
    v = fma(beta2, v, fresh2 * (g * g));
    if (w != nullptr) *w = max(*w, v);
    p = fma(-step_size, m / fma(scale, root(w != nullptr ? *w : v), eps), p);
  }
  PB_DEVICE void operator()(T p, T g, T m, T v, T& p_to, T& m_to, T& v_to) const {
    update(p, g, m, v, nullptr);
    p_to = p, m_to = m, v_to = v;
  }
  PB_DEVICE void operator()(T p, T g, T m, T v, T w, T& p_to, T& m_to, T& v_to, T& w_to) const {
    update(p, g, m, v, &w);
    p_to = p, m_to = m, v_to = v, w_to = w;
  }
};

template <class T>
struct PrepareAdam {
  Scalar lr, beta1, beta2, eps, weight_decay;
  bool decoupled, maximize;
  PB_DEVICE Adam<T> prepare(const History& h) const {
    const double correction1 = 1 - pow(beta1.real(), static_cast<double>(*h.step));
    const double correction2 = 1 - pow(beta2.real(), static_cast<double>(*h.step));
    return {{decoupled ? T(0) : value<T>(weight_decay), maximize},
            decoupled ? static_cast<T>(1 - lr.real() * weight_decay.real()) : T(1),
            value<T>(beta1),
            complement<T>(beta1),
            value<T>(beta2),
            complement<T>(beta2),
            value<T>(eps),
            static_cast<T>(lr.real() / correction1),
            static_cast<T>(1 / sqrt(correction2))};
  }
};

template <class T>
void adam_of(const Call& c) {
  constexpr HistoryLists history{.step = 5};
  advance_histories(c, history, c.scalars[8], CountStep());
  const Unless<PrepareAdam<Computed<T>>> step{
      c.scalars[8], {c.scalars[0], c.scalars[1], c.scalars[2], c.scalars[3], c.scalars[4], c.flag(5), c.flag(7)}};
  if (c.flag(6)) {
    step_of_parameters<const T, const T, const T, const T, const T, T, T, T, T>(c, {0, 1, 2, 3, 4, 0, 2, 3, 4}, history,
                                                                                step);
  } else {
    step_of_parameters<const T, const T, const T, const T, T, T, T>(c, {0, 1, 2, 3, 0, 2, 3}, history, step);
  }
}

// --- RMSprop ---------------------------------------------------------------------------------------------------------

// v ← αv + (1 − α)g²; a ← αa + (1 − α)g where centered; s = √(v − a² + inside) + ε; b ← μb + g/s; p ← p − ηb
template <class T, bool centered, bool has_momentum>
struct Rmsprop {
  Gradient<T> gradient;
  T lr, alpha, fresh, inside, eps, momentum;

  PB_DEVICE void update(T& p, T g, T& v, T* a, T* b) const {
    g = gradient(g, p);
    v = fma(alpha, v, fresh * (g * g));
    T variance = v;
    if constexpr (centered) {
      *a = fma(alpha, *a, fresh * g);
      variance = max(fma(-*a, *a, v), T(0));  // rounding may take a variance of 0 below it
    }
    T u = g / (root(variance + inside) + eps);
    if constexpr (has_momentum) u = *b = fma(momentum, *b, u);
    p = fma(-lr, u, p);
  }
  PB_DEVICE void operator()(T p, T g, T v, T& p_to, T& v_to) const {
    update(p, g, v, nullptr, nullptr);
    p_to = p, v_to = v;
  }
  PB_DEVICE void operator()(T p, T g, T v, T more, T& p_to, T& v_to, T& more_to) const {  // one of a and b
    update(p, g, v, &more, &more);
    p_to = p, v_to = v, more_to = more;
  }
  PB_DEVICE void operator()(T p, T g, T v, T a, T b, T& p_to, T& v_to, T& a_to, T& b_to) const {
    update(p, g, v, &a, &b);
    p_to = p, v_to = v, a_to = a, b_to = b;
  }
};

struct RmspropCall {
  Scalar lr, alpha, eps, weight_decay, momentum;
  bool maximize, eps_inside;
};
template <class T, bool centered, bool has_momentum>
struct PrepareRmsprop : RmspropCall {
  PB_DEVICE Rmsprop<T, centered, has_momentum> prepare(const History&) const {
    return {{value<T>(weight_decay), maximize},
            value<T>(lr),
            value<T>(alpha),
            complement<T>(alpha),
            eps_inside ? value<T>(eps) : T(0),
            eps_inside ? T(0) : value<T>(eps),
            value<T>(momentum)};
  }
};

template <class T>
void rmsprop_of(const Call& c) {
  using C = Computed<T>;
  constexpr HistoryLists history{.step = 5};
  advance_histories(c, history, c.scalars[8], CountStep());
  const RmspropCall h{c.scalars[0], c.scalars[1], c.scalars[2], c.scalars[3], c.scalars[4], c.flag(6), c.flag(7)};
  const bool centered = c.flag(5), momentum = c.list(4).count > 0;
  if (centered && momentum) {
    step_of_parameters<const T, const T, const T, const T, const T, T, T, T, T>(
        c, {0, 1, 2, 3, 4, 0, 2, 3, 4}, history, Unless<PrepareRmsprop<C, true, true>>{c.scalars[8], {h}});
  } else if (centered || momentum) {
    const int more = centered ? 3 : 4;
    const auto step = [&](auto f) {
      step_of_parameters<const T, const T, const T, const T, T, T, T>(c, {0, 1, 2, more, 0, 2, more}, history, f);
    };
    centered ? step(Unless<PrepareRmsprop<C, true, false>>{c.scalars[8], {h}})
             : step(Unless<PrepareRmsprop<C, false, true>>{c.scalars[8], {h}});
  } else {
    step_of_parameters<const T, const T, const T, T, T>(c, {0, 1, 2, 0, 2}, history,
                                                        Unless<PrepareRmsprop<C, false, false>>{c.scalars[8], {h}});
  }
}

void sgd(const Call& c) {
  visit_parameters(c, [&](auto zero) { sgd_of<decltype(zero)>(c); });
}
void adam(const Call& c) {
  visit_parameters(c, [&](auto zero) { adam_of<decltype(zero)>(c); });
}
void rmsprop(const Call& c) {
  visit_parameters(c, [&](auto zero) { rmsprop_of<decltype(zero)>(c); });
}

constexpr EntryRow rows[] = {
    {"sgd", sgd, kTakesHalves},
    {"adam", adam, kTakesHalves},
    {"rmsprop", rmsprop, kTakesHalves},
};

}  // namespace

extern const Family optimizer_family;
const Family optimizer_family = {rows, sizeof(rows) / sizeof(rows[0])};

}  // namespace pullback::cuda
