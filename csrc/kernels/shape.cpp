#include "kernels/shape.h"

#include "isa/elementwise.h"
#include "isa/walk.h"

namespace pullback::ISA_NAMESPACE {
namespace {

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
  switch (item_size(c[0].dtype)) {
    case 8:
      return triangle<lower, uint64_t>(c);
    case 4:
      return triangle<lower, uint32_t>(c);
    case 2:
      return triangle<lower, uint16_t>(c);
    default:
      return triangle<lower, uint8_t>(c);
  }
}

// --- together ---

template <int size>
void same_tile(const Tile& t) {
  std::memcpy(t.out[0], t.in[0], static_cast<size_t>(t.n * size));
}
TileFn tile_of(int size) {
  return size == 8 ? same_tile<8> : size == 4 ? same_tile<4> : size == 2 ? same_tile<2> : same_tile<1>;
}

// y without its dimension `axis`: the layer number `at`.
Operand layer(const Operand& y, int64_t axis, int64_t at) {
  Operand part = y;
  part.offset += at * y.strides[axis] * item_size(y.dtype);
  --part.ndim;
  for (int64_t d = axis; d < part.ndim; ++d) part.shape[d] = y.shape[d + 1], part.strides[d] = y.strides[d + 1];
  return part;
}
// y, of the dimension `axis` only n elements from `at` on.
Operand slice(const Operand& y, int64_t axis, int64_t at, int64_t n) {
  Operand part = y;
  part.offset += at * y.strides[axis] * item_size(y.dtype);
  part.shape[axis] = n;
  return part;
}

void cat(const Call& c) {
  const OperandList parts = c.list(0);
  const Operand& y = c[1];
  const int64_t axis = c.integer(0);
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

constexpr EntryRow rows[] = {
    {"cat", cat},
    {"tril", triangle_of<true>},
    {"triu", triangle_of<false>},
};

}  // namespace

extern const Family shape_family;
const Family shape_family = {rows, sizeof(rows) / sizeof(rows[0])};

}  // namespace pullback::ISA_NAMESPACE
