// Reductions: blocks whose threads take every so many-th term and join what they have in a tree, see common/pieces.h.
#include "common/pieces.h"
#include "common/reducers.h"
#include "kernels/reduce.h"

namespace pullback::cuda {
namespace {

// --- the loop --------------------------------------------------------------------------------------------------------

// Where the results of a reducer (common/reducers.h) go.
template <class Op, class Y0, class Y1>
struct Results {
  using State = typename Op::State;
  Op op;
  Y0* y0;
  Y1* y1;
  Space<3> kept;
  int64_t terms_of_each;

  PB_DEVICE State start() const { return op.start(); }
  PB_DEVICE State join(State a, State b) const { return op.join(a, b); }
  PB_DEVICE void put(State s, int64_t k) const {
    op.put(s, terms_of_each, y0 ? y0 + kept.at(1, k) : nullptr, y1 ? y1 + kept.at(2, k) : nullptr);
  }
};

// The terms of x that belong to each of them.
template <class Op, class X, class Y0, class Y1>
struct Terms : Results<Op, Y0, Y1> {
  using State = typename Op::State;
  static constexpr int pack = sizeof(X) == 8 ? 2 : 4;
  const X* x = nullptr;
  Space<1> terms = {};
  bool packed = false, even = false;

  const Results<Op, Y0, Y1>& results() const { return *this; }
  PB_DEVICE const X* row(int64_t k) const { return x + this->kept.at(0, k); }
  PB_DEVICE void take(State& s, const X* row, int64_t i) const { this->op.take(s, element(row, terms.at(0, i)), i); }
  PB_DEVICE void take_even(State& s, const X* row, int64_t i) const {
    this->op.take(s, element(row, i * terms.stride[0][0]), i);
  }
  PB_DEVICE void take_pack(State* s, const X* row, int64_t i) const {
    const auto x_i = load_pack<pack>(row, i);
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

// x's dimensions: those in which a result has size 1 and x has not are reduced.
template <class X, class Y0, class Y1, class Op>
void reduce(const Call& c, Op op, Y0* y0, Y1* y1, const Operand& first_result, const Operand& second_result) {
  Terms<Op, X, Y0, Y1> f{{op, y0, y1, {}, 0}};
  split_dims(c[0], first_result, second_result, f.kept, f.terms);
  f.terms_of_each = f.terms.size;
  f.x = c[0].data<X>();
  f.even = f.terms.ndim == 1;
  f.packed = has_packs(f);
  const bool columns = inner_stride(f.kept, INT64_MAX) < inner_stride(f.terms, 0);
  if (columns && f.kept.size >= kWarpSize / 4)  // fewer leave most lanes without work
    return reduce_in_columns(f, f.kept.size, f.terms.size);
  reduce_in_rows(f, f.kept.size, f.terms.size);
}

// One result, of the dtype Y.
template <class X, class Y, class Op>
void reduce_to(const Call& c, Op op) {
  reduce<X>(c, op, c[1].data<Y>(), static_cast<Y*>(nullptr), c[1], c[1]);
}

// The type in which integers and floats are reduced.
template <class F>
void visit_accumulator(DType t, F&& f) {
  if (t == DType::f32) return f(float{});
  if (t == DType::f64) return f(double{});
  f(int64_t{});
}

template <class Op>
void sum_of(const Call& c) {
  visit_any(c[0].dtype, [&](auto x) {
    visit_accumulator(c[1].dtype, [&](auto y) {
      using Y = decltype(y);
      reduce_to<decltype(x), Y>(c, Fold<Y, Op>());
    });
  });
}
template <class Op>
void fold_float(const Call& c) {
  visit_float(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    reduce_to<T, T>(c, Fold<T, Op>());
  });
}
template <class Op>
void extreme_value(const Call& c) {
  visit_any(c[0].dtype, [&](auto zero) {
    using X = decltype(zero);
    visit_accumulator(c[0].dtype, [&](auto wide) { reduce_to<X, X>(c, Fold<decltype(wide), Op>()); });
  });
}
template <Count wanted, class Y>
void count(const Call& c) {
  visit_any(c[0].dtype, [&](auto zero) { reduce_to<decltype(zero), Y>(c, CountNonzero<wanted>()); });
}
template <class Op, bool with_value>
void extremum(const Call& c) {
  visit_any(c[0].dtype, [&](auto zero) {
    using X = decltype(zero);
    visit_accumulator(c[0].dtype, [&](auto wide) {
      X* value = with_value ? c[1].data<X>() : nullptr;
      reduce<X>(c, Extremum<decltype(wide), Op>(), value, c[1 + with_value].data<int64_t>(), c[1], c[1 + with_value]);
    });
  });
}
template <bool root>
void moments(const Call& c) {
  visit_float(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    reduce<T>(c, Moments<T, root>{c.scalars[0]}, c[1].data<T>(), c[2].data<T>(), c[1], c[2]);
  });
}
void norm(const Call& c) {
  const double p = c.real(0);
  if (p == 1) return fold_float<Norm1>(c);
  if (p == 2) return fold_float<Norm2>(c);
  visit_float(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    reduce_to<T, T>(c, NormP<T>{static_cast<T>(p)});
  });
}
void logsumexp(const Call& c) {
  visit_float(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    reduce_to<T, T>(c, LogSumExp<T>());
  });
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
  visit_float(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    const F<T> f(c);
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
    {"sum", sum_of<Add>},
    {"mean", fold_float<Mean>},
    {"prod", sum_of<Multiply>},
    {"norm", norm},
    {"logsumexp", logsumexp},
    {"var", moments<false>},
    {"std", moments<true>},
    {"amax", extreme_value<Max>},
    {"amin", extreme_value<Min>},
    {"argmax", extremum<Max, false>},
    {"argmin", extremum<Min, false>},
    {"max_index", extremum<Max, true>},
    {"min_index", extremum<Min, true>},
    {"count_nonzero", count<Count::number, int64_t>},
    {"all", count<Count::all, bool>},
    {"any", count<Count::any, bool>},
    {"mean_backward", backward<MeanBackward, 1>},
    {"norm_backward", backward<NormBackward, 3>},
    {"logsumexp_backward", backward<LogSumExpBackward, 3>},
    {"var_backward", backward<VarBackward, 3>},
    {"std_backward", backward<StdBackward, 4>},
    {"prod_backward", prod_backward},
    {"extremum_mask", backward<ExtremumMask, 2>},
    {"extremum_backward", backward<ExtremumBackward, 3>},
};

}  // namespace

extern const Family reduce_family;
const Family reduce_family = {rows, sizeof(rows) / sizeof(rows[0])};

}  // namespace pullback::cuda
