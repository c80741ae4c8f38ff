// The pool of threads on which kernels run, and the one loop that they use.
#pragma once

#include <cstdint>
#include <type_traits>

namespace pullback {

// Runs body(context, task) for task = 0, ..., tasks - 1 on the pool and on the calling thread, and returns
// when all are done. Which thread runs which task is free. Calls from inside a task run serially on their
// caller; so do calls that find the pool taken by another thread of the user. An exception thrown by a task
// is rethrown here, the first one where there are several; which of the other tasks then ran is not
// specified. A task may fork to exec or _exit; returning from the task in the child is not supported.
void run_tasks(int64_t tasks, void (*body)(void* context, int64_t task), void* context);

// The number of threads that a parallel loop uses, the caller included, and why that many:
// "OMP_NUM_THREADS=3", "affinity mask of 2 cores", "cgroup quota of 1.5 cores", "set_num_threads".
int num_threads();
const char* num_threads_reason();

// n >= 1, and it may exceed the number of cores (held to 1024). Takes effect with the next loop that starts.
void set_num_threads(int n);

// Loops of several pieces that ran on the pool so far, those of a forked child since its fork.
int64_t parallel_loops();

// Everything below has internal linkage: a kernel's source is compiled once per instruction set, and the
// linker must not take the copy of one for another.
template <class F>
struct Pieces {
  F* f;
  int64_t n;
  int64_t grain;
};

template <class F>
static void run_piece(void* context, int64_t piece) {
  const Pieces<F>& pieces = *static_cast<const Pieces<F>*>(context);
  const int64_t begin = piece * pieces.grain;
  const int64_t left = pieces.n - begin;
  (*pieces.f)(begin, left < pieces.grain ? pieces.n : begin + pieces.grain);
}

// f(begin, end) over [0, n), cut into pieces of `grain` >= 1 (the last may be shorter). The cuts depend on n
// and grain only, never on the number of threads: what a piece computes, it computes with the same bits for
// any number.
template <class F>
[[gnu::always_inline]] static inline void parallel_for(int64_t n, int64_t grain, F&& f) {
  if (n <= 0) return;
  if (n <= grain) {
    f(int64_t{0}, n);
    return;
  }
  using Body = std::remove_reference_t<F>;
  Pieces<Body> pieces{&f, n, grain};
  run_tasks((n - 1) / grain + 1, &run_piece<Body>, &pieces);
}

}  // namespace pullback
