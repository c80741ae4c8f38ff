// How entries are written depends on their number:
//
//   a few in a group   a thread walks through them
//   assignment         the last entry of each place wins: found by an atomic maximum in a table of all places, which
//                      does not depend on the order of threads, or by sorting where the table would be large
//   sums and the like  entries are sorted by place, and within it by number, with unique keys; then a scan joins what
//                      belongs together, so that one place of very many entries is not left to one thread
//
// No path takes longer than O(n log n) for n entries; a gradient of 8k tokens in a vocabulary of 30k is three launches
// of sorting and three of summing.
#pragma once
#include "common/any_pointer.h"
#include "common/reducers.h"
#include "common/scan.h"
#include "common/scatter.h"
#include "common/sort_keys.h"

namespace pullback::cuda {
namespace {

inline constexpr int64_t kFewEntries = 8;  // that one thread walks through
inline constexpr int64_t kTableShare = 4;  // places of a table for each entry

// A value and not a type: several times the kernels for a branch that all threads take alike would take too long to
// compile.
template <class T>
PB_DEVICE T combine(Mode mode, T x, T v) {
  switch (mode) {
    case Mode::add:
      return Add::join(x, v);
    case Mode::multiply:
      return Multiply::join(x, v);
    case Mode::min:
      return Min::join(x, v);
    case Mode::max:
      return Max::join(x, v);
    default:
      return v;
  }
}

// x and v are P, computed as T: see common/any_pointer.h.
template <class P, class T>
struct Writing {
  using Value = T;
  Entries s;
  P x;  // at place 0
  P v;
  Mode mode;

  PB_DEVICE T value(int64_t e, int64_t r) const { return read_as<T>(v, s.values.at(0, e) + s.rest.at(1, r)); }
  PB_DEVICE void join_into(int64_t number, int64_t r, T value) const {
    const int64_t place = number * s.places.unit + s.rest.at(0, r);
    write(x, place, combine(mode, read_as<T>(x, place), value));
  }
  PB_DEVICE void join_entry(int64_t e, int64_t r) const { join_into(s.numbers[e], r, value(e, r)); }
};

// --- in order --------------------------------------------------------------------------------------------------------

template <class W>
__global__ void walk_groups(W w) {
  if (*w.s.failed) return;
  const int64_t each = w.s.rest.size, length = w.s.length;
  for (int64_t i = first(); i < w.s.count / length * each; i += stride())
    for (int64_t k = 0; k < length; ++k) w.join_entry(i / each * length + k, i % each);
}

// --- the last of each place ------------------------------------------------------------------------------------------

__global__ void claim_places(Entries s, int64_t* last) {
  if (*s.failed) return;
  for (int64_t e = first(); e < s.count; e += stride()) fetch_max(last + s.numbers[e], e);
}

template <class W>
__global__ void write_last(W w, bool neighbours, const int64_t* last) {
  if (*w.s.failed) return;
  const int64_t each = w.s.rest.size, count = w.s.count;
  for (int64_t i = first(); i < count * each; i += stride()) {
    const int64_t e = neighbours ? i / each : i % count, r = neighbours ? i % each : i / count;
    if (last[w.s.numbers[e]] == e) w.join_entry(e, r);
  }
}

// --- sorted ----------------------------------------------------------------------------------------------------------

// key = number of the place · 2^bits + entry
struct Keys {
  const int64_t* sorted;
  int64_t count;
  int bits;
  PB_DEVICE int64_t number(int64_t k) const { return sorted[k] >> bits; }
  PB_DEVICE int64_t entry(int64_t k) const { return sorted[k] & ((int64_t{1} << bits) - 1); }
  PB_DEVICE bool is_first(int64_t k) const { return k == 0 || number(k - 1) != number(k); }
  PB_DEVICE bool is_last(int64_t k) const { return k + 1 == count || number(k + 1) != number(k); }
};

__global__ void make_keys(int64_t n, int bits, const int64_t* numbers, int64_t* keys) {
  for (int64_t e = first(); e < n; e += stride()) keys[e] = numbers[e] * (int64_t{1} << bits) + e;
}

template <class W>
__global__ void write_last_sorted(W w, bool neighbours, Keys keys) {
  if (*w.s.failed) return;
  const int64_t each = w.s.rest.size;
  for (int64_t i = first(); i < keys.count * each; i += stride()) {
    const int64_t k = neighbours ? i / each : i % keys.count, r = neighbours ? i % each : i / keys.count;
    if (keys.is_last(k)) w.join_entry(keys.entry(k), r);
  }
}

// One line for each element that an entry moves: values of one place are joined, and the last of them writes.
template <class W>
struct Segments {
  using T = typename W::Value;
  enum Part : int32_t { nothing, continues, begins };
  struct State {
    T value;
    Part part;
  };
  W w;
  Keys keys;
  PB_DEVICE State start() const { return {T(0), nothing}; }
  PB_DEVICE State join(const State& a, const State& b) const {
    if (b.part == nothing) return a;
    if (b.part == begins || a.part == nothing) return b;
    return {combine(w.mode, a.value, b.value), a.part};
  }
  PB_DEVICE int64_t line(int64_t r) const { return r; }
  PB_DEVICE State term(int64_t r, int64_t k) const {
    return {w.value(keys.entry(k), r), keys.is_first(k) ? begins : continues};
  }
  PB_DEVICE void put(int64_t r, int64_t k, const State& s) const {
    if (!keys.is_last(k) || *w.s.failed) return;
    w.join_into(keys.number(k), r, s.value);
  }
};

// --- which way -------------------------------------------------------------------------------------------------------

template <class W>
void write_sorted(const W& w, int bits) {
  const int64_t n = w.s.count;
  Scratch scratch;
  int64_t *keys = scratch.take<int64_t>(n), *others = scratch.take<int64_t>(n);
  launch(make_keys, blocks_for(n), kBlockSize, n, bits, static_cast<const int64_t*>(w.s.numbers), keys);
  const Keys sorted{sort_keys(n, keys, others), n, bits};
  const bool neighbours = w.s.moves_neighbours();
  if (w.mode != Mode::assign) return scan(Segments<W>{w, sorted}, w.s.rest.size, n, neighbours);
  launch(write_last_sorted<W>, blocks_for(n * w.s.rest.size), kBlockSize, w, neighbours, sorted);
}

template <class W>
void write_by_number(const W& w) {
  const int64_t n = w.s.count, range = w.s.places.range();
  if (n == 0 || w.s.rest.size == 0) return;
  int bits = 0;
  while ((n - 1) >> bits) ++bits;
  const bool sortable = range <= INT64_MAX >> bits;  // else there is no memory for so many
  if (w.s.length <= kFewEntries || !sortable)
    return launch(walk_groups<W>, blocks_for(n / w.s.length * w.s.rest.size), kBlockSize, w);
  if (w.mode != Mode::assign || range > kTableShare * n) return write_sorted(w, bits);
  Scratch scratch;
  int64_t* last = scratch.take<int64_t>(range);
  fill_scratch(last, range, int64_t{-1});
  launch(claim_places, blocks_for(n), kBlockSize, w.s, last);
  launch(write_last<W>, blocks_for(n * w.s.rest.size), kBlockSize, w, w.s.moves_neighbours(),
         static_cast<const int64_t*>(last));
}

}  // namespace

void write_entries(const Operand& x, const Operand& v, const Entries& s, Mode mode) {
  visit_computed(x, [&](auto to, auto zero) {
    using P = decltype(to);
    write_by_number(Writing<P, decltype(zero)>{s, to + s.places.low, pointer_to<P>(v), mode});
  });
}

}  // namespace pullback::cuda
