// The caching allocator that all arrays and temporaries of the library come from.
//
// Sizes are rounded up to classes, four to each doubling, so that at most a quarter is added (or 64 bytes); a
// block that is given back waits in the list of its class for the next one who asks. Touching fresh pages
// costs ten times what a kernel does with them, so nothing goes back to the system below a bound. All
// functions may be called from any thread.
#pragma once

#include <cstdint>

namespace pullback {

// 64-byte aligned and not initialised. bytes = 0 gives a valid pointer; nullptr when the system has no memory
// left.
void* allocate(int64_t bytes);

// `bytes` as given to allocate. nullptr is ignored.
void deallocate(void* p, int64_t bytes) noexcept;

// Sizes are in bytes and count whole blocks, so in_use + cached is what is held from the system.
struct MemoryStats {
  int64_t in_use;        // handed out
  int64_t peak;          // the most that in_use has been since the start or memory_reset_peak
  int64_t cached;        // kept for reuse
  int64_t limit;         // bound of cached
  int64_t hits;          // allocations served from the cache
  int64_t misses;        // allocations that went to the system
  int64_t system_calls;  // blocks taken from the system and blocks given back to it
};
MemoryStats memory_stats();

// Gives everything cached back to the system, and says how many bytes that were.
int64_t memory_release();

// Lets the peak be counted from what is in use now.
void memory_reset_peak();

// The bound of what is kept for reuse; 0 keeps nothing. By default a quarter of the memory that the machine,
// or the container where that is less, has. What exceeds a lowered bound goes back to the system at once.
void memory_set_limit(int64_t bytes);

}  // namespace pullback
