// The reducers of csrc/kernels/reduce.cpp, as isa/reducer.h describes them.
#pragma once
#include "isa/math.h"
#include "isa/reducer.h"

namespace pullback::ISA_NAMESPACE {
namespace {

// --- a fold of one vector: Op says where it starts, how a term enters, and how two folds become one ---

template <class T_, class Op>
struct Fold {
  using T = T_;
  explicit Fold(const Call&) {}
  struct State {
    Vec<T> a;
    template <int distance>
    State exchanged() const {
      return {exchange<distance>(a)};
    }
  };

  static State identity() { return {Vec<T>(Op::template start<T>())}; }
  static State combine(State a, State b) { return {Op::combine(a.a, b.a)}; }
  static State tail(Vec<T> x, int n, Position) {
    return {select(first_lanes<T>(n), Op::map(x), Vec<T>(Op::template start<T>()))};
  }
  // Four folds side by side, since one would wait for its own last result.
  template <class Load>
  PB_INLINE static State block(const Load& load, int rows, Position) {
    const Vec<T> start(Op::template start<T>());
    Vec<T> a = start, b = start, c = start, d = start;
    int i = 0;
    for (; i + 4 <= rows; i += 4) {
      a = Op::combine(a, Op::map(load(i)));
      b = Op::combine(b, Op::map(load(i + 1)));
      c = Op::combine(c, Op::map(load(i + 2)));
      d = Op::combine(d, Op::map(load(i + 3)));
    }
    for (; i < rows; ++i) a = Op::combine(a, Op::map(load(i)));
    return {Op::combine(Op::combine(a, b), Op::combine(c, d))};
  }
  static void write(State s, int64_t terms, const Writer& y) { y.put(0, Op::finish(s.a, terms)); }
};

struct Sum {
  template <class T>
  static constexpr T start() {
    return 0;
  }
  template <class V>
  PB_INLINE static V map(V x) {
    return x;
  }
  template <class V>
  PB_INLINE static V combine(V a, V b) {
    return a + b;
  }
  template <class V>
  PB_INLINE static V finish(V a, int64_t) {
    return a;
  }
};

struct Mean : Sum {
  template <class T>
  PB_INLINE static Vec<T> finish(Vec<T> a, int64_t terms) {
    return a / Vec<T>(static_cast<T>(terms));
  }
};

struct Norm1 : Sum {
  template <class V>
  PB_INLINE static V map(V x) {
    return abs(x);
  }
};

struct Norm2 : Sum {
  template <class V>
  PB_INLINE static V map(V x) {
    return x * x;
  }
  template <class V>
  PB_INLINE static V finish(V a, int64_t) {
    return sqrt(a);
  }
};

struct Prod : Sum {
  template <class T>
  static constexpr T start() {
    return 1;
  }
  template <class V>
  PB_INLINE static V combine(V a, V b) {
    return a * b;
  }
};

template <class T>
constexpr T lowest() {
  if constexpr (is_float<T>) return -static_cast<T>(__builtin_inf());
  return INT64_MIN;
}
template <class T>
constexpr T highest() {
  if constexpr (is_float<T>) return static_cast<T>(__builtin_inf());
  return INT64_MAX;
}

struct Max : Sum {
  template <class T>
  static constexpr T start() {
    return lowest<T>();
  }
  template <class T>
  PB_INLINE static Vec<T> combine(Vec<T> a, Vec<T> b) {
    if constexpr (is_float<T>) return max(a, b);
    return select(a > b, a, b);
  }
  template <class T>
  PB_INLINE static Mask<T> better(Vec<T> a, Vec<T> b) {
    return a > b;
  }
};

struct Min : Sum {
  template <class T>
  static constexpr T start() {
    return highest<T>();
  }
  template <class T>
  PB_INLINE static Vec<T> combine(Vec<T> a, Vec<T> b) {
    if constexpr (is_float<T>) return min(a, b);
    return select(a < b, a, b);
  }
  template <class T>
  PB_INLINE static Mask<T> better(Vec<T> a, Vec<T> b) {
    return a < b;
  }
};

// (Σ |x|^p)^(1/p)
template <class T_>
struct NormP : Fold<T_, Sum> {
  using T = T_;
  using Base = Fold<T, Sum>;
  using State = typename Base::State;
  T p;
  explicit NormP(const Call& c) : Base(c), p(static_cast<T>(c.real(0))) {}

  [[gnu::noinline]] static Vec<T> power(Vec<T> x, T p) { return pow(abs(x), Vec<T>(p)); }
  State tail(Vec<T> x, int n, Position at) const { return Base::tail(power(x, p), n, at); }
  template <class Load>
  PB_INLINE State block(const Load& load, int rows, Position at) const {
    return Base::block([&](int i) { return power(load(i), p); }, rows, at);
  }
  void write(State s, int64_t, const Writer& y) const { y.put(0, power(s.a, 1 / p)); }
};

enum class Count { number, all, any };

// Σ [x ≠ 0], and what follows from it; T is double or int64_t.
template <class T_, Count wanted>
struct CountNonzero {
  using T = T_;
  explicit CountNonzero(const Call&) {}
  struct State {
    Vec<int64_t> n;
    template <int distance>
    State exchanged() const {
      return {exchange<distance>(n)};
    }
  };

  PB_INLINE static Vec<int64_t> nonzero(Vec<T> x) {
    return select(bits_as<int64_t>(x != Vec<T>(0)), Vec<int64_t>(1), Vec<int64_t>(0));
  }
  static State identity() { return {}; }
  static State combine(State a, State b) { return {a.n + b.n}; }
  static State tail(Vec<T> x, int, Position) { return {nonzero(x)}; }  // lanes past the end are zero
  template <class Load>
  PB_INLINE static State block(const Load& load, int rows, Position) {
    Vec<int64_t> n;
    for (int i = 0; i < rows; ++i) n += nonzero(load(i));
    return {n};
  }
  static void write(State s, int64_t terms, const Writer& y) {
    const Vec<int64_t> bound(wanted == Count::all ? terms : 1);
    if constexpr (wanted == Count::number)
      y.put(0, s.n);
    else
      y.put(0, select(s.n >= bound, Vec<int64_t>(1), Vec<int64_t>(0)));
  }
};

// The best term and the first place where it stands, an integer as wide as T; NaN is better than any number.
template <class T_, class Op, bool with_value>
struct Extremum {
  using T = T_;
  using Place = IntOf<T>;
  explicit Extremum(const Call&) {}
  struct State {
    Vec<T> x;
    Vec<Place> r;
    template <int distance>
    State exchanged() const {
      return {exchange<distance>(x), exchange<distance>(r)};
    }
  };

  static State identity() {
    return {Vec<T>(Op::template start<T>()), Vec<Place>(sizeof(T) == 4 ? INT32_MAX : INT64_MAX)};
  }
  PB_INLINE static State combine(State a, State b) {
    const Mask<T> a_nan = a.x != a.x, b_nan = b.x != b.x;
    const Mask<T> equal = (a.x == b.x) | (a_nan & b_nan);
    const Mask<T> later = equal & bits_as<T>(a.r > b.r);
    const Mask<T> takes_b = (Op::better(b.x, a.x) & ~a_nan) | (b_nan & ~a_nan) | later;
    return {select(takes_b, b.x, a.x), select(bits_as<Place>(takes_b), b.r, a.r)};
  }
  PB_INLINE static Vec<Place> places(Position at) {
    return Vec<Place>(static_cast<Place>(at.first)) + iota<Place>() * Vec<Place>(static_cast<Place>(at.lane_step));
  }
  static State tail(Vec<T> x, int n, Position at) {
    const State none = identity();
    const Mask<T> in = first_lanes<T>(n);
    return {select(in, x, none.x), select(bits_as<Place>(in), places(at), none.r)};
  }
  // The places only grow here, so that an equal term never takes over: x takes over unless x ≤ s.x or s.x is
  // NaN.
  template <class Load>
  PB_INLINE static State block(const Load& load, int rows, Position at) {
    State s{load(0), places(at)};
    Vec<Place> r = s.r;
    for (int i = 1; i < rows; ++i) {
      const Vec<T> x = load(i);
      r += Vec<Place>(static_cast<Place>(at.row_step));
      const Mask<T> takes = ~(Op::better(s.x, x) | (x == s.x)) & (s.x == s.x);
      s = {select(takes, x, s.x), select(bits_as<Place>(takes), r, s.r)};
    }
    return s;
  }
  static void write(State s, int64_t, const Writer& y) {
    if constexpr (with_value) y.put(0, s.x);
    y.put(with_value, s.r);
  }
};

// --- moments: (n, x̄, M = Σ (x − x̄)²), two passes over a block, blocks joined by Chan, Golub & LeVeque (1983) ---

template <class T_, bool root>
struct Moments {
  using T = T_;
  const Call& call;
  explicit Moments(const Call& c) : call(c) {}
  struct State {
    Vec<T> n, mean, m2;
    template <int distance>
    State exchanged() const {
      return {exchange<distance>(n), exchange<distance>(mean), exchange<distance>(m2)};
    }
  };

  static State identity() { return {}; }
  // δ = x̄_b − x̄_a,  x̄ = x̄_a + δ n_b/n,  M = M_a + M_b + δ² n_a n_b/n
  PB_INLINE static State combine(State a, State b) {
    const Vec<T> n = a.n + b.n, share = b.n / max_fast(n, Vec<T>(1)), delta = b.mean - a.mean;
    return {n, fma(delta, share, a.mean), fma(delta * delta, a.n * share, a.m2 + b.m2)};
  }
  static State tail(Vec<T> x, int n, Position) {
    return {select(first_lanes<T>(n), Vec<T>(1), Vec<T>(0)), x, Vec<T>(0)};
  }
  template <class Load>
  PB_INLINE static State block(const Load& load, int rows, Position) {
    Vec<T> sum, m2;
    for (int i = 0; i < rows; ++i) sum += load(i);
    const Vec<T> n(static_cast<T>(rows)), mean = sum / n;
    for (int i = 0; i < rows; ++i) {
      const Vec<T> d = load(i) - mean;
      m2 = fma(d, d, m2);
    }
    return {n, mean, m2};
  }
  void write(State s, int64_t terms, const Writer& y) const {
    const Vec<T> n(static_cast<T>(terms)), freedom = max_fast(n - Vec<T>(static_cast<T>(call.real(0))), Vec<T>(0));
    const Vec<T> var = s.m2 / freedom;
    y.put(0, root ? sqrt(var) : var);
    y.put(1, terms ? s.mean : s.mean / n);  // of nothing: NaN
  }
};

// --- ln Σ eˣ as (m, s = Σ e^(x − m)), m being the largest x --------------------------------------

template <class T_>
struct LogSumExp {
  using T = T_;
  explicit LogSumExp(const Call&) {}
  struct State {
    Vec<T> m, s;
    template <int distance>
    State exchanged() const {
      return {exchange<distance>(m), exchange<distance>(s)};
    }
  };

  // What is taken off before exp: m, but 0 where m is infinite, as ∞ − ∞ is not a number.
  PB_INLINE static Vec<T> shift(Vec<T> m) {
    return select(abs(m) == Vec<T>(static_cast<T>(__builtin_inf())), Vec<T>(0), m);
  }
  static State identity() { return {Vec<T>(lowest<T>()), Vec<T>(0)}; }
  PB_INLINE static State combine(State a, State b) {
    const Vec<T> m = max_fast(a.m, b.m), around = shift(m);
    return {m, a.s * exp(a.m - around) + b.s * exp(b.m - around)};
  }
  static State tail(Vec<T> x, int n, Position) {
    const Vec<T> m = select(first_lanes<T>(n), x, Vec<T>(lowest<T>()));
    return {m, exp(m - shift(m))};
  }
  // A NaN that max_fast lost is found again by exp.
  template <class Load>
  PB_INLINE static State block(const Load& load, int rows, Position) {
    Vec<T> m = load(0), s;
    for (int i = 1; i < rows; ++i) m = max_fast(m, load(i));
    const Vec<T> around = shift(m);
    for (int i = 0; i < rows; ++i) s += exp(load(i) - around);
    return {m, s};
  }
  // All lanes taken to the largest m at once.
  static State folded(State a) {
    const Vec<T> m(reduce_max(a.m));
    return {m, Vec<T>(reduce_add(a.s * exp(a.m - shift(m))))};
  }
  static void write(State s, int64_t, const Writer& y) { y.put(0, shift(s.m) + log(s.s)); }
};

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
