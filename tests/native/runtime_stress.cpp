// Stress of the runtime: the pool of threads, the allocator, scratch memory and fork. Prints what it measured
// and "ok", or says what was wrong and exits with 1.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "runtime/cpu.h"
#include "runtime/limits.h"
#include "runtime/memory.h"
#include "runtime/scratch.h"
#include "runtime/threads.h"
#include "stress.h"

using namespace pullback;

namespace {

// ---------------------------------------------------------------- threads

// Every index of [0, n) exactly once, cut at multiples of the grain, and Σ i = n (n - 1) / 2.
void check_covering(int64_t n, int64_t grain) {
  std::vector<uint8_t> visits(static_cast<size_t>(n), 0);
  std::atomic<int64_t> sum{0};
  parallel_for(n, grain, [&](int64_t begin, int64_t end) {
    check(begin % grain == 0 || (n <= grain && begin == 0), "a piece begins off the grain");
    check(end == n || end - begin == grain, "a piece is no grain long");
    int64_t part = 0;
    for (int64_t i = begin; i < end; ++i) {
      ++visits[static_cast<size_t>(i)];
      part += i;
    }
    sum += part;
  });
  check(sum == n * (n - 1) / 2, "a sum over the indices is wrong");
  for (const uint8_t visit : visits) check(visit == 1, "an index was not visited once");
}

// Σ i = n (n - 1) / 2 without a vector.
void check_sum(int64_t n, int64_t grain) {
  std::atomic<int64_t> sum{0};
  parallel_for(n, grain, [&](int64_t begin, int64_t end) { sum += (begin + end - 1) * (end - begin) / 2; });
  check(sum == n * (n - 1) / 2, "a sum over the pieces is wrong");
}

// Σ_i Σ_j (i m + j) over n × m, the inner loop nested.
void check_nested(int64_t n, int64_t m) {
  std::atomic<int64_t> sum{0};
  parallel_for(n, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const std::thread::id outer = std::this_thread::get_id();
      int64_t row = 0;  // not atomic: a nested loop is serial
      parallel_for(m, 2, [&](int64_t from, int64_t to) {
        check(std::this_thread::get_id() == outer, "a nested loop left its thread");
        for (int64_t j = from; j < to; ++j) row += i * m + j;
      });
      sum += row;
    }
  });
  check(sum == n * m * (n * m - 1) / 2, "a nested sum is wrong");
}

// As many tasks as threads, each of which waits until all have begun.
bool run_side_by_side(int threads) {
  std::atomic<int> begun{0};
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  parallel_for(threads, 1, [&](int64_t, int64_t) {
    ++begun;
    while (begun < threads && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  });
  return std::chrono::steady_clock::now() < deadline;
}

// A thread that falls asleep just when it is called may miss one loop (see Pool::run), but not several in a row.
void check_concurrency(int threads) {
  set_num_threads(threads);
  bool together = false;
  for (int attempt = 0; attempt < 3 && !together; ++attempt) together = run_side_by_side(threads);
  check(together, "tasks do not run side by side");
}

void check_exceptions(int64_t n) {
  const int64_t thrower = n / 2;
  bool caught = false;
  try {
    parallel_for(n, 1, [&](int64_t begin, int64_t) {
      if (begin == thrower) throw std::runtime_error("thrown by a task");
    });
  } catch (const std::runtime_error& e) {
    caught = std::strcmp(e.what(), "thrown by a task") == 0;
  }
  check(caught, "an exception of a task was lost");
}

void stress_threads() {
  check_covering(0, 1);
  check_covering(1, 1);
  check_covering(1000, INT64_MAX);
  for (const int threads : {1, 2, 3, 5}) {
    set_num_threads(threads);
    check(num_threads() == threads, "set_num_threads was not heard");
    check_concurrency(threads);
    for (int64_t n = 1; n < 40; ++n) check_covering(n, 1 + n % 4);
    check_nested(7, 9);
    check_exceptions(20);
  }
  check(std::string(num_threads_reason()) == "set_num_threads", "num_threads_reason is not set_num_threads");
  user_threads(4, [](int user) {
    Random random(static_cast<uint64_t>(user));
    for (int round = 0; round < 1000; ++round) {
      if (random.below(10) == 0) set_num_threads(1 + static_cast<int>(random.below(4)));
      check_covering(random.below(3000), 1 + random.below(100));
      check_nested(2 + random.below(12), 1 + random.below(30));
      if (random.below(10) == 0) check_exceptions(2 + random.below(50));
    }
  });
}

// Loops that begin about when workers go to sleep, after 100 µs without one, and when the caller does.
void check_sleep() {
  Random random(7);
  for (const int threads : {2, 3}) {
    set_num_threads(threads);
    for (int round = 0; round < 300; ++round) {
      std::this_thread::sleep_for(std::chrono::microseconds(random.below(150)));
      std::atomic<int> finished{0};
      parallel_for(threads, 1, [&](int64_t begin, int64_t) {
        if (begin > 0 && round % 10 == 0) std::this_thread::sleep_for(std::chrono::microseconds(300));
        ++finished;
      });
      check(finished == threads, "a loop returned before its tasks were done");
    }
  }
}

// Only loops of several pieces that run on the pool are counted.
void check_count() {
  const auto counted = [](int64_t n) {
    const int64_t before = parallel_loops();
    check_sum(n, 10);
    return parallel_loops() - before;
  };
  set_num_threads(2);
  check(counted(10) == 0 && counted(11) == 1, "parallel_loops counts wrongly");
  set_num_threads(1);
  check(counted(11) == 0, "parallel_loops counts serial loops");
}

// A sum of floats whose rounding depends on how it is cut must not depend on the number of threads.
void check_bits() {
  const int64_t n = 100003;
  const int64_t grain = 1000;
  std::vector<float> first;
  for (const int threads : {1, 2, 3, 4}) {
    set_num_threads(threads);
    std::vector<float> parts((n - 1) / grain + 1);
    parallel_for(n, grain, [&](int64_t begin, int64_t end) {
      float sum = 0;
      for (int64_t i = begin; i < end; ++i) sum += 1.0f / static_cast<float>(i + 1);
      parts[static_cast<size_t>(begin / grain)] = sum;
    });
    if (first.empty()) first = parts;
    check(std::memcmp(first.data(), parts.data(), parts.size() * sizeof(float)) == 0, "bits depend on the threads");
  }
}

// ---------------------------------------------------------------- fork

// ThreadSanitizer dies when the child of many threads starts one.
constexpr int kThreadsInChild = kUnderThreadSanitizer ? 1 : 2;

void work_in_child() {
  alarm(20);  // a child that hangs dies
  for (int round = 0; round < 3; ++round) {
    check_concurrency(kThreadsInChild + round % kThreadsInChild);
    check_covering(1000, 10);
    Scratch scratch;
    std::memset(scratch.take<uint8_t>(5000), 7, 5000);
    deallocate(allocate(12345), 12345);
  }
}

void fork_and_wait() {
  const pid_t child = fork();
  check(child >= 0, "fork failed");
  if (child == 0) {
    work_in_child();
    std::_Exit(0);
  }
  int status = 0;
  check(waitpid(child, &status, 0) == child, "waitpid failed");
  check(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a forked child failed");
}

// Forks while other threads run loops and take memory that is cached: none of them is inside malloc, whose locks the
// sanitizers do not carry over a fork. A thread that begins is, so each has been seen at work before the first fork.
void stress_fork(int threads) {
  check_concurrency(threads);
  fork_and_wait();
  std::atomic<bool> stop{false};
  std::atomic<int> at_work{0};
  std::thread looping([&] {
    check_sum(2000, 10);
    for (++at_work; !stop;) check_sum(2000, 10);
  });
  std::thread allocating([&] {
    deallocate(allocate(10000), 10000);
    for (++at_work; !stop;) deallocate(allocate(10000), 10000);
  });
  while (at_work < 2) std::this_thread::yield();
  for (int i = 0; i < 20; ++i) fork_and_wait();
  stop = true;
  looping.join();
  allocating.join();
  check_covering(1000, 10);
}

// ---------------------------------------------------------------- what it costs

// Nanoseconds of the median run of f.
template <class F>
double median_time(F f) {
  std::vector<double> times;
  for (int i = 0; i < 101; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    for (int j = 0; j < 200; ++j) f();
    times.push_back(std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - begin).count() / 200);
  }
  std::nth_element(times.begin(), times.begin() + 50, times.end());
  return times[50];
}

// About a microsecond of arithmetic: an empty task would be done before a worker sees it.
[[gnu::noinline]] void short_work() {
  for (int i = 0; i < 2000; ++i) asm volatile("" ::: "memory");
}

void print_costs() {
  set_num_threads(2);
  const double serial = median_time(short_work);
  const double forked = median_time([] { parallel_for(2, 1, [](int64_t, int64_t) { short_work(); }); });
  std::printf("fork/join with 2 threads: %.0f ns over %.0f ns of work\n", forked - serial, serial);
  std::printf("empty tasks: %.0f ns\n", median_time([] { parallel_for(2, 1, [](int64_t, int64_t) {}); }));
  std::printf("allocate and deallocate: %.0f ns\n", median_time([] { deallocate(allocate(1000), 1000); }));
  std::printf("scratch: %.0f ns\n", median_time([] { Scratch().take<float>(1000); }));
}

void stress() {
  stress_threads();
  check_sleep();
  check_count();
  check_bits();
  stress_memory();
  stress_scratch();
  stress_fork(2);  // workers that spin
  stress_fork(3);  // workers that do not, on two cores
  print_costs();
  std::printf("ok\n");
}

}  // namespace

// Without arguments the stress; "machine" prints what was found out about the machine; "cgroups ROOT" what
// the files below ROOT/proc and ROOT/sys grant; "read WHERE" must be stopped by AddressSanitizer.
int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "stress";
  if (what == "machine") {
    std::printf("%d\n%s\n", num_threads(), num_threads_reason());
    std::printf("%s\n%s\n%lld\n", isa_name(best_isa()), cpu_model().c_str(), static_cast<long long>(memory_size()));
  } else if (what == "cgroups" && argc > 2) {
    std::printf("%g\n%lld\n", cgroup_cpu_quota(argv[2]), static_cast<long long>(cgroup_memory_limit(argv[2])));
  } else if (what == "read" && argc > 2) {
    read_forbidden(argv[2]);
  } else {
    stress();
  }
}
