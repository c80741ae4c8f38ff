// What stands at one place of each line in order, without sorting it (radix select). A block has a line: it counts, in
// shared memory, by the highest eight bits of their keys, sees in which digit the place lies, and goes on to the next
// eight bits with the elements of that digit. Equals stand in the order of their indices, whose digits follow those of
// the key. The passes end when one element is left, which a last one finds. Counts are integers, so that the order of
// threads does not show.
//
// A source says what is selected from: row(line), code(row, k), an unsigned number of Code whose `bits` bits ascend.
#pragma once
#include "common/lines.h"
#include "common/reduce.h"

namespace pullback::cuda {

inline constexpr int kDigitBits = 8, kDigits = 1 << kDigitBits;
inline constexpr int kSelectThreads = 1024;  // of a block: lines are long
inline constexpr int kCodes = 4;             // of a thread that are read before the first is counted

// Which place of a line is wanted: k or, for a median, the (n − 1) div 2nd of its n numbers, but the first NaN where
// there is one, unless these are skipped. NaN are the largest code.
struct Place {
  int64_t k;
  bool median, has_nan, skip_nan;
  PB_DEVICE int64_t among(int64_t length, int64_t nans) const {
    if (!median) return k;
    const int64_t numbers = length - nans;
    if (nans > 0 && !skip_nan) return numbers;
    return numbers > 0 ? (numbers - 1) / 2 : 0;
  }
};

// What is known of the wanted element, and which one it is of the `left` elements that this is true of.
template <class Code>
struct Wanted {
  Code code = 0, known = 0;
  int64_t index = 0, known_index = 0;
  int64_t rank = 0, left = 0;
  PB_DEVICE bool may_be(Code c, int64_t k) const { return (c & known) == code && (k & known_index) == index; }
};

// f(k, code_k) for every element of the line, in its own thread.
template <class Source, class Row, class F>
PB_DEVICE void for_each_code(const Source& source, const Row& row, int64_t length, const F& f) {
  for (int64_t begin = thread(); begin < length; begin += kCodes * threads()) {
    typename Source::Code code[kCodes];
    PB_UNROLL
    for (int e = 0; e < kCodes; ++e) {
      const int64_t k = begin + e * threads();
      code[e] = k < length ? source.code(row, k) : 0;
    }
    PB_UNROLL
    for (int e = 0; e < kCodes; ++e) {
      const int64_t k = begin + e * threads();
      if (k < length) f(k, code[e]);
    }
  }
}

// The digit in which w's rank lies, which then is its rank there. Every warp finds it for itself.
template <class Code>
PB_DEVICE int choose_digit(const int* count, Wanted<Code>& w) {
  constexpr int each = kDigits / kWarpSize;
  int own = 0;
  for (int e = 0; e < each; ++e) own += count[lane() * each + e];
  int64_t before = own;
  for (int step = 1; step < kWarpSize; step *= 2) {
    const int64_t of_lower = shuffle(before, lane() - step);
    if (lane() >= step) before += of_lower;
  }
  before -= own;
  int digit = -1;
  int64_t start = 0, left = 0;
  for (int e = 0; e < each; ++e) {
    const int here = count[lane() * each + e];
    if (w.rank >= before && w.rank < before + here) digit = lane() * each + e, start = before, left = here;
    before += here;
  }
  digit = reduce_warp(digit, Largest());
  w.rank -= shuffle(start, digit / each);
  w.left = shuffle(left, digit / each);
  return digit;
}

// One pass: digits of the code or of the index, from `shift` on. The first one of a line counts its NaN too.
template <bool of_index, class Source, class Row, class Code>
PB_DEVICE void narrow(const Source& source, const Row& row, int64_t length, const Place& place, int shift,
                      Wanted<Code>& w) {
  int* count = shared<int, kDigits + 1>();  // NaN last
  sync_block();                             // the pass before this one is still read
  for (int d = thread(); d <= kDigits; d += threads()) count[d] = 0;
  sync_block();
  const bool at_first = w.known == 0;
  const Code nan = static_cast<Code>(~Code{0});
  for_each_code(source, row, length, [&](int64_t k, Code code) {
    if (!w.may_be(code, k)) return;
    const int digit = static_cast<int>((of_index ? static_cast<uint64_t>(k) : code) >> shift) & (kDigits - 1);
    fetch_add(count + digit, 1);
    if (at_first && place.has_nan && code == nan) fetch_add(count + kDigits, 1);
  });
  sync_block();
  if (at_first) w.rank = place.among(length, count[kDigits]);
  const int digit = choose_digit(count, w);
  if constexpr (of_index) {
    w.index |= static_cast<int64_t>(digit) << shift;
    w.known_index |= int64_t{kDigits - 1} << shift;
  } else {
    w.code |= static_cast<Code>(digit) << shift;
    w.known |= Code{kDigits - 1} << shift;
  }
}

// sink.put(line, index) for the element at its place, of every line of `length` ≥ 1.
template <class Source, class Sink>
__global__ void __launch_bounds__(kSelectThreads, 1)
    select_in_lines(Source source, int64_t lines, int64_t length, Place place, int index_bits, Sink sink) {
  for (int64_t line = block(); line < lines; line += blocks()) {
    const auto row = source.row(line);
    Wanted<typename Source::Code> w;
    w.left = length;
    PB_ROLLED
    for (int shift = Source::bits - kDigitBits; shift >= 0 && w.left > 1; shift -= kDigitBits)
      narrow<false>(source, row, length, place, shift, w);
    PB_ROLLED
    for (int shift = index_bits - kDigitBits; shift >= 0 && w.left > 1; shift -= kDigitBits)
      narrow<true>(source, row, length, place, shift, w);
    for_each_code(source, row, length, [&](int64_t k, auto code) {
      if (w.may_be(code, k)) sink.put(line, k);
    });
  }
}

template <class Source, class Sink>
void select_places(const Source& source, int64_t lines, int64_t length, const Place& place, const Sink& sink) {
  int index_bits = 0;
  while (index_bits < 32 && length > int64_t{1} << index_bits) index_bits += kDigitBits;
  launch(select_in_lines<Source, Sink>, blocks_for_lines(lines), kSelectThreads, source, lines, length, place,
         index_bits, sink);
}

}  // namespace pullback::cuda
