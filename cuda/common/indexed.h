// Elements that index arrays point at.
#pragma once
#include <numeric>

#include "common/elementwise.h"
#include "common/scratch.h"

namespace pullback::cuda {

// The dimension that an index points into: from 0, or from −size on where `wraps` is set.
struct Along {
  int64_t size, stride;
  bool wraps;
  PB_DEVICE bool holds(int64_t i) const { return i >= (wraps ? -size : 0) && i < size; }
  PB_DEVICE int64_t place(int64_t i) const { return (i < 0 ? i + size : i) * stride; }
};

// An operand of y's shape: dimensions [begin, end) as x's from dimension `from` on, of stride 0 in the others.
inline Operand stretched(const Operand& x, const Operand& y, int begin, int end, int from = 0) {
  Operand s = x;
  s.ndim = y.ndim;
  for (int d = 0; d < y.ndim; ++d) {
    s.shape[d] = y.shape[d];
    s.strides[d] = d >= begin && d < end ? x.strides[d - begin + from] : 0;
  }
  return s;
}

// --- reading ---------------------------------------------------------------------------------------------------------

// y_i = x[… + index_i, …]; what is out of range is reported and left out.
template <class Word>
__global__ void gather_elements(Space<3> s, Along along, const Word* x, const int64_t* index, Word* y, Error* error) {
  for (int64_t i = first(); i < s.size; i += stride()) {
    const auto places = s.places(i);
    const int64_t to = index[places.at[1]];
    if (along.holds(to)) {
      y[places.at[2]] = x[places.at[0] + along.place(to)];
    } else {
      report(error, ErrorCode::index_out_of_range, to, along.size);
    }
  }
}

// How many elements lie side by side in x and y for one index, so that they can be moved as one word: 1, 2, 4, …
inline int64_t elements_of_word(const Space<3>& s, const Along& along, const Operand (&x)[3]) {
  const int last = s.ndim - 1;
  if (last < 0 || s.stride[0][last] != 1 || s.stride[1][last] != 0 || s.stride[2][last] != 1) return 1;
  int64_t all = along.stride | s.shape[last];  // the factor of 2 that these have in common
  for (int d = 0; d < last; ++d) all |= s.stride[0][d] | s.stride[2][d];
  int64_t n = 1;
  const auto bytes = [&] { return 2 * n * item_size(x[0].dtype); };
  const auto aligned = [&](const Operand& a) { return reinterpret_cast<uintptr_t>(a.data<char>()) % bytes() == 0; };
  while (bytes() <= 16 && all % (2 * n) == 0 && aligned(x[0]) && aligned(x[2])) n *= 2;
  return n;
}

// x, index and y as operands of one shape; x does not move along what is pointed into.
inline void gather_from(const Call& c, const Operand (&x)[3], Along along) {
  Space<3> s = make_space<3>(x, 2);
  if (s.size == 0) return;
  const int64_t n = elements_of_word(s, along, x);
  s.size /= n, along.stride /= n;
  if (n > 1) s.shape[s.ndim - 1] /= n;
  for (int d = 0; d < s.ndim - 1; ++d) s.stride[0][d] /= n, s.stride[2][d] /= n;
  const auto move = [&](auto word) {
    using Word = decltype(word);
    launch(gather_elements<Word>, blocks_for(s.size), kBlockSize, s, along, static_cast<const Word*>(x[0].data<Word>()),
           static_cast<const int64_t*>(x[1].data<int64_t>()), x[2].data<Word>(), device_error(c));
  };
  const int64_t bytes = n * item_size(x[0].dtype);
  bytes == 16  ? move(Pack<uint64_t, 2>())
  : bytes == 8 ? move(uint64_t())
  : bytes == 4 ? move(uint32_t())
  : bytes == 2 ? move(uint16_t())
               : move(uint8_t());
}

// --- places ----------------------------------------------------------------------------------------------------------

// Dimensions of x that are pointed into make one number of what is pointed at: its place, counted from the lowest in
// the largest unit that all strides are multiples of. So numbers are 0, 1, … without gaps where memory has none.
struct Numbering {
  int64_t unit = 0, low = 0, high = 0;  // elements of x; a unit of 0 where there is one place only

  void add(int64_t size, int64_t stride) {
    if (size <= 1) return;
    unit = std::gcd(unit, stride);
    (stride < 0 ? low : high) += (size - 1) * stride;
  }
  int64_t count(int64_t elements) const { return unit ? elements / unit : 0; }
  int64_t range() const { return count(high - low) + 1; }
};

namespace {

// numbers[e] += what one index array adds to the number of entry e, and a base; −1 where it is out of range, which is
// reported, and marked in `failed` where there is one.
__global__ void follow(Space<2> s, Along along, const int64_t* index, int64_t* numbers, int* failed, Error* error) {
  for (int64_t e = first(); e < s.size; e += stride()) {
    const auto places = s.places(e);
    const int64_t before = numbers[e], to = index[places.at[1]];
    const bool holds = along.holds(to);
    numbers[e] = before >= 0 && holds ? before + places.at[0] + along.place(to) : -1;
    if (holds) continue;
    report(error, ErrorCode::index_out_of_range, to, along.size);
    if (failed != nullptr) compare_and_swap(failed, 0, 1);
  }
}

}  // namespace

// What numbers are before an index is followed.
inline void start_numbers(const Numbering& places, int64_t count, int64_t* numbers) {
  fill_scratch(numbers, count, places.count(-places.low));
}
inline void follow_index(const Call& c, const Numbering& places, const Space<2>& s, Along along, const Operand& index,
                         int64_t* numbers, int* failed) {
  along.stride = places.count(along.stride);
  launch(follow, blocks_for(s.size), kBlockSize, s, along, static_cast<const int64_t*>(index.data<int64_t>()), numbers,
         failed, device_error(c));
}

}  // namespace pullback::cuda
