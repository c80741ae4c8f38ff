#include <atomic>
#include <cstring>
#include <new>
#include <utility>

#include "runtime/memory.h"
#include "runtime/scratch.h"
#include "runtime/threads.h"
#include "stress.h"

using namespace pullback;

namespace {

// ---------------------------------------------------------------- memory

void fill(void* p, int64_t bytes, uint8_t pattern) { std::memset(p, pattern, static_cast<size_t>(bytes)); }

bool holds(const void* p, int64_t bytes, uint8_t pattern) {
  const uint8_t* q = static_cast<const uint8_t*>(p);
  return bytes == 0 || (q[0] == pattern && std::memcmp(q, q + 1, static_cast<size_t>(bytes - 1)) == 0);
}

struct Block {
  void* p;
  int64_t bytes;
  uint8_t pattern;
};

// Sizes with all magnitudes from 0 to 8 MiB alike, few of them large.
int64_t random_size(Random& random) {
  const int64_t magnitude = random.below(random.below(16) == 0 ? 24 : 16);
  return random.below((int64_t{1} << magnitude) + 1);
}

void stress_allocator(int user) {
  Random random(static_cast<uint64_t>(100 + user));
  std::vector<Block> blocks;
  for (int round = 0; round < 3000; ++round) {
    if (blocks.size() < 20 || random.below(2) == 0) {
      const int64_t bytes = random_size(random);
      Block block{allocate(bytes), bytes, static_cast<uint8_t>(random.below(256))};
      check(block.p != nullptr, "allocate failed");
      check(reinterpret_cast<uintptr_t>(block.p) % 64 == 0, "a block is not aligned");
      fill(block.p, block.bytes, block.pattern);
      blocks.push_back(block);
    } else {
      std::swap(blocks[static_cast<size_t>(random.below(static_cast<int64_t>(blocks.size())))], blocks.back());
      const Block block = blocks.back();
      blocks.pop_back();
      check(holds(block.p, block.bytes, block.pattern), "a block was overwritten");
      deallocate(block.p, block.bytes);
    }
    if (round % 1000 == 999) memory_release();
  }
  for (const Block& block : blocks) {
    check(holds(block.p, block.bytes, block.pattern), "a block was overwritten");
    deallocate(block.p, block.bytes);
  }
}

// Bytes that an allocation of this size takes.
int64_t bytes_taken(int64_t bytes) {
  const int64_t before = memory_stats().in_use;
  void* p = allocate(bytes);
  const int64_t taken = memory_stats().in_use - before;
  deallocate(p, bytes);
  return taken;
}

void check_classes() {
  int64_t last = 0;
  for (int64_t bytes = 0; bytes < (int64_t{1} << 22); bytes += 1 + bytes / 97) {
    const int64_t taken = bytes_taken(bytes);
    check(taken >= bytes && taken >= last, "a block is too small");
    check(taken - bytes <= 64 || 4 * (taken - bytes) <= bytes, "a block wastes more than a quarter");
    last = taken;
  }
  for (const int64_t bytes : {64, 256, 320, 1024, 1 << 21, 5 << 19}) {
    check(bytes_taken(bytes) == bytes, "a size of a class takes more than itself");
  }
}

void check_cache() {
  const int64_t in_use = memory_stats().in_use;
  memory_release();
  check(memory_stats().cached == 0, "something is cached after a release");
  deallocate(allocate(1024), 1024);
  check(memory_release() == 1024 && memory_release() == 0, "a release does not say its bytes");
  for (const int64_t bytes : {100, 100000, 3 << 20}) {
    void* p = allocate(bytes);
    deallocate(p, bytes);
    const MemoryStats before = memory_stats();
    check(allocate(bytes) == p, "a block is not used again");
    const MemoryStats after = memory_stats();
    check(after.hits == before.hits + 1 && after.system_calls == before.system_calls, "a reuse is no hit");
    deallocate(p, bytes);
  }
  void* p = allocate(int64_t{1} << 20);
  check(memory_stats().peak >= in_use + (int64_t{1} << 20), "the peak is too low");
  deallocate(p, int64_t{1} << 20);
  memory_reset_peak();
  check(memory_stats().peak == in_use, "the peak is not reset");
  deallocate(nullptr, 8);
  check(memory_stats().in_use == in_use, "in_use does not return");
  check(allocate(INT64_MAX) == nullptr && allocate(-1) == nullptr, "an impossible size was served");
}

// With blocks of two sizes, the bound holds at every moment, and the size that was asked for last stays.
void check_limit(int64_t old_size, int64_t new_size) {
  const int64_t limit = 4 << 20;
  const int64_t before = memory_stats().limit;
  memory_release();
  memory_set_limit(limit);
  for (const int64_t bytes : {old_size, new_size}) {
    std::vector<void*> blocks;
    for (int64_t i = 0; i < 2 * limit / bytes; ++i) blocks.push_back(allocate(bytes));
    for (void* p : blocks) {
      deallocate(p, bytes);
      check(memory_stats().cached <= limit, "the cache exceeds its limit");
    }
    check(memory_stats().cached == limit, "the cache does not use its limit");
  }
  const int64_t misses = memory_stats().misses;
  std::vector<void*> blocks;
  for (int64_t i = 0; i < limit / new_size; ++i) blocks.push_back(allocate(new_size));
  check(memory_stats().misses == misses, "an old size was kept instead of the new one");
  for (void* p : blocks) deallocate(p, new_size);
  memory_set_limit(1 << 20);
  check(memory_stats().cached <= 1 << 20, "a lowered limit has no effect");
  memory_set_limit(0);
  deallocate(allocate(100), 100);
  check(memory_stats().cached == 0, "a limit of 0 keeps something");
  memory_set_limit(before);
}

// One thread allocates and another gives back, each a ring of blocks behind: the blocks have to find their way back
// to the first, or memory would grow by each.
void check_hand_over() {
  constexpr int64_t kRing = 64;
  constexpr int64_t kBlocks = 50000;
  constexpr int64_t kBytes = 4096;
  std::atomic<void*> ring[kRing] = {};
  memory_release();
  const MemoryStats before = memory_stats();
  std::thread freeing([&] {
    for (int64_t i = 0; i < kBlocks; ++i) {
      void* p = nullptr;
      while ((p = ring[i % kRing].exchange(nullptr)) == nullptr) std::this_thread::yield();
      check(holds(p, kBytes, static_cast<uint8_t>(i)), "a block was overwritten on its way");
      deallocate(p, kBytes);
    }
  });
  for (int64_t i = 0; i < kBlocks; ++i) {
    void* p = allocate(kBytes);
    fill(p, kBytes, static_cast<uint8_t>(i));
    while (ring[i % kRing].load() != nullptr) std::this_thread::yield();
    ring[i % kRing].store(p);
  }
  freeing.join();
  const MemoryStats after = memory_stats();
  check(after.in_use == before.in_use, "blocks were lost on their way");
  check(after.misses - before.misses <= kRing + 2, "blocks given back by another thread are not used again");
}

}  // namespace

void stress_memory() {
  check_classes();
  check_cache();
  check_limit(64 << 10, 1 << 20);
  check_limit(1 << 20, 64 << 10);
  check_hand_over();
  const int64_t in_use = memory_stats().in_use;
  user_threads(4, stress_allocator);
  check(memory_stats().in_use == in_use, "memory was lost");
  memory_release();
  check(memory_stats().cached == 0, "something is cached after a release");
}

// ---------------------------------------------------------------- scratch

namespace {

// Nested scratches: no piece overlaps another, and the outer ones survive the inner ones.
void nest(Random& random, int depth) {
  Scratch scratch;
  std::vector<Block> blocks;
  const auto take = [&] {
    const int64_t bytes = random.below(random.below(20) == 0 ? 300000 : 5000);
    const Block block{scratch.take<uint8_t>(bytes), bytes, static_cast<uint8_t>(random.below(256))};
    check(reinterpret_cast<uintptr_t>(block.p) % 64 == 0, "scratch is not aligned");
    fill(block.p, bytes, block.pattern);
    blocks.push_back(block);
  };
  take();
  take();
  if (depth > 0) nest(random, depth - 1);
  take();
  if (depth > 0) nest(random, depth - 1);
  for (const Block& block : blocks) check(holds(block.p, block.bytes, block.pattern), "scratch was overwritten");
}

// A thread keeps a chunk that has room for all that it takes, unless that is much.
void check_scratch_is_kept() {
  const int64_t in_use = memory_stats().in_use;
  const auto take_twice = [] {
    Scratch scratch;
    double* outer = scratch.take<double>(50000);
    double* inner = nullptr;
    for (int i = 0; i < 2; ++i) {
      double* p = Scratch().take<double>(50000);
      check(i == 0 || p == inner, "scratch is not given back");
      inner = p;
    }
    return outer;
  };
  take_twice();
  const double* kept = take_twice();
  const MemoryStats before = memory_stats();
  for (int i = 0; i < 100; ++i) check(take_twice() == kept, "scratch is not kept");
  const MemoryStats after = memory_stats();
  check(after.hits == before.hits && after.misses == before.misses, "kept scratch is allocated again");
  Scratch().take<double>(4000000);
  check(memory_stats().in_use < in_use + (4 << 20), "much scratch is kept");
}

}  // namespace

void stress_scratch() {
  set_num_threads(3);
  parallel_for(60, 1, [](int64_t begin, int64_t) {
    Random random(static_cast<uint64_t>(begin));
    nest(random, 4);
  });
  check_scratch_is_kept();
  bool thrown = false;
  try {
    Scratch().take<double>(INT64_MAX);
  } catch (const std::bad_alloc&) {
    thrown = true;
  }
  check(thrown, "scratch took the impossible");
  const int64_t in_use = memory_stats().in_use;
  std::thread([] { Scratch().take<double>(1000); }).join();
  check(memory_stats().in_use == in_use, "a thread that ended kept its scratch");
}

void read_forbidden(const std::string& where) {
  volatile char* p = nullptr;
  if (where == "slack") {
    p = static_cast<char*>(allocate(1000)) + 1000;
  } else if (where == "back") {
    p = static_cast<char*>(allocate(1000));
    deallocate(const_cast<char*>(p), 1000);
  } else if (where == "scratch") {
    Scratch scratch;
    p = scratch.take<char>(1024) + 1024;
    scratch.take<char>(1024);
    static_cast<void>(*p);
  } else {
    p = Scratch().take<char>(1024);
  }
  static_cast<void>(*p);
}
