// A matrix product as the kernels see it, and many of one shape.
#pragma once
#include "kernels/matmul_finish.h"

namespace pullback::ISA_NAMESPACE {
namespace {

inline constexpr int64_t kSmallWork = 32 * 1024;  // multiply-adds below which one thread is enough

// Part i of n things cut into `parts`, and the number of parts of at most so many.
PB_INLINE int64_t cut(int64_t n, int64_t parts, int64_t i) { return n * i / parts; }
PB_INLINE int64_t parts_of(int64_t n, int64_t most) { return n <= most ? 1 : (n - 1) / most + 1; }

// n things cut into parts that differ by one at most, the larger ones first; no division to find one.
struct Even {
  int64_t least = 0, larger = 0;  // what every part has, and how many parts have one more
  Even() = default;
  Even(int64_t n, int64_t parts) : least(n / parts), larger(n % parts) {}
  int64_t begin(int64_t i) const { return i * least + (i < larger ? i : larger); }
  int64_t size(int64_t i) const { return least + (i < larger); }
  int64_t most() const { return least + (larger > 0); }
};

// c = f(α a b + β c + bias): a [m, k], b [k, n], c and bias [m, n], all with any strides.
template <class T>
struct Product {
  int64_t m, n, k;
  Matrix<const T> a, b;
  Matrix<T> c;
  Matrix<const T> bias;
  Finish<T> finish;
  double work() const { return static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k); }
};

template <class T>
struct Batch {
  Product<T> first;
  int ndim = 0;
  int64_t shape[kMaxDims];
  int64_t a[kMaxDims], b[kMaxDims], c[kMaxDims], bias[kMaxDims];  // strides

  int64_t count() const {
    int64_t n = 1;
    for (int d = 0; d < ndim; ++d) n *= shape[d];
    return n;
  }
  Product<T> operator[](int64_t index) const {
    Product<T> p = first;
    for (int d = ndim - 1; d >= 0; --d) {
      const int64_t i = index % shape[d];
      index /= shape[d];
      p.a.data += i * a[d];
      p.b.data += i * b[d];
      p.c.data += i * c[d];
      p.bias.data += i * bias[d];
    }
    return p;
  }
};

// How many pieces of one product, of `pieces` in all, a thread takes at a time.
template <class T>
int64_t pieces_at_a_time(const Product<T>& p, int64_t pieces) {
  const double work = p.work() / static_cast<double>(pieces);
  return work >= kSmallWork ? 1 : static_cast<int64_t>(kSmallWork / (work + 1)) + 1;
}

// (a b)ᵀ = bᵀ aᵀ
template <class T>
Product<T> transposed(const Product<T>& p) {
  return {p.n, p.m, p.k, p.b.transposed(), p.a.transposed(), p.c.transposed(), p.bias.transposed(), p.finish};
}

template <class T>
void transpose_products(Batch<T>& all) {
  all.first = transposed(all.first);
  for (int d = 0; d < all.ndim; ++d) {
    const int64_t a = all.a[d];
    all.a[d] = all.b[d], all.b[d] = a;
  }
}

// Where b is the same for neighbouring products and the rows of a, c and bias go on from one to the next, they are one
// product with more rows.
template <class T>
void join_rows(Batch<T>& all) {
  Product<T>& p = all.first;
  for (; all.ndim > 0; --all.ndim) {
    const int d = all.ndim - 1;
    if (p.m == 1) p.a.row = all.a[d], p.c.row = all.c[d], p.bias.row = all.bias[d];
    if (all.b[d] != 0 || all.a[d] != p.m * p.a.row || all.c[d] != p.m * p.c.row || all.bias[d] != p.m * p.bias.row)
      return;
    p.m *= all.shape[d];
  }
}

// Rows and columns of which there is only one count as contiguous.
template <class T>
void name_single_strides(Product<T>& p) {
  if (p.k == 1) p.a.col = p.b.row = 1;
  if (p.m == 1) p.a.row = p.c.row = 1;
  if (p.n == 1) p.b.col = p.c.col = 1;
}

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
