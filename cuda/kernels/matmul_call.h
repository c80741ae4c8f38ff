// A call of matmul as its kernels take it, and what they do to each sum.
#pragma once
#include "common/scalar.h"
#include "kernels/matmul_shapes.h"

namespace pullback::cuda {
namespace {

// What is computed with, where elements are stored as T.
template <class T>
using Wide = std::conditional_t<is_half<T>, float, T>;

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

template <class T>
struct Product {
  int64_t m, n, k;
  Matrix<const T> a, b;
  Matrix<T> c;
  Matrix<const T> bias;  // no data where there is none
  Wide<T> alpha, beta;
  Activation activation;

  // The product with this number in the batch.
  PB_DEVICE Product one(const Batch& batch, int64_t index) const {
    Product p = *this;
    p.a.data += batch.at(0, index);
    p.b.data += batch.at(1, index);
    p.c.data += batch.at(2, index);
    if (bias.data != nullptr) p.bias.data += batch.at(3, index);
    return p;
  }
};

// --- what is done to each sum ----------------------------------------------------------------------------------------

template <class T>
PB_DEVICE T activate(Activation f, T v) {
  switch (f) {
    case Activation::relu:
      return max_fast(T(0), v);
    case Activation::sigmoid:
      return sigmoid(v);
    case Activation::tanh:
      return tanh(v);
    case Activation::gelu:
      return v * normal(v).cdf;
    case Activation::gelu_tanh:  // v σ(2u), 2u = v (a + b v²)
      return v * sigmoid(v * fma(T(2 * 0.79788456080286535588 * 0.044715), v * v, T(2 * 0.79788456080286535588)));
    case Activation::silu:
      return v * sigmoid(v);
    default:
      return v;
  }
}

// f(v + β c + bias)
template <class T>
PB_DEVICE Wide<T> finished(const Product<T>& p, int64_t row, int64_t col, Wide<T> v) {
  if (p.beta != Wide<T>(0)) v = fma(p.beta, static_cast<Wide<T>>(*p.c.at(row, col)), v);
  if (p.bias.data != nullptr) v += static_cast<Wide<T>>(*p.bias.at(row, col));
  return activate(p.activation, v);
}

// --- from the call ---------------------------------------------------------------------------------------------------

template <class T>
Matrix<T> matrix_of(const Operand& x, int ndim) {
  return {x.data<T>(), broadcast_stride(x, ndim, ndim - 2), broadcast_stride(x, ndim, ndim - 1)};
}

template <class T>
Product<T> product_of(const Call& call) {
  const Operand &a = call[0], &b = call[1], &c = call[2];
  Product<T> p;
  p.m = c.shape[c.ndim - 2], p.n = c.shape[c.ndim - 1], p.k = a.shape[a.ndim - 1];
  p.a = matrix_of<const T>(a, c.ndim), p.b = matrix_of<const T>(b, c.ndim), p.c = matrix_of<T>(c, c.ndim);
  p.bias = call.has(3) ? matrix_of<const T>(call[3], c.ndim) : Matrix<const T>{nullptr, 0, 0};
  p.alpha = static_cast<Wide<T>>(call.real(0)), p.beta = static_cast<Wide<T>>(call.real(1));
  p.activation = static_cast<Activation>(call.integer(2));
  return p;
}

inline Batch batch_of(const Call& call) {
  const Operand& c = call[2];
  Batch batch;
  for (int d = 0; d < c.ndim - 2; ++d) {
    if (c.shape[d] == 1) continue;
    batch.shape[batch.ndim] = c.shape[d];
    for (int i = 0; i < (call.has(3) ? 4 : 3); ++i) batch.stride[i][batch.ndim] = broadcast_stride(call[i], c.ndim, d);
    batch.count *= c.shape[d];
    ++batch.ndim;
  }
  return batch;
}

// Neighbours in the batch that share b are more rows of a and c.
template <class T>
void join_rows(Product<T>& p, Batch& batch) {
  for (int d = batch.ndim - 1; d >= 0; --d) {
    const bool shared_bias = p.bias.data == nullptr || (batch.stride[3][d] == 0 && p.bias.row == 0);
    if (p.m == 1) p.a.row = batch.stride[0][d], p.c.row = batch.stride[2][d];
    if (batch.stride[1][d] != 0 || !shared_bias || batch.stride[0][d] != p.m * p.a.row ||
        batch.stride[2][d] != p.m * p.c.row)
      return;
    p.m *= batch.shape[d];
    batch.count /= batch.shape[d];
    batch.ndim = d;
  }
}

}  // namespace
}  // namespace pullback::cuda
