// Reductions over any set of dimensions: y_k = ⊕_r x_{k,r}, k running over the kept dimensions, r over the
// reduced ones.
//
// An output has as many dimensions as x, and size 1 in those that are reduced. A reducer is written for
// vectors only: it folds a *block*, a few rows of Vec<T>, into a state, and combines states. The driver
// below, compiled once for all of them, brings every layout down to that. Where x is contiguous along kept
// dimensions, lanes are outputs and rows are terms ("columns"); otherwise lanes and rows are both terms of
// one output, and the lanes are combined at the end. What is not contiguous, or needs another dtype, is
// gathered into blocks that stay in L1.
//
// States of blocks are combined pairwise, so that the error of a sum grows with the logarithm of its length,
// and in an order that depends on shapes and strides only. Few outputs with many terms are cut into fixed
// pieces for the threads.
#pragma once
#include "isa/dims.h"

namespace pullback::ISA_NAMESPACE {
namespace {

inline constexpr int kMaxOutputs = kDimsOperands - 1;
inline constexpr int kBlockRows = 16;  // rows of a block of columns, unless these are few
inline constexpr int kNarrowRows = 64;
inline constexpr int64_t kNarrow = 64;            // columns
inline constexpr int64_t kShortTerms = 32;        // of an output: so few are gathered into columns
inline constexpr int kTermRows = 64;              // vectors of a block of terms
inline constexpr int64_t kColumnTile = 512;       // columns that are folded side by side
inline constexpr int64_t kTaskTerms = 32 * 1024;  // elements of x that one task takes
inline constexpr int64_t kMaxPieces = 64;         // of the terms of one output
inline constexpr int kLevels = 48;                // of the pairwise sum

struct Reduction {
  Dims kept, reduced;
  int outputs = 1;
  const char* x;
  DType x_type;
  char* y[kMaxOutputs];
  DType y_type[kMaxOutputs];
  int64_t count;  // of outputs' elements
  int64_t terms;  // of each
  bool columns;   // lanes are outputs: x is contiguous, or nearly, along kept dimensions, or terms are few
};

// x over y[0], …, y[outputs - 1], where `result` has size 1 in the dimensions that are reduced. `ordered`
// keeps the order of the terms as x's shape has it.
inline Reduction make_reduction(const Operand& x, const Operand* y, int outputs, const Operand& result, bool ordered) {
  Reduction s;
  s.outputs = outputs;
  s.x = x.data<char>();
  s.x_type = x.dtype;
  for (int i = 0; i < outputs; ++i) s.y[i] = y[i].data<char>(), s.y_type[i] = y[i].dtype;
  const Operand* operands[kDimsOperands] = {&x};
  for (int i = 0; i < outputs; ++i) operands[i + 1] = &y[i];
  for (int d = 0; d < x.ndim; ++d)
    if (x.shape[d] != 1) append(result.shape[d] == 1 ? s.reduced : s.kept, operands, 1 + outputs, d);
  sort_dims(s.kept);
  if (!ordered) sort_dims(s.reduced);
  merge_dims(s.kept, 1 + outputs);
  merge_dims(s.reduced, &result == y ? 1 : 1 + outputs);
  s.count = s.kept.size();
  s.terms = s.reduced.size();
  s.columns = s.kept.n && (!s.reduced.n || llabs(s.kept.inner_stride(0)) < llabs(s.reduced.inner_stride(0)) ||
                           (s.terms <= kShortTerms && s.kept.inner() >= kNarrow));
  return s;
}

// to_i = x_{i stride}, as T
template <class T>
void read_row_as(const char* from, DType type, int64_t stride, T* to, int64_t n) {
  visit_any(type, [&](auto zero) {
    using X = decltype(zero);
    const auto* x = reinterpret_cast<const Stored<X>*>(from);
    if constexpr (std::is_same_v<X, bool>)
      for (int64_t i = 0; i < n; ++i) to[i] = static_cast<T>(x[i * stride] != 0);
    else
      for (int64_t i = 0; i < n; ++i) to[i] = static_cast<T>(x[i * stride]);
  });
}
[[gnu::noinline]] inline void read_row(const char* from, DType type, int64_t stride, char* to, DType as, int64_t n) {
  if (as == DType::f32) return read_row_as(from, type, stride, reinterpret_cast<float*>(to), n);
  if (as == DType::f64) return read_row_as(from, type, stride, reinterpret_cast<double*>(to), n);
  read_row_as(from, type, stride, reinterpret_cast<int64_t*>(to), n);
}

// y_{i stride} = from_i, converted
template <class T>
[[gnu::noinline]] void write_row(const T* from, char* to, DType type, int64_t stride, int64_t n) {
  visit_any(type, [&](auto zero) {
    auto* y = reinterpret_cast<decltype(zero)*>(to);
    for (int64_t i = 0; i < n; ++i) y[i * stride] = static_cast<decltype(zero)>(from[i]);
  });
}

template <class T>
inline constexpr DType dtype_of = DType::i64;
template <>
inline constexpr DType dtype_of<float> = DType::f32;
template <>
inline constexpr DType dtype_of<double> = DType::f64;
template <>
inline constexpr DType dtype_of<int32_t> = DType::i32;

// Where the results of one vector of outputs go.
struct Writer {
  char* y[kMaxOutputs];
  int64_t stride[kMaxOutputs];
  DType type[kMaxOutputs];
  int lanes;
  bool folds;  // the lanes of the state are terms of the one output

  template <class U>
  PB_INLINE void put(int i, Vec<U> v) const {
    if (type[i] == dtype_of<U> && stride[i] == 1) return v.store(reinterpret_cast<U*>(y[i]), lanes);
    U value[Vec<U>::size];
    v.store(value);
    write_row(value, y[i], type[i], stride[i], lanes);
  }
};

inline Writer writer_at(const Reduction& s, int64_t index, bool folds, int lanes = 1) {
  Writer w;
  w.lanes = lanes;
  w.folds = folds;
  for (int i = 0; i < s.outputs; ++i) {
    w.y[i] = s.y[i] + s.kept.offset(i + 1, index) * item_size(s.y_type[i]);
    w.stride[i] = folds ? 1 : s.kept.inner_stride(i + 1);
    w.type[i] = s.y_type[i];
  }
  return w;
}

// Outputs that are neighbours along the innermost kept dimension, one after the other.
struct OutputRun {
  const char* x;  // the first term
  Writer y;
  int64_t x_step, y_step[kMaxOutputs];  // bytes
  int outputs;
  int64_t n;

  PB_INLINE void advance() {
    x += x_step;
    for (int i = 0; i < outputs; ++i) y.y[i] += y_step[i];
  }
};

[[gnu::noinline]] inline OutputRun run_at(const Reduction& s, int64_t index, int64_t end) {
  OutputRun run;
  const int64_t size = item_size(s.x_type), inner = s.kept.inner();
  run.x = s.x + s.kept.offset(0, index) * size;
  run.x_step = s.kept.inner_stride(0) * size;
  run.y = writer_at(s, index, true);
  run.outputs = s.outputs;
  for (int i = 0; i < s.outputs; ++i) run.y_step[i] = s.kept.inner_stride(i + 1) * item_size(s.y_type[i]);
  run.n = smaller(end - index, inner - index % inner);
  return run;
}

// What a reducer does, as the driver sees it (isa/reducer.h makes these). A state belongs to one vector of
// lanes. States of blocks wait in `levels`, a binary counter for each of `chunks` vectors: level l, at
// levels[l · chunks], holds 2^l blocks.
struct Reducer {
  DType type;        // in which it computes
  int lanes;         // of one vector
  int64_t state;     // bytes of a state
  const Call* call;  // for scalars

  // A block of n terms of one output, side by side at p; the first has the number `first`, `before` blocks
  // were pushed.
  void (*fold_terms)(const Reducer&, const void* p, int64_t n, int64_t first, int64_t before, void* levels);
  // A block of `rows` terms of `width` outputs, which are neighbours in each row.
  void (*fold_columns)(const Reducer&, const void* const* row, int rows, int64_t width, int64_t first, int64_t before,
                       void* levels);
  // One more state onto the counter, and what a counter holds in all.
  void (*push)(const Reducer&, const void* state, int64_t before, void* levels);
  void (*total)(const Reducer&, const void* levels, int64_t chunks, int64_t blocks, void* state);
  // The results from a state.
  void (*finish)(const Reducer&, const void* state, int64_t terms, const Writer&);
  // All of outputs begin, …, end - 1, whose terms lie in one row and fill one block at most.
  void (*reduce_short)(const Reducer&, const Reduction&, int64_t begin, int64_t end);

  int64_t block_terms() const { return kTermRows * lanes; }
};

// How many pieces the terms of each of `units` equal tasks are cut into.
inline int64_t pieces_of(int64_t units, int64_t elements) {
  return units >= kMaxPieces / 4 ? 1 : larger(1, smaller(kMaxPieces, elements / kTaskTerms));
}

// --- lanes and rows are terms of one output ------------------------------------------------------

// The terms begin, …, end - 1 of output `index`.
inline void fold_range(const Reducer& r, const Reduction& s, int64_t index, int64_t begin, int64_t end, char* levels,
                       void* state) {
  alignas(64) char buffer[kTermRows * ISA_VECTOR_BYTES];
  const int size = item_size(s.x_type), size_as = item_size(r.type);
  const char* x = s.x + s.kept.offset(0, index) * size;
  const int64_t tile = r.block_terms(), stride = s.reduced.inner_stride(0);
  const bool long_rows = s.reduced.inner() >= tile / 2;  // cut at their ends, so that they are used where they lie
  Cursor at(s.reduced, begin);
  int64_t blocks = 0;
  for (int64_t b = begin; b < end; ++blocks) {
    int64_t n = smaller(tile, end - b);
    if (long_rows) n = smaller(n, at.left_in_row());
    const char* p = buffer;
    if (s.x_type == r.type && stride == 1 && n <= at.left_in_row()) {
      p = x + at.offset * size;
      at.advance(n);
    } else {
      for (int64_t done = 0, length; done < n; done += length, at.advance(length)) {
        length = smaller(n - done, at.left_in_row());
        read_row(x + at.offset * size, s.x_type, stride, buffer + done * size_as, r.type, length);
      }
    }
    r.fold_terms(r, p, n, b, blocks, levels);
    b += n;
  }
  r.total(r, levels, 1, blocks, state);
}

inline void reduce_outputs(const Reducer& r, const Reduction& s) {
  int64_t pieces = pieces_of(s.count, s.terms);
  if (pieces == 1) {
    parallel_for(s.count, larger(1, kTaskTerms / larger(1, s.terms)), [&](int64_t begin, int64_t end) {
      if (s.reduced.n < 2 && s.terms > 0 && s.terms <= r.block_terms()) return r.reduce_short(r, s, begin, end);
      Scratch scratch;
      char* levels = scratch.take<char>((kLevels + 1) * r.state);
      char* state = levels + kLevels * r.state;
      for (int64_t i = begin; i < end; ++i) {
        fold_range(r, s, i, 0, s.terms, levels, state);
        r.finish(r, state, s.terms, writer_at(s, i, true));
      }
    });
    return;
  }
  const int64_t piece = (s.terms / pieces / r.block_terms() + 1) * r.block_terms();
  pieces = (s.terms - 1) / piece + 1;
  Scratch scratch;
  char* part = scratch.take<char>(s.count * pieces * r.state);
  char* levels = scratch.take<char>((kLevels + 1) * r.state);
  parallel_for(s.count * pieces, 1, [&](int64_t begin, int64_t end) {
    Scratch own;
    char* own_levels = own.take<char>(kLevels * r.state);
    for (int64_t t = begin; t < end; ++t) {
      const int64_t from = t % pieces * piece;
      fold_range(r, s, t / pieces, from, smaller(s.terms, from + piece), own_levels, part + t * r.state);
    }
  });
  for (int64_t i = 0; i < s.count; ++i) {
    char* state = levels + kLevels * r.state;
    for (int64_t p = 0; p < pieces; ++p) r.push(r, part + (i * pieces + p) * r.state, p, levels);
    r.total(r, levels, 1, pieces, state);
    r.finish(r, state, s.terms, writer_at(s, i, true));
  }
}

// --- lanes are outputs, rows are terms -----------------------------------------------------------

// The outputs in groups of at most kColumnTile neighbours along the innermost kept dimension.
struct Columns {
  int64_t row, tiles, units;

  explicit Columns(const Reduction& s)
      : row(s.kept.inner()), tiles((row - 1) / kColumnTile + 1), units(s.count / row * tiles) {}
  int64_t index(int64_t unit) const { return unit / tiles * row + unit % tiles * kColumnTile; }
  int64_t width(int64_t unit) const { return smaller(kColumnTile, row - unit % tiles * kColumnTile); }
};

// The terms begin, …, end - 1 of the `width` outputs from `index` on; one state for each vector of them.
inline void fold_range(const Reducer& r, const Reduction& s, int64_t index, int64_t width, int64_t begin, int64_t end,
                       char* state) {
  const int64_t chunks = (width - 1) / r.lanes + 1, tall = width <= kNarrow ? kNarrowRows : kBlockRows;
  const int64_t blocks = (end - begin + tall - 1) / tall;
  int depth = 1;
  while (blocks >> depth) ++depth;
  Scratch scratch;
  char* levels = scratch.take<char>(depth * chunks * r.state);
  const int size = item_size(s.x_type);
  const char* x = s.x + s.kept.offset(0, index) * size;
  const int64_t stride = s.kept.inner_stride(0), pitch = kColumnTile * item_size(r.type);
  const bool in_place = s.x_type == r.type && stride == 1, even = s.reduced.n == 1;
  const int64_t step = even ? s.reduced.inner_stride(0) * size : 0;
  char* buffer = in_place ? nullptr : scratch.take<char>(tall * pitch);
  Cursor at(s.reduced, begin);
  for (int64_t block = 0; block < blocks; ++block) {
    const int64_t first = begin + block * tall;
    const int rows = static_cast<int>(smaller(tall, end - first));
    const void* row[kNarrowRows];
    for (int i = 0; i < rows; ++i) {
      const char* from = even ? x + (first + i) * step : x + at.offset * size;
      if (!even) at.advance(1);
      row[i] = in_place ? from : buffer + i * pitch;
      if (!in_place) read_row(from, s.x_type, stride, buffer + i * pitch, r.type, width);
    }
    r.fold_columns(r, row, rows, width, first, block, levels);
  }
  for (int64_t c = 0; c < chunks; ++c) r.total(r, levels + c * r.state, chunks, blocks, state + c * r.state);
}

inline void finish_columns(const Reducer& r, const Reduction& s, int64_t index, int64_t width, const char* state) {
  Writer w = writer_at(s, index, false, r.lanes);
  for (int64_t column = 0; column < width; column += r.lanes, state += r.state) {
    w.lanes = static_cast<int>(smaller(r.lanes, width - column));
    r.finish(r, state, s.terms, w);
    for (int i = 0; i < s.outputs; ++i) w.y[i] += r.lanes * w.stride[i] * item_size(w.type[i]);
  }
}

inline void reduce_columns(const Reducer& r, const Reduction& s) {
  const Columns columns(s);
  const int64_t tile = kColumnTile / r.lanes * r.state;  // bytes of the states of one group
  const int64_t elements = smaller(columns.row, kColumnTile) * larger(1, s.terms);
  int64_t pieces = pieces_of(columns.units, elements);
  if (pieces == 1) {
    const int64_t task = s.kept.inner_stride(0) == 1 ? kTaskTerms : kTaskTerms / 4;  // gathering takes its time
    parallel_for(columns.units, larger(1, task / elements), [&](int64_t begin, int64_t end) {
      Scratch scratch;
      char* state = scratch.take<char>(tile);
      for (int64_t u = begin; u < end; ++u) {
        fold_range(r, s, columns.index(u), columns.width(u), 0, s.terms, state);
        finish_columns(r, s, columns.index(u), columns.width(u), state);
      }
    });
    return;
  }
  const int64_t piece = (s.terms / pieces / kBlockRows + 1) * kBlockRows;
  pieces = (s.terms - 1) / piece + 1;
  Scratch scratch;
  char* part = scratch.take<char>(columns.units * pieces * tile);
  char* levels = scratch.take<char>(kLevels * r.state);
  char* state = scratch.take<char>(tile);
  parallel_for(columns.units * pieces, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t u = t / pieces, from = t % pieces * piece;
      fold_range(r, s, columns.index(u), columns.width(u), from, smaller(s.terms, from + piece), part + t * tile);
    }
  });
  for (int64_t u = 0; u < columns.units; ++u) {
    for (int64_t c = 0; c * r.lanes < columns.width(u); ++c) {
      for (int64_t p = 0; p < pieces; ++p) r.push(r, part + (u * pieces + p) * tile + c * r.state, p, levels);
      r.total(r, levels, 1, pieces, state + c * r.state);
    }
    finish_columns(r, s, columns.index(u), columns.width(u), state);
  }
}

// Reduces call[0] into call[1], …, call[outputs].
inline void run_reduction(const Call& call, const Reducer& r, int outputs, bool ordered) {
  const Reduction s = make_reduction(call[0], &call[1], outputs, call[1], ordered);
  if (s.count == 0) return;
  if (s.columns)
    reduce_columns(r, s);
  else
    reduce_outputs(r, s);
}

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
