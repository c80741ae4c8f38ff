// Dimensions that are walked together: part of those of an operand or of several, sorted and merged.
#pragma once
#include <cstdlib>

#include "isa/kernel.h"

namespace pullback::ISA_NAMESPACE {
namespace {

inline constexpr int kDimsOperands = 4;

// Some dimensions of a few operands.
struct Dims {
  int n = 0;
  int64_t shape[kMaxDims];
  int64_t stride[kDimsOperands][kMaxDims];

  int64_t size() const {
    int64_t product = 1;
    for (int d = 0; d < n; ++d) product *= shape[d];
    return product;
  }
  int64_t inner() const { return n ? shape[n - 1] : 1; }
  int64_t inner_stride(int operand) const { return n ? stride[operand][n - 1] : 1; }

  // Where element `index` of these dimensions lies, counting from the first.
  int64_t offset(int operand, int64_t index) const {
    int64_t at = 0;
    for (int d = n - 1; d > 0; --d) {
      at += index % shape[d] * stride[operand][d];
      index /= shape[d];
    }
    return n ? at + index * stride[operand][0] : 0;
  }
};

// Takes in dimension d of the operands.
inline void append(Dims& dims, const Operand* const* operands, int count, int d) {
  dims.shape[dims.n] = operands[0]->shape[d];
  for (int i = 0; i < count; ++i) dims.stride[i][dims.n] = operands[i]->strides[d];
  ++dims.n;
}

inline void swap_dims(Dims& dims, int d, int e) {
  const int64_t size = dims.shape[d];
  dims.shape[d] = dims.shape[e], dims.shape[e] = size;
  for (auto& stride : dims.stride) {
    const int64_t step = stride[d];
    stride[d] = stride[e], stride[e] = step;
  }
}

// The longest strides of operand 0 first.
inline void sort_dims(Dims& dims) {
  for (int d = 1; d < dims.n; ++d)
    for (int e = d; e > 0 && llabs(dims.stride[0][e - 1]) < llabs(dims.stride[0][e]); --e) swap_dims(dims, e - 1, e);
}

// Dimensions that continue each other in every operand become one.
inline void merge_dims(Dims& dims, int operands) {
  int last = 0;
  for (int d = 1; d < dims.n; ++d) {
    bool continues = true;
    for (int i = 0; i < operands; ++i) continues &= dims.stride[i][last] == dims.stride[i][d] * dims.shape[d];
    if (!continues) ++last;
    dims.shape[last] = continues ? dims.shape[last] * dims.shape[d] : dims.shape[d];
    for (int i = 0; i < operands; ++i) dims.stride[i][last] = dims.stride[i][d];
  }
  if (dims.n) dims.n = last + 1;
}

// A position, walked in order, and where it lies in operand 0.
struct Cursor {
  const Dims& dims;
  int64_t index[kMaxDims];
  int64_t offset = 0;

  Cursor(const Dims& d, int64_t at) : dims(d) {
    for (int e = d.n - 1; e >= 0; --e) {
      index[e] = at ? at % d.shape[e] : 0;
      at = at ? at / d.shape[e] : 0;
      offset += index[e] * d.stride[0][e];
    }
  }
  int64_t left_in_row() const { return dims.n ? dims.shape[dims.n - 1] - index[dims.n - 1] : 1; }
  void advance(int64_t n) {  // at most to the end of the row
    if (dims.n == 0) return;
    int d = dims.n - 1;
    index[d] += n;
    offset += n * dims.stride[0][d];
    for (; d > 0 && index[d] == dims.shape[d]; --d) {
      offset += dims.stride[0][d - 1] - index[d] * dims.stride[0][d];
      index[d] = 0;
      ++index[d - 1];
    }
  }
};

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
