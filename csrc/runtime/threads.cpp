#include "runtime/threads.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/limits.h"

#if __has_include(<pthread.h>)
#include <pthread.h>
#include <signal.h>
#define PULLBACK_HAS_PTHREAD 1
#endif

namespace pullback {
namespace {

constexpr int kMostThreads = 1024;
constexpr int kApart = 128;  // bytes: processors fetch lines of 64 in pairs
// About twice what waking a sleeper takes where the core has to be brought back by an interrupt (50 µs in a virtual
// machine), and longer than most gaps between the parallel loops of a training step.
constexpr std::chrono::microseconds kSpin{100};

// ---------------------------------------------------------------- how many threads

struct ThreadCount {
  int cores;  // that the process may keep busy
  std::atomic<int> threads;
  std::atomic<const char*> reason;
  std::string initial_reason;

  ThreadCount() {
    read_machine();
    const char* asked = std::getenv("OMP_NUM_THREADS");
    if (asked != nullptr && *asked != '\0') read_environment(asked);
    reason = initial_reason.c_str();
  }

  void read_machine() {
    const double quota = cgroup_cpu_quota();
    const int affinity = affinity_cores();
    const bool by_quota = quota > 0 && std::ceil(quota) < affinity;
    cores = by_quota ? static_cast<int>(std::ceil(quota)) : affinity;
    threads = cores;
    const double granted = by_quota ? quota : affinity;
    char text[64];
    std::snprintf(text, sizeof(text), "%s of %g core%s", by_quota ? "cgroup quota" : "affinity mask", granted,
                  granted == 1 ? "" : "s");
    initial_reason = text;
  }

  // "3" and "3,2" ask for 3 threads; anything else is no number of threads and is ignored.
  void read_environment(const char* asked) {
    char* end = nullptr;
    const long number = std::strtol(asked, &end, 10);
    while (*end == ' ' || *end == '\t') ++end;
    const bool valid = end != asked && (*end == '\0' || *end == ',') && number >= 1;
    if (valid) threads = static_cast<int>(std::min<long>(number, kMostThreads));
    const std::string variable = std::string("OMP_NUM_THREADS=") + asked;
    initial_reason = valid ? variable : variable + " is no number of threads, " + initial_reason;
  }
};

// What this file keeps is made when the library is loaded, since a lazy start can be caught by a fork, and is
// never destroyed, since threads may still run while the process ends.
ThreadCount& thread_count = *new ThreadCount;

// ---------------------------------------------------------------- the pool

void relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Fetches a cache line for writing; a later atomic change of it then costs no second trip.
void own([[maybe_unused]] const void* p) {
#if defined(__x86_64__) || defined(__i386__)
  asm volatile("prefetchw %0" ::"m"(*static_cast<const char*>(p)));
#else
  __builtin_prefetch(p, 1);
#endif
}

template <class Ready>
bool poll(Ready ready) {
  for (int i = 0; i < 32; ++i) {
    if (ready()) return true;
    relax();
  }
  return false;
}

// Waits a short while for ready(), and says whether it came.
template <class Ready>
bool spin(Ready ready) {
  if (poll(ready)) return true;
  const auto end = std::chrono::steady_clock::now() + kSpin;
  do {
    if (poll(ready)) return true;
  } while (std::chrono::steady_clock::now() < end);
  return false;
}

struct Job {
  void (*body)(void* context, int64_t task) = nullptr;
  void* context = nullptr;
  int64_t first = 0;  // the task that the ranges count from
};

// The tasks of a job that one thread is to run: [begin, end), packed into one word so that one
// compare-and-swap takes a task. The thread itself takes from the front; threads that have run out take from
// the back of others. Each thread gets the same share of every loop of the same length, and so finds in its
// cache what it wrote there.
//
// A range may be claimed by whoever sees it non-empty, however late: only then is the job read, and it cannot
// end before the claimed task has been counted as finished.
//
// What a loop costs is the way of cache lines from core to core. So one line carries what the caller tells the
// thread, another what the thread tells the caller, and what seldom changes stays away from both.
struct alignas(kApart) Share {
  std::atomic<uint64_t> range{0};
  Job job;
  alignas(kApart) std::atomic<uint64_t> finished{0};  // tasks that its thread has run, of all loops; only it writes
  alignas(kApart) std::atomic<uint32_t> asleep{0};    // its thread waits for this word to become 0
};

constexpr int64_t kMostTasks = INT32_MAX;  // a range's half of a word
constexpr uint64_t kStop = 1;              // an empty range that ends its thread
constexpr uint64_t pack(uint64_t begin, uint64_t end) { return begin | end << 32; }
constexpr uint32_t begin_of(uint64_t range) { return static_cast<uint32_t>(range); }
constexpr uint32_t end_of(uint64_t range) { return static_cast<uint32_t>(range >> 32); }
constexpr bool is_empty(uint64_t range) { return begin_of(range) >= end_of(range); }
static_assert(is_empty(kStop));

// Takes one task out of a share; -1 when none is left.
int64_t claim(Share& share, bool from_front) {
  uint64_t range = share.range.load(std::memory_order_relaxed);
  while (!is_empty(range)) {
    const uint64_t rest = from_front ? range + 1 : range - pack(0, 1);
    if (share.range.compare_exchange_weak(range, rest, std::memory_order_acquire, std::memory_order_relaxed)) {
      return from_front ? begin_of(range) : end_of(rest);
    }
  }
  return -1;
}

// Wakes the thread that sleeps on this word, if one does.
void wake(std::atomic<uint32_t>& asleep) {
  if (asleep.load() != 0 && asleep.exchange(0) != 0) asleep.notify_one();
}

class Pool {
 public:
  // Written by the caller in every loop.
  std::atomic<bool> busy{false};  // a thread of the user's runs a loop here
  std::atomic<int64_t> loops{0};  // that were run here

  void run(int threads, int64_t tasks, const Job& job);

 private:
  void resize(int threads);
  void start_workers();
  void serve(int self);
  uint64_t drain(Share& share, bool front);
  void run_one(const Job& job, int64_t task) noexcept;
  void join();

  uint64_t expected_ = 0;  // what the workers' `finished` will sum up to
  std::vector<std::thread> workers_;

  // Read by the workers, and therefore seldom written.
  alignas(kApart) int size_ = 1;  // shares: the caller's, and one for each worker
  bool may_spin_ = false;
  std::unique_ptr<Share[]> shares_;
  std::exception_ptr error_;
  std::atomic<bool> failed_{false};
  std::atomic<uint32_t> caller_asleep_{0};  // the caller waits for this word to become 0
};

thread_local bool inside_task = false;

struct InsideTask {
  const bool before = inside_task;
  InsideTask() { inside_task = true; }
  ~InsideTask() { inside_task = before; }
};

// Signals are for the threads that the user made: Python handles them in its main thread only.
class SignalsBlocked {
#if defined(PULLBACK_HAS_PTHREAD)
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
#endif
};

void Pool::start_workers() {
  [[maybe_unused]] const SignalsBlocked blocked;
  try {
    workers_.reserve(size_ - 1);
    for (int self = 1; self < size_; ++self) workers_.emplace_back([this, self] { serve(self); });
  } catch (const std::exception&) {
    // The system gives no more threads. Shares without one of their own are worked off by the others.
  }
}

void Pool::resize(int threads) {
  std::unique_ptr<Share[]> shares = std::make_unique<Share[]>(threads);
  for (int i = 1; i < size_; ++i) {
    shares_[i].range.store(kStop);
    wake(shares_[i].asleep);
  }
  for (std::thread& worker : workers_) worker.join();
  workers_.clear();
  shares_ = std::move(shares);
  size_ = threads;
  expected_ = 0;
  may_spin_ = threads <= thread_count.cores;
  start_workers();
}

// A worker's life: wait for a share, run it, help the others, wait again.
void Pool::serve(int self) {
  inside_task = true;
  Share& share = shares_[self];
  uint64_t finished = 0;
  const auto called = [&share] {
    own(&share.range);
    const uint64_t range = share.range.load();
    return !is_empty(range) || range == kStop;
  };
  while (share.range.load() != kStop) {
    if (!may_spin_ || !spin(called)) {
      share.asleep.store(1);  // unheard, perhaps: see run()
      if (!poll(called)) share.asleep.wait(1);
      share.asleep.store(0);
    }
    own(&share.finished);
    for (int i = 0; i < size_; ++i) {
      const uint64_t done = drain(shares_[(self + i) % size_], i == 0);
      if (done == 0) continue;
      // Here `finished` is written and then `caller_asleep_` read, in join() it is the other way round: one of the
      // two threads sees what the other wrote.
      share.finished.store(finished += done);
      wake(caller_asleep_);
    }
  }
}

// ---------------------------------------------------------------- one loop

// Runs the tasks that a share still has, and says how many.
uint64_t Pool::drain(Share& share, bool front) {
  uint64_t done = 0;
  for (int64_t task = claim(share, front); task >= 0; task = claim(share, front), ++done) {
    run_one(share.job, task);
  }
  return done;
}

void Pool::run_one(const Job& job, int64_t task) noexcept {
  try {
    job.body(job.context, job.first + task);
  } catch (...) {
    if (!failed_.exchange(true)) error_ = std::current_exception();
  }
}

// Waits until the workers have finished all that the caller did not run itself.
void Pool::join() {
  const auto finished = [this] {
    uint64_t sum = 0;
    for (int i = 1; i < size_; ++i) sum += shares_[i].finished.load();
    return sum == expected_;
  };
  if (may_spin_ ? spin(finished) : finished()) return;
  for (;;) {
    caller_asleep_.store(1);
    if (finished()) break;
    caller_asleep_.wait(1);
  }
  caller_asleep_.store(0);
}

// Nothing here waits for a write to reach the other cores: the caller is in its first task, which is not
// offered to others, while the workers learn of theirs. So a worker that says at this moment that it sleeps may go
// unheard. It therefore polls a little longer after saying it, and is looked after again when the first task is done;
// what it misses all the same, others run.
void Pool::run(int threads, int64_t tasks, const Job& job) {
  if (threads != size_) resize(threads);
  loops.store(loops.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  const int64_t parts = std::min<int64_t>(size_, tasks);
  const auto hand_out = [&](int64_t i, int64_t begin) {
    const int64_t end = tasks * (i + 1) / parts;
    if (begin == end) return;
    shares_[i].job = job;
    shares_[i].range.store(pack(begin, end), std::memory_order_release);
  };
  for (int64_t i = 1; i < parts; ++i) hand_out(i, tasks * i / parts);
  hand_out(0, 1);
  for (int64_t i = 1; i < parts; ++i) wake(shares_[i].asleep);
  run_one(job, 0);
  for (int64_t i = 1; i < parts; ++i) wake(shares_[i].asleep);
  uint64_t mine = 1;
  for (int64_t i = 0; i < parts; ++i) mine += drain(shares_[i], i == 0);
  expected_ += static_cast<uint64_t>(tasks) - mine;
  join();
  if (failed_.load(std::memory_order_relaxed)) {
    failed_.store(false, std::memory_order_relaxed);
    std::rethrow_exception(std::exchange(error_, nullptr));
  }
}

Pool* pool = new Pool;

#if defined(PULLBACK_HAS_PTHREAD)
// A child has no thread but the one that forked, and finds the pool in whatever state another thread had left
// it: it begins with a new one, and lets the old one lie.
[[maybe_unused]] const int fork_handler = pthread_atfork(nullptr, nullptr, [] { pool = new Pool; });
#endif

struct PoolHeld {
  const bool held = !pool->busy.exchange(true, std::memory_order_acquire);
  ~PoolHeld() {
    if (held) pool->busy.store(false, std::memory_order_release);
  }
};

}  // namespace

void run_tasks(int64_t tasks, void (*body)(void* context, int64_t task), void* context) {
  if (tasks == 1) return body(context, 0);
  const int threads = num_threads();
  const bool nested = inside_task;
  const InsideTask inside;
  if (threads > 1 && !nested) {
    const PoolHeld pool_held;
    if (pool_held.held) {
      for (int64_t first = 0; first < tasks; first += kMostTasks) {
        pool->run(threads, std::min(tasks - first, kMostTasks), Job{body, context, first});
      }
      return;
    }
  }
  for (int64_t task = 0; task < tasks; ++task) body(context, task);
}

int num_threads() { return thread_count.threads.load(std::memory_order_relaxed); }

const char* num_threads_reason() { return thread_count.reason.load(std::memory_order_relaxed); }

int64_t parallel_loops() { return pool->loops.load(std::memory_order_relaxed); }

void set_num_threads(int n) {
  thread_count.threads.store(std::clamp(n, 1, kMostThreads), std::memory_order_relaxed);
  thread_count.reason.store("set_num_threads", std::memory_order_relaxed);
}

}  // namespace pullback
