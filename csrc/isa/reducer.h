// What turns a reducer R, written for vectors, into the functions that the driver calls. R has
//
//   T, State               what it computes in; State has exchanged<d>(), its lanes i ^ d
//   R(call)                scalars come from there
//   identity()             the state of no terms
//   block(load, rows, at)  the state of `rows` vectors load(0), load(1), …, numbered as `at` says
//   tail(x, n, at)         the state of the first n lanes of x
//   combine(a, b)          the state of both, a's terms coming first
//   folded(s)              (optional) all lanes as one, in every lane
//   write(s, terms, y)     the results
#pragma once
#include "isa/reduction.h"

namespace pullback::ISA_NAMESPACE {
namespace {

// The numbers that the terms of a block have: row · row_step + lane · lane_step from `first` on.
struct Position {
  int64_t first, row_step, lane_step;
};

template <class R>
PB_INLINE void push_state(const R& r, typename R::State s, int64_t before, typename R::State* level, int64_t chunks) {
  for (; before & 1; before >>= 1, level += chunks) s = r.combine(*level, s);
  *level = s;
}

template <class R>
void push(const Reducer& reducer, const void* state, int64_t before, void* levels) {
  using State = typename R::State;
  push_state(R(*reducer.call), *static_cast<const State*>(state), before, static_cast<State*>(levels), 1);
}

template <class R>
void total(const Reducer& reducer, const void* levels, int64_t chunks, int64_t blocks, void* state) {
  using State = typename R::State;
  const R r(*reducer.call);
  auto* level = static_cast<const State*>(levels);
  State s = R::identity();
  bool first = true;
  for (; blocks; blocks >>= 1, level += chunks) {
    if (!(blocks & 1)) continue;
    s = first ? *level : r.combine(*level, s);
    first = false;
  }
  *static_cast<State*>(state) = s;
}

// The n terms of one output from number `first` on, side by side at p.
template <class R, class T = typename R::T>
[[gnu::noinline]] typename R::State fold_block(const R& r, const T* p, int64_t n, int64_t first) {
  constexpr int lanes = Vec<T>::size;
  const int rows = static_cast<int>(n / lanes), tail = static_cast<int>(n % lanes);
  const auto load = [&](int row) { return Vec<T>::load(p + row * lanes); };
  if (!tail) return r.block(load, rows, Position{first, lanes, 1});
  const auto last = r.tail(Vec<T>::load(p + n - tail, tail), tail, Position{first + n - tail, lanes, 1});
  return rows ? r.combine(r.block(load, rows, Position{first, lanes, 1}), last) : last;
}

template <class R>
void fold_terms(const Reducer& reducer, const void* p, int64_t n, int64_t first, int64_t before, void* levels) {
  const R r(*reducer.call);
  push_state(r, fold_block(r, static_cast<const typename R::T*>(p), n, first), before,
             static_cast<typename R::State*>(levels), 1);
}

template <class R>
void fold_columns(const Reducer& reducer, const void* const* row, int rows, int64_t width, int64_t first,
                  int64_t before, void* levels) {
  using T = typename R::T;
  constexpr int lanes = Vec<T>::size;
  const R r(*reducer.call);
  const int64_t chunks = (width - 1) / lanes + 1;
  for_each_vec<T>(width, [&](int64_t column, auto n) {
    const auto load = [&](int i) { return Vec<T>::load(static_cast<const T*>(row[i]) + column, n); };
    push_state(r, r.block(load, rows, Position{first, 1, 0}), before,
               static_cast<typename R::State*>(levels) + column / lanes, chunks);
  });
}

template <int distance, class R>
PB_INLINE typename R::State fold_lanes(const R& r, typename R::State s) {
  s = r.combine(s, s.template exchanged<distance>());
  if constexpr (distance > 1) s = fold_lanes<distance / 2>(r, s);
  return s;
}

template <class R>
[[gnu::noinline]] void write_folded(const R& r, typename R::State s, int64_t terms, const Writer& y) {
  if constexpr (requires { r.folded(s); })  // a shorter way
    r.write(r.folded(s), terms, y);
  else
    r.write(fold_lanes<Vec<typename R::T>::size / 2>(r, s), terms, y);
}

template <class R>
void finish(const Reducer& reducer, const void* state, int64_t terms, const Writer& y) {
  const R r(*reducer.call);
  const auto& s = *static_cast<const typename R::State*>(state);
  if (y.folds) return write_folded(r, s, terms, y);
  r.write(s, terms, y);
}

template <class R>
void reduce_short(const Reducer& reducer, const Reduction& s, int64_t begin, int64_t end) {
  using T = typename R::T;
  alignas(64) T buffer[kTermRows * Vec<T>::size];
  const R r(*reducer.call);
  const int64_t stride = s.reduced.inner_stride(0);
  const bool in_place = s.x_type == dtype_of<T> && stride == 1;
  while (begin < end) {
    OutputRun run = run_at(s, begin, end);
    for (begin += run.n; run.n > 0; --run.n, run.advance()) {
      if (!in_place) read_row(run.x, s.x_type, stride, reinterpret_cast<char*>(buffer), dtype_of<T>, s.terms);
      const T* p = in_place ? reinterpret_cast<const T*>(run.x) : buffer;
      write_folded(r, fold_block(r, p, s.terms, 0), s.terms, run.y);
    }
  }
}

// Reduces call[0] into call[1], …, call[outputs]; `ordered` where the numbers of the terms matter.
template <class R>
void run_reduction(const Call& call, int outputs = 1, bool ordered = false) {
  using T = typename R::T;
  const Reducer r{
      dtype_of<T>, Vec<T>::size,   sizeof(typename R::State), &call, fold_terms<R>, fold_columns<R>, push<R>, total<R>,
      finish<R>,   reduce_short<R>};
  run_reduction(call, r, outputs, ordered);
}

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
