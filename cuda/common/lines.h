// Operands of one shape as lines along an axis: a block works on one line at a time.
#pragma once
#include "common/device.h"

namespace pullback::cuda {

template <int operands>
struct Lines {
  int64_t length = 0, count = 1;  // elements of a line, and lines
  int64_t step[operands];         // from one element of a line to the next
  int ndim = 0;                   // of the other dimensions
  int64_t shape[kMaxDims];
  int64_t stride[operands][kMaxDims];

  // Where line `index` begins.
  PB_DEVICE int64_t at(int operand, int64_t index) const {
    int64_t place = 0;
    PB_ROLLED
    for (int d = ndim - 1; d >= 0; --d) {
      place += index % shape[d] * stride[operand][d];
      index /= shape[d];
    }
    return place;
  }
  // The same for all operands at once.
  PB_DEVICE void all_at(int64_t index, int64_t (&place)[operands]) const {
    for (int i = 0; i < operands; ++i) place[i] = 0;
    PB_ROLLED
    for (int d = ndim - 1; d >= 0; --d) {
      const int64_t along = index % shape[d];
      for (int i = 0; i < operands; ++i) place[i] += along * stride[i][d];
      index /= shape[d];
    }
  }
};

// Lines of operands of one shape; a number is a line of one element.
template <int operands>
Lines<operands> make_lines(const Operand* const (&list)[operands], int64_t axis) {
  const Operand& x = *list[0];
  const int64_t along = axis < 0 ? axis + x.ndim : axis;
  Lines<operands> lines;
  lines.length = x.ndim == 0 ? 1 : x.shape[along];
  for (int i = 0; i < operands; ++i) lines.step[i] = x.ndim == 0 ? 1 : list[i]->strides[along];
  for (int d = 0; d < x.ndim; ++d) {
    if (d == along) continue;
    lines.count *= x.shape[d];
    lines.shape[lines.ndim] = x.shape[d];
    for (int i = 0; i < operands; ++i) lines.stride[i][lines.ndim] = list[i]->strides[d];
    ++lines.ndim;
  }
  return lines;
}

// Of the first `operands` operands of the call.
template <int operands>
Lines<operands> make_lines(const Call& call, int64_t axis) {
  const Operand* list[operands];
  for (int i = 0; i < operands; ++i) list[i] = &call[i];
  return make_lines(list, axis);
}

// Threads for a line: whole warps, each thread with a few elements where the line has them.
inline int threads_for_line(int64_t length) {
  int threads = kWarpSize;
  while (threads < kBlockSize && threads * 4 < length) threads *= 2;
  return threads;
}

inline int64_t blocks_for_lines(int64_t count) { return count < kMostBlocks ? count : kMostBlocks; }

}  // namespace pullback::cuda
