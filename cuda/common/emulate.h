// Kernels without a GPU: blocks run one after the other, and the threads of a block are fibers that take turns at
// barriers.
//
// It proves indices, tails, barriers and mathematics; it says nothing about speed, the memory model or nvcc's code.
// What a GPU would let pass or hang on is an error here that names kernel, block, thread and line: a barrier that not
// all threads of the block reach, a shuffle that not all lanes of the warp reach. Shared memory starts as NaN (every
// bit set) in each block.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <source_location>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __launch_bounds__(...)
#define __forceinline__ [[gnu::always_inline]] inline

namespace pullback::emulate {

using Site = std::source_location;

inline constexpr int kWarp = 32;
inline constexpr int kMostThreads = 1024;          // of a block
inline constexpr int kMostShared = 48 * 1024;      // bytes of a block, as on every GPU
inline constexpr int64_t kMostBlocks = INT32_MAX;  // of a grid

// In which order threads take their turns: what depends on it is wrong. Reversed and shuffled, a warp runs ahead of the
// others until all of it waits for the block. The seed is for `shuffled`.
enum class Order : uint8_t { forward, reversed, shuffled };
void set_order(Order order, uint64_t seed = 0);

// Runs body(context) for every thread of every block. Throws std::runtime_error where the kernel goes wrong.
void run(int64_t blocks, int threads, void (*body)(const void* context), const void* context);

bool inside_kernel();

// A stream under capture keeps its work for later: while a thread has a list here, what it is given goes there, as
// closures over the arguments, which are what they were.
using Work = std::vector<std::function<void()>>;
Work* capture(Work* work);  // from here on; nullptr: no more. What it was before.
void in_order(std::function<void()> work);

// --- what a thread asks for ------------------------------------------------------------------------------------------

int thread();     // its number in its block
int threads();    // of a block
int64_t block();  // the number of its block
int64_t blocks();

void sync_block(Site site);
// Every lane of the warp hands in some words; then handed_in(lane) are that lane's, until this thread hands in again.
inline constexpr int kMostWords = 3;
void hand_in(const uint64_t* words, int count, Site site);
const uint64_t* handed_in(int lane);
// The block's piece of shared memory that has this key; made when the first thread asks.
void* shared(const void* key, size_t bytes);

// A copy that goes on beside its thread: it is made when the thread waits for its group, so that what nobody waited for
// is not there. next_copy takes one of all groups but the newest `left`; false where none is left. A thread may not end
// before its copies.
struct Copy {
  void* to;
  const void* from;
};
void begin_copy(const Copy& copy);
void commit_copies();
bool next_copy(int left, Copy& copy);

// Fails where p is no multiple of `bytes`, on which a GPU would stop.
void check_alignment(const void* p, int bytes, Site site);

}  // namespace pullback::emulate
