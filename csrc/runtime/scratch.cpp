#include "runtime/scratch.h"

#include <algorithm>
#include <cassert>
#include <new>

#include "runtime/memory.h"
#include "runtime/poison.h"

namespace pullback {

// One block of the stack. The header takes a cache line, so that the bytes behind it are aligned.
struct alignas(64) ScratchChunk {
  ScratchChunk* below;
  int64_t bytes;  // behind the header
  int64_t used;
};

// The stack of one thread. What did not fit into the lowest chunk is remembered, so that a kernel that comes
// again finds one chunk that has room for all.
struct ScratchArena {
  Scratch* innermost = nullptr;
  ScratchChunk* top = nullptr;
  int64_t wanted = 0;  // bytes that the lowest chunk should have

  ~ScratchArena() {
    while (top != nullptr) pop_chunk();
  }
  void* take(int64_t bytes);
  void release_to(ScratchChunk* chunk, int64_t used);
  void trim();
  void push_chunk(int64_t bytes);
  void pop_chunk();
};

namespace {

constexpr int64_t kHeader = sizeof(ScratchChunk);
constexpr int64_t kSmallestChunk = (int64_t{64} << 10) - kHeader;
constexpr int64_t kMostKept = int64_t{8} << 20;   // by a thread that runs no kernel
constexpr int64_t kMostBytes = int64_t{1} << 45;  // more than there is, and far from overflow
constexpr int64_t kGuard = kPoisons ? 64 : 0;     // bytes behind each piece that must not be touched

char* bytes_of(ScratchChunk* chunk) { return reinterpret_cast<char*>(chunk) + kHeader; }

ScratchArena& thread_arena() {
  thread_local ScratchArena arena;
  return arena;
}

}  // namespace

void ScratchArena::push_chunk(int64_t bytes) {
  void* p = allocate(kHeader + bytes);
  if (p == nullptr) throw std::bad_alloc();
  top = new (p) ScratchChunk{top, bytes, 0};
  poison(bytes_of(top), bytes);
  if (top->below == nullptr) return;
  int64_t all = 0;
  for (const ScratchChunk* chunk = top; chunk != nullptr; chunk = chunk->below) all += chunk->bytes;
  wanted = std::max(wanted, all);
}

void ScratchArena::pop_chunk() {
  ScratchChunk* chunk = top;
  top = chunk->below;
  deallocate(chunk, kHeader + chunk->bytes);
}

void* ScratchArena::take(int64_t bytes) {
  if (bytes < 0 || bytes > kMostBytes) throw std::bad_alloc();
  const int64_t taken = (bytes + 63) / 64 * 64 + kGuard;
  if (top == nullptr || top->bytes - top->used < taken) {
    push_chunk(std::max({taken, kSmallestChunk, top == nullptr ? wanted : 2 * top->bytes}));
  }
  char* p = bytes_of(top) + top->used;
  top->used += taken;
  unpoison(p, bytes);
  return p;
}

// Back to where a Scratch began; chunk is nullptr when there was none yet, and the lowest is kept then.
void ScratchArena::release_to(ScratchChunk* chunk, int64_t used) {
  while (top != chunk && top->below != nullptr) pop_chunk();
  if (top == nullptr) return;
  poison(bytes_of(top) + used, top->used - used);
  top->used = used;
}

// After the outermost Scratch: keeps a chunk that was large enough and is not too large.
void ScratchArena::trim() {
  if (wanted > kMostKept) wanted = 0;
  while (top != nullptr && (top->bytes < wanted || top->bytes > kMostKept)) pop_chunk();
}

Scratch::Scratch() : arena_(&thread_arena()), outer_(arena_->innermost), chunk_(arena_->top) {
  used_ = chunk_ == nullptr ? 0 : chunk_->used;
  arena_->innermost = this;
}

Scratch::~Scratch() {
  assert(arena_->innermost == this);
  arena_->innermost = outer_;
  arena_->release_to(chunk_, used_);
  if (outer_ == nullptr) arena_->trim();
}

void* Scratch::take_bytes(int64_t bytes) {
  assert(arena_->innermost == this);
  return arena_->take(bytes);
}

}  // namespace pullback
