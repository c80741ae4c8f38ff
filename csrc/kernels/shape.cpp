#include "kernels/shape.h"

#include "isa/elementwise.h"
#include "isa/walk.h"
#include "kernels/shape_formulas.h"

namespace pullback::ISA_NAMESPACE {
namespace {

inline constexpr int64_t kNarrow = 16;  // elements of a row of a part that are worth a call of memcpy
inline constexpr int64_t kBatch = 256;  // rows whose places are worked out together

template <class Word>
void copy_columns(const Word* x, int64_t x_stride, Word* y, int64_t y_stride, int64_t begin, int64_t end) {
  for (int64_t j = begin; j < end; ++j) y[j * y_stride] = x[j * x_stride];
}
template <class Word>
void clear_columns(Word* y, int64_t stride, int64_t begin, int64_t end) {
  for (int64_t j = begin; j < end; ++j) y[j * stride] = 0;
}

// Row i keeps its columns below i + diagonal + 1 (tril), or those from i + diagonal on (triu).
template <bool lower, class Word>
void triangle(const Call& c) {
  const Operand &x = c[0], &y = c[1];
  const int row = x.ndim - 2, column = x.ndim - 1;
  const int64_t m = x.shape[row], n = x.shape[column];
  const int64_t offset = smaller(larger(c.integer(0), -m - 1), n + 1) + (lower ? 1 : 0);
  const Walk<1> from = walk_over(x, 0, column), to = walk_over(y, 0, column);
  if (from.count == 0 || n == 0) return;
  parallel_for(from.count, larger(1, kPiece / n), [&](int64_t first, int64_t last) {
    int64_t from_at[kBatch], to_at[kBatch];
    for (int64_t begin = first; begin < last; begin += kBatch) {
      const int64_t rows = smaller(kBatch, last - begin);
      positions(from, begin, rows, from_at);
      positions(to, begin, rows, to_at);
      for (int64_t k = 0; k < rows; ++k) {
        const Word* xi = x.data<Word>() + from_at[k];
        Word* yi = y.data<Word>() + to_at[k];
        const int64_t cut = smaller(larger((begin + k) % m + offset, 0), n);
        copy_columns(xi, x.strides[column], yi, y.strides[column], lower ? 0 : cut, lower ? cut : n);
        clear_columns(yi, y.strides[column], lower ? cut : 0, lower ? n : cut);
      }
    }
  });
}

template <bool lower>
void triangle_of(const Call& c) {
  visit_words(c[0].dtype, [&](auto zero) { triangle<lower, decltype(zero)>(c); });
}

// --- together ---

template <int size>
void same_tile(const Tile& t) {
  std::memcpy(t.out[0], t.in[0], static_cast<size_t>(t.n * size));
}
TileFn tile_of(int size) {
  return size == 8 ? same_tile<8> : size == 4 ? same_tile<4> : size == 2 ? same_tile<2> : same_tile<1>;
}

// Elements [begin, end) of y, where everything is row-major: a row of y is the parts' rows one behind the other, the
// one of part k from start[k] on.
void cat_range(const OperandList& parts, const Operand& y, const int64_t* start, int64_t begin, int64_t end) {
  const int64_t length = start[parts.count], item = item_size(y.dtype);
  int64_t row = begin / length, column = begin % length;
  int low = 0, high = parts.count;  // start[low] ≤ column < start[high]
  while (high - low > 1) (start[(low + high) / 2] <= column ? low : high) = (low + high) / 2;
  for (int64_t done = begin; done < end; ++row, column = 0, low = 0)
    for (int k = low; k < parts.count && done < end; ++k) {
      const int64_t n = smaller(start[k + 1] - column, end - done), width = start[k + 1] - start[k];
      const char* from = parts[k].data<char>() + (row * width + column - start[k]) * item;
      std::memcpy(y.data<char>() + done * item, from, static_cast<size_t>(n * item));
      done += n, column += n;
    }
}

// Rows [begin, end) of y, where the parts' rows are a few elements: part by part.
template <class Word>
void cat_narrow(const OperandList& parts, const Operand& y, const int64_t* start, int64_t begin, int64_t end) {
  const int64_t length = start[parts.count];
  for (int k = 0; k < parts.count; ++k) {
    const int64_t width = start[k + 1] - start[k];
    const Word* from = parts[k].data<Word>();
    Word* to = y.data<Word>() + start[k];
    if (width == 1)
      copy_columns(from, 1, to, length, begin, end);
    else
      for (int64_t row = begin; row < end; ++row) copy_columns(from + row * width, 1, to + row * length, 1, 0, width);
  }
}
using NarrowFn = void (*)(const OperandList&, const Operand&, const int64_t*, int64_t, int64_t);
NarrowFn narrow_of(int size) {
  return size == 8   ? cat_narrow<uint64_t>
         : size == 4 ? cat_narrow<uint32_t>
         : size == 2 ? cat_narrow<uint16_t>
                     : cat_narrow<uint8_t>;
}

void cat_rows(const OperandList& parts, const Operand& y, int64_t axis) {
  Scratch scratch;
  int64_t* start = scratch.take<int64_t>(parts.count + 1);
  int64_t rows = 1;
  for (int64_t d = 0; d < axis; ++d) rows *= y.shape[d];
  start[0] = 0;
  for (int k = 0; k < parts.count; ++k) start[k + 1] = start[k] + (rows ? parts[k].size() / rows : 0);
  const int64_t length = start[parts.count];
  if (length < parts.count * kNarrow) {
    const NarrowFn f = narrow_of(item_size(y.dtype));
    return parallel_for(rows, larger(1, kPiece / larger(1, length)),
                        [&](int64_t begin, int64_t end) { f(parts, y, start, begin, end); });
  }
  parallel_for(rows * length, kPiece, [&](int64_t begin, int64_t end) { cat_range(parts, y, start, begin, end); });
}

void cat(const Call& c) {
  const OperandList parts = c.list(0);
  const Operand& y = c[1];
  const int64_t axis = c.integer(0);
  bool row_major = y.contiguous();
  int64_t total = 0;
  for (int k = 0; k < parts.count; ++k) {
    row_major = row_major && parts[k].contiguous();
    total += parts[k].ndim < y.ndim ? 1 : parts[k].shape[axis];
  }
  if (row_major && total == y.shape[axis]) return cat_rows(parts, y, axis);
  const TileFn tile = tile_of(item_size(y.dtype));
  int64_t at = 0;
  for (int k = 0; k < parts.count; ++k) {
    const bool whole = parts[k].ndim < y.ndim;
    const int64_t n = whole ? 1 : parts[k].shape[axis];
    if (at + n > y.shape[axis]) return c.error->set(ErrorCode::bad_shape, k, 0);
    const Operand pair[] = {parts[k], whole ? layer(y, axis, at) : slice(y, axis, at, n)};
    elementwise({pair, c.first, c.scalars, c.error}, tile, 1);
    at += n;
  }
}

// --- padding ---

// Of a dimension of y, what x has.
int64_t inside_begin(const Padded& d) { return smaller(larger(d.left, 0), d.size); }
int64_t inside_end(const Padded& d) { return larger(inside_begin(d), smaller(d.left + d.n, d.size)); }

// y[p] for p in [begin, end) of a row
template <class Word>
void pad_part(const Padded& d, const Word* x, int64_t x_stride, Word value, Word* y, int64_t y_stride, int64_t begin,
              int64_t end) {
  const auto edge = [&](int64_t from, int64_t to) {
    for (int64_t p = from; p < to; ++p) {
      const int64_t i = d.source(p);
      y[p * y_stride] = i < 0 ? value : x[i * x_stride];
    }
  };
  const int64_t from = smaller(larger(begin, inside_begin(d)), end), to = larger(from, smaller(end, inside_end(d)));
  edge(begin, from);
  const Word* middle = x + (from - d.left) * x_stride;
  if (x_stride == 1 && y_stride == 1)
    std::memcpy(y + from, middle, static_cast<size_t>(to - from) * sizeof(Word));
  else
    copy_columns(middle, x_stride, y + from * y_stride, y_stride, 0, to - from);
  edge(to, end);
}

// Where row `row` of y lies, and what it takes from x; false where it holds the value only.
struct PadRows {
  Padded dims[kMaxDims];
  const Operand &x, &y;

  bool place(int64_t row, int64_t* from, int64_t* to) const {
    bool inside = true;
    *from = *to = 0;
    for (int d = y.ndim - 2; d >= 0; --d) {
      const int64_t p = row % y.shape[d], i = dims[d].source(p);
      row /= y.shape[d];
      inside = inside && i >= 0;
      *from += i * x.strides[d];
      *to += p * y.strides[d];
    }
    return inside;
  }
};

template <class Word>
void pad_words(const Call& c) {
  const Operand &x = c[0], &pads = c[1], &y = c[3];
  if (y.size() == 0) return;
  PadRows rows{{}, x, y};
  for (int d = 0; d < y.ndim; ++d)
    rows.dims[d] = {x.shape[d], pads.data<int64_t>()[d * pads.strides[0]], y.shape[d], c.integer(0)};
  const int last = y.ndim - 1;
  const int64_t size = y.shape[last], count = y.size() / size;
  const int64_t part = smaller(size, kPiece), parts = (size - 1) / part + 1;
  const Padded inner = rows.dims[last], nothing{0, 0, size, kConstant};
  const Word value = *c[2].data<Word>();
  parallel_for(count * parts, larger(1, kPiece / part), [&](int64_t first, int64_t end) {
    for (int64_t task = first; task < end; ++task) {
      const int64_t begin = task % parts * part;
      int64_t from, to;
      const bool inside = rows.place(task / parts, &from, &to);
      pad_part(inside ? inner : nothing, x.data<Word>() + (inside ? from : 0), x.strides[last], value,
               y.data<Word>() + to, y.strides[last], begin, smaller(begin + part, size));
    }
  });
}

void pad(const Call& c) {
  visit_words(c[0].dtype, [&](auto zero) { pad_words<decltype(zero)>(c); });
}

constexpr EntryRow rows[] = {
    {"cat", cat, kTakesHalves},
    {"pad", pad, kTakesHalves},
    {"tril", triangle_of<true>, kTakesHalves},
    {"triu", triangle_of<false>, kTakesHalves},
};

}  // namespace

extern const Family shape_family;
const Family shape_family = {rows, sizeof(rows) / sizeof(rows[0])};

}  // namespace pullback::ISA_NAMESPACE
