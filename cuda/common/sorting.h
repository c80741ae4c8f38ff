// Sorting of lines: a merge sort. A block sorts a tile in its shared memory; longer lines are then merged in passes,
// each block writing a tile of the result, whose two ends it finds by halves (Green, McColl & Bader, "GPU merge path",
// 2012). Merges need no counters that blocks share.
//
// Items carry their index, so that no two are equal: what is stable on the CPU is the same order here. A source says
// what is sorted: row(line), item(row, k). A sink takes put(line, place, item).
#pragma once
#include "common/lines.h"
#include "common/scratch.h"

namespace pullback::cuda {

inline constexpr int kItems = 8;                        // of a thread
inline constexpr int kTileItems = kBlockSize * kItems;  // of a block

// A key and where it stood. K is int32_t where both fit into 32 bits.
template <class K>
struct Item {
  int64_t key, place;
  PB_DEVICE static Item make(int64_t key, int64_t place) { return {key, place}; }
  PB_DEVICE static Item last() { return {INT64_MAX, INT64_MAX}; }
  PB_DEVICE int64_t index() const { return place; }
  PB_DEVICE K key_of_it() const { return key; }
  PB_DEVICE bool before(Item other) const { return key < other.key || (key == other.key && place < other.place); }
};
template <>
struct Item<int32_t> {
  uint64_t bits;
  PB_DEVICE static Item make(int32_t key, int64_t place) {
    return {static_cast<uint64_t>(static_cast<uint32_t>(key) ^ 0x80000000u) << 32 | static_cast<uint32_t>(place)};
  }
  PB_DEVICE static Item last() { return {UINT64_MAX}; }
  PB_DEVICE int64_t index() const { return static_cast<uint32_t>(bits); }
  PB_DEVICE int32_t key_of_it() const { return static_cast<int32_t>(static_cast<uint32_t>(bits >> 32) ^ 0x80000000u); }
  PB_DEVICE bool before(Item other) const { return bits < other.bits; }
};

// How many of the first `items` of two sorted runs together come from a.
template <class I>
PB_DEVICE int64_t merge_path(const I* a, int64_t na, const I* b, int64_t nb, int64_t items) {
  int64_t low = items > nb ? items - nb : 0, high = items < na ? items : na;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (b[items - 1 - middle].before(a[middle])) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

// This thread's items of what two runs in shared memory come to, from number `from` on.
template <class I>
PB_DEVICE void merge_serially(const I* a, int na, const I* b, int nb, int from, I (&item)[kItems]) {
  const int past = na + nb < from ? na + nb : from;
  int i = static_cast<int>(merge_path(a, na, b, nb, past)), j = past - i;
  PB_UNROLL
  for (int e = 0; e < kItems; ++e) {
    if (i < na && (j >= nb || a[i].before(b[j]))) {
      item[e] = a[i++];
    } else {
      item[e] = j < nb ? b[j++] : I::last();
    }
  }
}

// Neighbours change places in every other pair, in as many rounds as there are items.
template <class I>
PB_DEVICE void sort_own(I (&item)[kItems]) {
  PB_UNROLL
  for (int round = 0; round < kItems; ++round) {
    PB_UNROLL
    for (int e = round % 2; e + 1 < kItems; e += 2) {
      const I a = item[e], b = item[e + 1];
      const bool turned = b.before(a);
      item[e] = turned ? b : a, item[e + 1] = turned ? a : b;
    }
  }
}

// A block for each tile of each line, whose first `kept` items it puts, up to `limit` of a line.
template <class K, class Source, class Sink>
__global__ void __launch_bounds__(kBlockSize, 1)
    sort_tiles(Source source, int64_t lines, int64_t length, int64_t kept, int64_t limit, Sink sink) {
  using I = Item<K>;
  I* tile = shared<I, kTileItems>();
  const int size = threads() * kItems;
  const int64_t tiles = (length + size - 1) / size;
  for (int64_t at = block(); at < lines * tiles; at += blocks()) {
    const int64_t line = at / tiles, number = at % tiles;
    const auto row = source.row(line);
    I item[kItems];
    PB_UNROLL
    for (int e = 0; e < kItems; ++e) {
      const int64_t k = number * size + thread() * kItems + e;
      item[e] = k < length ? source.item(row, k) : I::last();
    }
    sort_own(item);
    const int here = length - number * size < size ? static_cast<int>(length - number * size) : size;
    for (int width = kItems;; width *= 2) {
      sync_block();  // the tile is still read
      PB_UNROLL
      for (int e = 0; e < kItems; ++e) tile[thread() * kItems + e] = item[e];
      sync_block();
      if (width >= here) break;
      const int from = thread() * kItems % (2 * width);
      const I* a = tile + (thread() * kItems - from);
      merge_serially(a, width, a + width, width, from, item);
    }
    for (int i = thread(); i < kept && i < size; i += threads())
      if (number * kept + i < limit) sink.put(line, number * kept + i, tile[i]);
  }
}

// Pairs of sorted runs, a block for each tile of each line.
template <class K, class Sink>
__global__ void __launch_bounds__(kBlockSize, 1)
    merge_runs(const Item<K>* items, int64_t lines, int64_t length, int64_t run, Sink sink) {
  using I = Item<K>;
  I* tile = shared<I, kTileItems>();
  const int64_t tiles = (length + kTileItems - 1) / kTileItems;
  for (int64_t at = block(); at < lines * tiles; at += blocks()) {
    const int64_t line = at / tiles, begin = at % tiles * kTileItems, pair = begin / (2 * run) * (2 * run);
    const int64_t left = length - pair, na = left < run ? left : run, nb = left - na < run ? left - na : run;
    const int64_t from = begin - pair, to = from + kTileItems < na + nb ? from + kTileItems : na + nb;
    const I *a = items + line * length + pair, *b = a + na;
    const int64_t a_from = merge_path(a, na, b, nb, from), a_to = merge_path(a, na, b, nb, to);
    const int of_a = static_cast<int>(a_to - a_from), all = static_cast<int>(to - from);
    sync_block();  // the tile is still read
    for (int i = thread(); i < all; i += threads()) tile[i] = i < of_a ? a[a_from + i] : b[from - a_from + (i - of_a)];
    sync_block();
    I item[kItems];
    merge_serially(tile, of_a, tile + of_a, all - of_a, thread() * kItems, item);
    sync_block();
    PB_UNROLL
    for (int e = 0; e < kItems; ++e) tile[thread() * kItems + e] = item[e];
    sync_block();
    for (int i = thread(); i < all; i += threads()) sink.put(line, begin + i, tile[i]);
  }
}

// Items in scratch memory, as a source and as a sink.
template <class K>
struct ItemsOfLines {
  Item<K>* items;
  int64_t length;  // of a line
  PB_DEVICE const Item<K>* row(int64_t line) const { return items + line * length; }
  PB_DEVICE Item<K> item(const Item<K>* row, int64_t k) const { return row[k]; }
  PB_DEVICE void put(int64_t line, int64_t place, Item<K> item) const { items[line * length + place] = item; }
};

inline int threads_for_tile(int64_t length) {
  int threads = kWarpSize;
  while (threads < kBlockSize && threads * kItems < length) threads *= 2;
  return threads;
}

template <class K, class Source, class Sink>
void launch_tiles(const Source& source, int64_t lines, int64_t length, int64_t kept, int64_t limit, const Sink& sink) {
  const int threads = threads_for_tile(length);
  const int64_t tiles = (length + threads * kItems - 1) / (threads * kItems);
  launch(sort_tiles<K, Source, Sink>, blocks_for_lines(lines * tiles), threads, source, lines, length, kept, limit,
         sink);
}

// All of every line, of more than one tile, in passes that double the runs.
template <class K, class Source, class Sink>
void merge_lines(const Source& source, int64_t lines, int64_t length, const Sink& sink) {
  const int64_t blocks = blocks_for_lines(lines * ((length + kTileItems - 1) / kTileItems));
  Scratch scratch;
  ItemsOfLines<K> from{scratch.take<Item<K>>(lines * length), length}, to = from;
  if (2 * kTileItems < length) to.items = scratch.take<Item<K>>(lines * length);
  launch_tiles<K>(source, lines, length, kTileItems, length, from);
  int64_t run = kTileItems;
  for (; 2 * run < length; run *= 2) {
    launch(merge_runs<K, ItemsOfLines<K>>, blocks, kBlockSize, static_cast<const Item<K>*>(from.items), lines, length,
           run, to);
    const ItemsOfLines<K> merged = to;
    to = from, from = merged;
  }
  launch(merge_runs<K, Sink>, blocks, kBlockSize, static_cast<const Item<K>*>(from.items), lines, length, run, sink);
}

// The first `wanted` items of every line, in order, into the sink, which may be offered more. Few of many are found in
// rounds: those that are the first of their tile come into the next one.
template <class K, class Source, class Sink>
void sort_lines(const Source& source, int64_t lines, int64_t length, int64_t wanted, const Sink& sink) {
  if (lines == 0 || length == 0 || wanted == 0) return;
  if (length <= kTileItems) return launch_tiles<K>(source, lines, length, wanted, wanted, sink);
  if (wanted > kTileItems / 2) return merge_lines<K>(source, lines, length, sink);
  const int64_t found = (length + kTileItems - 1) / kTileItems * wanted;
  Scratch scratch;
  const ItemsOfLines<K> first{scratch.take<Item<K>>(lines * found), found};
  launch_tiles<K>(source, lines, length, wanted, found, first);
  sort_lines<K>(first, lines, found, wanted, sink);
}

}  // namespace pullback::cuda
