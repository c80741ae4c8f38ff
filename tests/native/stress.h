// What the parts of the stress of the runtime share.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <thread>
#include <vector>

#if defined(__SANITIZE_THREAD__)
constexpr bool kUnderThreadSanitizer = true;
#elif defined(__has_feature)
constexpr bool kUnderThreadSanitizer = __has_feature(thread_sanitizer);
#else
constexpr bool kUnderThreadSanitizer = false;
#endif

// Ends the program with a message unless `held`.
inline void check(bool held, const char* what) {
  if (held) return;
  std::fprintf(stderr, "runtime_stress: %s\n", what);
  std::_Exit(1);
}

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  int64_t below(int64_t n) { return static_cast<int64_t>(engine_() % static_cast<uint64_t>(n)); }

 private:
  std::mt19937_64 engine_;
};

// As many threads of a user's, each running f(number).
template <class F>
void user_threads(int count, F f) {
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) threads.emplace_back([i, &f] { f(i); });
  for (std::thread& thread : threads) thread.join();
}

// memory_stress.cpp
void stress_memory();
void stress_scratch();

// Reads one byte that AddressSanitizer must not let pass: "slack" behind a block, a block given "back",
// "scratch" behind a piece or after its "end".
void read_forbidden(const std::string& where);
