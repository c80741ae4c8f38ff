// Indices in the order of random keys: k_i, of 64 bits, as a signed number.
//
// An item holds the higher half of a key, or what of it leaves room for its index below: items differ, and are sorted
// as numbers. Those that agree in what they hold of their keys are put into the order of whole keys afterwards.
//
// Keys are spread evenly: items go to buckets by their highest bits, and then by the next ones, until a bucket has few.
#pragma once
#include "isa/philox.h"

namespace pullback::ISA_NAMESPACE {
namespace {

inline constexpr int64_t kFewItems = 64;         // up to here, counting beats distributing
inline constexpr int64_t kBucketItems = 12;      // in a bucket, or up to twice as many, where bits are enough
inline constexpr int64_t kNearItems = 1 << 17;   // up to here, they stay in the caches wherever they go
inline constexpr int64_t kItemsPiece = 1 << 15;  // of what one thread works on at a time
static_assert(kItemsPiece % kWords == 0);

// `bits` bits of items from `shift` on, in the order of signed numbers.
struct Digit {
  int shift, bits;
  int64_t values() const { return int64_t{1} << bits; }
  PB_INLINE int64_t of(int64_t item) const {
    const uint64_t ascending = static_cast<uint64_t>(item) ^ uint64_t { 1 } << 63;
    return static_cast<int64_t>(ascending >> shift & ((uint64_t{1} << bits) - 1));
  }
};
// What n items are distributed by that agree in the bits from `shift` on.
inline Digit next_digit(int64_t n, int shift) {
  const int most = static_cast<int>(smaller(shift, n <= kNearItems ? 11 : 8));
  int bits = 1;
  while (bits < most && n >> (bits + 1) >= kBucketItems) ++bits;
  return {shift - bits, bits};
}

// From a to b; begin[d] is where the items with digit d come to stand, begin[d + 1] where they end. Each piece counts
// its digits, hears where its items of each digit start, and puts them there.
inline void distribute(const int64_t* a, int64_t* b, int64_t n, Digit digit, int64_t* begin) {
  const int64_t pieces = (n - 1) / kItemsPiece + 1, values = digit.values();
  Scratch scratch;
  int64_t* places = scratch.take<int64_t>(pieces * values);  // [pieces, values]
  parallel_for(n, kItemsPiece, [&](int64_t first, int64_t stop) {
    int64_t* count = places + first / kItemsPiece * values;
    for (int64_t d = 0; d < values; ++d) count[d] = 0;
    for (int64_t i = first; i < stop; ++i) ++count[digit.of(a[i])];
  });
  int64_t start = 0;
  for (int64_t d = 0; d < values; ++d) {
    begin[d] = start;
    for (int64_t p = 0; p < pieces; ++p) {
      const int64_t count = places[p * values + d];
      places[p * values + d] = start;
      start += count;
    }
  }
  begin[values] = start;
  parallel_for(n, kItemsPiece, [&](int64_t first, int64_t stop) {
    int64_t* place = places + first / kItemsPiece * values;
    for (int64_t i = first; i < stop; ++i) b[place[digit.of(a[i])]++] = a[i];
  });
}

// Each of n ≤ kFewItems items goes to its rank: rank_i = |{j: a_j < a_i}|
PB_INLINE void sort_few(const int64_t* a, int64_t* sorted, int64_t n) {
  using V = Vec<int64_t>;
  int64_t rank[kFewItems];
  static_assert(kFewItems % (2 * V::size) == 0);
  const auto load = [&](int64_t i) { return V::load(a + i, static_cast<int>(larger(0, smaller(V::size, n - i)))); };
  for (int64_t i = 0; i < n; i += 2 * V::size) {
    const V left = load(i), right = load(i + V::size);
    V below_left, below_right;
    for (int64_t j = 0; j < n; ++j) {
      below_left -= V((V(a[j]) < left).raw);
      below_right -= V((V(a[j]) < right).raw);
    }
    below_left.store(rank + i);
    below_right.store(rank + i + V::size);
  }
  for (int64_t i = 0; i < n; ++i) sorted[rank[i]] = a[i];
}

template <class T>
struct Permutation {
  Philox stream;
  int64_t tiles;       // of the higher halves; those of the lower ones follow
  int64_t index_mask;  // of the bits that hold an item's index
  int64_t step;        // of y

  uint32_t word(int64_t i) const {
    uint32_t of_block[4];
    philox_block(stream, i / kWords * kBlocks + i % kBlocks, of_block);
    return of_block[i % kWords / kBlocks];
  }
  int64_t key(int64_t item) const {
    const int64_t i = item & index_mask;
    return static_cast<int64_t>(uint64_t{word(i)} << 32 | word(tiles * kWords + i));
  }

  // a_i for begin ≤ i < end, and to the end of the tile.
  void draw(int64_t begin, int64_t end, int64_t* a) const {
    alignas(64) uint32_t words[kWords];
    for (int64_t at = begin; at < end; at += kWords) {
      philox_tile(stream, at / kWords, words);
      for (int64_t i = 0; i < kWords; ++i)
        a[at + i] = (static_cast<int64_t>(uint64_t{words[i]} << 32) & ~index_mask) | (at + i);
    }
  }

  // Sorted items that agree in all they hold of their keys, into the order of the keys.
  [[gnu::noinline]] void settle(int64_t* a, int64_t n) const {
    for (int64_t i = 1; i < n; ++i)
      for (int64_t j = i; j > 0 && agree(a[j], a[j - 1]) && key(a[j]) < key(a[j - 1]); --j) {
        const int64_t t = a[j];
        a[j] = a[j - 1], a[j - 1] = t;
      }
  }
  PB_INLINE bool agree(int64_t a, int64_t b) const { return ((a ^ b) & ~index_mask) == 0; }

  PB_INLINE void write_few(const int64_t* a, int64_t n, T* y) const {
    int64_t sorted[kFewItems];
    sort_few(a, sorted, n);
    bool some_agree = false;
    for (int64_t i = 1; i < n; ++i) some_agree |= agree(sorted[i], sorted[i - 1]);
    if (some_agree) settle(sorted, n);
    for (int64_t i = 0; i < n; ++i) y[i * step] = static_cast<T>(sorted[i] & index_mask);
  }

  // y = the indices of n items in order, which agree in the bits from `shift` on; both arrays are written to.
  void write_sorted(int64_t* a, int64_t* b, int64_t n, int shift, T* y) const {
    if (n <= kFewItems) return write_few(a, n, y);
    const Digit digit = next_digit(n, shift);
    Scratch scratch;
    int64_t* begin = scratch.take<int64_t>(digit.values() + 1);
    distribute(a, b, n, digit, begin);
    parallel_for(digit.values(), larger(1, digit.values() * kItemsPiece / n), [&](int64_t first, int64_t stop) {
      for (int64_t d = first; d < stop; ++d) {
        const int64_t at = begin[d], count = begin[d + 1] - at;
        if (count <= kFewItems)
          write_few(b + at, count, y + at * step);
        else
          write_sorted(b + at, a + at, count, digit.shift, y + at * step);
      }
    });
  }
};

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
