// Reductions of many terms: results by blocks, and long ones cut into pieces, whose states wait in scratch memory until
// they are joined. Cuts depend on shapes only, so bits do too.
//
// What is reduced: R with State start(), join(states) and put(state, k), the k-th result. What it is reduced from: F,
// an R that besides has row(k), what the terms of result k are read by, and take(state, row, i), term i. Where
// `packed`, take_pack(states, row, i) gives the terms from i · pack on to `pack` states; where `even`, take_even is as
// take and quicker. The R of an F is f.results().
#pragma once
#include "common/elementwise.h"
#include "common/lines.h"
#include "common/reduce.h"
#include "common/scratch.h"

namespace pullback::cuda {

// Terms [p · length, (p + 1) · length) are piece p.
struct Cut {
  int64_t pieces, length;
};

inline constexpr int64_t kWantedBlocks = 1024;  // enough for a GPU: several for each of its multiprocessors
inline constexpr int64_t kCutAt = 64;           // pieces begin at its multiples, so that packs stay whole

inline Cut cut_terms(int64_t results, int64_t terms, int64_t least) {
  const int64_t most = kWantedBlocks / (results < kWantedBlocks ? results : kWantedBlocks);
  const int64_t wanted = (terms + least - 1) / least;
  const int64_t each = terms / (wanted < 1 ? 1 : wanted < most ? wanted : most);
  const int64_t length = (each / kCutAt + 1) * kCutAt;
  return {terms <= length ? 1 : (terms + length - 1) / length, length};
}

template <class R>
struct JoinStates {
  const R& r;
  using State = typename R::State;
  PB_DEVICE State operator()(State a, State b) const { return r.join(a, b); }
};

// A tree over states side by side; the terms go to several, since one would wait for its own last result.
template <class F, int n>
PB_DEVICE auto join_all(const F& f, typename F::State (&s)[n]) {
  for (int half = n / 2; half > 0; half /= 2)
    for (int e = 0; e < half; ++e) s[e] = f.join(s[e], s[e + half]);
  return s[0];
}

// What this thread takes of terms [begin, end) of a row.
template <class F, class Row>
PB_DEVICE auto take_of_row(const F& f, Row row, int64_t begin, int64_t end) {
  constexpr int n = F::pack;
  typename F::State s[n];
  for (int e = 0; e < n; ++e) s[e] = f.start();
  if constexpr (n > 1) {
    if (f.packed) {
      for (int64_t i = begin / n + thread(); i < end / n; i += threads()) f.take_pack(s, row, i);
      begin = end / n * n;
    }
  }
  for (int64_t i = begin + thread(); i < end; i += threads()) f.take(s[0], row, i);
  return join_all(f, s);
}

// What this warp takes of terms [begin, end) of a column a lane.
template <class F, class Row>
PB_DEVICE auto take_of_column(const F& f, Row row, int64_t begin, int64_t end) {
  constexpr int n = 4, step = kBlockSize / kWarpSize;
  typename F::State s[n];
  for (int e = 0; e < n; ++e) s[e] = f.start();
  int64_t i = begin + warp();
  if (f.even)
    for (; i + (n - 1) * step < end; i += n * step)
      for (int e = 0; e < n; ++e) f.take_even(s[e], row, i + e * step);
  for (; i < end; i += step) f.take(s[0], row, i);
  return join_all(f, s);
}

// A block for each piece of each result.
template <class F>
__global__ void reduce_rows(F f, int64_t results, int64_t terms, Cut cut, typename F::State* part) {
  for (int64_t at = block(); at < results * cut.pieces; at += blocks()) {
    const int64_t k = at / cut.pieces, begin = at % cut.pieces * cut.length, end = begin + cut.length;
    auto s = take_of_row(f, f.row(k), begin, end < terms ? end : terms);
    s = reduce_block(s, JoinStates<F>{f}, f.start());
    if (thread() != 0) continue;
    if (part == nullptr) {
      f.put(s, k);
    } else {
      part[at] = s;
    }
  }
}

// A block for each piece of as many results as a warp has lanes: for terms that are farther from each other in memory
// than results are. Each warp takes every so many-th term.
template <class F>
__global__ void reduce_columns(F f, int64_t results, int64_t terms, Cut cut, typename F::State* part) {
  using State = typename F::State;
  constexpr int warps = kBlockSize / kWarpSize;
  State* states = shared<State, kBlockSize>();
  const int64_t groups = (results + kWarpSize - 1) / kWarpSize;
  for (int64_t at = block(); at < groups * cut.pieces; at += blocks()) {
    const int64_t k = at % groups * kWarpSize + lane(), piece = at / groups;
    const int64_t begin = piece * cut.length, end = begin + cut.length;
    sync_block();  // the last group's states may still be read
    if (k < results) states[thread()] = take_of_column(f, f.row(k), begin, end < terms ? end : terms);
    sync_block();
    if (warp() != 0 || k >= results) continue;
    State s = states[lane()];
    for (int w = 1; w < warps; ++w) s = f.join(s, states[w * kWarpSize + lane()]);
    if (part == nullptr) {
      f.put(s, k);
    } else {
      part[k * cut.pieces + piece] = s;
    }
  }
}

template <class R>
__global__ void join_pieces(R r, int64_t results, int64_t pieces, const typename R::State* part) {
  for (int64_t k = block(); k < results; k += blocks()) {
    auto s = r.start();
    for (int64_t p = thread(); p < pieces; p += threads()) s = r.join(s, part[k * pieces + p]);
    s = reduce_block(s, JoinStates<R>{r}, r.start());
    if (thread() == 0) r.put(s, k);
  }
}

// The results from their pieces' states, if there are several pieces each.
template <class R>
void join_all_pieces(const R& r, int64_t results, int64_t pieces, const typename R::State* part) {
  if (part == nullptr) return;
  launch(join_pieces<R>, blocks_for_lines(results), threads_for_line(pieces), r, results, pieces, part);
}

// f's results of `terms` terms each, where neighbouring terms are nearer to each other in memory than results are.
template <class F>
void reduce_in_rows(const F& f, int64_t results, int64_t terms) {
  constexpr int64_t least = 8192;  // terms that are worth a block
  if (results == 0) return;
  const Cut cut = cut_terms(results, terms, least);
  Scratch scratch;
  auto* part = cut.pieces > 1 ? scratch.take<typename F::State>(results * cut.pieces) : nullptr;
  launch(reduce_rows<F>, blocks_for_lines(results * cut.pieces), threads_for_line(cut.pieces > 1 ? cut.length : terms),
         f, results, terms, cut, part);
  join_all_pieces(f.results(), results, cut.pieces, part);
}

// The same where results are nearer.
template <class F>
void reduce_in_columns(const F& f, int64_t results, int64_t terms) {
  constexpr int64_t least = 256;
  if (results == 0) return;
  const int64_t groups = (results + kWarpSize - 1) / kWarpSize;
  const Cut cut = cut_terms(groups, terms, least);
  Scratch scratch;
  auto* part = cut.pieces > 1 ? scratch.take<typename F::State>(results * cut.pieces) : nullptr;
  launch(reduce_columns<F>, blocks_for_lines(groups * cut.pieces), kBlockSize, f, results, terms, cut, part);
  join_all_pieces(f.results(), results, cut.pieces, part);
}

}  // namespace pullback::cuda
