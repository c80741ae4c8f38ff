#include "kernels/scan.h"

#include <type_traits>

#include "isa/lines.h"

namespace pullback::ISA_NAMESPACE {
namespace {

inline constexpr int64_t kGroup = 32;  // lines that run side by side, since one waits for its own last result
inline constexpr int64_t kTaskElements = 1 << 14;

template <class T>
using Wide = std::conditional_t<is_float<T>, double, int64_t>;

// Lines in reverse: from their last element, backwards.
inline void reverse_lines(Lines& s, const Call& c, int operands) {
  for (int i = 0; i < operands; ++i) {
    s.data[i] += (s.length - 1) * s.step[i] * item_size(c[i].dtype);
    s.step[i] = -s.step[i];
  }
}

struct Plus {
  static constexpr int start = 0;
  template <class T>
  PB_INLINE static T combine(T a, T b) {
    return a + b;
  }
};
struct Times {
  static constexpr int start = 1;
  template <class T>
  PB_INLINE static T combine(T a, T b) {
    return a * b;
  }
};

template <class F>
PB_INLINE void visit_scanned(DType t, F&& f) {
  if (t == DType::i64) return f(int64_t{});
  visit_float(t, f);
}

// y_k = x_k ∘ y_{k−1}, for lines that are neighbours in memory
template <class Op, class T>
[[gnu::noinline]] void cumulate(const Lines& s, int64_t first, int64_t n) {
  const int64_t x_next = s.other.inner_stride(0), y_next = s.other.inner_stride(1);
  const T* x = s.line<T>(0, first);
  T* y = s.line<T>(1, first);
  Wide<T> sum[kGroup];
  for (int64_t i = 0; i < n; ++i) sum[i] = Op::start;
  for (int64_t k = 0; k < s.length; ++k, x += s.step[0], y += s.step[1])
    for (int64_t i = 0; i < n; ++i) {
      sum[i] = Op::combine(sum[i], static_cast<Wide<T>>(x[i * x_next]));
      y[i * y_next] = static_cast<T>(sum[i]);
    }
}

// The same where lines lie side by side in memory: a few at a time, since each waits for its own last result.
template <class Op, class T, int lines>
PB_INLINE void cumulate_lines(const Lines& s, const T* x, T* y) {
  const int64_t x_next = s.other.inner_stride(0), y_next = s.other.inner_stride(1), x_step = s.step[0],
                y_step = s.step[1];
  Wide<T> sum[lines];
  for (int i = 0; i < lines; ++i) sum[i] = Op::start;
  for (int64_t k = 0; k < s.length; ++k)
    for (int i = 0; i < lines; ++i) {
      sum[i] = Op::combine(sum[i], static_cast<Wide<T>>(x[k * x_step + i * x_next]));
      y[k * y_step + i * y_next] = static_cast<T>(sum[i]);
    }
}
template <class Op, class T>
[[gnu::noinline]] void cumulate_rows(const Lines& s, int64_t first, int64_t n) {
  const T* x = s.line<T>(0, first);
  T* y = s.line<T>(1, first);
  int64_t i = 0;
  for (; i + 4 <= n; i += 4)
    cumulate_lines<Op, T, 4>(s, x + i * s.other.inner_stride(0), y + i * s.other.inner_stride(1));
  for (; i < n; ++i) cumulate_lines<Op, T, 1>(s, x + i * s.other.inner_stride(0), y + i * s.other.inner_stride(1));
}

template <class Op>
void cumulate(const Call& c, bool reverse) {
  Lines s = make_lines(c, 2, c.integer(0));
  if (reverse) reverse_lines(s, c, 2);
  const bool columns = s.other.n && s.other.inner_stride(0) == 1 && s.other.inner_stride(1) == 1;
  const int64_t group = columns ? kGroup : 4 * larger(1, kTaskElements / 4 / larger(1, s.length));
  visit_scanned(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    for_each_group(s, group, kTaskElements, columns ? cumulate<Op, T> : cumulate_rows<Op, T>);
  });
}
void cumsum(const Call& c) { cumulate<Plus>(c, c.flag(1)); }
void cumprod(const Call& c) { cumulate<Times>(c, false); }

// dx_k = y_{k−1} s_k,  s_k = dy_k + x_{k+1} s_{k+1}
template <class T>
[[gnu::noinline]] void cumprod_backward_of(const Lines& s, int64_t index, int64_t) {
  const T *dy = s.line<T>(0, index), *x = s.line<T>(1, index), *y = s.line<T>(2, index);
  T* dx = s.line<T>(3, index);
  double sum = 0;
  for (int64_t k = s.length - 1; k >= 0; --k) {
    sum += dy[k * s.step[0]];
    dx[k * s.step[3]] = static_cast<T>(k ? y[(k - 1) * s.step[2]] * sum : sum);
    sum *= x[k * s.step[1]];
  }
}
void cumprod_backward(const Call& c) {
  const Lines s = make_lines(c, 4, c.integer(0));
  visit_float(c[0].dtype, [&](auto zero) { for_each_group(s, 1, kTaskElements, cumprod_backward_of<decltype(zero)>); });
}

// y_k = b_k + a_k y_{k−1}
template <class T>
[[gnu::noinline]] void linear_scan_of(const Lines& s, int64_t index, int64_t) {
  const T *a = s.line<T>(0, index), *b = s.line<T>(1, index);
  T* y = s.line<T>(2, index);
  double state = 0;
  for (int64_t k = 0; k < s.length; ++k) {
    state = b[k * s.step[1]] + a[k * s.step[0]] * state;
    y[k * s.step[2]] = static_cast<T>(state);
  }
}
void linear_scan(const Call& c) {
  Lines s = make_lines(c, 3, c.integer(0));
  if (c.flag(1)) reverse_lines(s, c, 3);
  visit_float(c[0].dtype, [&](auto zero) { for_each_group(s, 1, kTaskElements, linear_scan_of<decltype(zero)>); });
}

struct Largest {
  template <class T>
  PB_INLINE static bool takes(T x, T y) {
    return x >= y;
  }
};
struct Smallest {
  template <class T>
  PB_INLINE static bool takes(T x, T y) {
    return x <= y;
  }
};

// y_k = the best x up to k, index_k = where the last of its equals stands
template <class Op, class T>
[[gnu::noinline]] void running_best(const Lines& s, int64_t index, int64_t) {
  const T* x = s.line<T>(0, index);
  T* y = s.line<T>(1, index);
  int64_t *where = s.line<int64_t>(2, index), at = 0;
  T best = x[0];
  for (int64_t k = 0; k < s.length; ++k) {
    const T next = x[k * s.step[0]];
    if (next != next || Op::takes(next, best)) best = next, at = k;
    y[k * s.step[1]] = best;
    where[k * s.step[2]] = at;
  }
}
template <class Op>
void running_best(const Call& c) {
  const Lines s = make_lines(c, 3, c.integer(0));
  visit_scanned(c[0].dtype, [&](auto zero) { for_each_group(s, 1, kTaskElements, running_best<Op, decltype(zero)>); });
}

constexpr EntryRow rows[] = {
    {"cumsum", cumsum},
    {"cumprod", cumprod},
    {"cumprod_backward", cumprod_backward},
    {"linear_scan", linear_scan},
    {"cummax", running_best<Largest>},
    {"cummin", running_best<Smallest>},
};

}  // namespace

extern const Family scan_family;
const Family scan_family = {rows, sizeof(rows) / sizeof(rows[0])};

}  // namespace pullback::ISA_NAMESPACE
