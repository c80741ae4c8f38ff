// Products of one row, or of few, in which every element of b is used once, or few times: b is read where it lies, as
// fast as memory gives it.
#pragma once
#include "kernels/matmul_product.h"

namespace pullback::ISA_NAMESPACE {
namespace {

inline constexpr int64_t kDotMost = 16;         // rows of a
inline constexpr int64_t kDotBlock = 96;        // columns whose sums are finished together
inline constexpr int64_t kDotWork = 64 * 1024;  // multiply-adds of a piece: 1 µs, as b comes out of L2
inline constexpr int64_t kLongParts = 64;       // of k, where sums are few and long
inline constexpr int64_t kRowBlock = 1024;      // sums that stay in L1 while rows of b are added to them
#if ISA_VECTOR_BYTES == 64
inline constexpr int kDotRows = 4, kDotColumns = 6;  // 24 sums, a column of a and an element of b of 32 registers
#elif ISA_VECTOR_BYTES == 32
inline constexpr int kDotRows = 2, kDotColumns = 6;
#else
inline constexpr int kDotRows = 2, kDotColumns = 4;
#endif
inline constexpr int64_t kFewColumns = 4 * kDotColumns;

// --- b with contiguous columns: dot products -------------------------------------------------------------------------

// Σ_k a_k b_k in four vectors side by side, since one would wait for its own last result.
template <class T>
PB_INLINE T dot(const T* a, const T* b, int64_t depth) {
  using V = Vec<T>;
  constexpr int64_t size = V::size;
  V sum[4];
  int64_t k = 0;
  for (; k + 4 * size <= depth; k += 4 * size)
    unroll<4>([&](auto i) { sum[i] = fma(V::load(a + k + i * size), V::load(b + k + i * size), sum[i]); });
  for_each_vec<T>(depth - k, [&](int64_t i, auto lanes) __attribute__((always_inline)) {
    sum[0] = fma(V::load(a + k + i, lanes), V::load(b + k + i, lanes), sum[0]);
  });
  return reduce_add((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

// sum_ij = Σ_k a_ik b_kj, a vector of partial sums for each: k along the lanes.
template <class T, int rows, int columns>
void dot_tile(Matrix<const T> a, Matrix<const T> b, int64_t depth, T* sums) {
  using V = Vec<T>;
  if constexpr (rows * columns == 1) {
    sums[0] = dot(a.data, b.data, depth);
    return;
  }
  V sum[rows][columns];
  for_each_vec<T>(depth, [&](int64_t k, auto lanes) __attribute__((always_inline)) {
    V a_k[rows];
    unroll<rows>([&](auto i) { a_k[i] = V::load(a.data + i * a.row + k, lanes); });
    unroll<columns>([&](auto j) {
      const V b_k = V::load(b.data + j * b.col + k, lanes);
      unroll<rows>([&](auto i) { sum[i][j] = fma(a_k[i], b_k, sum[i][j]); });
    });
  });
  unroll<rows>([&](auto i) { unroll<columns>([&](auto j) { sums[i * kDotBlock + j] = reduce_add(sum[i][j]); }); });
}

template <class T>
using DotFn = void (*)(Matrix<const T> a, Matrix<const T> b, int64_t depth, T* sums);

template <class T, int... tile>
PB_INLINE DotFn<T> dot_function(int rows, int columns, std::integer_sequence<int, tile...>) {
  static constexpr DotFn<T> table[] = {dot_tile<T, tile / kDotColumns + 1, tile % kDotColumns + 1>...};
  return table[(rows - 1) * kDotColumns + columns - 1];
}

// The sums of n columns, at most kDotBlock, from `begin` on.
template <class T>
void dot_tiles(const Product<T>& p, int64_t begin, int64_t n, T* sums) {
  using Tiles = std::make_integer_sequence<int, kDotRows * kDotColumns>;
  const int64_t row_tiles = parts_of(p.m, kDotRows);
  for (int64_t j = 0; j < n; j += kDotColumns) {
    const int columns = static_cast<int>(smaller(kDotColumns, n - j));
    for (int64_t tile = 0; tile < row_tiles; ++tile) {
      const int64_t i = cut(p.m, row_tiles, tile), rows = cut(p.m, row_tiles, tile + 1) - i;
      dot_function<T>(static_cast<int>(rows), columns, Tiles{})(p.a.from(i, 0), p.b.from(0, begin + j), p.k,
                                                                sums + i * kDotBlock + j);
    }
  }
}

// Columns [begin, end) of c; a has contiguous rows, at most kDotMost. Many columns of a single row are read one after
// the other: out of L2, one stream comes faster than six in turn.
template <class T>
void run_dot_columns(const Product<T>& p, int64_t begin, int64_t end) {
  alignas(64) T sums[kDotMost * kDotBlock];
  for (int64_t j0 = begin; j0 < end; j0 += kDotBlock) {
    const int64_t n = smaller(kDotBlock, end - j0);
    if (p.m > 1 || p.n <= kFewColumns)
      dot_tiles(p, j0, n, sums);
    else
      for (int64_t j = 0; j < n; ++j) sums[j] = dot(p.a.data, p.b.at(0, j0 + j), p.k);
    finish_rows<T>(p.finish, {sums, kDotBlock, 1}, p.m, n, p.c.from(0, j0), p.bias.from(0, j0));
  }
}

// Whether run_dots can compute it.
template <class T>
bool is_dots(const Product<T>& p) {
  return p.b.row == 1 && (p.m == 1 || (p.a.col == 1 && p.m <= kDotMost));
}

// The same; a single row of a may have gaps.
template <class T>
void run_dot_piece(Product<T> p, int64_t begin, int64_t end) {
  Scratch scratch;
  if (p.a.col != 1) {
    T* row = scratch.take<T>(p.k);
    for (int64_t k = 0; k < p.k; ++k) row[k] = *p.a.at(0, k);
    p.a = {row, 0, 1};
  }
  run_dot_columns(p, begin, end);
}

// Few sums of many terms: k is cut, and the parts' sums are added in order.
template <class T>
void run_long_dots(const Product<T>& p, int64_t parts) {
  const int64_t count = p.m * p.n, depth = parts_of(parts_of(p.k, parts), kLine<T>) * kLine<T>;
  Scratch scratch;
  T* const sums = scratch.take<T>(parts * count);
  parallel_for(parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      const int64_t k = smaller(p.k, part * depth);
      Product<T> own = p;
      own.k = smaller(depth, p.k - k);
      own.a = p.a.from(0, k), own.b = p.b.from(k, 0), own.c = {sums + part * count, p.n, 1};
      own.finish = {1, 0, Activation::none, false};
      run_dot_piece(own, 0, p.n);
    }
  });
  for (int64_t part = 1; part < parts; ++part)
    for (int64_t i = 0; i < count; ++i) sums[i] += sums[part * count + i];
  finish_rows<T>(p.finish, {sums, p.n, 1}, p.m, p.n, p.c, p.bias);
}

template <class T>
void run_dots(const Batch<T>& all) {
  const Product<T>& first = all.first;
  const bool whole = first.n <= kFewColumns || first.work() < kSmallWork;
  const int64_t columns = larger(kFewColumns, kDotWork / (first.m * (first.k + 1)));
  const int64_t pieces = whole ? 1 : 2 * parts_of(first.n, 2 * columns);  // in pairs: two threads get half each
  const auto parts = static_cast<int64_t>(first.work() / kSmallWork);
  if (all.count() == 1 && pieces == 1 && parts > 1) return run_long_dots(first, smaller(parts, kLongParts));
  parallel_for(all.count() * pieces, whole ? pieces_at_a_time(first, 1) : 1, [&](int64_t begin, int64_t end) {
    for (int64_t piece = begin; piece < end; ++piece)
      run_dot_piece(all[piece / pieces], cut(first.n, pieces, piece % pieces),
                    cut(first.n, pieces, piece % pieces + 1));
  });
}

// --- b with contiguous rows, a a single row: rows of b are added up --------------------------------------------------

// sums_j += Σ_k a_k b_kj over `rows` of k.
template <class T, int rows>
PB_INLINE void add_rows(const T* a, int64_t a_step, const T* b, int64_t b_row, int64_t n, T* sums) {
  using V = Vec<T>;
  V a_k[rows];
  unroll<rows>([&](auto k) { a_k[k] = V(a[k * a_step]); });
  for_each_vec<T>(n, [&](int64_t j, auto lanes) __attribute__((always_inline)) {
    V sum = V::load(sums + j, lanes);
    unroll<rows>([&](auto k) { sum = fma(a_k[k], V::load(b + k * b_row + j, lanes), sum); });
    sum.store(sums + j, lanes);
  });
}

// Columns [begin, end) of c.
template <class T>
void run_row_sum_columns(const Product<T>& p, int64_t begin, int64_t end) {
  alignas(64) T sums[kRowBlock];
  for (int64_t j = begin; j < end; j += kRowBlock) {
    const int64_t n = smaller(kRowBlock, end - j);
    for (int64_t i = 0; i < n; ++i) sums[i] = 0;
    int64_t k = 0;
    for (; k + 8 <= p.k; k += 8) add_rows<T, 8>(p.a.at(0, k), p.a.col, p.b.at(k, j), p.b.row, n, sums);
    for (; k < p.k; ++k) add_rows<T, 1>(p.a.at(0, k), p.a.col, p.b.at(k, j), p.b.row, n, sums);
    finish_rows<T>(p.finish, {sums, 0, 1}, 1, n, p.c.from(0, j), p.bias.from(0, j));
  }
}

template <class T>
bool is_row_sums(const Product<T>& p) {
  return p.m == 1 && p.b.col == 1;
}

template <class T>
void run_row_sums(const Batch<T>& all) {
  const Product<T>& first = all.first;
  const int64_t columns = larger(256, kSmallWork / (first.k + 1));  // so many that they are worth a stream of memory
  const int64_t pieces = parts_of(first.n, columns);
  parallel_for(all.count() * pieces, pieces_at_a_time(first, pieces), [&](int64_t begin, int64_t end) {
    for (int64_t piece = begin; piece < end; ++piece)
      run_row_sum_columns(all[piece / pieces], cut(first.n, pieces, piece % pieces),
                          cut(first.n, pieces, piece % pieces + 1));
  });
}

// --- one column of a, one row of b: rows of c are multiples of that row ----------------------------------------------

template <class T>
bool is_outer(const Product<T>& p) {
  return p.k == 1 && p.c.col == 1 && p.finish.keeps_sums() && p.finish.beta == T(0);
}

// c_ij = a_i b_j of rows [i, i_end) and columns [j, j_end).
template <class T>
void run_outer_block(const Product<T>& p, int64_t i, int64_t i_end, int64_t j, int64_t j_end) {
  alignas(64) T gathered[kRowBlock];
  const int64_t n = j_end - j;
  const T* b = p.b.at(0, j);
  if (p.b.col != 1) {
    for (int64_t k = 0; k < n; ++k) gathered[k] = *p.b.at(0, j + k);
    b = gathered;
  }
  for (; i < i_end; ++i) {
    const Vec<T> a_i(*p.a.at(i, 0));
    T* c = p.c.at(i, j);
    for_each_vec<T>(n, [&](int64_t k, auto lanes) { (a_i * Vec<T>::load(b + k, lanes)).store(c + k, lanes); });
  }
}

template <class T>
void run_outer(const Batch<T>& all) {
  const Product<T>& first = all.first;
  const int64_t columns = parts_of(first.n, kRowBlock);
  const int64_t rows = parts_of(first.m, larger(1, kSmallWork / smaller(first.n, kRowBlock)));
  const int64_t pieces = rows * columns;
  parallel_for(all.count() * pieces, pieces_at_a_time(first, pieces), [&](int64_t begin, int64_t end) {
    for (int64_t piece = begin; piece < end; ++piece) {
      const int64_t row = piece % pieces / columns, column = piece % columns;
      run_outer_block(all[piece / pieces], cut(first.m, rows, row), cut(first.m, rows, row + 1),
                      cut(first.n, columns, column), cut(first.n, columns, column + 1));
    }
  });
}

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
