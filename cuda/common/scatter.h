// Writing where index arrays point, x[…] ← x[…] ∘ v, with the same bits in every run although places repeat.
//
// An *entry* is one element of the index, with all that it moves. Entries of different groups never meet; within one
// they are written in order, or as if they were.
#pragma once
#include "common/indexed.h"

namespace pullback::cuda {

enum class Mode : int64_t { assign, add, multiply, min, max };  // the numbers of kernels/along.h

// Entry e = group · length + k, of `count`, moves rest.size elements.
struct Entries {
  int64_t length, count;
  Space<1> values;  // where an entry begins in v
  Space<2> rest;    // where what it moves lies from there: in x, in v
  Numbering places;
  int64_t* numbers;  // of the place of each entry
  int* failed;       // not 0 where an index is out of range: then nothing is written

  // Whether elements that one entry moves are nearer to each other than entries are.
  bool moves_neighbours() const {
    if (rest.ndim == 0 || values.ndim == 0) return rest.ndim > 0;
    return llabs(rest.stride[1][rest.ndim - 1]) < llabs(values.stride[0][values.ndim - 1]);
  }
};

// Memory for the numbers of entries, which index arrays then add to.
inline void take_numbers(Entries& s, Scratch& scratch) {
  s.numbers = scratch.take<int64_t>(s.count);
  s.failed = scratch.take<int>(1);
  start_numbers(s.places, s.count, s.numbers);
  fill_scratch(s.failed, 1, 0);
}

// x and v are the operands that the entries were made of. Defined in kernels/along.cu: its kernels are compiled once.
void write_entries(const Operand& x, const Operand& v, const Entries& s, Mode mode);

}  // namespace pullback::cuda
