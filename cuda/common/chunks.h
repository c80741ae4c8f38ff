// Lines in chunks that a team of threads holds in registers: a line that fits into one is read once, however often it
// is gone through.
#pragma once
#include "common/elementwise.h"
#include "common/lines.h"
#include "common/reduce.h"

namespace pullback::cuda {

// The threads that work on a line together: those of a block, or one. So many elements each of them holds.
template <class T, int most>
struct Block {
  static constexpr int most_threads = most;
  static constexpr int held = sizeof(T) == 4 ? 16 : 4;
  PB_DEVICE static int rank() { return thread(); }
  PB_DEVICE static int size() { return threads(); }
  PB_DEVICE static int64_t index() { return block(); }
  PB_DEVICE static int64_t count() { return blocks(); }
  template <class Op>
  PB_DEVICE static T reduce(T value, Op op, T neutral) {
    return reduce_block(value, op, neutral);
  }
};
template <class T>
struct Alone {
  static constexpr int most_threads = kBlockSize, held = 4;
  PB_DEVICE static int rank() { return 0; }
  PB_DEVICE static int size() { return 1; }
  PB_DEVICE static int64_t index() { return first(); }
  PB_DEVICE static int64_t count() { return stride(); }
  template <class Op>
  PB_DEVICE static T reduce(T value, Op, T) {
    return value;
  }
};

// A chunk as one thread sees it: its first element in the line, and how many there are from it to the line's end.
struct Place {
  int64_t first;
  int left;
};

// What a thread holds of a chunk of elements T: packs of n neighbouring ones, one from every so many, as numbers.
template <class T, int n, class Team>
struct Chunk {
  using C = Computed<T>;
  static constexpr int packs = Team::held / n;
  C x[packs * n];

  PB_DEVICE static int64_t size() { return int64_t{packs * n} * Team::size(); }
  PB_DEVICE static Place place(int64_t length, int64_t chunk) {
    const int64_t first = chunk * size() + Team::rank() * n, left = length - first;
    return {first, left < size() ? static_cast<int>(left) : static_cast<int>(size())};
  }
  // Where pack j begins, counted from the thread's first element.
  PB_DEVICE static int at(int j) { return j * Team::size() * n; }

  // Elements past the line's end are −∞.
  PB_DEVICE void load(const T* line, int64_t step, Place p, Format format) {
    const T* own = line + p.first * step;
    for (int j = 0; j < packs; ++j) {
      if (n > 1 && at(j) + n <= p.left) {
        const auto pack = load_pack<n>(own + at(j), 0);
        for (int e = 0; e < n; ++e) x[j * n + e] = format.read(pack.element[e]);
      } else {
        for (int e = 0; e < n; ++e)
          x[j * n + e] = at(j) + e < p.left ? format.read(own[(at(j) + e) * step]) : -C(__builtin_inf());
      }
    }
  }
  // f(i, x_i) for what is held, i counted from the thread's first element.
  template <class F>
  PB_DEVICE void each(Place p, const F& f) const {
    for (int j = 0; j < packs; ++j)
      for (int e = 0; e < n; ++e)
        if (at(j) + e < p.left) f(at(j) + e, x[j * n + e]);
  }
  // line_i = f(i, x_i)
  template <class F>
  PB_DEVICE void store(T* line, int64_t step, Place p, Format format, const F& f) const {
    T* own = line + p.first * step;
    for (int j = 0; j < packs; ++j) {
      if (n > 1 && at(j) + n <= p.left) {
        Pack<T, n> pack;
        for (int e = 0; e < n; ++e) format.write(pack.element[e], f(at(j) + e, x[j * n + e]));
        store_pack<n>(own + at(j), 0, pack);
      } else {
        for (int e = 0; e < n; ++e)
          if (at(j) + e < p.left) format.write(own[(at(j) + e) * step], f(at(j) + e, x[j * n + e]));
      }
    }
  }
};

// A line's numbers as (m, s): m = max x, s = Σ e^(x − shift m). What makes x NaN makes s NaN.
template <class T>
struct MaxAndSum {
  T m = -T(__builtin_inf()), s = 0;

  // What is taken off before exp: m, but 0 for −∞, as ∞ − ∞ is not a number.
  PB_DEVICE static T shift(T m) { return m == -T(__builtin_inf()) ? T(0) : m; }
  template <int n>
  PB_DEVICE void take(const T (&x)[n]) {
    T top = m;
    for (int i = 0; i < n; ++i) top = Largest()(top, x[i]);
    s *= exp(m - shift(top));
    m = top;
    for (int i = 0; i < n; ++i) s += exp(x[i] - shift(top));
  }
  // Of all threads together.
  template <class Team>
  PB_DEVICE void join() {
    const T own = m;
    m = Team::reduce(m, Largest(), -T(__builtin_inf()));
    s = Team::reduce(s * exp(own - shift(m)), Sum(), T(0));
  }
};

// Threads for a line in chunks: as many as hold all of it, where a block has so many.
template <class Team>
int threads_for_chunks(int64_t length) {
  int threads = kWarpSize;
  while (threads < Team::most_threads && threads * Team::held < length) threads *= 2;
  return threads;
}

}  // namespace pullback::cuda
