// The shapes of a call of matmul, as both halves read them.
#pragma once
#include "kernels/matmul.h"

namespace pullback::ISA_NAMESPACE {
namespace {

// Stride of x along dimension `dim` of an array with ndim dimensions that x broadcasts to.
PB_INLINE int64_t broadcast_stride(const Operand& x, int ndim, int dim) {
  const int d = dim - (ndim - x.ndim);
  return d < 0 || x.shape[d] == 1 ? 0 : x.strides[d];
}

// Whether the first `dims` dimensions of x, whose last one is the last of c, are each 1 or c's.
PB_INLINE bool broadcasts(const Operand& x, const Operand& c, int dims) {
  for (int d = 0; d < dims; ++d)
    if (x.shape[d] != 1 && x.shape[d] != c.shape[d + c.ndim - x.ndim]) return false;
  return true;
}

// Whether x is [..., rows, columns] with leading dimensions that broadcast to c's.
PB_INLINE bool fits(const Operand& x, const Operand& c, int64_t rows, int64_t columns) {
  if (x.ndim < 2 || x.ndim > c.ndim || x.shape[x.ndim - 2] != rows || x.shape[x.ndim - 1] != columns) return false;
  return broadcasts(x, c, x.ndim - 2);
}

// The number of the first operand whose shape is not that of the contract, −1 where all are right.
[[maybe_unused]] static int first_misfit(const Call& call) {
  const Operand &a = call[0], &b = call[1], &c = call[2];
  if (c.ndim < 2) return 2;
  const int64_t m = c.shape[c.ndim - 2], n = c.shape[c.ndim - 1];
  if (a.ndim < 2 || !fits(a, c, m, a.shape[a.ndim - 1])) return 0;
  if (!fits(b, c, a.shape[a.ndim - 1], n)) return 1;
  if (call.has(3) && (call[3].ndim > c.ndim || !broadcasts(call[3], c, call[3].ndim))) return 3;
  return -1;
}

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
