// What a reduction computes: State start(), take(state, term, its place), join(states), result(state, terms) and, where
// there is a second result, beside(state, terms). Term is the type of a term.
#pragma once
#include "common/scalar.h"

namespace pullback::cuda {
namespace {

template <class T>
PB_INLINE constexpr T lowest() {
  if constexpr (is_float<T>) return -static_cast<T>(__builtin_inf());
  return INT64_MIN;
}
template <class T>
PB_INLINE constexpr T highest() {
  if constexpr (is_float<T>) return static_cast<T>(__builtin_inf());
  return INT64_MAX;
}

// What integers are added and multiplied as: they wrap around.
template <class T>
using Wrapping = std::conditional_t<is_float<T>, T, uint64_t>;

struct Add {
  template <class T>
  PB_DEVICE static T start() {
    return 0;
  }
  template <class T>
  PB_DEVICE static T join(T a, T b) {
    return static_cast<T>(Wrapping<T>(a) + Wrapping<T>(b));
  }
  template <class T>
  PB_DEVICE static T map(T x) {
    return x;
  }
  template <class T>
  PB_DEVICE static T finish(T a, int64_t) {
    return a;
  }
};
struct Mean : Add {
  template <class T>
  PB_DEVICE static T finish(T a, int64_t terms) {
    return a / static_cast<T>(terms);
  }
};
struct Norm1 : Add {
  template <class T>
  PB_DEVICE static T map(T x) {
    return abs(x);
  }
};
struct Norm2 : Add {
  template <class T>
  PB_DEVICE static T map(T x) {
    return x * x;
  }
  template <class T>
  PB_DEVICE static T finish(T a, int64_t) {
    return sqrt(a);
  }
};
struct Multiply : Add {
  template <class T>
  PB_DEVICE static T start() {
    return 1;
  }
  template <class T>
  PB_DEVICE static T join(T a, T b) {
    return static_cast<T>(Wrapping<T>(a) * Wrapping<T>(b));
  }
};
struct Max : Add {
  template <class T>
  PB_DEVICE static T start() {
    return lowest<T>();
  }
  template <class T>
  PB_DEVICE static T join(T a, T b) {
    return max(a, b);
  }
  template <class T>
  PB_DEVICE static bool better(T a, T b) {
    return a > b;
  }
};
struct Min : Add {
  template <class T>
  PB_DEVICE static T start() {
    return highest<T>();
  }
  template <class T>
  PB_DEVICE static T join(T a, T b) {
    return min(a, b);
  }
  template <class T>
  PB_DEVICE static bool better(T a, T b) {
    return a < b;
  }
};

template <class T, class Op>
struct Fold {
  using Term = T;
  using State = T;
  PB_DEVICE State start() const { return Op::template start<T>(); }
  PB_DEVICE void take(State& s, T x, int64_t) const { s = Op::join(s, Op::map(x)); }
  PB_DEVICE State join(State a, State b) const { return Op::join(a, b); }
  PB_DEVICE T result(State s, int64_t terms) const { return Op::finish(s, terms); }
};

// (Σ |x|^p)^(1/p)
template <class T>
struct NormP {
  using Term = T;
  using State = T;
  T p;
  PB_DEVICE State start() const { return 0; }
  PB_DEVICE void take(State& s, T x, int64_t) const { s += pow(abs(x), p); }
  PB_DEVICE State join(State a, State b) const { return a + b; }
  PB_DEVICE T result(State s, int64_t) const { return pow(s, 1 / p); }
};

// Σ [x ≠ 0], and what follows from it
enum class Count { number, all, any };
template <class T>
struct CountNonzero {
  using Term = T;
  using State = int64_t;
  Count wanted;
  PB_DEVICE State start() const { return 0; }
  PB_DEVICE void take(State& s, T x, int64_t) const { s += x != T(0); }
  PB_DEVICE State join(State a, State b) const { return a + b; }
  PB_DEVICE int64_t result(State s, int64_t terms) const {
    return wanted == Count::number ? s : wanted == Count::all ? s >= terms : s > 0;
  }
};

// The best term and the first place where it stands; NaN is better than any number.
template <class T, class Op>
struct Extremum {
  using Term = T;
  struct State {
    T x;
    int64_t place;
  };
  PB_DEVICE State start() const { return {Op::template start<T>(), INT64_MAX}; }
  PB_DEVICE State join(State a, State b) const {
    const bool a_nan = a.x != a.x, b_nan = b.x != b.x;
    if (a.x == b.x || (a_nan && b_nan)) return a.place < b.place ? a : b;
    return b_nan || (!a_nan && Op::better(b.x, a.x)) ? b : a;
  }
  PB_DEVICE void take(State& s, T x, int64_t place) const { s = join(s, {x, place}); }
  PB_DEVICE int64_t result(State s, int64_t) const { return s.place; }
  PB_DEVICE T beside(State s, int64_t) const { return s.x; }
};

// (n, x̄, M = Σ (x − x̄)²), joined by Chan, Golub & LeVeque (1983): the variance or its root, and x̄
template <class T>
struct Moments {
  using Term = T;
  struct State {
    T n, mean, m2;
  };
  Scalar correction;
  bool root;
  PB_DEVICE State start() const { return {0, 0, 0}; }
  // δ = x̄_b − x̄_a,  x̄ = x̄_a + δ n_b/n,  M = M_a + M_b + δ² n_a n_b/n
  PB_DEVICE State join(State a, State b) const {
    const T n = a.n + b.n, share = b.n / max_fast(n, T(1)), delta = b.mean - a.mean;
    return {n, fma(delta, share, a.mean), fma(delta * delta, a.n * share, a.m2 + b.m2)};
  }
  PB_DEVICE void take(State& s, T x, int64_t) const { s = join(s, {1, x, 0}); }
  PB_DEVICE T result(State s, int64_t terms) const {
    const T n = static_cast<T>(terms), freedom = max_fast(n - static_cast<T>(correction.real()), T(0));
    return root ? sqrt(s.m2 / freedom) : s.m2 / freedom;
  }
  PB_DEVICE T beside(State s, int64_t terms) const { return s.mean / T(terms > 0); }  // of nothing: NaN
};

// ln Σ eˣ as (m, s = Σ e^(x − m)), m being the largest x
template <class T>
struct LogSumExp {
  using Term = T;
  struct State {
    T m, s;
  };
  // What is taken off before exp: m, but 0 where m is infinite, as ∞ − ∞ is not a number.
  PB_DEVICE static T shift(T m) { return abs(m) == highest<T>() ? T(0) : m; }
  PB_DEVICE State start() const { return {lowest<T>(), 0}; }
  PB_DEVICE State join(State a, State b) const {  // a NaN that max_fast lost is found again by exp
    const T m = max_fast(a.m, b.m), around = shift(m);
    return {m, a.s * exp(a.m - around) + b.s * exp(b.m - around)};
  }
  PB_DEVICE void take(State& s, T x, int64_t) const { s = join(s, {x, exp(x - shift(x))}); }
  PB_DEVICE T result(State s, int64_t) const { return shift(s.m) + log(s.s); }
};

}  // namespace
}  // namespace pullback::cuda
