// What both halves of cat and pad say about a dimension.
#pragma once
#include "runtime/record.h"

namespace pullback::ISA_NAMESPACE {
namespace {

// y without its dimension `axis`: the layer number `at`.
[[maybe_unused]] Operand layer(const Operand& y, int64_t axis, int64_t at) {
  Operand part = y;
  part.offset += at * y.strides[axis] * item_size(y.dtype);
  --part.ndim;
  for (int64_t d = axis; d < part.ndim; ++d) part.shape[d] = y.shape[d + 1], part.strides[d] = y.strides[d + 1];
  return part;
}
// y, of the dimension `axis` only n elements from `at` on.
[[maybe_unused]] Operand slice(const Operand& y, int64_t axis, int64_t at, int64_t n) {
  Operand part = y;
  part.offset += at * y.strides[axis] * item_size(y.dtype);
  part.shape[axis] = n;
  return part;
}

enum PadMode : int64_t { kConstant, kReflect, kReplicate, kCircular };

// A dimension of y: element p is element p − left of x, where x has that, else what the mode says.
struct Padded {
  int64_t n, left, size;  // of x, more before, of y
  int64_t mode;

  PB_INLINE int64_t source(int64_t p) const {  // −1: the value
    const int64_t i = p - left;
    if (i >= 0 && i < n) return i;
    if (mode == kReflect) return i < 0 ? -i : 2 * (n - 1) - i;
    if (mode == kReplicate) return i < 0 ? 0 : n - 1;
    if (mode == kCircular) return i < 0 ? i + n : i - n;
    return -1;
  }
};

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
