#include "common/elementwise.h"
#include "kernels/shape.h"
#include "kernels/shape_formulas.h"

namespace pullback::cuda {
namespace {

// --- triangles -------------------------------------------------------------------------------------------------------

// y_ij = x_ij where j − i ≤ diagonal (tril), or ≥ it (triu), else 0
template <bool lower, class Word>
__global__ void triangle(Space<2> s, int64_t m, int64_t n, int64_t diagonal, const Word* x, Word* y) {
  for (int64_t k = first(); k < s.size; k += stride()) {
    const int64_t i = k / n % m, j = k % n;
    const bool keeps = lower ? j - i <= diagonal : j - i >= diagonal;
    const auto places = s.places(k);
    y[places.at[1]] = keeps ? x[places.at[0]] : Word(0);
  }
}
template <bool lower>
void triangle_of(const Call& c) {
  const Operand &x = c[0], &y = c[1];
  const Space<2> s = row_major_space(x, y);
  visit_words(x.dtype, [&](auto zero) {
    using Word = decltype(zero);
    launch(triangle<lower, Word>, blocks_for(s.size), kBlockSize, s, x.shape[x.ndim - 2], x.shape[x.ndim - 1],
           c.integer(0), static_cast<const Word*>(x.data<Word>()), y.data<Word>());
  });
}

// --- together --------------------------------------------------------------------------------------------------------

template <class Word>
struct Same {
  PB_DEVICE void operator()(Word x, Word& y) const { y = x; }
};

// A launch for each part.
void cat(const Call& c) {
  const OperandList parts = c.list(0);
  const Operand& y = c[1];
  const int64_t axis = c.integer(0);
  int64_t at = 0;
  for (int k = 0; k < parts.count; ++k) {
    const bool whole = parts[k].ndim < y.ndim;
    const int64_t n = whole ? 1 : parts[k].shape[axis];
    if (at + n > y.shape[axis]) return c.error->set(ErrorCode::bad_shape, k, 0);
    const Operand pair[] = {parts[k], whole ? layer(y, axis, at) : slice(y, axis, at, n)};
    visit_words(y.dtype, [&](auto zero) {
      using Word = decltype(zero);
      elementwise<const Word, Word>({pair, c.first, c.scalars, c.error}, Same<Word>());
    });
    at += n;
  }
}

// --- padding ---------------------------------------------------------------------------------------------------------

struct Padding {
  int ndim;
  int64_t size, mode;
  int64_t n[kMaxDims], shape[kMaxDims];  // of x, of y
  int64_t from[kMaxDims], to[kMaxDims];  // strides of x and y
  int64_t step;                          // of pads, from one dimension to the next
};

// pads and value are read on the device, where they lie.
template <class Word>
__global__ void pad_elements(Padding s, const Word* x, const int64_t* pads, const Word* value, Word* y) {
  for (int64_t k = first(); k < s.size; k += stride()) {
    int64_t rest = k, from = 0, to = 0;
    bool inside = true;
    for (int d = s.ndim - 1; d >= 0; --d) {
      const int64_t p = rest % s.shape[d];
      const int64_t i = Padded{s.n[d], pads[d * s.step], s.shape[d], s.mode}.source(p);
      rest /= s.shape[d];
      inside = inside && i >= 0;
      from += i * s.from[d];
      to += p * s.to[d];
    }
    y[to] = inside ? x[from] : *value;
  }
}
void pad(const Call& c) {
  const Operand &x = c[0], &pads = c[1], &y = c[3];
  Padding s{y.ndim, y.size(), c.integer(0), {}, {}, {}, {}, pads.strides[0]};
  for (int d = 0; d < y.ndim; ++d)
    s.n[d] = x.shape[d], s.shape[d] = y.shape[d], s.from[d] = x.strides[d], s.to[d] = y.strides[d];
  visit_words(x.dtype, [&](auto zero) {
    using Word = decltype(zero);
    launch(pad_elements<Word>, blocks_for(s.size), kBlockSize, s, static_cast<const Word*>(x.data<Word>()),
           static_cast<const int64_t*>(pads.data<int64_t>()), static_cast<const Word*>(c[2].data<Word>()),
           y.data<Word>());
  });
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

}  // namespace pullback::cuda
