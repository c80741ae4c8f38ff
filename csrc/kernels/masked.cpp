#include "kernels/masked.h"

#include "isa/walk.h"

namespace pullback::ISA_NAMESPACE {
namespace {

inline constexpr int64_t kPiece = 16 * 1024;  // elements that one task takes
inline constexpr int64_t kBlock = 128;        // elements counted in a byte

// Rows of the last dimension as they are: coordinates are wanted, so nothing is merged.
Walk<1> rows_of(const Operand& x) {
  Walk<1> w;
  w.ndim = x.ndim;
  w.count = x.size();
  for (int d = 0; d < x.ndim; ++d) w.shape[d] = x.shape[d], w.strides[0][d] = x.strides[d];
  return w;
}

template <class T>
int64_t count_row(const T* x, int64_t stride, int64_t n) {
  int64_t total = 0;
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    const int64_t end = smaller(begin + kBlock, n);
    uint8_t found = 0;
    if (stride == 1)
      for (int64_t k = begin; k < end; ++k) found = static_cast<uint8_t>(found + (x[k] != T(0)));
    else
      for (int64_t k = begin; k < end; ++k) found = static_cast<uint8_t>(found + (x[k * stride] != T(0)));
    total += found;
  }
  return total;
}

// counts[p] = nonzero elements of piece p
template <class T>
void count_pieces(const Operand& x, int64_t* counts) {
  const Walk<1> w = walk_over(x, 0, x.ndim);
  parallel_for(w.count, kPiece, [&](int64_t begin, int64_t end) {
    int64_t n = 0;
    each_row(w, begin, end,
             [&](const int64_t* at, int64_t length) { n += count_row(x.data<T>() + at[0], w.inner(0), length); });
    counts[begin / kPiece] = n;
  });
}

int64_t pieces_of(const Operand& x) { return (x.size() + kPiece - 1) / kPiece; }

void count_nonzero_all(const Call& c) {
  Scratch scratch;
  int64_t* counts = scratch.take<int64_t>(pieces_of(c[0]));
  visit_any(c[0].dtype, [&](auto zero) { count_pieces<Stored<decltype(zero)>>(c[0], counts); });
  int64_t total = 0;
  for (int64_t p = 0; p < pieces_of(c[0]); ++p) total += counts[p];
  *c[1].data<int64_t>() = total;
}

// The coordinates of the nonzero elements of [begin, end) as rows [row, until) of y.
template <class T>
void find_piece(const Operand& x, const Operand& y, int64_t begin, int64_t end, int64_t row, int64_t until) {
  const Walk<1> w = rows_of(x);
  const int inner = x.ndim - 1;
  const int64_t stride = w.inner(0), next = y.strides[0], last = x.ndim ? x.shape[inner] : 1;
  int64_t coordinates[kMaxDims], position = begin;
  each_row(w, begin, end, [&](const int64_t* at, int64_t n) {
    const T* data = x.data<T>() + at[0];
    const int64_t first = position % last;
    int64_t rest = position / last;
    for (int d = inner - 1; d >= 0; --d) coordinates[d] = rest % x.shape[d], rest /= x.shape[d];
    // Every element is written, and overwritten by the next if it is zero: no branch depends on the data.
    for (int64_t k = 0; k < n && row < until; ++k) {
      int64_t* out = y.data<int64_t>() + row * next;
      for (int d = 0; d < inner; ++d) out[d * y.strides[1]] = coordinates[d];
      if (inner >= 0) out[inner * y.strides[1]] = first + k;
      row += data[k * stride] != T(0);
    }
    position += n;
  });
}

// f(begin, end, first, last) for each piece of x: its elements that are not zero have the numbers first, …, last − 1,
// `most` of all being the end.
template <class T, class F>
void number_pieces(const Operand& x, int64_t most, const F& f) {
  Scratch scratch;
  int64_t* starts = scratch.take<int64_t>(pieces_of(x) + 1);
  starts[0] = 0;
  count_pieces<T>(x, starts + 1);
  for (int64_t p = 0; p < pieces_of(x); ++p) starts[p + 1] += starts[p];
  parallel_for(x.size(), kPiece, [&](int64_t begin, int64_t end) {
    const int64_t* start = starts + begin / kPiece;
    f(begin, end, start[0], smaller(start[1], most));
  });
}

void nonzero(const Call& c) {
  const Operand &x = c[0], &y = c[1];
  visit_any(x.dtype, [&](auto zero) {
    using T = Stored<decltype(zero)>;
    number_pieces<T>(x, y.shape[0], [&](int64_t begin, int64_t end, int64_t row, int64_t until) {
      find_piece<T>(x, y, begin, end, row, until);
    });
  });
}

// --- chosen by a mask ---

// As above, what is not chosen is written too, and overwritten by the next.
template <class Word>
void select_words(const Call& c) {
  const Operand &x = c[0], &mask = c[1], &y = c[2];
  Walk<2> w;
  for (int d = 0; d < x.ndim; ++d) w.add(x.shape[d], {x.strides[d], mask.strides[d]});
  const int64_t from = w.inner(0), step = w.inner(1), to = y.strides[0];
  number_pieces<Stored<bool>>(mask, y.shape[0], [&](int64_t begin, int64_t end, int64_t row, int64_t until) {
    each_row(w, begin, end, [&](const int64_t* at, int64_t n) {
      const Word* xs = x.data<Word>() + at[0];
      const uint8_t* chosen = mask.data<uint8_t>() + at[1];
      Word* ys = y.data<Word>();
      for (int64_t k = 0; k < n && row < until; ++k) {
        ys[row * to] = xs[k * from];
        row += chosen[k * step] != 0;
      }
    });
  });
}

template <class Word>
void scatter_words(const Call& c) {
  const Operand &x = c[0], &mask = c[1], &values = c[2], &y = c[3];
  Walk<3> w;
  for (int d = 0; d < y.ndim; ++d) w.add(y.shape[d], {x.strides[d], mask.strides[d], y.strides[d]});
  const int64_t from = w.inner(0), step = w.inner(1), to = w.inner(2), next = values.strides[0];
  number_pieces<Stored<bool>>(mask, values.shape[0], [&](int64_t begin, int64_t end, int64_t row, int64_t until) {
    each_row(w, begin, end, [&](const int64_t* at, int64_t n) {
      const Word* xs = x.data<Word>() + at[0];
      const uint8_t* chosen = mask.data<uint8_t>() + at[1];
      Word* ys = y.data<Word>() + at[2];
      int64_t k = 0;
      for (; k < n && row < until; ++k) {
        const Word v = values.data<Word>()[row * next], own = xs[k * from];
        const Word all = static_cast<Word>(-static_cast<int64_t>(chosen[k * step] != 0));  // ones where it is chosen
        ys[k * to] = static_cast<Word>((v & all) | (own & ~all));
        row += chosen[k * step] != 0;
      }
      for (; k < n; ++k) ys[k * to] = xs[k * from];
    });
  });
}

void masked_select(const Call& c) {
  visit_words(c[0].dtype, [&](auto zero) { select_words<decltype(zero)>(c); });
}
void masked_scatter(const Call& c) {
  visit_words(c[0].dtype, [&](auto zero) { scatter_words<decltype(zero)>(c); });
}

constexpr EntryRow rows[] = {
    {"count_nonzero_all", count_nonzero_all},
    {"masked_scatter", masked_scatter, kTakesHalves},
    {"masked_select", masked_select, kTakesHalves},
    {"nonzero", nonzero},
};

}  // namespace

extern const Family masked_family;
const Family masked_family = {rows, sizeof(rows) / sizeof(rows[0])};

}  // namespace pullback::ISA_NAMESPACE
