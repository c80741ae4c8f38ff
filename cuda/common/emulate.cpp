#include "common/emulate.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(PULLBACK_TSAN_FIBERS)  // this file itself is compiled without instrumentation: its own data is no kernel's
#include <sanitizer/tsan_interface.h>
#endif
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

// --- changing from one stack to another ------------------------------------------------------------------------------

#if defined(__x86_64__)
// void pullback_switch(void** save, void* load): the registers that a call preserves go onto the stack, whose pointer
// is stored in *save; then the same in reverse from the stack at `load`.
asm(R"(
.text
.p2align 4
.type pullback_switch, @function
pullback_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size pullback_switch, .-pullback_switch
)");
extern "C" void pullback_switch(void** save, void* load);
#endif

namespace pullback::emulate {
namespace {

constexpr size_t kStack = 256 * 1024;  // of a thread; only pages that are touched are taken
constexpr size_t kGuard = 4096;        // below it, so that an overflow is seen
constexpr int kMostCopies = 64;        // that a thread has begun and not waited for

enum class State : uint8_t { ready, at_barrier, at_shuffle, ended };

struct Fiber {
#if defined(__x86_64__)
  void* stack_pointer = nullptr;
#else
  ucontext_t context;
#endif
  char* stack = nullptr;  // its lowest byte
  State state = State::ended;
  Site site;                            // where it waits
  uint64_t posted[2][kMostWords] = {};  // what it handed in at its even and at its odd shuffles
  uint32_t shuffles = 0, syncs = 0;
  // Copies that are not made yet, in a ring, and how many groups were committed before each; no memory is taken for
  // them while ThreadSanitizer looks.
  Copy copies[kMostCopies];
  uint32_t group_of[kMostCopies];
  uint32_t begun = 0, made = 0, groups = 0;
#if defined(__SANITIZE_ADDRESS__)
  void* fake_stack = nullptr;
#endif
#if defined(PULLBACK_TSAN_FIBERS)
  void* tsan = nullptr;
#endif
};

struct Piece {
  const void* key;
  std::unique_ptr<char[]> bytes;  // of its exact size, so that AddressSanitizer sees its end
};

// Everything of the launch that one thread of the host runs.
struct Machine {
  std::vector<Fiber> fibers;
  Fiber scheduler;
  int running = 0, threads = 0, live = 0;
  int64_t block = 0, blocks = 0;
  void (*body)(const void*) = nullptr;
  const void* context = nullptr;
  std::vector<Piece> shared;
  size_t shared_bytes = 0;
  std::string failure;
#if defined(__SANITIZE_ADDRESS__)
  const void* host_stack = nullptr;
  size_t host_stack_size = 0;
#endif
#if defined(PULLBACK_TSAN_FIBERS)
  // The scheduler learns of the threads' ends after the last block only: else it would order a block after the one
  // before. So a fiber has one turn in a launch; one launch is ordered after another, and takes over its fibers.
  std::vector<Piece> spent;
  std::vector<Fiber> ended, rested;  // of earlier blocks, of earlier launches
  int made = 0;                      // fibers
  size_t turns = 0;
  char launch_sync = 0, end_sync = 0, shared_sync = 0, barrier_sync[2] = {0, 0},
       warp_sync[kMostThreads / kWarp][2] = {};
#endif
  ~Machine() {
    for (Fiber& f : fibers) {
      if (f.stack == nullptr) continue;
#if defined(__SANITIZE_ADDRESS__)
      __asan_unpoison_memory_region(f.stack, kStack);  // for whoever is given these addresses next
#endif
      munmap(f.stack - kGuard, kStack + kGuard);
    }
#if defined(PULLBACK_TSAN_FIBERS)
    for (const std::vector<Fiber>* kept : {&ended, &rested})
      for (const Fiber& f : *kept) munmap(f.stack - kGuard, kStack + kGuard);
#endif
  }
};

thread_local Machine* machine = nullptr;
thread_local Work* captured = nullptr;
Order order = Order::forward;
uint64_t order_seed = 0;

Fiber& self() { return machine->fibers[machine->running]; }

std::string where(int thread, const Site& site) {
  const char* slash = std::strrchr(site.file_name(), '/');
  char text[256];
  std::snprintf(text, sizeof(text), "thread %d waits at %s:%u:%u", thread, slash ? slash + 1 : site.file_name(),
                static_cast<unsigned>(site.line()), static_cast<unsigned>(site.column()));
  return text;
}

void fail(std::string what) {
  if (machine->failure.empty()) machine->failure = std::move(what) + " (block " + std::to_string(machine->block) + ")";
}

bool same_place(const Site& a, const Site& b) {
  return a.line() == b.line() && a.column() == b.column() && !std::strcmp(a.file_name(), b.file_name());
}

// --- switching -------------------------------------------------------------------------------------------------------

void change(Fiber& from, Fiber& to, [[maybe_unused]] bool ends) {
#if defined(__SANITIZE_ADDRESS__)
  const bool to_host = &to == &machine->scheduler;
  __sanitizer_start_switch_fiber(ends ? nullptr : &from.fake_stack, to_host ? machine->host_stack : to.stack,
                                 to_host ? machine->host_stack_size : kStack);
#endif
#if defined(PULLBACK_TSAN_FIBERS)
  __tsan_switch_to_fiber(to.tsan, __tsan_switch_to_fiber_no_sync);
#endif
#if defined(__x86_64__)
  pullback_switch(&from.stack_pointer, to.stack_pointer);
#else
  swapcontext(&from.context, &to.context);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(from.fake_stack, nullptr, nullptr);
#endif
}

void wait(State state, const Site& site) {
  Fiber& f = self();
  f.state = state, f.site = site;
  change(f, machine->scheduler, false);
}

[[noreturn]] void fiber_main() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &machine->host_stack, &machine->host_stack_size);
#endif
#if defined(PULLBACK_TSAN_FIBERS)
  __tsan_acquire(&machine->launch_sync);
#endif
  machine->body(machine->context);
  if (self().made < self().begun)
    fail("thread " + std::to_string(machine->running) + " ended before copies that it began");
#if defined(PULLBACK_TSAN_FIBERS)
  __tsan_release(&machine->end_sync);
#endif
  self().state = State::ended;
  --machine->live;
  change(self(), machine->scheduler, true);
  std::abort();  // an ended fiber is never resumed
}

#if defined(PULLBACK_TSAN_FIBERS)
constexpr int kMostFibers = 2048;  // each takes 1 MB and half a millisecond to make

// A fiber that has had no turn in this launch. Where the launch has more threads than there may be fibers, later blocks
// take those of earlier ones, and are ordered after them.
void renew(Fiber& f) {
  Machine& m = *machine;
  if (m.rested.empty() && m.made < kMostFibers) {
    f.tsan = __tsan_create_fiber(0);
    ++m.made;
    return;
  }
  std::vector<Fiber>& from = m.rested.empty() ? m.ended : m.rested;
  std::swap(from[m.turns++ % from.size()], from.back());
  f = from.back();
  from.pop_back();
}
#endif

void prepare(Fiber& f) {
#if defined(PULLBACK_TSAN_FIBERS)
  renew(f);
#endif
  if (f.stack == nullptr) {
    void* p =
        mmap(nullptr, kStack + kGuard, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) throw std::bad_alloc();
    mprotect(p, kGuard, PROT_NONE);
    f.stack = static_cast<char*>(p) + kGuard;
  }
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(f.stack, kStack);  // what an abandoned fiber left
#endif
#if defined(__x86_64__)
  void** top = reinterpret_cast<void**>(f.stack + kStack) - 2;
  *top = reinterpret_cast<void*>(fiber_main);  // returned to with the stack aligned as after a call
  f.stack_pointer = top - 6;
#else
  getcontext(&f.context);
  f.context.uc_stack.ss_sp = f.stack;
  f.context.uc_stack.ss_size = kStack;
  f.context.uc_link = nullptr;
  makecontext(&f.context, reinterpret_cast<void (*)()>(fiber_main), 0);
#endif
  f.state = State::ready;
  f.shuffles = f.syncs = 0;
  f.begun = f.made = f.groups = 0;
}

// --- one block -------------------------------------------------------------------------------------------------------

// Where all lanes of a warp wait at one shuffle, they go on.
bool release_warp(int first) {
  const int end = std::min(first + kWarp, machine->threads);
  int waiting = -1;
  for (int i = first; i < end; ++i)
    if (machine->fibers[i].state == State::at_shuffle) waiting = i;
  if (waiting < 0) return false;
  const Site& site = machine->fibers[waiting].site;
  for (int i = first; i < first + kWarp; ++i) {
    if (i >= end || machine->fibers[i].state == State::ended) {
      fail(where(waiting, site) + " for lane " + std::to_string(i - first) + ", which has ended");
    } else if (machine->fibers[i].state != State::at_shuffle || !same_place(machine->fibers[i].site, site)) {
      fail("a divergent shuffle: " + where(waiting, site) + ", " + where(i, machine->fibers[i].site));
    }
  }
  for (int i = first; i < end; ++i) machine->fibers[i].state = State::ready;
  return true;
}

void release_barrier() {
  const Site& site = machine->fibers[0].site;
  for (int i = 0; i < machine->threads; ++i) {
    Fiber& f = machine->fibers[i];
    if (f.state == State::ended) {
      int waiting = 0;
      while (machine->fibers[waiting].state != State::at_barrier) ++waiting;
      return fail("a divergent barrier: " + where(waiting, machine->fibers[waiting].site) + ", but thread " +
                  std::to_string(i) + " has ended");
    }
    if (!same_place(f.site, site)) return fail("a divergent barrier: " + where(0, site) + ", " + where(i, f.site));
  }
  for (int i = 0; i < machine->threads; ++i) machine->fibers[i].state = State::ready;
}

using Turns = std::vector<int>;  // threads, in the order in which they run

// Whether one of them could.
bool run_ready(const Turns& turns) {
  Machine& m = *machine;
  bool moved = false;
  for (int i : turns) {
    if (m.fibers[i].state != State::ready) continue;
    m.running = i;
    change(m.scheduler, m.fibers[i], false);
    moved = true;
    if (!m.failure.empty()) break;
  }
  return moved;
}

bool release_warps(const Turns& turns) {
  bool released = false;
  for (int i : turns)
    if (i % kWarp == 0) released = release_warp(i) || released;
  return released;
}

void run_block(const std::vector<Turns>& groups) {
  Machine& m = *machine;
  m.live = m.threads;
  for (int i = 0; i < m.threads; ++i) prepare(m.fibers[i]);
  while (m.live > 0 && m.failure.empty()) {
    for (const Turns& turns : groups)
      while (m.failure.empty() && (run_ready(turns) || release_warps(turns))) {
      }
    if (m.live > 0 && m.failure.empty()) release_barrier();
  }
}

void end_block() {
#if defined(PULLBACK_TSAN_FIBERS)
  for (int i = 0; i < machine->threads; ++i) {
    Fiber& f = machine->fibers[i];
    if (f.state == State::ended) {
      machine->ended.push_back(f);
    } else {
      __tsan_destroy_fiber(f.tsan);
      munmap(f.stack - kGuard, kStack + kGuard);
      --machine->made;
    }
    f.stack = nullptr;
  }
  for (Piece& piece : machine->shared) machine->spent.push_back(std::move(piece));
#endif
  machine->shared.clear();
  machine->shared_bytes = 0;
}

// The threads that take turns with one another until all of them wait for the block: in order forward all, else a warp.
std::vector<Turns> turns_of(int threads) {
  const int size = order == Order::forward ? threads : kWarp;
  std::mt19937_64 random(order_seed);
  std::vector<Turns> groups;
  for (int first = 0; first < threads; first += size) {
    Turns turns(std::min(size, threads - first));
    std::iota(turns.begin(), turns.end(), first);
    if (order == Order::reversed) std::reverse(turns.begin(), turns.end());
    if (order == Order::shuffled) std::shuffle(turns.begin(), turns.end(), random);
    groups.push_back(std::move(turns));
  }
  if (order == Order::reversed) std::reverse(groups.begin(), groups.end());
  if (order == Order::shuffled) std::shuffle(groups.begin(), groups.end(), random);
  return groups;
}

// A machine for each thread of the host, kept for the stacks.
Machine& own_machine() {
  thread_local Machine own;
  return own;
}

}  // namespace

void set_order(Order o, uint64_t seed) { order = o, order_seed = seed; }

void run(int64_t blocks, int threads, void (*body)(const void* context), const void* context) {
  if (threads < 1 || threads > kMostThreads || blocks < 0 || blocks > kMostBlocks) {
    throw std::runtime_error("a launch of " + std::to_string(blocks) + " blocks of " + std::to_string(threads) +
                             " threads is more than a GPU takes");
  }
  Machine& m = own_machine();
  machine = &m;
  if (static_cast<int>(m.fibers.size()) < threads) m.fibers.resize(threads);
  m.threads = threads, m.blocks = blocks, m.body = body, m.context = context;
  m.failure.clear();
  const std::vector<Turns> turns = turns_of(threads);
#if defined(PULLBACK_TSAN_FIBERS)
  m.scheduler.tsan = __tsan_get_current_fiber();
  __tsan_release(&m.launch_sync);
#endif
  for (int64_t i = 0; i < blocks && m.failure.empty(); ++i) {
    m.block = order == Order::reversed ? blocks - 1 - i : i;
    run_block(turns);
    end_block();
  }
#if defined(PULLBACK_TSAN_FIBERS)
  __tsan_acquire(&m.end_sync);
  m.spent.clear();
  m.rested.insert(m.rested.end(), m.ended.begin(), m.ended.end());
  m.ended.clear();
#endif
  machine = nullptr;
  if (!m.failure.empty()) throw std::runtime_error("emulated kernel: " + m.failure);
}

bool inside_kernel() { return machine != nullptr; }

Work* capture(Work* work) { return std::exchange(captured, work); }

void in_order(std::function<void()> work) { captured ? captured->push_back(std::move(work)) : work(); }

int thread() { return machine->running; }
int threads() { return machine->threads; }
int64_t block() { return machine->block; }
int64_t blocks() { return machine->blocks; }

void sync_block(Site site) {
#if defined(PULLBACK_TSAN_FIBERS)
  char* sync = &machine->barrier_sync[self().syncs++ & 1];
  __tsan_release(sync);
#endif
  wait(State::at_barrier, site);
#if defined(PULLBACK_TSAN_FIBERS)
  __tsan_acquire(sync);
#endif
}

// Two places to hand in suffice: a lane can be one shuffle ahead of another, not two.
void hand_in(const uint64_t* words, int count, Site site) {
  Fiber& f = self();
  const uint32_t turn = f.shuffles++ & 1;
  // No std::copy_n: ThreadSanitizer would see its memmove.
  for (int i = 0; i < count; ++i) f.posted[turn][i] = words[i];
#if defined(PULLBACK_TSAN_FIBERS)
  char* sync = &machine->warp_sync[machine->running / kWarp][turn];
  __tsan_release(sync);
#endif
  wait(State::at_shuffle, site);
#if defined(PULLBACK_TSAN_FIBERS)
  __tsan_acquire(sync);
#endif
}

const uint64_t* handed_in(int lane) {
  const uint32_t turn = (self().shuffles - 1) & 1;
  return machine->fibers[machine->running / kWarp * kWarp + (lane & (kWarp - 1))].posted[turn];
}

void begin_copy(const Copy& copy) {
  Fiber& f = self();
  if (f.begun - f.made == kMostCopies)
    fail("more than " + std::to_string(kMostCopies) + " copies of a thread at a time");
  const uint32_t i = f.begun++ % kMostCopies;
  f.copies[i] = copy, f.group_of[i] = f.groups;
}

void commit_copies() { ++self().groups; }

bool next_copy(int left, Copy& copy) {
  Fiber& f = self();
  const uint32_t i = f.made % kMostCopies;
  if (f.made == f.begun || f.group_of[i] + left >= f.groups) return false;
  copy = f.copies[i];
  ++f.made;
  return true;
}

void check_alignment(const void* p, int bytes, Site site) {
  if (reinterpret_cast<uintptr_t>(p) % bytes == 0) return;
  fail("an address that is no multiple of " + std::to_string(bytes) + ": " + where(machine->running, site));
  wait(State::ready, site);  // for good
}

// ThreadSanitizer takes an allocation for a write. It is the scheduler's here, before all of the block, so that it
// orders no thread of the kernel after another.
void* shared(const void* key, size_t bytes) {
  Machine& m = *machine;
#if defined(PULLBACK_TSAN_FIBERS)
  __tsan_switch_to_fiber(m.scheduler.tsan, __tsan_switch_to_fiber_no_sync);
#endif
  const auto found = std::find_if(m.shared.begin(), m.shared.end(), [=](const Piece& p) { return p.key == key; });
  char* piece = found == m.shared.end() ? nullptr : found->bytes.get();
  if (piece == nullptr) {
    m.shared_bytes += bytes;
    if (m.shared_bytes > kMostShared) fail("more than 48 KiB of shared memory");
    m.shared.push_back({key, std::make_unique<char[]>(bytes)});
    piece = m.shared.back().bytes.get();
    std::memset(piece, 0xFF, bytes);
  }
#if defined(PULLBACK_TSAN_FIBERS)
  __tsan_release(&m.shared_sync);
  __tsan_switch_to_fiber(self().tsan, __tsan_switch_to_fiber_no_sync);
  __tsan_acquire(&m.shared_sync);
#endif
  return piece;
}

}  // namespace pullback::emulate
