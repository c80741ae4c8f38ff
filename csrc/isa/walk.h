// Walking several arrays over one shape, for kernels whose operands do not all lie side by side.
#pragma once
#include "isa/kernel.h"

namespace pullback::ISA_NAMESPACE {
namespace {

// A shape, and how far apart neighbours along each of its dimensions lie in each array. Dimensions of size 1 are left
// out, and neighbouring ones merged where every array allows it.
template <int arrays>
struct Walk {
  int ndim = 0;
  int64_t count = 1;
  int64_t shape[kMaxDims];
  int64_t strides[arrays][kMaxDims];

  void add(int64_t size, const int64_t (&stride)[arrays]) {
    count *= size;
    if (size == 1) return;
    const int last = ndim - 1;
    bool continues = ndim > 0;
    for (int a = 0; a < arrays; ++a) continues = continues && strides[a][last] == size * stride[a];
    if (!continues) shape[ndim++] = 1;
    shape[ndim - 1] *= size;
    for (int a = 0; a < arrays; ++a) strides[a][ndim - 1] = stride[a];
  }
  int64_t inner(int array) const { return ndim ? strides[array][ndim - 1] : 0; }
};

// f(at, length) for the rows that make up elements [begin, end) in row-major order: the row's elements lie at
// at[a] + k · w.inner(a) in array a. From a row to the next one, what is not a carry is one addition for each array:
// rows may be as short as a few elements.
template <int arrays, class F>
PB_INLINE void each_row(const Walk<arrays>& w, int64_t begin, int64_t end, F&& f) {
  int64_t at[arrays] = {0}, step[arrays] = {0}, index[kMaxDims], rest = begin;
  if (w.ndim == 0) return f(at, end - begin);
  const int inner = w.ndim - 1, middle = larger(inner - 1, 0);
  for (int d = inner; d >= 0; --d) {
    index[d] = rest % w.shape[d];
    rest /= w.shape[d];
    for (int a = 0; a < arrays; ++a) at[a] += index[d] * w.strides[a][d];
  }
  const int64_t row = w.shape[inner];
  int64_t skipped = begin % row, left = inner ? w.shape[middle] - begin / row % w.shape[middle] : 1;
  for (int a = 0; a < arrays; ++a) step[a] = w.strides[a][middle];
  for (int64_t done = begin; done < end;) {
    const int64_t length = smaller(row - skipped, end - done);
    f(at, length);
    done += length;
    for (int a = 0; a < arrays; ++a) at[a] += step[a] - skipped * w.strides[a][inner];
    skipped = 0;
    if (--left || done >= end) continue;
    left = index[middle] = w.shape[middle];
    for (int d = middle; d > 0 && index[d] == w.shape[d]; --d) {  // carry
      for (int a = 0; a < arrays; ++a) at[a] += w.strides[a][d - 1] - index[d] * w.strides[a][d];
      index[d] = 0;
      ++index[d - 1];
    }
  }
}

[[maybe_unused]] static Walk<1> walk_over(const Operand& x, int first, int last) {
  Walk<1> w;
  for (int d = first; d < last; ++d) w.add(x.shape[d], {x.strides[d]});
  return w;
}

// places[k] = where element begin + k lies, k < n
[[maybe_unused]] static void positions(const Walk<1>& w, int64_t begin, int64_t n, int64_t* places) {
  const int64_t stride = w.inner(0);
  each_row(w, begin, begin + n, [&](const int64_t* at, int64_t length) {
    for (int64_t k = 0; k < length; ++k) places[k] = at[0] + k * stride;
    places += length;
  });
}

// Whether `low` ≤ index < size for n indices; if not, the first that is not is reported.
[[maybe_unused]] static bool in_range(const int64_t* index, int64_t step, int64_t n, int64_t low, int64_t size,
                                      Error* error) {
  const auto first = static_cast<uint64_t>(low), last = static_cast<uint64_t>(size - 1);
  const auto outside = [&](int64_t i) {  // in the sign bit
    const auto u = static_cast<uint64_t>(i);
    return (u - first) | (last - u);
  };
  uint64_t any = 0;
  if (step == 1)
    for (int64_t k = 0; k < n; ++k) any |= outside(index[k]);
  else
    for (int64_t k = 0; k < n; ++k) any |= outside(index[k * step]);
  if (any >> 63 == 0) return true;
  for (int64_t k = 0; k < n; ++k)
    if (outside(index[k * step]) >> 63) return error->set(ErrorCode::index_out_of_range, index[k * step], size), false;
  return true;
}

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
