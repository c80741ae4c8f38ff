// Lines: what lies along one axis of operands whose other dimensions agree. Scans, sorts and softmax work line by line.
#pragma once
#include "isa/dims.h"

namespace pullback::ISA_NAMESPACE {
namespace {

inline constexpr int64_t kLineTask = 1 << 13;  // elements that one task takes of what needs exp
inline constexpr int64_t kShortLine = 16;      // elements: lines so short are turned, and worked on side by side
inline constexpr int64_t kSumBlock = 64;       // vectors that are added up before their sum is added to others

struct Lines {
  Dims other;                   // the dimensions that number the lines
  int64_t count;                // of lines
  int64_t length;               // of each, in operand 0
  int64_t step[kDimsOperands];  // from one element of a line to the next
  char* data[kDimsOperands];
  bool stream = false;  // results go past the caches, where lines are rows

  template <class T>
  PB_INLINE T* line(int operand, int64_t index) const {
    return reinterpret_cast<T*>(data[operand]) + other.offset(operand, index);
  }
};

// Lines along `axis` of operands[0], …, operands[count - 1].
inline Lines make_lines(const Operand* const* operands, int count, int64_t axis) {
  Lines s;
  for (int i = 0; i < count; ++i) {
    s.step[i] = operands[i]->strides[axis];
    s.data[i] = operands[i]->data<char>();
  }
  for (int d = 0; d < operands[0]->ndim; ++d)
    if (d != axis && operands[0]->shape[d] != 1) append(s.other, operands, count, d);
  sort_dims(s.other);
  merge_dims(s.other, count);
  s.count = s.other.size();
  s.length = operands[0]->shape[axis];
  return s;
}
// Lines along `axis` of call[0], …, call[operands - 1].
inline Lines make_lines(const Call& call, int operands, int64_t axis) {
  const Operand* list[kDimsOperands];
  for (int i = 0; i < operands; ++i) list[i] = &call[i];
  return make_lines(list, operands, axis);
}

// f(lines, first, n) for groups of at most `group` lines that are neighbours along the innermost other dimension: line
// first + i lies i · other.inner_stride(operand) elements after line `first`. `elements` is what one task takes.
template <class F>
PB_INLINE void for_each_group(const Lines& s, int64_t group, int64_t elements, const F& f) {
  if (s.count == 0 || s.length == 0) return;
  const int64_t row = s.other.inner(), groups = (row - 1) / group + 1;
  const int64_t grain = larger(1, elements / (smaller(row, group) * s.length));
  parallel_for(s.count / row * groups, grain, [&](int64_t begin, int64_t end) {
    for (int64_t g = begin; g < end; ++g) {
      const int64_t at = g % groups * group;
      f(s, g / groups * row + at, smaller(group, row - at));
    }
  });
}

// --- one algorithm for lines that are vectors, and for vectors of lines ---------------------------
//
// An algorithm visits its lines with `each(f)`, f(k, lanes) getting elements from k on; element k of operand i, of the
// n-th line, lies at p[i] + at(i, k, n). `each(f, g)` calls g() after each block of elements, so that sums are taken of
// blocks first: the error of n terms added one after the other grows with n, of blocks with their length and their
// number. What it has accumulated in a vector it completes with `sum` and `max`, `masked` keeping out what lies past
// the end. `shared(w, k)` are elements k of a table that all lines share, `own(v)` numbers that each line has for
// itself, and `where` chooses between lines. `fetch` has the same element of the next line brought nearer: while one
// line is computed from the caches, the next one comes from memory.

// One line, side by side in memory: lanes are its elements.
template <class T>
struct RowLine {
  static constexpr int width = 1;  // lines at most
  int64_t n;
  const int64_t* next;  // from a line to the next one, in each operand
  bool stream;

  template <class F>
  PB_INLINE void each(F&& f) const {
    for_each_vec<T>(n, f);
  }
  template <class F, class G>
  PB_INLINE void each(F&& f, G&& block_ends) const {
    constexpr int64_t block = kSumBlock * Vec<T>::size;
    for (int64_t begin = 0; begin < n; begin += block) {
      for_each_vec<T>(smaller(block, n - begin), [&](int64_t i, auto lanes) { f(begin + i, lanes); });
      block_ends();
    }
  }
  template <class F>
  PB_INLINE void put(int, T* y, F&& f) const {
    if (!stream) return each([&](int64_t k, auto lanes) { f(k, lanes).store(y + k, lanes); });
    constexpr int size = Vec<T>::size;
    const int64_t past = reinterpret_cast<intptr_t>(y) / sizeof(T) % size, head = smaller(past ? size - past : 0, n);
    if (head) f(int64_t{0}, static_cast<int>(head)).store(y, static_cast<int>(head));
    int64_t k = head;
    for (; k + size <= n; k += size) f(k, AllLanes{}).stream(y + k);
    if (k < n) f(k, static_cast<int>(n - k)).store(y + k, static_cast<int>(n - k));
  }
  PB_INLINE int64_t at(int, int64_t k, int64_t = 0) const { return k; }
  PB_INLINE void fetch(int operand, const T* element) const { __builtin_prefetch(element + next[operand]); }
  PB_INLINE static Vec<T> sum(Vec<T> v) { return Vec<T>(reduce_add(v)); }
  PB_INLINE static Vec<T> max(Vec<T> v) {
    return Vec<T>(reduce<Vec<T>::size / 2>(v, [](Vec<T> a, Vec<T> b) { return max_fast(a, b); })[0]);
  }
  PB_INLINE static Vec<T> masked(Vec<T> v, AllLanes, T) { return v; }
  PB_INLINE static Vec<T> masked(Vec<T> v, int lanes, T outside) {
    return select(first_lanes<T>(lanes), v, Vec<T>(outside));
  }
  template <class Lanes>
  PB_INLINE static Vec<T> shared(const T* w, int64_t k, Lanes lanes) {
    return Vec<T>::load(w + k, lanes);
  }
  PB_INLINE static Vec<T> own(const T* v) { return Vec<T>(v[0]); }
  PB_INLINE static Vec<T> where(Mask<T>, Vec<T> v) { return v; }
};

// As many neighbouring lines as a vector has lanes, or fewer.
template <class T, class Lanes>
struct ColumnLine {
  static constexpr int width = Vec<T>::size;
  int64_t n;
  const int64_t* step;
  Lanes lanes;
  static constexpr bool stream = false;

  template <class F>
  PB_INLINE void each(F&& f) const {
    for (int64_t k = 0; k < n; ++k) f(k, lanes);
  }
  template <class F, class G>
  PB_INLINE void each(F&& f, G&& block_ends) const {
    for (int64_t begin = 0; begin < n; begin += kSumBlock) {
      for (int64_t k = begin; k < smaller(begin + kSumBlock, n); ++k) f(k, lanes);
      block_ends();
    }
  }
  template <class F>
  PB_INLINE void put(int operand, T* y, F&& f) const {
    each([&](int64_t k, auto) { f(k, lanes).store(y + at(operand, k), lanes); });
  }
  PB_INLINE int64_t at(int operand, int64_t k, int64_t line = 0) const { return k * step[operand] + line; }
  PB_INLINE void fetch(int, const T*) const {}
  PB_INLINE static Vec<T> sum(Vec<T> v) { return v; }
  PB_INLINE static Vec<T> max(Vec<T> v) { return v; }
  PB_INLINE static Vec<T> masked(Vec<T> v, Lanes, T) { return v; }
  PB_INLINE static Vec<T> shared(const T* w, int64_t k, Lanes) { return Vec<T>(w[k]); }
  PB_INLINE static Vec<T> own(const T* v) { return Vec<T>::load(v); }
  PB_INLINE static Vec<T> where(Mask<T> m, Vec<T> v) { return select(m, v, Vec<T>(0)); }
};

// max_k x_k; NaN may be lost.
template <class T, class Line>
PB_INLINE Vec<T> line_max(const Line& line, const T* x) {
  const T lowest = -static_cast<T>(__builtin_inf());
  Vec<T> m(lowest);
  line.each([&](int64_t k, auto lanes) {
    m = max_fast(line.masked(Vec<T>::load(x + line.at(0, k), lanes), lanes, lowest), m);
  });
  return line.max(m);
}

// The operands of T that an algorithm reads (the first `inputs`) and writes (the others, `operands` in all).
struct LineOperands {
  int inputs, operands;
};

template <class T>
PB_INLINE void copy_line(const T* from, int64_t from_step, T* to, int64_t to_step, int64_t n) {
  for (int64_t k = 0; k < n; ++k) to[k * to_step] = from[k * from_step];
}

// Lines first, …, first + n - 1, whose elements are `step` apart: into rows, where they are not, and back.
template <class T, class A>
[[gnu::noinline]] void run_rows(const Lines& s, const A& a, LineOperands of, int64_t first, int64_t n) {
  Scratch scratch;
  T *buffer[kDimsOperands], *start[kDimsOperands];
  int64_t next[kDimsOperands];
  for (int i = 0; i < of.operands; ++i) {
    start[i] = s.line<T>(i, first);
    next[i] = s.step[i] == 1 ? s.other.inner_stride(i) : 0;
    buffer[i] = s.step[i] == 1 ? nullptr : scratch.take<T>(s.length);
  }
  for (int64_t line = 0; line < n; ++line) {
    T *p[kDimsOperands], *from[kDimsOperands];
    for (int i = 0; i < of.operands; ++i) {
      from[i] = start[i] + line * s.other.inner_stride(i);
      p[i] = buffer[i] ? buffer[i] : from[i];
      if (buffer[i] && i < of.inputs) copy_line(from[i], s.step[i], p[i], 1, s.length);
    }
    a(RowLine<T>{s.length, next, s.stream}, p, first + line, 1);
    for (int i = of.inputs; i < of.operands; ++i)
      if (buffer[i]) copy_line(p[i], 1, from[i], s.step[i], s.length);
  }
  if (s.stream) stream_fence();
}

// Lines first, …, first + n - 1, which are neighbours in memory.
template <class T, class A>
[[gnu::noinline]] void run_columns(const Lines& s, const A& a, LineOperands of, int64_t first, int64_t n) {
  for_each_vec<T>(n, [&](int64_t column, auto lanes) {
    T* p[kDimsOperands];
    for (int i = 0; i < of.operands; ++i) p[i] = s.line<T>(i, first) + column;
    const int64_t width = smaller(Vec<T>::size, n - column);
    a(ColumnLine<T, decltype(lanes)>{s.length, s.step, lanes}, p, first + column, width);
  });
}

// Lines first, …, first + n - 1, short ones in rows: as columns of tiles in L1.
template <class T, class A>
[[gnu::noinline]] void run_turned(const Lines& s, const A& a, LineOperands of, int64_t first, int64_t n) {
  constexpr int size = Vec<T>::size;
  alignas(64) T tile[kDimsOperands][kShortLine * size] = {};
  int64_t step[kDimsOperands];
  T* p[kDimsOperands];
  for (int i = 0; i < of.operands; ++i) step[i] = size, p[i] = tile[i];
  for (int64_t begin = 0; begin < n; begin += size) {
    const int64_t width = smaller(size, n - begin);
    for (int i = 0; i < of.inputs; ++i)
      for (int64_t line = 0; line < width; ++line)
        copy_line(s.line<T>(i, first) + (begin + line) * s.other.inner_stride(i), 1, tile[i] + line, size, s.length);
    a(ColumnLine<T, AllLanes>{s.length, step, {}}, p, first + begin, width);
    for (int i = of.inputs; i < of.operands; ++i)
      for (int64_t line = 0; line < width; ++line)
        copy_line(tile[i] + line, size, s.line<T>(i, first) + (begin + line) * s.other.inner_stride(i), 1, s.length);
  }
}

// Runs a(line, p, first, n) over all lines: `line` holds the n lines from number `first` on.
template <class T, class A>
void run_lines(const Lines& s, const A& a, LineOperands of) {
  bool rows = true, columns = s.other.n > 0;
  for (int i = 0; i < of.operands; ++i) {
    rows &= s.step[i] == 1;
    columns &= s.other.inner_stride(i) == 1;
  }
  const int64_t group = larger(1, smaller(64, kLineTask / larger(1, s.length)));
  if (columns && !rows)
    for_each_group(s, larger(group, Vec<T>::size), kLineTask,
                   [&](const Lines&, int64_t first, int64_t n) { run_columns<T>(s, a, of, first, n); });
  else if (rows && s.length <= kShortLine && s.count >= Vec<T>::size)
    for_each_group(s, larger(group, Vec<T>::size), kLineTask,
                   [&](const Lines&, int64_t first, int64_t n) { run_turned<T>(s, a, of, first, n); });
  else
    for_each_group(s, group, kLineTask,
                   [&](const Lines&, int64_t first, int64_t n) { run_rows<T>(s, a, of, first, n); });
}

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
