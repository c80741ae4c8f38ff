#include "kernels/optimizer.h"

#include "kernels/optimizer_rows.h"

namespace pullback::ISA_NAMESPACE {
namespace {

// f of the flag as a type: a loop is compiled for each of its values, and the one wanted is chosen here.
template <bool value>
struct Constant {
  static constexpr bool on = value;
};
template <class F>
PB_INLINE RowFn choose(bool flag, F&& f) {
  return flag ? f(Constant<true>{}) : f(Constant<false>{});
}

// ±g + λp
template <bool decay, class T>
PB_INLINE Vec<T> gradient(Vec<T> g, Vec<T> p, T sign, T weight_decay) {
  if constexpr (decay) return fma(Vec<T>(weight_decay), p, g * Vec<T>(sign));
  return g * Vec<T>(sign);
}

// --- stochastic gradient descent ---

template <class T>
struct Sgd {
  T lr, momentum, fresh, weight_decay, sign;  // fresh is 1 − τ
};

// u = g + μb with nesterov, else b; p ← p − ηu
template <class T, bool decay, bool nesterov, bool first>
void sgd_momentum_row(const Row& row) {
  const auto& h = *static_cast<const Sgd<T>*>(row.context);
  T *p = row.x<T>(0), *g = row.x<T>(1), *b = row.x<T>(2);
  for_each_vec<T>(row.n, [&](int64_t i, auto lanes) {
    const auto pi = Vec<T>::load(p + i, lanes);
    const auto gi = gradient<decay>(Vec<T>::load(g + i, lanes), pi, h.sign, h.weight_decay);
    Vec<T> bi = gi;
    if constexpr (!first) bi = fma(Vec<T>(h.momentum), Vec<T>::load(b + i, lanes), gi * Vec<T>(h.fresh));
    bi.store(b + i, lanes);
    Vec<T> u = bi;
    if constexpr (nesterov) u = fma(Vec<T>(h.momentum), bi, gi);
    fma(Vec<T>(-h.lr), u, pi).store(p + i, lanes);
  });
}

// p ← p − ηg
template <class T, bool decay>
void sgd_row(const Row& row) {
  const auto& h = *static_cast<const Sgd<T>*>(row.context);
  T *p = row.x<T>(0), *g = row.x<T>(1);
  for_each_vec<T>(row.n, [&](int64_t i, auto lanes) {
    const auto pi = Vec<T>::load(p + i, lanes);
    const auto gi = gradient<decay>(Vec<T>::load(g + i, lanes), pi, h.sign, h.weight_decay);
    fma(Vec<T>(-h.lr), gi, pi).store(p + i, lanes);
  });
}

template <class T>
void sgd(const Call& c) {
  Scratch scratch;
  Table t;
  for (int k = 0; k < 3; ++k) t.add(c.list(k));
  t.count(scratch);
  const Sgd<T> h{static_cast<T>(c.real(0)), static_cast<T>(c.real(1)), static_cast<T>(1 - c.real(2)),
                 static_cast<T>(c.real(3)), T(c.flag(5) ? -1 : 1)};
  const RowFn f = choose(c.real(3) != 0, [&](auto decay) {
    if (c.list(2).count == 0) return RowFn{sgd_row<T, decay.on>};
    return choose(c.flag(4), [&](auto nesterov) {
      return choose(c.flag(6), [&](auto first) { return RowFn{sgd_momentum_row<T, decay.on, nesterov.on, first.on>}; });
    });
  });
  for_each_row(t, f, &h);
}

// --- Adam ---

enum class Decay { none, coupled, decoupled };

// What depends on the step count of a parameter.
template <class T>
struct AdamRow {
  T step_size;  // η / (1 − β₁ᵗ)
  T scale;      // 1 / √(1 − β₂ᵗ)
};

template <class T>
struct Adam {
  T beta1, fresh1, beta2, fresh2, eps, weight_decay, keep, sign;  // fresh is 1 − β, keep is 1 − ηλ
  const AdamRow<T>* rows;
};

// p ← p − step_size m / (scale √w + ε)
template <class T, Decay decay, bool amsgrad>
void adam_row(const Row& row) {
  const auto& h = *static_cast<const Adam<T>*>(row.context);
  const AdamRow<T> now = h.rows[row.row];
  T *p = row.x<T>(0), *g = row.x<T>(1), *m = row.x<T>(2), *v = row.x<T>(3);
  T* w = amsgrad ? row.x<T>(4) : nullptr;
  const int64_t ahead = bytes_ahead(row);
  for_each_vec<T>(row.n, [&](int64_t i, auto lanes) {
    auto pi = take(p, i, lanes, ahead);
    const auto gi = gradient<decay == Decay::coupled>(take(g, i, lanes, ahead), pi, h.sign, h.weight_decay);
    if constexpr (decay == Decay::decoupled) pi = pi * Vec<T>(h.keep);
    const auto mi = fma(Vec<T>(h.beta1), take(m, i, lanes, ahead), Vec<T>(h.fresh1) * gi);
    auto vi = fma(Vec<T>(h.beta2), take(v, i, lanes, ahead), Vec<T>(h.fresh2) * (gi * gi));
    mi.store(m + i, lanes);
    vi.store(v + i, lanes);
    if constexpr (amsgrad) {
      vi = max(take(w, i, lanes, ahead), vi);
      vi.store(w + i, lanes);
    }
    const auto denominator = fma(Vec<T>(now.scale), root(vi), Vec<T>(h.eps));
    fma(Vec<T>(-now.step_size), mi / denominator, pi).store(p + i, lanes);
  });
}

// t ← t + 1, and what follows from t.
template <class T>
const AdamRow<T>* count_steps(const Call& c, Scratch& scratch) {
  const OperandList steps = c.list(5);
  auto* rows = scratch.take<AdamRow<T>>(steps.count);
  float last = 0;
  for (int r = 0; r < steps.count; ++r) {
    const float step = *steps[r].data<float>() += 1;
    if (r > 0 && step == last) {  // as a rule all parameters have seen as many steps
      rows[r] = rows[r - 1];
      continue;
    }
    const double correction1 = 1 - __builtin_pow(c.real(1), step), correction2 = 1 - __builtin_pow(c.real(2), step);
    rows[r] = {static_cast<T>(c.real(0) / correction1), static_cast<T>(1 / __builtin_sqrt(correction2))};
    last = step;
  }
  return rows;
}

template <class T>
void adam(const Call& c) {
  Scratch scratch;
  Table t;
  for (int k = 0; k < 4; ++k) t.add(c.list(k));
  if (c.flag(6)) t.add(c.list(4));
  t.count(scratch);
  const double lr = c.real(0), beta1 = c.real(1), beta2 = c.real(2), weight_decay = c.real(4);
  const Adam<T> h{static_cast<T>(beta1),
                  static_cast<T>(1 - beta1),
                  static_cast<T>(beta2),
                  static_cast<T>(1 - beta2),
                  static_cast<T>(c.real(3)),
                  static_cast<T>(weight_decay),
                  static_cast<T>(1 - lr * weight_decay),
                  T(c.flag(7) ? -1 : 1),
                  count_steps<T>(c, scratch)};
  const RowFn f = choose(c.flag(6), [&](auto amsgrad) {
    if (weight_decay == 0) return RowFn{adam_row<T, Decay::none, amsgrad.on>};
    if (c.flag(5)) return RowFn{adam_row<T, Decay::decoupled, amsgrad.on>};
    return RowFn{adam_row<T, Decay::coupled, amsgrad.on>};
  });
  for_each_row(t, f, &h);
}

// --- RMSprop ---

template <class T>
struct Rmsprop {
  T lr, alpha, fresh, inside, eps, weight_decay, momentum, sign;  // fresh is 1 − α; ε is inside of the root, or eps
};

// s = √(v − a² + inside) + ε; b ← μb + g/s; p ← p − ηb
template <class T, bool decay, bool centered, bool momentum>
void rmsprop_row(const Row& row) {
  const auto& h = *static_cast<const Rmsprop<T>*>(row.context);
  T *p = row.x<T>(0), *g = row.x<T>(1), *v = row.x<T>(2);
  T *a = centered ? row.x<T>(3) : nullptr, *b = momentum ? row.x<T>(3 + centered) : nullptr;
  const int64_t ahead = bytes_ahead(row);
  for_each_vec<T>(row.n, [&](int64_t i, auto lanes) {
    const auto pi = take(p, i, lanes, ahead);
    const auto gi = gradient<decay>(take(g, i, lanes, ahead), pi, h.sign, h.weight_decay);
    const auto vi = fma(Vec<T>(h.alpha), take(v, i, lanes, ahead), Vec<T>(h.fresh) * (gi * gi));
    vi.store(v + i, lanes);
    Vec<T> variance = vi;
    if constexpr (centered) {
      const auto ai = fma(Vec<T>(h.alpha), take(a, i, lanes, ahead), Vec<T>(h.fresh) * gi);
      ai.store(a + i, lanes);
      variance = max(fma(-ai, ai, vi), Vec<T>(0));  // rounding may take a variance of 0 below it
    }
    Vec<T> u = gi / (root(variance + Vec<T>(h.inside)) + Vec<T>(h.eps));
    if constexpr (momentum) {
      u = fma(Vec<T>(h.momentum), take(b, i, lanes, ahead), u);
      u.store(b + i, lanes);
    }
    fma(Vec<T>(-h.lr), u, pi).store(p + i, lanes);
  });
}

template <class T>
void rmsprop(const Call& c) {
  Scratch scratch;
  Table t;
  for (int k = 0; k < 3; ++k) t.add(c.list(k));
  if (c.flag(5)) t.add(c.list(3));
  t.add(c.list(4));
  t.count(scratch);
  for (int r = 0; r < c.list(5).count; ++r) *c.list(5)[r].data<float>() += 1;
  const T eps = static_cast<T>(c.real(2));
  const bool inside = c.flag(7);
  const Rmsprop<T> h{static_cast<T>(c.real(0)), static_cast<T>(c.real(1)), static_cast<T>(1 - c.real(1)),
                     inside ? eps : T(0),       inside ? T(0) : eps,       static_cast<T>(c.real(3)),
                     static_cast<T>(c.real(4)), T(c.flag(6) ? -1 : 1)};
  const RowFn f = choose(c.real(3) != 0, [&](auto decay) {
    return choose(c.flag(5), [&](auto centered) {
      return choose(c.list(4).count > 0,
                    [&](auto momentum) { return RowFn{rmsprop_row<T, decay.on, centered.on, momentum.on>}; });
    });
  });
  for_each_row(t, f, &h);
}

constexpr EntryRow rows[] = {
    {"sgd", by_dtype<7, sgd<float>, sgd<double>>},
    {"adam", by_dtype<8, adam<float>, adam<double>>},
    {"rmsprop", by_dtype<8, rmsprop<float>, rmsprop<double>>},
};

}  // namespace

extern const Family optimizer_family;
const Family optimizer_family = {rows, sizeof(rows) / sizeof(rows[0])};

}  // namespace pullback::ISA_NAMESPACE
