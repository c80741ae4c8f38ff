// A recorded step: kernel calls in order, and the memory that they touch, by number instead of by address.
//
// A trace is what was recorded; a plan is a trace that passes have rewritten and whose memory has been placed.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/launch.h"

namespace pullback {

struct Buffer {
  enum class Kind : uint8_t {
    given,   // from before the step: parameters, state, constants
    made,    // during the step, and gone at its end
    kept,    // made during the step, and still held by somebody at its end: gradients
    result,  // handed to the caller: new memory for every run
    filled,  // made during the step, and filled by the host instead of a kernel: a number from Python
  };
  Kind kind = Kind::given;
  char* address = nullptr;
  int64_t bytes = 0;
  int32_t name = -1;          // the place of given memory among what the caller named
  bool written = false;       // by a kernel, so far
  bool lends = false;         // kept memory that only gradients lie in: others may lie there until it is written
  bool placed = false;        // it gets a place of its own for good: gradients that move, results that stay
  int32_t inside = -1;        // the lender that it lies in; −1: the arena
  std::vector<char> content;  // of what the host filled
};

struct Tiles;

// One call; or several that take the same elements tile by tile; or a pause, where control goes back to the caller.
struct Step {
  Kernel* kernel = nullptr;
  std::vector<Operand> operands;
  std::vector<int32_t> first;  // as in Call
  std::vector<Scalar> scalars;
  std::vector<int32_t> buffers;  // behind every operand, then behind every scalar: −1 for a constant
  std::vector<int32_t> unread;   // operands that the contract calls inout, and that this call only writes
  int32_t line = -1;             // of the user's program, in Trace::lines

  std::shared_ptr<Tiles> tiles;

  bool pause() const { return !kernel && !tiles; }
  // The role of operand i.
  bool reads(size_t i) const { return operands[i].role != Role::out; }
  bool writes(size_t i) const { return operands[i].role != Role::in; }
};

// Elementwise calls that run together on rows 0 … extent − 1, `rows` at a time: what one writes and only the next reads
// never leaves the cache.
struct Tiles {
  static constexpr int32_t kWhole = -2, kMoves = -1;
  std::vector<Step> calls;
  std::vector<std::vector<int32_t>> moves;  // of each call's operands: whole, moving with the rows, or a number of …
  std::vector<int64_t> local;               // … memory that lives for a tile: bytes a row
  int64_t extent = 0, rows = 0, piece = 0;  // a task takes `piece` rows
};

struct Trace {
  std::vector<Buffer> buffers;
  std::vector<Step> steps;
  std::vector<std::string> lines;
};

// Why two recordings of one step are not the same, and in which line of the user's program; nothing where they are.
// Memory made during the step may lie elsewhere, and constants too where their bytes are equal.
struct Difference {
  std::string what;
  int32_t line;
};
std::optional<Difference> difference(const Trace& before, const Trace& now);

// What the two halves do in their own way, in bind/memory.cpp: whether bytes of the device's memory are equal, and what
// the address of a placed buffer is a multiple of.
bool same_bytes(const void* a, const void* b, int64_t bytes);
extern const int64_t alignment;

bool is_written(const Trace& trace, int32_t buffer);  // of a trace as it was recorded

// --- rewriting -------------------------------------------------------------------------------------------------------

// A pass leaves every bit of what a step computes as it was; one that does not is run only for those who ask for it.
struct Pass {
  const char* name;
  const char* what;
  void (*run)(Trace&);
  bool exact = true;
};
const std::vector<Pass>& passes();

void drop_dead_calls(Trace& trace);   // pass_dead.cpp
void accumulate(Trace& trace);        // pass_accumulate.cpp
void fold_epilogues(Trace& trace);    // pass_epilogue.cpp
void tile_elementwise(Trace& trace);  // pass_tile.cpp

// Which calls touch a buffer: the first and the last, by their places in `steps`; none: first > last.
struct Span {
  int64_t first = INT64_MAX, last = -1;
};
std::vector<Span> lifetimes(const Trace& trace);

// --- running ---------------------------------------------------------------------------------------------------------

// Places what is made during the step into memory that is lent and into one more piece, the arena, so that nothing
// overlaps what it lives beside; returns the bytes of the arena. The addresses of these buffers are offsets into the
// memory that they are inside of, until somebody adds where that lies.
int64_t place(Trace& trace);

// The operands and cells behind one buffer, so that it can move.
struct Uses {
  std::vector<Operand*> operands;
  std::vector<std::pair<Scalar*, int64_t>> cells;  // with their offsets
  void move(char* address) const;
};
std::vector<Uses> uses(Trace& trace);

// Runs steps from `begin` on; returns the place after the first pause, or the number of steps.
size_t run(const Trace& trace, size_t begin);
// One step, timed by whoever wants to know.
void run(const Step& step);

}  // namespace pullback
