// The register tile of matrix multiplication: what packing and drivers of every kind end in.
#pragma once
#include "isa/kernel.h"

namespace pullback::ISA_NAMESPACE {
namespace {

// f(0), f(1), …, f(n − 1) on constants: a loop that is gone when the compiler looks for what fits in registers.
template <class F, int... i>
PB_INLINE void unroll(F&& f, std::integer_sequence<int, i...>) {
  (f(std::integral_constant<int, i>{}), ...);
}
template <int n, class F>
PB_INLINE void unroll(F&& f) {
  unroll(f, std::make_integer_sequence<int, n>{});
}

// Tiles that fill the registers with sums, one row of b, and one element of a in every lane. Flat ones are for products
// of few rows, where the other shape would leave too few sums to work on at a time.
#if ISA_VECTOR_BYTES == 64
inline constexpr int kTileRows = 14, kTileVecs = 2;  // 28 + 2 + 1 of 32 registers
inline constexpr int kFlatRows = 6, kFlatVecs = 4;   // 24 + 4 + 1
#elif ISA_VECTOR_BYTES == 32
inline constexpr int kTileRows = 6, kTileVecs = 2;  // 12 + 2 + 1 of 16
inline constexpr int kFlatRows = 2, kFlatVecs = 4;  // 8 + 4 + 1
#else
inline constexpr int kTileRows = 4, kTileVecs = 2;  // 8 + 2 + 1 of 16, and one since SSE2 cannot fuse the product
inline constexpr int kFlatRows = 2, kFlatVecs = 4;
#endif

template <class T>
inline constexpr int64_t kLine = 64 / sizeof(T);  // elements in a line of the cache

template <class T>
struct Tile {
  int64_t k;
  const T* a;  // [rows, k], any strides
  int64_t a_row, a_col;
  const T* b;  // [k, vecs whole vectors], contiguous rows
  int64_t b_row;
  const T* sums;  // [rows, vecs whole vectors], contiguous rows: what the sums start from, nullptr for zeros
  int64_t sums_row;
  T* out;  // likewise, where they end
  int64_t out_row;
  const T* ahead;       // what a later tile will read,
  int64_t ahead_lines;  // so many lines of the cache of it, at most k: they are fetched on the way, one with each k
};

// out_i = (sums_i) + a_i0 b_0 + a_i1 b_1 + …, in this order: where the sum is cut and continued does not change its
// bits.
template <class T, int rows, int vecs>
void compute_tile(const Tile<T>& t) {
  using V = Vec<T>;
  V sum[rows][vecs];
  T* const out = t.out;
  const int64_t out_row = t.out_row;
  if (t.sums != nullptr) {
    unroll<rows>(
        [&](auto i) { unroll<vecs>([&](auto v) { sum[i][v] = V::load(t.sums + i * t.sums_row + v * V::size); }); });
  }
  // Every third row has a pointer; addressing modes reach the two after it.
  constexpr int pointers = (rows + 2) / 3;
  const T* a[pointers];
  unroll<pointers>([&](auto p) { a[p] = t.a + 3 * p * t.a_row; });
  const T* b = t.b;
  const int64_t a_row = t.a_row, a_col = t.a_col, b_row = t.b_row;
  const T* ahead = t.ahead;
  int64_t k = t.k;
  const auto run_down_to = [&](int64_t end, int64_t line) __attribute__((always_inline)) {
    for (; k > end; --k) {
      V b_k[vecs];
      unroll<vecs>([&](auto v) { b_k[v] = V::load(b + v * V::size); });
      if (line) __builtin_prefetch(ahead);
      unroll<rows>([&](auto i) {
        const V a_ik(a[i / 3][i % 3 * a_row]);
        unroll<vecs>([&](auto v) { sum[i][v] = fma(a_ik, b_k[v], sum[i][v]); });
      });
      unroll<pointers>([&](auto p) { a[p] += a_col; });
      b += b_row, ahead += line;
    }
  };
  run_down_to(t.k - t.ahead_lines, kLine<T>);
  run_down_to(0, 0);
  unroll<rows>([&](auto i) { unroll<vecs>([&](auto v) { sum[i][v].store(out + i * out_row + v * V::size); }); });
}

template <class T>
using TileFn = void (*)(const Tile<T>&);

template <class T, int vecs, int... i>
PB_INLINE TileFn<T> tile_of_rows(int rows, std::integer_sequence<int, i...>) {
  static constexpr TileFn<T> table[] = {compute_tile<T, i + 1, vecs>...};
  return table[rows - 1];
}

// The function for a tile of this many rows, and vectors in a row.
template <class T>
PB_INLINE TileFn<T> tile_function(int rows, int vecs) {
  using Rows = std::make_integer_sequence<int, kTileRows>;
  using FlatRows = std::make_integer_sequence<int, kFlatRows>;
  switch (vecs) {
    case 1:
      return tile_of_rows<T, 1>(rows, Rows{});
    case 2:
      return tile_of_rows<T, 2>(rows, Rows{});
    case 3:
      return tile_of_rows<T, 3>(rows, FlatRows{});
    default:
      return tile_of_rows<T, 4>(rows, FlatRows{});
  }
}

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
