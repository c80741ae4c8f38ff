// Reductions: blocks whose threads take every so many-th term and join what they have in a tree, see common/pieces.h.
#include "common/any_pointer.h"
#include "common/pieces.h"
#include "common/reducers.h"
#include "kernels/reduce.h"

namespace pullback::cuda {
namespace {

// --- the loop --------------------------------------------------------------------------------------------------------

// Where the results of a reducer (common/reducers.h) go.
template <class Op>
struct Results {
  using State = typename Op::State;
  Op op;
  AnyPointer result, beside;  // null where nobody asked for the second
  Space<3> kept = {};         // x, result, beside
  int64_t terms_of_each = 0;

  PB_DEVICE State start() const { return op.start(); }
  PB_DEVICE State join(State a, State b) const { return op.join(a, b); }
  PB_DEVICE void put(State s, int64_t k) const {
    const auto places = kept.places(k);
    write(result, places.at[1], op.result(s, terms_of_each));
    if constexpr (requires { op.beside(s, terms_of_each); })
      if (beside.data != nullptr) write(beside, places.at[2], op.beside(s, terms_of_each));
  }
};

// The terms that belong to each of them, x being a P: see common/any_pointer.h.
template <class Op, class P>
struct Terms : Results<Op> {
  using State = typename Op::State;
  using Term = typename Op::Term;
  static constexpr int pack = std::is_same_v<P, double*> ? 2 : std::is_same_v<P, HalfPointer> ? 8 : 4;
  P x = {};
  Space<1> terms = {};
  bool packed = false, even = false;

  const Results<Op>& results() const { return *this; }
  PB_DEVICE P row(int64_t k) const { return x + this->kept.at(0, k); }
  PB_DEVICE void take(State& s, P row, int64_t i) const { this->op.take(s, read_as<Term>(row, terms.at(0, i)), i); }
  PB_DEVICE void take_even(State& s, P row, int64_t i) const {
    this->op.take(s, read_as<Term>(row, i * terms.stride[0][0]), i);
  }
  PB_DEVICE void take_pack(State* s, P row, int64_t i) const {
    const auto x_i = load_as<Term, pack>(row, i);
    for (int e = 0; e < pack; ++e) this->op.take(s[e], x_i.element[e], i * pack + e);
  }
};

// Whether the terms of every result lie side by side, in whole packs.
template <class F>
bool has_packs(const F& f) {
  bool whole = f.even && f.terms.stride[0][0] == 1 && takes_packs<F::pack>(f.x);
  for (int d = 0; d < f.kept.ndim; ++d) whole = whole && f.kept.stride[0][d] % F::pack == 0;
  return whole;
}

// The dimensions that are kept, those with the longest strides in x first; those that are reduced, in row-major order.
inline void split_dims(const Operand& x, const Operand& y0, const Operand& y1, Space<3>& kept, Space<1>& terms) {
  int dims[kMaxDims], n = 0;
  for (int d = 0; d < x.ndim; ++d) {
    if (y0.shape[d] != x.shape[d]) {
      append_dim(terms, x.shape[d], {x.strides[d]});
      continue;
    }
    int e = n++;
    for (; e > 0 && llabs(x.strides[dims[e - 1]]) < llabs(x.strides[d]); --e) dims[e] = dims[e - 1];
    dims[e] = d;
  }
  for (int e = 0; e < n; ++e)
    append_dim(kept, x.shape[dims[e]], {x.strides[dims[e]], y0.strides[dims[e]], y1.strides[dims[e]]});
}

template <int operands>
int64_t inner_stride(const Space<operands>& s, int64_t of_nothing) {
  return s.ndim ? llabs(s.stride[0][s.ndim - 1]) : of_nothing;
}

// x's dimensions: those in which a result has size 1 and x has not are reduced. Its elements are a P.
template <class P, class Op>
void reduce(const Call& c, P x, Op op, const Operand& result, const Operand* beside = nullptr) {
  Terms<Op, P> f{{op, AnyPointer(result), beside ? AnyPointer(*beside) : AnyPointer()}};
  split_dims(c[0], result, beside ? *beside : result, f.kept, f.terms);
  f.terms_of_each = f.terms.size;
  f.x = x;
  f.even = f.terms.ndim == 1;
  f.packed = has_packs(f);
  const bool columns = inner_stride(f.kept, INT64_MAX) < inner_stride(f.terms, 0);
  if (columns && f.kept.size >= kWarpSize / 4)  // fewer leave most lanes without work
    return reduce_in_columns(f, f.kept.size, f.terms.size);
  reduce_in_rows(f, f.kept.size, f.terms.size);
}

// In y's type, float for halves; terms of another are converted.
template <class Op, class T>
void sum_in(const Call& c) {
  if constexpr (std::is_same_v<T, float>)
    if (is_half_type(c[0].dtype)) return reduce(c, HalfPointer(c[0]), Fold<T, Op>(), c[1]);
  if constexpr (is_float<T>)
    if (c[0].dtype == c[1].dtype) return reduce(c, c[0].data<T>(), Fold<T, Op>(), c[1]);
  reduce(c, AnyPointer(c[0]), Fold<T, Op>(), c[1]);
}
template <class Op>
void sum_of(const Call& c) {
  if (c[1].dtype == DType::i64) return sum_in<Op, int64_t>(c);
  if (c[1].dtype == DType::f64) return sum_in<Op, double>(c);
  sum_in<Op, float>(c);
}

// make(T{}) is the reducer.
template <class Make>
void reduce_float(const Call& c, const Make& make, const Operand* beside = nullptr) {
  if (is_half_type(c[0].dtype)) return reduce(c, HalfPointer(c[0]), make(float{}), c[1], beside);
  visit_float(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    reduce(c, c[0].data<T>(), make(zero), c[1], beside);
  });
}
template <class Op>
void fold_float(const Call& c) {
  reduce_float(c, [](auto zero) { return Fold<decltype(zero), Op>(); });
}
void norm(const Call& c) {
  const double p = c.real(0);
  if (p == 1) return fold_float<Norm1>(c);
  if (p == 2) return fold_float<Norm2>(c);
  reduce_float(c, [p](auto zero) { return NormP<decltype(zero)>{static_cast<decltype(zero)>(p)}; });
}
void logsumexp(const Call& c) {
  reduce_float(c, [](auto zero) { return LogSumExp<decltype(zero)>(); });
}
template <bool root>
void moments(const Call& c) {
  reduce_float(c, [&](auto zero) { return Moments<decltype(zero)>{c.scalars[0], root}; }, &c[2]);
}

// As visit_computed, halves in float.
template <class F>
void visit_terms(const Operand& x, F&& f) {
  if (is_half_type(x.dtype)) return f(HalfPointer(x), float{});
  visit_computed(x, f);
}
template <class Op>
void extreme_value(const Call& c) {
  visit_terms(c[0], [&](auto x, auto zero) { reduce(c, x, Fold<decltype(zero), Op>(), c[1]); });
}
template <class Op, bool with_value>
void extremum(const Call& c) {
  visit_terms(c[0], [&](auto x, auto zero) {
    reduce(c, x, Extremum<decltype(zero), Op>(), c[1 + with_value], with_value ? &c[1] : nullptr);
  });
}
template <Count wanted>
void count(const Call& c) {
  visit_terms(c[0], [&](auto x, auto zero) { reduce(c, x, CountNonzero<decltype(zero)>{wanted}, c[1]); });
}

// --- pullbacks -------------------------------------------------------------------------------------------------------

// How many terms x, of dx's shape, has for each of dy's elements; and what of them var divides by.
int64_t terms_of(const Call& c, int dx) { return c[0].size() == 0 ? 0 : c[dx].size() / c[0].size(); }
template <class T>
T freedom(const Call& c, int dx) {
  const T left = static_cast<T>(terms_of(c, dx)) - static_cast<T>(c.real(0));
  return left > 0 ? left : 0;
}

// dx = dy / n
template <class T>
struct MeanBackward {
  T n;
  explicit MeanBackward(const Call& c) : n(static_cast<T>(terms_of(c, 1))) {}
  PB_DEVICE void operator()(T dy, T& dx) const { dx = dy / n; }
};
// dx = dy sign(x) |x / y|^(p − 1), 0 where x = 0
template <class T>
struct NormBackward {
  T p;
  explicit NormBackward(const Call& c) : p(static_cast<T>(c.real(0))) {}
  PB_DEVICE void operator()(T dy, T x, T y, T& dx) const {
    const T ratio = p == 1 ? T(1) : p == 2 ? abs(x / y) : pow(abs(x / y), p - 1);
    dx = x == T(0) ? T(0) : dy * copysign(ratio, x);
  }
};
// dx = dy e^(x − y)
template <class T>
struct LogSumExpBackward {
  explicit LogSumExpBackward(const Call&) {}
  PB_DEVICE void operator()(T dy, T x, T y, T& dx) const { dx = dy * exp(x - y); }
};
// dx = 2 dy (x − x̄) / freedom
template <class T>
struct VarBackward {
  T scale;
  explicit VarBackward(const Call& c) : scale(2 / freedom<T>(c, 3)) {}
  PB_DEVICE void operator()(T dy, T x, T mean, T& dx) const { dx = scale * dy * (x - mean); }
};
// dx = dy (x − x̄) / (y freedom), 0 where y = 0
template <class T>
struct StdBackward {
  T n;
  explicit StdBackward(const Call& c) : n(freedom<T>(c, 4)) {}
  PB_DEVICE void operator()(T dy, T x, T mean, T y, T& dx) const {
    dx = y == T(0) ? T(0) : dy * ((x - mean) / (y * n));
  }
};
// mask = [x = y]
template <class T>
struct ExtremumMask {
  explicit ExtremumMask(const Call&) {}
  PB_DEVICE void operator()(T x, T y, T& mask) const { mask = x == y || (x != x && y != y) ? T(1) : T(0); }
};
// dx = dy mask / count
template <class T>
struct ExtremumBackward {
  explicit ExtremumBackward(const Call&) {}
  PB_DEVICE void operator()(T dy, T mask, T count, T& dx) const { dx = dy * (mask / count); }
};

template <template <class> class F, int inputs>
void backward(const Call& c) {
  visit_real(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    const F<Computed<T>> f(c);
    if constexpr (inputs == 1) elementwise<const T, T>(c, f);
    if constexpr (inputs == 2) elementwise<const T, const T, T>(c, f);
    if constexpr (inputs == 3) elementwise<const T, const T, const T, T>(c, f);
    if constexpr (inputs == 4) elementwise<const T, const T, const T, const T, T>(c, f);
  });
}

// dx_r = dy Π_{s<r} x_s Π_{s>r} x_s: the first product on the way up, the second on the way down, a thread for each dy,
// so that zeros among x need no case of their own.
template <class T>
__global__ void prod_backward_terms(Space<3> kept, Space<2> terms, const T* x, T* dx, const T* dy) {
  for (int64_t k = first(); k < kept.size; k += stride()) {
    const T* from = x + kept.at(0, k);
    T* to = dx + kept.at(1, k);
    T product = dy[kept.at(2, k)];
    for (int64_t r = 0; r < terms.size; ++r) {
      to[terms.at(1, r)] = product;
      product *= from[terms.at(0, r)];
    }
    product = 1;
    for (int64_t r = terms.size - 1; r >= 0; --r) {
      to[terms.at(1, r)] *= product;
      product *= from[terms.at(0, r)];
    }
  }
}
void prod_backward(const Call& c) {
  const Operand &dy = c[0], &x = c[1], &dx = c[2];
  Space<3> kept;
  Space<2> terms;
  for (int d = 0; d < x.ndim; ++d) {
    if (dy.shape[d] != x.shape[d]) {
      append_dim(terms, x.shape[d], {x.strides[d], dx.strides[d]});
    } else {
      append_dim(kept, x.shape[d], {x.strides[d], dx.strides[d], dy.strides[d]});
    }
  }
  visit_float(dy.dtype, [&](auto zero) {
    using T = decltype(zero);
    launch(prod_backward_terms<T>, blocks_for(kept.size), kBlockSize, kept, terms, static_cast<const T*>(x.data<T>()),
           dx.data<T>(), static_cast<const T*>(dy.data<T>()));
  });
}

constexpr EntryRow rows[] = {
    {"sum", sum_of<Add>, kTakesHalves},
    {"mean", fold_float<Mean>, kTakesHalves},
    {"prod", sum_of<Multiply>, kTakesHalves},
    {"norm", norm, kTakesHalves},
    {"logsumexp", logsumexp, kTakesHalves},
    {"var", moments<false>, kTakesHalves},
    {"std", moments<true>, kTakesHalves},
    {"amax", extreme_value<Max>, kTakesHalves},
    {"amin", extreme_value<Min>, kTakesHalves},
    {"argmax", extremum<Max, false>, kTakesHalves},
    {"argmin", extremum<Min, false>, kTakesHalves},
    {"max_index", extremum<Max, true>, kTakesHalves},
    {"min_index", extremum<Min, true>, kTakesHalves},
    {"count_nonzero", count<Count::number>, kTakesHalves},
    {"all", count<Count::all>, kTakesHalves},
    {"any", count<Count::any>, kTakesHalves},
    {"mean_backward", backward<MeanBackward, 1>, kTakesHalves},
    {"norm_backward", backward<NormBackward, 3>, kTakesHalves},
    {"logsumexp_backward", backward<LogSumExpBackward, 3>, kTakesHalves},
    {"var_backward", backward<VarBackward, 3>, kTakesHalves},
    {"std_backward", backward<StdBackward, 4>, kTakesHalves},
    {"prod_backward", prod_backward},
    {"extremum_mask", backward<ExtremumMask, 2>, kTakesHalves},
    {"extremum_backward", backward<ExtremumBackward, 3>, kTakesHalves},
};

}  // namespace

extern const Family reduce_family;
const Family reduce_family = {rows, sizeof(rows) / sizeof(rows[0])};

}  // namespace pullback::cuda
