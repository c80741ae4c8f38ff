#include "runtime/ceiling.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <limits>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "runtime/dispatch.h"
#include "runtime/memory.h"
#include "runtime/threads.h"

namespace pullback {

#if defined(PULLBACK_HAS_AVX512)
namespace avx512 {
extern const CeilingLoops ceiling_loops;
}
#endif
#if defined(PULLBACK_HAS_AVX2)
namespace avx2 {
extern const CeilingLoops ceiling_loops;
}
#endif
namespace portable {
extern const CeilingLoops ceiling_loops;
}

namespace {

const CeilingLoops& loops() {
  switch (current_isa()) {
#if defined(PULLBACK_HAS_AVX512)
    case Isa::avx512:
      return avx512::ceiling_loops;
#endif
#if defined(PULLBACK_HAS_AVX2)
    case Isa::avx2:
      return avx2::ceiling_loops;
#endif
    default:
      return portable::ceiling_loops;
  }
}

// The shortest time that f() takes, over about 60 ms and at least three tries after a first one.
template <class F>
double shortest(F f) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::milliseconds(60);
  double best = std::numeric_limits<double>::infinity();
  f();
  for (int tries = 0; tries < 3 || Clock::now() < end; ++tries) {
    const auto start = Clock::now();
    f();
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  }
  return best;
}

// Floats from the allocator that kernels' arrays come from, so that their pages are as large.
struct Floats {
  explicit Floats(int64_t n) : bytes(n * static_cast<int64_t>(sizeof(float))), p(static_cast<float*>(allocate(bytes))) {
    if (!p) throw std::bad_alloc();
    std::fill_n(p, n, 1.0f);
  }
  ~Floats() { deallocate(p, bytes); }
  Floats(const Floats&) = delete;
  Floats& operator=(const Floats&) = delete;
  int64_t bytes;
  float* p;
};

// `bytes` cut into arrays, and each of those into one piece a thread.
struct Cut {
  int64_t n, grain, repeats;

  Cut(int64_t bytes, int arrays, const char* what) {
    n = bytes / arrays / static_cast<int64_t>(sizeof(float)) / 16 * 16;
    if (n < 64 * num_threads()) {
      throw std::invalid_argument(std::string(what) + ": bytes expects at least 256 a thread and array, got " +
                                  std::to_string(bytes));
    }
    grain = (n / num_threads() + 63) / 64 * 64;
    repeats = std::max<int64_t>(1, (int64_t{8} << 20) / bytes);  // small arrays are gone through many times
  }
};

// Bytes a second of f(array 0, begin, end), which goes over its arrays once in each direction that `passes` counts.
template <class F>
double bandwidth(const Cut& cut, int arrays, int passes, F f) {
  Floats memory(arrays * cut.n);
  const double seconds = shortest([&] {
    parallel_for(cut.n, cut.grain, [&](int64_t begin, int64_t end) {
      for (int64_t r = 0; r < cut.repeats; ++r) f(memory.p, begin, end);
    });
  });
  return passes * sizeof(float) * static_cast<double>(cut.n * cut.repeats) / seconds;
}

// Tasks that wait for one another: otherwise the caller would run them all before another thread is there. The
// wait has an end, as a busy pool runs its tasks one after the other.
struct Meeting {
  int threads;
  std::atomic<int> arrived{0};

  static void attend(void* context, int64_t) {
    Meeting& meeting = *static_cast<Meeting*>(context);
    ++meeting.arrived;
    for (int i = 0; i < 1 << 20 && meeting.arrived.load(std::memory_order_relaxed) < meeting.threads; ++i) {
    }
  }
};

// Two tasks that hand a number to and fro, each adding one. The wait has an end here, too.
struct Rally {
  static constexpr int kTimes = 1000;
  alignas(128) std::atomic<int> ball{0};

  static void play(void* context, int64_t player) {
    Rally& rally = *static_cast<Rally*>(context);
    for (int turn = static_cast<int>(player); turn < 2 * kTimes; turn += 2) {
      for (int i = 0; rally.ball.load(std::memory_order_acquire) != turn; ++i) {
        if (i == 1 << 20) return;
      }
      rally.ball.store(turn + 1, std::memory_order_release);
    }
  }
};

}  // namespace

double peak_flops() {
  constexpr int64_t rounds = 200'000;
  const CeilingLoops& set = loops();
  std::vector<float> sums(num_threads());
  const double seconds = shortest([&] {
    parallel_for(num_threads(), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) sums[i] = set.fma(rounds);
    });
  });
  return 2.0 * static_cast<double>(set.fmas * rounds) * num_threads() / seconds;
}

double triad_bandwidth(int64_t bytes) {
  const Cut cut(bytes, 3, "triad_bandwidth");
  const int64_t n = cut.n;
  const auto triad = loops().triad;
  return bandwidth(cut, 3, 3, [=](float* a, int64_t begin, int64_t end) {
    triad(a + n + begin, a + 2 * n + begin, 0.5f, a + begin, end - begin);
  });
}

double update_bandwidth(int64_t bytes) {
  const Cut cut(bytes, 2, "update_bandwidth");
  const int64_t n = cut.n;
  const auto triad = loops().triad;
  return bandwidth(cut, 2, 3, [=](float* a, int64_t begin, int64_t end) {
    triad(a + begin, a + n + begin, 1e-9f, a + begin, end - begin);
  });
}

double read_bandwidth(int64_t bytes) {
  const Cut cut(bytes, 1, "read_bandwidth");
  const auto read = loops().read;
  std::vector<float> sums(cut.n / cut.grain + 1);
  return bandwidth(cut, 1, 1, [&](const float* x, int64_t begin, int64_t end) {
    sums[begin / cut.grain] += read(x + begin, end - begin);
  });
}

double fork_join_seconds() {
  constexpr int times = 1000;
  const double seconds = shortest([&] {
    for (int i = 0; i < times; ++i) {
      Meeting meeting{num_threads()};
      run_tasks(meeting.threads, &Meeting::attend, &meeting);
    }
  });
  return seconds / times;
}

double round_trip_seconds() {
  if (num_threads() == 1) return 0;
  double best = std::numeric_limits<double>::infinity();
  for (int tries = 0; tries < 20; ++tries) {
    Rally rally;
    const auto start = std::chrono::steady_clock::now();
    run_tasks(2, &Rally::play, &rally);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (rally.ball == 2 * Rally::kTimes) best = std::min(best, seconds / Rally::kTimes);
  }
  return best;
}

}  // namespace pullback
