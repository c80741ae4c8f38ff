#include "runtime/memory.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <mutex>
#include <new>
#include <thread>

#include "runtime/limits.h"
#include "runtime/poison.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif
#if __has_include(<pthread.h>)
#include <pthread.h>
#define PULLBACK_HAS_PTHREAD 1
#endif

namespace pullback {
namespace {

constexpr int64_t kAlignment = 64;
constexpr int64_t kHugePage = int64_t{2} << 20;
constexpr int64_t kMostBytes = int64_t{1} << 46;  // more than a processor can address
constexpr int kClasses = 4 + 4 * (46 - 8);

// ---------------------------------------------------------------- size classes

struct SizeClass {
  int index;
  int64_t bytes;
};

// Classes of 64, 128, 192, 256; 320, 384, 448, 512; 640, ..., 1024; ...: the sizes q 2^e with q = 5, ..., 8
// and e >= 6.
SizeClass class_of(int64_t bytes) {
  const int64_t last = std::max<int64_t>(bytes, 1) - 1;
  if (last < 256) return {static_cast<int>(last / 64), (last / 64 + 1) * 64};
  const int e = std::bit_width(static_cast<uint64_t>(last)) - 3;
  const int64_t q = (last >> e) + 1;
  return {4 + 4 * (e - 6) + static_cast<int>(q - 5), q << e};
}

// ---------------------------------------------------------------- the system's memory

#if defined(__linux__)
// AddressSanitizer sees the ends of the blocks of operator new only.
constexpr bool kMapsLargeBlocks = !kPoisons;

// A mapping that begins on a huge page, so that the kernel can use huge pages from its first byte on: one
// fault then brings 512 pages.
void* map(int64_t bytes) {
  const int64_t whole = bytes + kHugePage;
  void* mapped = mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  char* begin = static_cast<char*>(mapped);
  const int64_t before = -reinterpret_cast<intptr_t>(begin) & (kHugePage - 1);
  if (before > 0) munmap(begin, before);
  munmap(begin + before + bytes, whole - before - bytes);
  madvise(begin + before, bytes, MADV_HUGEPAGE);
  return begin + before;
}

void unmap(void* p, int64_t bytes) { munmap(p, bytes); }
#else
constexpr bool kMapsLargeBlocks = false;
void* map(int64_t) { return nullptr; }
void unmap(void*, int64_t) {}
#endif

void* take_from_system(int64_t bytes) {
  if (kMapsLargeBlocks && bytes >= kHugePage) return map(bytes);
  return ::operator new(bytes, std::align_val_t{kAlignment}, std::nothrow);
}

void give_to_system(void* p, int64_t bytes) {
  unpoison(p, bytes);
  if (kMapsLargeBlocks && bytes >= kHugePage) return unmap(p, bytes);
  ::operator delete(p, std::align_val_t{kAlignment});
}

// ---------------------------------------------------------------- the cache

// A lock for changes of some nanoseconds. Taking it is one atomic exchange and giving it back none, which costs no
// more than finding a cache of the thread's own would, and keeps the figures exact.
class SpinLock {
 public:
  void lock() {
    for (int turn = 1; taken_.exchange(true, std::memory_order_acquire); ++turn) {
      if (turn % 64 == 0) std::this_thread::yield();  // whoever has it may be waiting for this core
    }
  }
  void unlock() { taken_.store(false, std::memory_order_release); }

 private:
  std::atomic<bool> taken_{false};
};

// What stands in the first bytes of a cached block.
struct Free {
  Free* next;
  int64_t bytes;
};

struct FreeList {
  Free* first = nullptr;
  int64_t last_use = 0;  // the number of the last allocation of this class
};

// All members are called with the lock held, and so call no system: blocks that are to go come back as a list.
class Cache {
 public:
  SpinLock lock;
  MemoryStats stats{};

  Cache() { stats.limit = memory_size() / 4; }

  // The block of this class that was given back last, nullptr when there is none.
  void* pop(SizeClass size) {
    FreeList& list = lists_[size.index];
    list.last_use = stats.hits + stats.misses;
    if (list.first == nullptr) return nullptr;
    return unlink(list);
  }

  Free* push(void* p, SizeClass size) {
    unpoison(p, sizeof(Free));
    FreeList& list = lists_[size.index];
    Free* block = new (p) Free{list.first, size.bytes};
    if (size.bytes > stats.limit) {
      ++stats.system_calls;
      block->next = nullptr;
      return block;
    }
    Free* gone = stats.cached > stats.limit - size.bytes ? shrink(stats.limit - size.bytes) : nullptr;
    block->next = list.first;  // which may have shrunk
    list.first = block;
    poison(p, size.bytes);
    stats.cached += size.bytes;
    return gone;
  }

  // Takes out cached blocks until `bytes` are left, those of the class first that has not been asked for the
  // longest.
  Free* shrink(int64_t bytes) {
    Free* gone = nullptr;
    while (stats.cached > bytes) {
      FreeList* oldest = nullptr;
      for (FreeList& list : lists_) {
        if (list.first != nullptr && (oldest == nullptr || list.last_use < oldest->last_use)) oldest = &list;
      }
      Free* block = unlink(*oldest);
      block->next = gone;
      gone = block;
      ++stats.system_calls;
    }
    return gone;
  }

 private:
  Free* unlink(FreeList& list) {
    Free* block = list.first;
    unpoison(block, sizeof(Free));
    list.first = block->next;
    stats.cached -= block->bytes;
    return block;
  }

  FreeList lists_[kClasses];
};

// Gives a list of blocks to the system, and says how many bytes they had.
int64_t give_all(Free* gone) {
  int64_t bytes = 0;
  while (gone != nullptr) {
    Free* next = gone->next;
    bytes += gone->bytes;
    give_to_system(gone, gone->bytes);
    gone = next;
  }
  return bytes;
}

// Made when the library is loaded and never destroyed: threads may give memory back while the process ends.
Cache& cache = *new Cache;

#if defined(PULLBACK_HAS_PTHREAD)
// A child must not find the cache in the middle of a change that another thread was making.
[[maybe_unused]] const int fork_handlers =
    pthread_atfork([] { cache.lock.lock(); }, [] { cache.lock.unlock(); }, [] { cache.lock.unlock(); });
#endif

// LeakSanitizer does not follow the lists, whose links lie in poisoned memory.
[[maybe_unused]] const int exit_handler = kPoisons ? std::atexit([] { memory_release(); }) : 0;

// A new block, if need be in place of all that is cached.
void* take_new(SizeClass size) {
  void* p = take_from_system(size.bytes);
  if (p != nullptr) return p;
  memory_release();
  return take_from_system(size.bytes);
}

}  // namespace

void* allocate(int64_t bytes) {
  if (bytes < 0 || bytes > kMostBytes) return nullptr;
  const SizeClass size = class_of(bytes);
  std::unique_lock lock(cache.lock);
  void* p = cache.pop(size);
  if (p != nullptr) {
    ++cache.stats.hits;
  } else {
    lock.unlock();
    p = take_new(size);
    if (p == nullptr) return nullptr;
    lock.lock();
    ++cache.stats.misses;
    ++cache.stats.system_calls;
  }
  cache.stats.in_use += size.bytes;
  cache.stats.peak = std::max(cache.stats.peak, cache.stats.in_use);
  lock.unlock();
  unpoison(p, bytes);
  poison(static_cast<char*>(p) + bytes, size.bytes - bytes);
  return p;
}

void deallocate(void* p, int64_t bytes) noexcept {
  if (p == nullptr) return;
  const SizeClass size = class_of(bytes);
  Free* gone = nullptr;
  {
    const std::lock_guard lock(cache.lock);
    cache.stats.in_use -= size.bytes;
    gone = cache.push(p, size);
  }
  if (gone != nullptr) give_all(gone);
}

MemoryStats memory_stats() {
  const std::lock_guard lock(cache.lock);
  return cache.stats;
}

int64_t memory_release() {
  std::unique_lock lock(cache.lock);
  Free* gone = cache.shrink(0);
  lock.unlock();
  return give_all(gone);
}

void memory_reset_peak() {
  const std::lock_guard lock(cache.lock);
  cache.stats.peak = cache.stats.in_use;
}

void memory_set_limit(int64_t bytes) {
  std::unique_lock lock(cache.lock);
  cache.stats.limit = std::max<int64_t>(bytes, 0);
  Free* gone = cache.shrink(cache.stats.limit);
  lock.unlock();
  give_all(gone);
}

}  // namespace pullback
