// Scans: along each of many lines s_k = s_{k−1} ∘ t_k, where ∘ is associative and need not commute.
//
// A functor says what is scanned and what is made of it:
//
//   State start()                           neutral on both sides
//   State join(State before, State after)
//   Line line(int64_t i)                    what line i is found by, worked out once
//   State term(Line, int64_t k)             t_k, asked for before put(k)
//   void put(Line, int64_t k, State s)      s_k
//
// Long lines are cut into pieces where there are few: a first launch joins the terms of each piece, a second scans what
// they came to, a third scans the pieces from there. The cuts depend on shapes only, so the bits do too.
#pragma once
#include "common/lines.h"
#include "common/scalar.h"
#include "common/scratch.h"

namespace pullback::cuda {

inline constexpr int kEach = 4;                    // terms of a thread that are read before the first is put
inline constexpr int kTerms = kBlockSize * kEach;  // of a block
inline constexpr int64_t kShortLine = 8;           // terms that are no work for a warp
inline constexpr int64_t kManyThreads = 64 * 1024, kManyBlocks = 1024;  // enough to keep a GPU busy

// Every line is `count` pieces of `length` terms, the last one of what is left of `whole`.
struct Pieces {
  int64_t lines, whole, length, count;
  PB_DEVICE int64_t begin(int64_t piece) const { return piece * length; }
  PB_DEVICE int64_t end(int64_t piece) const { return min(begin(piece) + length, whole); }
};

// s_k of the lanes up to each.
template <class F>
PB_DEVICE auto scan_warp(const F& f, typename F::State s) {
  for (int step = 1; step < kWarpSize; step *= 2) {
    const auto before = shuffle(s, lane() - step);
    if (lane() >= step) s = f.join(before, s);
  }
  return s;
}

// Terms [begin, end), at most kEach for each thread of a block, `before` being what comes before them; gives s_{end−1}.
// A warp has rows of terms one behind the other, so that lanes read neighbours.
template <bool puts, class F, class Line>
PB_DEVICE auto scan_tile(const F& f, const Line& line, int64_t begin, int64_t end, typename F::State before) {
  using State = typename F::State;
  const int64_t row = begin + warp() * kEach * kWarpSize, k = row + lane();
  const int64_t rows = min<int64_t>((end - row + kWarpSize - 1) / kWarpSize, kEach);
  State s[kEach], of_row = f.start();
  PB_UNROLL
  for (int r = 0; r < kEach; ++r) s[r] = k + r * kWarpSize < end ? f.term(line, k + r * kWarpSize) : f.start();
  PB_UNROLL
  for (int r = 0; r < kEach; ++r) {
    if (r >= rows) continue;
    s[r] = f.join(of_row, scan_warp(f, s[r]));
    of_row = shuffle(s[r], kWarpSize - 1);
  }
  State* of_warp = shared<State, kWarpSize>();
  sync_block();  // the tile before this one may still be read
  if (lane() == 0) of_warp[warp()] = of_row;
  sync_block();
  State all = before;
  for (int w = 0; w < threads() / kWarpSize; ++w) {
    if (w == warp()) before = all;
    all = f.join(all, of_warp[w]);
  }
  PB_UNROLL
  for (int r = 0; puts && r < kEach; ++r)
    if (k + r * kWarpSize < end) f.put(line, k + r * kWarpSize, f.join(before, s[r]));
  return all;
}

// A block for each piece. sums[line, piece] is what a piece comes to or, for `puts`, with all before it.
template <bool puts, class F>
__global__ void scan_by_block(F f, Pieces p, typename F::State* sums) {
  for (int64_t i = block(); i < p.lines * p.count; i += blocks()) {
    const auto line = f.line(i / p.count);
    const int64_t piece = i % p.count, end = p.end(piece);
    auto s = puts && piece > 0 ? sums[i - 1] : f.start();
    for (int64_t k = p.begin(piece); k < end; k += threads() * kEach) s = scan_tile<puts>(f, line, k, end, s);
    if (!puts && thread() == 0) sums[i] = s;
  }
}

// A thread for each piece; neighbours have neighbouring lines.
template <bool puts, class F>
__global__ void scan_by_thread(F f, Pieces p, typename F::State* sums) {
  using State = typename F::State;
  for (int64_t i = first(); i < p.lines * p.count; i += stride()) {
    const auto line = f.line(i % p.lines);
    const int64_t piece = i / p.lines, end = p.end(piece);
    const int64_t place = i % p.lines * p.count + piece;
    State s = puts && piece > 0 ? sums[place - 1] : f.start();
    for (int64_t k = p.begin(piece); k < end; k += kEach) {
      State term[kEach];
      PB_UNROLL
      for (int r = 0; r < kEach; ++r) term[r] = k + r < end ? f.term(line, k + r) : f.start();
      PB_UNROLL
      for (int r = 0; r < kEach; ++r) {
        s = f.join(s, term[r]);
        if (puts && k + r < end) f.put(line, k + r, s);
      }
    }
    if (!puts) sums[place] = s;
  }
}

// What pieces came to, as lines to be scanned in place.
template <class F>
struct PieceSums {
  using State = typename F::State;
  F f;
  State* sums;
  int64_t count;
  PB_DEVICE State start() const { return f.start(); }
  PB_DEVICE State join(const State& a, const State& b) const { return f.join(a, b); }
  PB_DEVICE State* line(int64_t i) const { return sums + i * count; }
  PB_DEVICE State term(const State* line, int64_t k) const { return line[k]; }
  PB_DEVICE void put(State* line, int64_t k, const State& s) const { line[k] = s; }
};

// Pieces of whole `least`, so many that there are about `wanted` of all lines together.
inline Pieces cut_lines(int64_t lines, int64_t length, int64_t wanted, int64_t least) {
  const int64_t most = (length + least - 1) / least, fair = (wanted + lines - 1) / lines;
  const int64_t each = (most + fair - 1) / fair * least;
  return {lines, length, each, (length + each - 1) / each};
}

// run(puts, sums) launches over the pieces: once for what they come to, where there are several, and once to put.
template <class F, class Run>
void scan_pieces(const F& f, const Pieces& p, const Run& run) {
  using State = typename F::State;
  Scratch scratch;
  State* sums = p.count > 1 ? scratch.take<State>(p.lines * p.count) : nullptr;
  if (p.count > 1) {
    run(std::false_type(), sums);
    launch(scan_by_block<true, PieceSums<F>>, blocks_for_lines(p.lines), threads_for_line(p.count),
           PieceSums<F>{f, sums, p.count}, Pieces{p.lines, p.count, p.count, 1}, static_cast<State*>(nullptr));
  }
  run(std::true_type(), sums);
}

// Few lines, or long ones.
template <class F>
void scan_in_blocks(const F& f, int64_t lines, int64_t length) {
  if (lines == 0 || length == 0) return;
  const Pieces p = cut_lines(lines, length, kManyBlocks, kTerms);
  scan_pieces(f, p, [&](auto puts, auto* sums) {
    launch(scan_by_block<puts.value, F>, blocks_for_lines(lines * p.count), threads_for_line(p.length), f, p, sums);
  });
}

// `side_by_side` says that a term's neighbour in memory is the next line's, not the next term.
template <class F>
void scan(const F& f, int64_t lines, int64_t length, bool side_by_side) {
  if (lines == 0 || length == 0) return;
  if (length > kShortLine && !(side_by_side && lines >= kWarpSize)) return scan_in_blocks(f, lines, length);
  const Pieces p = cut_lines(lines, length, kManyThreads, kWarpSize);
  scan_pieces(f, p, [&](auto puts, auto* sums) {
    launch(scan_by_thread<puts.value, F>, blocks_for(lines * p.count), kBlockSize, f, p, sums);
  });
}

}  // namespace pullback::cuda
