#include "common/reducers.h"
#include "common/scan.h"
#include "kernels/scan.h"

namespace pullback::cuda {
namespace {

// What is added and multiplied inside; integers wrap around.
template <class T>
using Wide = std::conditional_t<is_float<T>, double, uint64_t>;

// Lines in reverse: from their last element, backwards.
template <int operands, class... T>
void reverse_lines(Lines<operands>& lines, T*&... data) {
  int i = 0;
  ((data += (lines.length - 1) * lines.step[i], lines.step[i] = -lines.step[i], ++i), ...);
}

// Whether the next line is nearer in memory than the next element.
template <int operands>
bool side_by_side(const Lines<operands>& lines) {
  return lines.ndim > 0 && llabs(lines.stride[0][lines.ndim - 1]) < llabs(lines.step[0]);
}

// f(lines, pointers to x and y in the order of the contract)
template <class F>
void scan_lines(const F& f) {
  scan(f, f.lines.count, f.lines.length, side_by_side(f.lines));
}

template <class F>
void visit_scanned(DType t, F&& f) {
  if (t == DType::i64) return f(int64_t{});
  visit_float(t, f);
}

// --- sums and products -----------------------------------------------------------------------------------------------

// y_k = x_k ∘ y_{k−1}
template <class T, class Op>
struct Cumulate {
  using State = Wide<T>;
  Lines<2> lines;
  const T* x;
  T* y;
  struct Line {
    const T* x;
    T* y;
  };
  PB_DEVICE State start() const { return Op::template start<State>(); }
  PB_DEVICE State join(State a, State b) const { return Op::join(a, b); }
  PB_DEVICE Line line(int64_t i) const { return {x + lines.at(0, i), y + lines.at(1, i)}; }
  PB_DEVICE State term(const Line& l, int64_t k) const { return static_cast<State>(l.x[k * lines.step[0]]); }
  PB_DEVICE void put(const Line& l, int64_t k, State s) const { l.y[k * lines.step[1]] = static_cast<T>(s); }
};
template <class Op>
void cumulate(const Call& c, bool reverse) {
  visit_scanned(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    Cumulate<T, Op> f{make_lines<2>(c, c.integer(0)), c[0].data<T>(), c[1].data<T>()};
    if (reverse) reverse_lines(f.lines, f.x, f.y);
    scan_lines(f);
  });
}
void cumsum(const Call& c) { cumulate<Add>(c, c.flag(1)); }
void cumprod(const Call& c) { cumulate<Multiply>(c, false); }

// --- linear recurrences ----------------------------------------------------------------------------------------------

// y ↦ b + a y. An a of many factors may outgrow a double before it meets a y of 0, which stays 0.
struct Affine {
  double a, b;
};
PB_DEVICE double times(double a, double y) { return y == 0 && abs(a) == highest<double>() ? 0 : a * y; }

// after ∘ before
PB_DEVICE Affine compose(Affine before, Affine after) {
  return {times(after.a, before.a), after.b + times(after.a, before.b)};
}

// y_k = b_k + a_k y_{k−1}
template <class T>
struct LinearScan {
  using State = Affine;
  Lines<3> lines;
  const T *a, *b;
  T* y;
  struct Line {
    const T *a, *b;
    T* y;
  };
  PB_DEVICE State start() const { return {1, 0}; }
  PB_DEVICE State join(State before, State after) const { return compose(before, after); }
  PB_DEVICE Line line(int64_t i) const { return {a + lines.at(0, i), b + lines.at(1, i), y + lines.at(2, i)}; }
  PB_DEVICE State term(const Line& l, int64_t k) const { return {l.a[k * lines.step[0]], l.b[k * lines.step[1]]}; }
  PB_DEVICE void put(const Line& l, int64_t k, State s) const { l.y[k * lines.step[2]] = static_cast<T>(s.b); }
};
void linear_scan(const Call& c) {
  visit_float(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    LinearScan<T> f{make_lines<3>(c, c.integer(0)), c[0].data<T>(), c[1].data<T>(), c[2].data<T>()};
    if (c.flag(1)) reverse_lines(f.lines, f.a, f.b, f.y);
    scan_lines(f);
  });
}

// dx_k = y_{k−1} s_k with s_k = dy_k + x_{k+1} s_{k+1}, in reverse lines: k + 1 comes before k.
template <class T>
struct CumprodBackward {
  using State = Affine;
  Lines<4> lines;
  const T *dy, *x, *y;
  T* dx;
  struct Line {
    const T *dy, *x, *y;
    T* dx;
  };
  PB_DEVICE State start() const { return {1, 0}; }
  PB_DEVICE State join(State before, State after) const { return compose(before, after); }
  PB_DEVICE Line line(int64_t i) const {
    return {dy + lines.at(0, i), x + lines.at(1, i), y + lines.at(2, i), dx + lines.at(3, i)};
  }
  PB_DEVICE State term(const Line& l, int64_t k) const {
    return {k > 0 ? l.x[(k - 1) * lines.step[1]] : T(0), l.dy[k * lines.step[0]]};
  }
  PB_DEVICE void put(const Line& l, int64_t k, State s) const {
    const double before = k + 1 < lines.length ? l.y[(k + 1) * lines.step[2]] : T(1);
    l.dx[k * lines.step[3]] = static_cast<T>(before * s.b);
  }
};
void cumprod_backward(const Call& c) {
  visit_float(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    CumprodBackward<T> f{make_lines<4>(c, c.integer(0)), c[0].data<T>(), c[1].data<T>(), c[2].data<T>(),
                         c[3].data<T>()};
    reverse_lines(f.lines, f.dy, f.x, f.y, f.dx);
    scan_lines(f);
  });
}

// --- running extrema -------------------------------------------------------------------------------------------------

// y_k = the best x up to k, index_k = where the last of its equals stands; NaN is best.
template <class T, class Op>
struct RunningBest {
  struct State {
    T x;
    int64_t place;  // −1 where nothing has come yet
  };
  Lines<3> lines;
  const T* x;
  T* y;
  int64_t* index;
  struct Line {
    const T* x;
    T* y;
    int64_t* index;
  };
  PB_DEVICE State start() const { return {T(0), -1}; }
  PB_DEVICE State join(const State& a, const State& b) const {
    if (a.place < 0) return b;
    return b.place >= 0 && (b.x != b.x || b.x == a.x || Op::better(b.x, a.x)) ? b : a;
  }
  PB_DEVICE Line line(int64_t i) const { return {x + lines.at(0, i), y + lines.at(1, i), index + lines.at(2, i)}; }
  PB_DEVICE State term(const Line& l, int64_t k) const { return {l.x[k * lines.step[0]], k}; }
  PB_DEVICE void put(const Line& l, int64_t k, const State& s) const {
    l.y[k * lines.step[1]] = s.x;
    l.index[k * lines.step[2]] = s.place;
  }
};
template <class Op>
void running_best(const Call& c) {
  visit_scanned(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    scan_lines(
        RunningBest<T, Op>{make_lines<3>(c, c.integer(0)), c[0].data<T>(), c[1].data<T>(), c[2].data<int64_t>()});
  });
}

constexpr EntryRow rows[] = {
    {"cumsum", cumsum},           {"cumprod", cumprod},          {"cumprod_backward", cumprod_backward},
    {"linear_scan", linear_scan}, {"cummax", running_best<Max>}, {"cummin", running_best<Min>},
};

}  // namespace

extern const Family scan_family;
const Family scan_family = {rows, sizeof(rows) / sizeof(rows[0])};

}  // namespace pullback::cuda
