#include "kernels/reduce.h"

#include "isa/elementwise.h"
#include "isa/reducers.h"

namespace pullback::ISA_NAMESPACE {
namespace {

// --- entries -------------------------------------------------------------------------------------

// The type in which integers and floats are reduced.
template <class F>
PB_INLINE void visit_accumulator(DType t, F&& f) {
  if (t == DType::f32) return f(float{});
  if (t == DType::f64) return f(double{});
  f(int64_t{});
}
// The same where a place or a count, as wide as int64_t, goes with each lane.
template <class F>
PB_INLINE void visit_wide(DType t, F&& f) {
  if (t == DType::f32 || t == DType::f64) return f(double{});
  f(int64_t{});
}

// --- bytes that lie in rows: how many are not zero ---

inline constexpr int64_t kByteBlock = 128;        // bytes counted in a byte
inline constexpr int64_t kBytePiece = 64 * 1024;  // bytes that one task takes

int64_t count_bytes(const uint8_t* x, int64_t n) {
  int64_t total = 0;
  for (int64_t begin = 0; begin < n; begin += kByteBlock) {
    uint8_t found = 0;
    const int64_t end = smaller(begin + kByteBlock, n);
    for (int64_t k = begin; k < end; ++k) found = static_cast<uint8_t>(found + (x[k] != 0));
    total += found;
  }
  return total;
}

// Counts the terms of each output, finish(count, terms) being the result; false where they do not lie in one row each.
template <class F>
bool counted_bytes(const Call& c, const F& finish) {
  const Reduction s = make_reduction(c[0], &c[1], 1, c[1], false);
  if (item_size(s.x_type) != 1 || s.columns || s.reduced.n != 1 || s.reduced.stride[0][0] != 1) return false;
  const int64_t parts = larger(1, (s.terms + kBytePiece - 1) / kBytePiece);
  const auto* x = reinterpret_cast<const uint8_t*>(s.x);
  const auto write = [&](int64_t k, int64_t n) {
    const int64_t result = finish(n, s.terms);
    write_row(&result, s.y[0] + s.kept.offset(1, k) * item_size(s.y_type[0]), s.y_type[0], 1, 1);
  };
  if (parts == 1) {
    parallel_for(s.count, larger(1, kBytePiece / larger(1, s.terms)), [&](int64_t begin, int64_t end) {
      for (int64_t k = begin; k < end; ++k) write(k, count_bytes(x + s.kept.offset(0, k), s.terms));
    });
    return true;
  }
  Scratch scratch;
  int64_t* found = scratch.take<int64_t>(s.count * parts);
  parallel_for(s.count * parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t from = t % parts * kBytePiece;
      found[t] = count_bytes(x + s.kept.offset(0, t / parts) + from, smaller(kBytePiece, s.terms - from));
    }
  });
  for (int64_t k = 0; k < s.count; ++k) {
    int64_t n = 0;
    for (int64_t p = 0; p < parts; ++p) n += found[k * parts + p];
    write(k, n);
  }
  return true;
}

template <class Op>
void fold(const Call& c) {
  if (std::is_same_v<Op, Sum> && c[0].dtype == DType::b8 && counted_bytes(c, [](int64_t n, int64_t) { return n; }))
    return;
  visit_accumulator(c[1].dtype, [&](auto zero) { run_reduction<Fold<decltype(zero), Op>>(c); });
}
template <class Op>
void fold_float(const Call& c) {
  visit_float(c[1].dtype, [&](auto zero) { run_reduction<Fold<decltype(zero), Op>>(c); });
}
template <Count wanted>
void count(const Call& c) {
  const auto finish = [](int64_t n, int64_t terms) {
    return wanted == Count::number ? n : wanted == Count::any ? n > 0 : n == terms;
  };
  if (counted_bytes(c, finish)) return;
  visit_wide(c[0].dtype, [&](auto zero) { run_reduction<CountNonzero<decltype(zero), wanted>>(c); });
}
template <class Op, bool with_value>
void extremum(const Call& c) {
  const auto reduce = [&](auto zero) {
    run_reduction<Extremum<decltype(zero), Op, with_value>>(c, 1 + with_value, true);
  };
  if (c[0].dtype == DType::f32 && c[0].size() <= INT32_MAX) return reduce(float{});  // places fit beside it
  visit_wide(c[0].dtype, reduce);
}
template <bool root>
void moments(const Call& c) {
  visit_float(c[0].dtype, [&](auto zero) { run_reduction<Moments<decltype(zero), root>>(c, 2); });
}

void norm(const Call& c) {
  const double p = c.real(0);
  if (p == 1) return fold_float<Norm1>(c);
  if (p == 2) return fold_float<Norm2>(c);
  visit_float(c[0].dtype, [&](auto zero) { run_reduction<NormP<decltype(zero)>>(c); });
}
void logsumexp(const Call& c) {
  visit_float(c[0].dtype, [&](auto zero) { run_reduction<LogSumExp<decltype(zero)>>(c); });
}

// --- pullbacks -----------------------------------------------------------------------------------

// How many terms x, of dx's shape, has for each of dy's elements; and what of them var divides by.
int64_t terms_of(const Call& c, int dx) { return c[dx].size() / c[0].size(); }
template <class T>
T freedom(const Call& c, int dx) {
  const T left = static_cast<T>(terms_of(c, dx)) - static_cast<T>(c.real(0));
  return left > 0 ? left : 0;
}

// dx = dy / n
struct MeanBackward {
  static constexpr int inputs = 1;
  template <class T>
  static void tile(const Tile& t) {
    const Vec<T> n(static_cast<T>(terms_of(*t.call, 1)));
    for_each_vec<T>(
        t.n, [&](int64_t i, auto lanes) { (Vec<T>::load(t.x<T>(0) + i, lanes) / n).store(t.y<T>() + i, lanes); });
  }
};

// dx = dy sign(x) |x / y|^(p − 1), 0 where x = 0
struct NormBackward {
  static constexpr int inputs = 3;
  template <class T>
  static void tile(const Tile& t) {
    const T p = static_cast<T>(t.call->real(0));
    for_each_vec<T>(t.n, [&](int64_t i, auto lanes) {
      const auto dy = Vec<T>::load(t.x<T>(0) + i, lanes), x = Vec<T>::load(t.x<T>(1) + i, lanes);
      const auto y = Vec<T>::load(t.x<T>(2) + i, lanes);
      const auto ratio = p == 1 ? Vec<T>(1) : p == 2 ? abs(x / y) : pow(abs(x / y), Vec<T>(p - 1));
      select(x == Vec<T>(0), Vec<T>(0), dy * copysign(ratio, x)).store(t.y<T>() + i, lanes);
    });
  }
};

// dx = dy e^(x − y)
struct LogSumExpBackward {
  static constexpr int inputs = 3;
  template <class T>
  static void tile(const Tile& t) {
    for_each_vec<T>(t.n, [&](int64_t i, auto lanes) {
      const auto dy = Vec<T>::load(t.x<T>(0) + i, lanes), x = Vec<T>::load(t.x<T>(1) + i, lanes);
      const auto y = Vec<T>::load(t.x<T>(2) + i, lanes);
      (dy * exp(x - y)).store(t.y<T>() + i, lanes);
    });
  }
};

// dx = 2 dy (x − x̄) / freedom
struct VarBackward {
  static constexpr int inputs = 3;
  template <class T>
  static void tile(const Tile& t) {
    const Vec<T> scale(2 / freedom<T>(*t.call, 3));
    for_each_vec<T>(t.n, [&](int64_t i, auto lanes) {
      const auto dy = Vec<T>::load(t.x<T>(0) + i, lanes), x = Vec<T>::load(t.x<T>(1) + i, lanes);
      const auto mean = Vec<T>::load(t.x<T>(2) + i, lanes);
      (scale * dy * (x - mean)).store(t.y<T>() + i, lanes);
    });
  }
};

// dx = dy (x − x̄) / (y freedom), 0 where y = 0
struct StdBackward {
  static constexpr int inputs = 4;
  template <class T>
  static void tile(const Tile& t) {
    const Vec<T> n(freedom<T>(*t.call, 4));
    for_each_vec<T>(t.n, [&](int64_t i, auto lanes) {
      const auto dy = Vec<T>::load(t.x<T>(0) + i, lanes), x = Vec<T>::load(t.x<T>(1) + i, lanes);
      const auto mean = Vec<T>::load(t.x<T>(2) + i, lanes), y = Vec<T>::load(t.x<T>(3) + i, lanes);
      select(y == Vec<T>(0), Vec<T>(0), dy * ((x - mean) / (y * n))).store(t.y<T>() + i, lanes);
    });
  }
};

// mask = [x = y]
struct ExtremumMask {
  static constexpr int inputs = 2;
  template <class T>
  static void tile(const Tile& t) {
    for_each_vec<T>(t.n, [&](int64_t i, auto lanes) {
      const auto x = Vec<T>::load(t.x<T>(0) + i, lanes), y = Vec<T>::load(t.x<T>(1) + i, lanes);
      select((x == y) | (isnan(x) & isnan(y)), Vec<T>(1), Vec<T>(0)).store(t.y<T>() + i, lanes);
    });
  }
};

// dx = dy mask / count
struct ExtremumBackward {
  static constexpr int inputs = 3;
  template <class T>
  static void tile(const Tile& t) {
    for_each_vec<T>(t.n, [&](int64_t i, auto lanes) {
      const auto dy = Vec<T>::load(t.x<T>(0) + i, lanes), mask = Vec<T>::load(t.x<T>(1) + i, lanes);
      const auto count = Vec<T>::load(t.x<T>(2) + i, lanes);
      (dy * (mask / count)).store(t.y<T>() + i, lanes);
    });
  }
};

template <class Op>
void backward(const Call& c) {
  visit_float(c[0].dtype, [&](auto zero) { elementwise(c, Op::template tile<decltype(zero)>, Op::inputs); });
}

// dx_r = dy Π_{s<r} x_s Π_{s>r} x_s: the first product on the way up, the second on the way down, so that
// zeros among x need no case of their own.
template <class T>
[[gnu::noinline]] void prod_backward_of(const Call& c, const Reduction& s, int64_t k) {
  const T* x = c[1].data<T>() + s.kept.offset(0, k);
  T* dx = c[2].data<T>() + s.kept.offset(1, k);
  const bool even = s.reduced.n <= 1;
  const int64_t step = s.reduced.inner_stride(0), dx_step = s.reduced.inner_stride(1);
  const auto in = [&](int64_t r) { return even ? r * step : s.reduced.offset(0, r); };
  const auto out = [&](int64_t r) { return even ? r * dx_step : s.reduced.offset(1, r); };
  T product = c[0].data<T>()[s.kept.offset(2, k)];
  for (int64_t r = 0; r < s.terms; ++r) {
    dx[out(r)] = product;
    product *= x[in(r)];
  }
  product = 1;
  for (int64_t r = s.terms - 1; r >= 0; --r) {
    dx[out(r)] *= product;
    product *= x[in(r)];
  }
}

inline constexpr int64_t kTogether = 64;  // neighbours whose products run side by side

// The same for n neighbours, whose terms lie side by side in every operand.
template <class T>
[[gnu::noinline]] void prod_backward_side_by_side(const Call& c, const Reduction& s, int64_t k, int64_t n) {
  const T *x = c[1].data<T>() + s.kept.offset(0, k), *dy = c[0].data<T>() + s.kept.offset(2, k);
  T* dx = c[2].data<T>() + s.kept.offset(1, k);
  const int64_t step = s.reduced.inner_stride(0), dx_step = s.reduced.inner_stride(1);
  T product[kTogether];
  for (int64_t i = 0; i < n; ++i) product[i] = dy[i];
  for (int64_t r = 0; r < s.terms; ++r)
    for (int64_t i = 0; i < n; ++i) {
      dx[r * dx_step + i] = product[i];
      product[i] *= x[r * step + i];
    }
  for (int64_t i = 0; i < n; ++i) product[i] = 1;
  for (int64_t r = s.terms - 1; r >= 0; --r)
    for (int64_t i = 0; i < n; ++i) {
      dx[r * dx_step + i] *= product[i];
      product[i] *= x[r * step + i];
    }
}

void prod_backward(const Call& c) {
  const Operand results[] = {c[2], c[0]};  // dx, dy
  Reduction s = make_reduction(c[1], results, 2, c[0], true);
  merge_dims(s.reduced, 2);  // x and dx: dy has no such dimensions
  const Dims& kept = s.kept;
  const bool side_by_side = kept.n && s.reduced.n == 1 && kept.stride[0][kept.n - 1] == 1 &&
                            kept.stride[1][kept.n - 1] == 1 && kept.stride[2][kept.n - 1] == 1;
  const int64_t row = kept.inner(), most = side_by_side ? kTogether : 1;
  const int64_t groups = s.count ? (row - 1) / most + 1 : 0, grain = kTaskTerms / most / larger(1, s.terms);
  parallel_for(s.count ? s.count / row * groups : 0, larger(1, grain), [&](int64_t begin, int64_t end) {
    for (int64_t g = begin; g < end; ++g) {
      const int64_t at = g % groups * most, k = g / groups * row + at;
      visit_float(c[0].dtype, [&](auto zero) {
        if (side_by_side) return prod_backward_side_by_side<decltype(zero)>(c, s, k, smaller(most, row - at));
        prod_backward_of<decltype(zero)>(c, s, k);
      });
    }
  });
}

constexpr EntryRow rows[] = {
    {"sum", fold<Sum>},
    {"mean", fold_float<Mean>},
    {"prod", fold<Prod>},
    {"norm", norm},
    {"logsumexp", logsumexp},
    {"var", moments<false>},
    {"std", moments<true>},
    {"amax", fold<Max>},
    {"amin", fold<Min>},
    {"argmax", extremum<Max, false>},
    {"argmin", extremum<Min, false>},
    {"max_index", extremum<Max, true>},
    {"min_index", extremum<Min, true>},
    {"count_nonzero", count<Count::number>},
    {"all", count<Count::all>},
    {"any", count<Count::any>},
    {"mean_backward", backward<MeanBackward>},
    {"norm_backward", backward<NormBackward>},
    {"logsumexp_backward", backward<LogSumExpBackward>},
    {"var_backward", backward<VarBackward>},
    {"std_backward", backward<StdBackward>},
    {"prod_backward", prod_backward},
    {"extremum_mask", backward<ExtremumMask>},
    {"extremum_backward", backward<ExtremumBackward>},
};

}  // namespace

extern const Family reduce_family;
const Family reduce_family = {rows, sizeof(rows) / sizeof(rows[0])};

}  // namespace pullback::ISA_NAMESPACE
