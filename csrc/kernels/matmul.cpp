#include "kernels/matmul_shapes.h"
#include "kernels/matmul_thin.h"
#include "kernels/matmul_tiles.h"

namespace pullback::ISA_NAMESPACE {
namespace {

// --- from the call ---------------------------------------------------------------------------------------------------

template <class T>
Matrix<T> matrix_of(const Operand& x, int ndim) {
  return {x.data<T>(), broadcast_stride(x, ndim, ndim - 2), broadcast_stride(x, ndim, ndim - 1)};
}

template <class T>
Batch<T> read_call(const Call& call) {
  const Operand &a = call[0], &b = call[1], &c = call[2];
  const bool has_bias = call.has(3);
  Batch<T> all;
  Product<T>& p = all.first;
  p.m = c.shape[c.ndim - 2], p.n = c.shape[c.ndim - 1], p.k = a.shape[a.ndim - 1];
  p.a = matrix_of<const T>(a, c.ndim), p.b = matrix_of<const T>(b, c.ndim), p.c = matrix_of<T>(c, c.ndim);
  p.bias = has_bias ? matrix_of<const T>(call[3], c.ndim) : Matrix<const T>{nullptr, 0, 0};
  p.finish.alpha = static_cast<T>(call.real(0));
  p.finish.beta = static_cast<T>(call.real(1));
  p.finish.activation = static_cast<Activation>(call.integer(2));
  p.finish.has_bias = has_bias;
  for (int d = 0; d < c.ndim - 2; ++d) {
    if (c.shape[d] == 1) continue;
    const int e = all.ndim++;
    all.shape[e] = c.shape[d];
    all.a[e] = broadcast_stride(a, c.ndim, d);
    all.b[e] = broadcast_stride(b, c.ndim, d);
    all.c[e] = c.strides[d];
    all.bias[e] = has_bias ? broadcast_stride(call[3], c.ndim, d) : 0;
  }
  return all;
}

// Cycles, roughly, that tiles take whose vectors lie along the rows of b and c: multiply-adds; b rearranged where its
// rows are not contiguous; tiles of c turned.
template <class T>
double cost_of_tiles(const Product<T>& p) {
  constexpr int64_t size = Vec<T>::size;
  const double m = static_cast<double>(p.m), n = static_cast<double>(p.n), k = static_cast<double>(p.k);
  const double vectors = static_cast<double>(parts_of(p.n, size));
  return m * vectors * k / 2 + (p.b.col == 1 ? 0 : n * k * 4 / size) + (p.c.col == 1 ? 0 : m * n * 8 / size);
}

// Likewise of dot products, where each sum is spread over the lanes of a vector until its end.
template <class T>
double cost_of_dots(const Product<T>& p) {
  const double sums = static_cast<double>(p.m) * static_cast<double>(p.n);
  return sums * (static_cast<double>(parts_of(p.k, Vec<T>::size)) / 2 + 4);
}

template <class T>
void run(const Call& call) {
  Batch<T> all = read_call<T>(call);
  const Product<T>& p = all.first;
  if (all.count() == 0 || p.m == 0 || p.n == 0) return;
  join_rows(all);
  transpose_products(all);
  join_rows(all);
  name_single_strides(all.first);
  if (p.n == 1 && !(p.m == 1 && p.b.row == 1)) transpose_products(all);
  if (is_outer(p)) return run_outer(all);
  if (is_outer(transposed(p))) return transpose_products(all), run_outer(all);
  if (p.m == 1 && is_dots(p) && !(p.k == 1 && is_row_sums(p))) return run_dots(all);
  if (is_row_sums(p)) return run_row_sums(all);
  if (cost_of_tiles(transposed(p)) <= cost_of_tiles(p)) transpose_products(all);
  const double tiles = cost_of_tiles(p);
  if (is_dots(p) && cost_of_dots(p) < tiles) return run_dots(all);
  if (is_dots(transposed(p)) && cost_of_dots(p) < tiles) {
    transpose_products(all);
    return run_dots(all);
  }
  run_tiles(all);
}

void matmul(const Call& call) {
  const int misfit = first_misfit(call);
  if (misfit >= 0) return call.error->set(ErrorCode::bad_shape, misfit, 0);
  visit_float(call[2].dtype, [&](auto zero) { run<decltype(zero)>(call); });
}

constexpr EntryRow rows[] = {{"matmul", matmul}};

}  // namespace

extern const Family matmul_family;
const Family matmul_family = {rows, sizeof(rows) / sizeof(rows[0])};

}  // namespace pullback::ISA_NAMESPACE
