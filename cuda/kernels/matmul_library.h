// The product by cuBLASLt, which takes matrices as they lie column by column, and what it leaves to be done.
#pragma once
#include "common/cublaslt.h"
#include "common/scratch.h"
#include "kernels/matmul_call.h"

namespace pullback::cuda {
namespace {

template <class T>
inline constexpr DType dtype_of = DType::f64;
template <>
inline constexpr DType dtype_of<float> = DType::f32;
template <>
inline constexpr DType dtype_of<Half> = DType::f16;
template <>
inline constexpr DType dtype_of<BFloat16> = DType::bf16;

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

// d = α a b + β d, bias and activation left out. Where d lies row by row, dᵀ = bᵀ aᵀ is what is computed.
template <class T, class D>
bool as_library_product(const Product<T>& of, Matrix<D> d, const Batch& batch, bool& swapped, LibraryProduct& p) {
  int64_t m = of.m, n = of.n;
  if (m == 0 || n == 0 || of.k == 0 || batch.count == 0 || batch.count > INT32_MAX) return false;
  Matrix<const T> a = of.a, b = of.b;
  int of_a = 0, of_b = 1;
  if (!lies_in_columns(d.row, d.col, m, n, swapped, p.ldd)) return false;
  if (swapped) {
    a = {of.b.data, of.b.col, of.b.row}, b = {of.a.data, of.a.col, of.a.row};
    m = of.n, n = of.m;
    of_a = 1, of_b = 0;
  }
  p.dtype = dtype_of<T>, p.dtype_d = dtype_of<D>;
  p.m = m, p.n = n, p.k = of.k, p.batch = batch.count;
  p.a = a.data, p.b = b.data, p.d = d.data;
  p.stride_a = stride_of(batch, of_a), p.stride_b = stride_of(batch, of_b), p.stride_d = stride_of(batch, 2);
  p.alpha = static_cast<double>(of.alpha), p.beta = static_cast<double>(of.beta);
  p.bias = nullptr, p.epilogue = LibraryProduct::Epilogue::none;
  return lies_in_columns(a.row, a.col, m, of.k, p.transpose_a, p.lda) &&
         lies_in_columns(b.row, b.col, of.k, n, p.transpose_b, p.ldb) && p.stride_a >= 0 && p.stride_b >= 0 &&
         p.stride_d >= 0;
}

// Whether the library's epilogue can add the bias: a vector along the columns in memory of what it computes.
template <class T>
bool is_epilogue(const Product<T>& p, const Batch& batch, bool swapped) {
  const int64_t along = swapped ? p.bias.col : p.bias.row, across = swapped ? p.bias.row : p.bias.col;
  const int64_t length = swapped ? p.n : p.m, copies = swapped ? p.m : p.n;
  for (int d = 0; d < batch.ndim; ++d)
    if (batch.stride[3][d] != 0) return false;
  return (along == 1 || length == 1) && (across == 0 || copies == 1);
}

// Whether the library's epilogue has f. Its GELU is the one by tanh, and as exact as a half can show.
template <class T>
bool has_epilogue(Activation f, LibraryProduct::Epilogue& epilogue) {
  using Epilogue = LibraryProduct::Epilogue;
  epilogue = f == Activation::relu ? Epilogue::relu : f == Activation::gelu_tanh ? Epilogue::gelu : Epilogue::none;
  return f == Activation::none || f == Activation::relu || (is_half<T> && f == Activation::gelu_tanh);
}

// All of it in one launch.
template <class T>
bool multiply_whole(const Product<T>& p, const Batch& batch) {
  LibraryProduct q;
  bool swapped;
  if (!as_library_product(p, p.c, batch, swapped, q) || !has_epilogue<T>(p.activation, q.epilogue)) return false;
  if (p.bias.data != nullptr && !is_epilogue(p, batch, swapped)) return false;
  q.bias = p.bias.data;
  return multiply_by_library(q);
}

// c = f(z + β c + bias)
template <class T>
__global__ void finish(Product<T> p, Batch batch, Matrix<const Wide<T> > z, Batch of_z) {
  for (int64_t i = first(); i < p.m * p.n * batch.count; i += stride()) {
    const int64_t col = i % p.n, row = i / p.n % p.m, index = i / p.n / p.m;
    const Product<T> one = p.one(batch, index);
    *one.c.at(row, col) = T(finished(one, row, col, *(z.at(row, col) + of_z.at(2, index))));
  }
}

// The library's product z, finished by a kernel. Of halves, z lies apart in float, so that c is rounded once; of others
// in c, with β c.
template <class T>
bool multiply_apart(Product<T> p, const Batch& batch) {
  Matrix<Wide<T> > z{nullptr, p.n, 1};
  Batch of_z = batch;
  int64_t size = p.m * p.n;
  for (int d = batch.ndim - 1; d >= 0; --d) of_z.stride[2][d] = size, size *= batch.shape[d];
  Product<T> bare = p;
  if constexpr (is_half<T>) {
    bare.beta = 0;
  } else {
    z = p.c, of_z = batch;
    p.beta = 0;
  }
  LibraryProduct q;
  bool swapped;
  Scratch scratch;
  if (!library_is_used() || !as_library_product(bare, z, of_z, swapped, q)) return false;
  if constexpr (is_half<T>) q.d = z.data = scratch.take<float>(size);
  if (!multiply_by_library(q)) return false;
  if (is_half<T> || p.bias.data != nullptr || p.activation != Activation::none)
    launch(finish<T>, blocks_for(p.m * p.n * batch.count), kBlockSize, p, batch,
           Matrix<const Wide<T> >{z.data, z.row, z.col}, of_z);
  return true;
}

template <class T>
bool run_library(const Product<T>& p, const Batch& batch) {
  return multiply_whole(p, batch) || multiply_apart(p, batch);
}

}  // namespace
}  // namespace pullback::cuda
