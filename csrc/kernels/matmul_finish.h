// What happens to the sums of a matrix product on their way to c: c = f(α sum + β c + bias).
#pragma once
#include "isa/math.h"
#include "isa/math_normal.h"
#include "kernels/matmul.h"
#include "kernels/matmul_pack.h"

namespace pullback::ISA_NAMESPACE {
namespace {

template <class T>
struct Matrix {
  T* data;
  int64_t row, col;  // strides
  PB_INLINE T* at(int64_t i, int64_t j) const { return data + i * row + j * col; }
  PB_INLINE Matrix from(int64_t i, int64_t j) const { return {at(i, j), row, col}; }
  PB_INLINE Matrix transposed() const { return {data, col, row}; }
};

template <class T>
struct Finish {
  T alpha, beta;
  Activation activation;
  bool has_bias;
  // c is the sums, or what it was and the sums.
  bool keeps_sums() const {
    return alpha == T(1) && (beta == T(0) || beta == T(1)) && !has_bias && activation == Activation::none;
  }
};

// To the bit what csrc/kernels/activation.cpp computes, so that an activation may be fused into the product before it.
struct None {
  template <class V>
  PB_INLINE static V f(V v) {
    return v;
  }
};
struct Relu {
  template <class V>
  PB_INLINE static V f(V v) {
    return max_fast(V(0), v);
  }
};
struct Sigmoid {
  template <class V>
  PB_INLINE static V f(V v) {
    return sigmoid(v);
  }
};
struct Tanh {
  template <class V>
  PB_INLINE static V f(V v) {
    return tanh(v);
  }
};
struct Gelu {
  template <class V>
  PB_INLINE static V f(V v) {
    return v * normal(v).cdf;
  }
};
struct GeluTanh {
  static constexpr double a = 2 * 0.79788456080286535588, b = a * 0.044715;
  template <class V>
  PB_INLINE static V f(V v) {
    return v * sigmoid(v * fma(V(b), v * v, V(a)));
  }
};
struct Silu {
  template <class V>
  PB_INLINE static V f(V v) {
    return v * sigmoid(v);
  }
};

template <class F>
PB_INLINE void visit_activation(Activation a, F&& f) {
  switch (a) {
    case Activation::relu:
      return f(Relu{});
    case Activation::sigmoid:
      return f(Sigmoid{});
    case Activation::tanh:
      return f(Tanh{});
    case Activation::gelu:
      return f(Gelu{});
    case Activation::gelu_tanh:
      return f(GeluTanh{});
    case Activation::silu:
      return f(Silu{});
    default:
      return f(None{});
  }
}

PB_INLINE int lane_count(AllLanes, int size) { return size; }
PB_INLINE int lane_count(int lanes, int) { return lanes; }

template <class T, class Lanes>
PB_INLINE Vec<T> load_strided(const T* p, int64_t stride, Lanes lanes) {
  if (stride == 1) return Vec<T>::load(p, lanes);
  T gathered[Vec<T>::size] = {};
  for (int i = 0; i < lane_count(lanes, Vec<T>::size); ++i) gathered[i] = p[i * stride];
  return Vec<T>::load(gathered);
}

template <class T, class Lanes>
PB_INLINE void store_strided(Vec<T> v, T* p, int64_t stride, Lanes lanes) {
  if (stride == 1) return v.store(p, lanes);
  T scattered[Vec<T>::size];
  v.store(scattered);
  for (int i = 0; i < lane_count(lanes, Vec<T>::size); ++i) p[i * stride] = scattered[i];
}

// One row: c_j = f(α sum_j + β c_j + bias_j); what would add nothing or multiply by one is left out.
template <class F, class T>
void finish_row(const Finish<T>& how, const T* sum, int64_t n, T* c, int64_t c_col, const T* bias, int64_t bias_col) {
  for_each_vec<T>(n, [&](int64_t j, auto lanes) {
    Vec<T> v = Vec<T>::load(sum + j, lanes);
    if (how.alpha != T(1)) v *= how.alpha;
    if (how.beta != T(0)) v = fma(Vec<T>(how.beta), load_strided(c + j * c_col, c_col, lanes), v);
    if (how.has_bias) v += load_strided(bias + j * bias_col, bias_col, lanes);
    store_strided(F::f(v), c + j * c_col, c_col, lanes);
  });
}

template <class T>
void finish_rows(const Finish<T>& how, Matrix<const T> sums, int64_t m, int64_t n, Matrix<T> c, Matrix<const T> bias) {
  visit_activation(how.activation, [&](auto f) {
    for (int64_t i = 0; i < m; ++i)
      finish_row<decltype(f)>(how, sums.at(i, 0), n, c.at(i, 0), c.col, bias.at(i, 0), bias.col);
  });
}

// A tile of sums, with contiguous rows, on to c. Where it is the columns of c that are contiguous, the tile is
// transposed.
template <class T>
void finish_tile(const Finish<T>& how, Matrix<const T> sums, int64_t m, int64_t n, Matrix<T> c, Matrix<const T> bias) {
  if (c.row != 1 || c.col == 1) return finish_rows(how, sums, m, n, c, bias);
  constexpr int64_t size = Vec<T>::size;
  constexpr int64_t columns = kFlatVecs * size, rows = (kTileRows + size - 1) / size * size;
  alignas(64) T turned[columns * rows];
  const Panel<T> panel{sums.data, sums.row, 1, m, rows, n};
  pack_columns(panel, turned);
  finish_rows(how, {turned, rows, 1}, n, m, c.transposed(), bias.transposed());
}

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
