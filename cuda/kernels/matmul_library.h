// A product of matrices with strides as the library takes it: column by column.
#pragma once
#include "common/cublaslt.h"
#include "common/device.h"

namespace pullback::cuda {
namespace {

template <class T>
struct Matrix {
  T* data;
  int64_t row, col;  // strides
  PB_DEVICE T* at(int64_t i, int64_t j) const { return data + i * row + j * col; }
};

// Leading dimensions, and how far apart neighbours along them lie in a, b, c and bias.
struct Batch {
  int ndim = 0;
  int64_t count = 1;
  int64_t shape[kMaxDims];
  int64_t stride[4][kMaxDims];

  PB_DEVICE int64_t at(int operand, int64_t index) const {
    int64_t place = 0;
    for (int d = ndim - 1; d >= 0; --d) {
      place += index % shape[d] * stride[operand][d];
      index /= shape[d];
    }
    return place;
  }
};

// Whether a matrix lies in memory column by column, or row by row, which is its transpose; and how far apart. Along a
// dimension of size 1 any stride will do.
inline bool lies_in_columns(int64_t row, int64_t col, int64_t rows, int64_t columns, bool& transposed, int64_t& ld) {
  transposed = !((row == 1 || rows == 1) && (col >= rows || columns == 1));
  if (!transposed) {
    ld = columns == 1 ? rows : col;
    return true;
  }
  ld = rows == 1 ? columns : row;
  return (col == 1 || columns == 1) && ld >= columns;
}

// The stride of the batch as one dimension; −1 where it is several.
inline int64_t stride_of(const Batch& batch, int operand) {
  const int64_t* stride = batch.stride[operand];
  for (int d = 0; d + 1 < batch.ndim; ++d)
    if (stride[d] != batch.shape[d + 1] * stride[d + 1]) return -1;
  return batch.ndim ? stride[batch.ndim - 1] : 0;
}

// Without alpha, beta, bias and activation. Where c lies row by row, cᵀ = bᵀ aᵀ is what is computed.
template <class T>
bool as_library_product(Matrix<const T> a, Matrix<const T> b, Matrix<T> c, int64_t m, int64_t n, int64_t k,
                        const Batch& batch, bool& swapped, LibraryProduct& p) {
  if (m == 0 || n == 0 || k == 0 || batch.count == 0 || batch.count > INT32_MAX) return false;
  int of_a = 0, of_b = 1;
  if (!lies_in_columns(c.row, c.col, m, n, swapped, p.ldd)) return false;
  if (swapped) {
    const Matrix<const T> left = {b.data, b.col, b.row};
    b = {a.data, a.col, a.row}, a = left;
    const int64_t rows = n;
    n = m, m = rows;
    of_a = 1, of_b = 0;
  }
  p.dtype = sizeof(T) == 4 ? DType::f32 : DType::f64;
  p.m = m, p.n = n, p.k = k, p.batch = batch.count;
  p.a = a.data, p.b = b.data, p.d = c.data;
  p.stride_a = stride_of(batch, of_a), p.stride_b = stride_of(batch, of_b), p.stride_d = stride_of(batch, 2);
  return lies_in_columns(a.row, a.col, m, k, p.transpose_a, p.lda) &&
         lies_in_columns(b.row, b.col, k, n, p.transpose_b, p.ldb) && p.stride_a >= 0 && p.stride_b >= 0 &&
         p.stride_d >= 0;
}

}  // namespace
}  // namespace pullback::cuda
