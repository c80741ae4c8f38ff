// The product of halves on tensor cores, where the library is absent or does not take it. A block of 4 warps computes a
// tile of c, each warp a quarter of it in registers, in float. a and b come slab by slab of k through shared memory,
// two slabs ahead of the one that is multiplied.
//
// With tiles of 128 a block reads 16 KiB for a slab's 1 MFLOP, 64 FLOP a byte of L2; a warp reads 4 KiB of fragments
// for 131 kFLOP, so that the 128 bytes that shared memory gives in a cycle feed 4096 FLOP, twice what sm_80 computes in
// one.
//
// A slab lies in shared memory as 8×8 matrices of 8 chunks, whichever way it lies in global memory: along l, the rows
// of a or columns of b, or along k, which the chunks' elements follow. Matrix (l8, k8) has row r as its chunk r ^ l8 ^
// 2 k8 (mod 8): the 8 rows that ldmatrix reads at a time, the 8 chunks that neighbouring threads copy from 2 rows along
// k, and the 8 that they copy from one row along l, each lie in all 32 banks.
#pragma once
#include "common/mma.h"
#include "kernels/matmul_split.h"

namespace pullback::cuda {
namespace {

constexpr int kSlab = 32;  // of k
constexpr int kChunks = kSlab / 8;
constexpr int kStages = 3;  // slabs that are in shared memory
constexpr int kWarps = 4;   // 2 × 2 in a tile
constexpr int kTensorThreads = kWarps * kWarpSize;

PB_DEVICE int place(int l8, int k8, int r) { return (l8 * kChunks + k8) * 8 + (r ^ ((l8 ^ 2 * k8) & 7)); }

// A thread's chunks of x(l, k), slab by slab, l from l0 on; zeros past the ends. Neighbouring threads read neighbours
// in memory. What does not change from slab to slab is kept: a slab leaves little time beside its products.
template <int tile, bool along_k, class T>
struct Loader {
  static constexpr int width = along_k ? kChunks : tile / 8;      // chunks beside one another in memory
  static constexpr int apart = kTensorThreads / width;            // rows of them from one of the thread's to its next
  static constexpr int chunks = tile * kChunks / kTensorThreads;  // of the thread

  const T* from;          // the first of the slab
  int64_t along, across;  // strides: in a chunk, and from row to row of chunks
  int x, y;               // where the first lies in the slab, along and across
  int l_left;
  int64_t k_left;
  bool is_aligned;  // along is 1, the sizes along and all addresses are multiples of chunks

  PB_DEVICE Loader(Matrix<const T> m, int64_t l0, int64_t l_end, int64_t k_end, bool is_aligned)
      : along(along_k ? m.col : m.row),
        across(along_k ? m.row : m.col),
        x(thread() % width * 8),
        y(thread() / width),
        l_left(l_end - l0 < tile ? static_cast<int>(l_end - l0) : tile),
        k_left(k_end),
        is_aligned(is_aligned) {
    from = m.at(l0 + (along_k ? y : x), along_k ? x : y);
  }

  PB_DEVICE static Chunk* place_of(Chunk* slab, int x, int y) {
    return slab + (along_k ? place(y / 8, x / 8, y % 8) : place(x / 8, y / 8, y % 8));
  }

  PB_DEVICE void load(Chunk* slab) {
    const int slab_left = k_left < kSlab ? static_cast<int>(k_left) : kSlab;
    const int x_left = along_k ? slab_left : l_left, y_left = along_k ? l_left : slab_left;
    if (is_aligned) {
      PB_UNROLL
      for (int i = 0; i < chunks; ++i)
        copy_async(place_of(slab, x, y + i * apart), from + i * apart * across, x < x_left && y + i * apart < y_left);
    } else {
      PB_ROLLED
      for (int i = 0; i < chunks; ++i) {
        Chunk chunk;
        PB_UNROLL
        for (int q = 0; q < 8; ++q) {
          const bool is_there = x + q < x_left && y + i * apart < y_left;
          chunk.bits[q] = is_there ? from[i * apart * across + q * along].bits : uint16_t{0};
        }
        *place_of(slab, x, y + i * apart) = chunk;
      }
    }
    from += kSlab * (along_k ? along : across);
    k_left -= kSlab;
  }
};

// The sums of a warp: fragments of 16 rows and 8 columns.
template <int tile>
struct Sums {
  static constexpr int rows = tile / 2 / 16, columns = tile / 2 / 8;
  float at[rows][columns][4];
};

// sum += a b for a slab
template <class T, int tile, bool a_along_k, bool b_along_k>
PB_DEVICE void multiply_slab(const Chunk* a, const Chunk* b, Sums<tile>& sum) {
  const int row = warp() / 2 * (tile / 16), column = warp() % 2 * (tile / 16);  // in matrices
  const int matrix = lane() / 8, r = lane() % 8;                                // whose address this lane gives
  PB_UNROLL
  for (int k = 0; k < kChunks; k += 2) {
    uint32_t of_a[Sums<tile>::rows][4], of_b[Sums<tile>::columns / 2][4];
    PB_UNROLL
    for (int i = 0; i < Sums<tile>::rows; ++i)
      load_matrices<!a_along_k>(of_a[i], a + place(row + 2 * i + matrix % 2, k + matrix / 2, r));
    PB_UNROLL
    for (int j = 0; j < Sums<tile>::columns / 2; ++j)
      load_matrices<!b_along_k>(of_b[j], b + place(column + 2 * j + matrix / 2, k + matrix % 2, r));
    PB_UNROLL
    for (int i = 0; i < Sums<tile>::rows; ++i) {
      PB_UNROLL
      for (int j = 0; j < Sums<tile>::columns; ++j) mma<T>(sum.at[i][j], of_a[i], of_b[j / 2] + j % 2 * 2);
    }
  }
}

// --- results ---------------------------------------------------------------------------------------------------------

template <class T>
struct alignas(2 * sizeof(T)) Pair {
  T at[2];
};

template <class T>
PB_DEVICE void write_pair(const Product<T>& p, bool in_pairs, int64_t row, int64_t col, Pair<float> v, float* sums) {
  const bool both = col + 1 < p.n;
  if (sums != nullptr) {
    sums[row * p.n + col] = v.at[0];
    if (both) sums[row * p.n + col + 1] = v.at[1];
    return;
  }
  const T first(finished(p, row, col, p.alpha * v.at[0]));
  const T second(both ? finished(p, row, col + 1, p.alpha * v.at[1]) : 0.0f);
  T* c = p.c.at(row, col);
  if (in_pairs) {
    *reinterpret_cast<Pair<T>*>(c) = {first, second};
  } else {
    *c = first;
    if (both) *p.c.at(row, col + 1) = second;
  }
}

// c = f(α sum + β c + bias). The sums change places in shared memory, half of the tile's rows at a time, so that a warp
// writes neighbours, and f stands in the code once. Or sums [m, n] = sum, where there are any.
template <int tile, class T>
PB_DEVICE void write_tile(const Product<T>& p, bool in_pairs, int64_t i0, int64_t j0, const Sums<tile>& sum,
                          Pair<float>* rows, float* sums) {
  constexpr int pairs = tile / 2, row_pairs = pairs + 4;  // with a gap: the rows of a fragment lie in different banks
  const int g = lane() / 4, t = lane() % 4;
  PB_ROLLED
  for (int half = 0; half < 2; ++half) {
    sync_block();
    if (warp() / 2 == half) {
      Pair<float>* own = rows + g * row_pairs + warp() % 2 * (pairs / 2) + t;
      PB_UNROLL
      for (int i = 0; i < Sums<tile>::rows; ++i) {
        PB_UNROLL
        for (int j = 0; j < Sums<tile>::columns; ++j) {
          const float (&v)[4] = sum.at[i][j];
          own[16 * i * row_pairs + 4 * j] = {v[0], v[1]};
          own[(16 * i + 8) * row_pairs + 4 * j] = {v[2], v[3]};
        }
      }
    }
    sync_block();
    PB_ROLLED
    for (int e = thread(); e < tile / 2 * pairs; e += kTensorThreads) {
      const int i = e / pairs, j = e % pairs;
      const int64_t row = i0 + half * (tile / 2) + i, col = j0 + 2 * j;
      if (row < p.m && col < p.n) write_pair(p, in_pairs, row, col, rows[i * row_pairs + j], sums);
    }
  }
}

// --- kernels ---------------------------------------------------------------------------------------------------------

// Which of them can move in chunks, and c in pairs.
struct Alignment {
  bool a, b, c;
};

template <class T, int tile, bool a_along_k, bool b_along_k>
PB_DEVICE void compute_tensor_tile(const Product<T>& p, Alignment aligned, int64_t i0, int64_t j0, Chunk* slabs,
                                   float* sums) {
  constexpr int chunks = tile * kChunks;  // of a slab of one operand
  Loader<tile, a_along_k, T> a(p.a, i0, p.m, p.k, aligned.a);
  Loader<tile, b_along_k, T> b({p.b.data, p.b.col, p.b.row}, j0, p.n, p.k, aligned.b);
  const int64_t count = (p.k + kSlab - 1) / kSlab;
  Sums<tile> sum = {};
  int filled = 0, ready = 0;  // stages
  for (int64_t s = 1 - kStages; s < count; ++s) {
    if (s >= 0) {  // slab s is there for all threads, and they are done with the one before: its stage is filled next
      wait_copies<kStages - 2>();
      sync_block();
    }
    if (s + kStages - 1 < count) {
      Chunk* stage = slabs + filled * 2 * chunks;
      a.load(stage);
      b.load(stage + chunks);
      filled = filled + 1 < kStages ? filled + 1 : 0;
    }
    commit_copies();
    if (s >= 0) {
      const Chunk* stage = slabs + ready * 2 * chunks;
      multiply_slab<T, tile, a_along_k, b_along_k>(stage, stage + chunks, sum);
      ready = ready + 1 < kStages ? ready + 1 : 0;
    }
  }
  write_tile<tile>(p, aligned.c, i0, j0, sum, reinterpret_cast<Pair<float>*>(slabs), sums);
}

// Tiles come in bands of rows, so that blocks that run together share what they read.
PB_DEVICE void tile_at(int64_t index, int64_t rows, int64_t columns, int64_t& row, int64_t& column) {
  constexpr int64_t band = 8;
  const int64_t top = index / (band * columns) * band, height = rows - top < band ? rows - top : band;
  const int64_t inside = index % (band * columns);
  row = top + inside % height, column = inside / height;
}

template <class T, int tile, bool a_along_k, bool b_along_k>
__global__ void __launch_bounds__(kTensorThreads, 256 / tile)
    tensor_products(Product<T> p, Batch batch, Alignment aligned, Split split, float* sums) {
  Chunk* slabs = shared<Chunk, kStages * 2 * tile * kChunks>();
  const int64_t rows = (p.m + tile - 1) / tile, columns = (p.n + tile - 1) / tile;
  for (int64_t index = block(); index < rows * columns * split.pieces * batch.count; index += blocks()) {
    const int64_t part = index / (rows * columns);
    int64_t row, column;
    tile_at(index % (rows * columns), rows, columns, row, column);
    compute_tensor_tile<T, tile, a_along_k, b_along_k>(
        piece_of(p.one(batch, part / split.pieces), split, part % split.pieces), aligned, row * tile, column * tile,
        slabs, sums == nullptr ? sums : sums + part * p.m * p.n);
    sync_block();
  }
}

// --- from the call ---------------------------------------------------------------------------------------------------

// cᵀ = bᵀ aᵀ
template <class T>
void transpose(Product<T>& p, Batch& batch) {
  const auto turned = [](auto x) { return decltype(x){x.data, x.col, x.row}; };
  const Matrix<const T> a = p.a;
  p.a = turned(p.b), p.b = turned(a), p.c = turned(p.c), p.bias = turned(p.bias);
  const int64_t m = p.m;
  p.m = p.n, p.n = m;
  for (int d = 0; d < batch.ndim; ++d) {
    const int64_t stride = batch.stride[0][d];
    batch.stride[0][d] = batch.stride[1][d], batch.stride[1][d] = stride;
  }
}

// Whether all elements move `count` neighbours at a time, each time at a multiple of their size, along a dimension of
// this size and stride.
template <class T>
bool moves_by(int count, const T* data, int64_t size, int64_t stride, int64_t across, const Batch& batch, int operand) {
  bool all = stride == 1 && size % count == 0 && across % count == 0;
  for (int d = 0; d < batch.ndim; ++d) all = all && batch.stride[operand][d] % count == 0;
  return all && reinterpret_cast<uintptr_t>(data) % (count * sizeof(T)) == 0;
}

template <class T, int tile>
void launch_tensor_tiles(const Product<T>& p, const Batch& batch, bool a_along_k, bool b_along_k) {
  const Alignment aligned{a_along_k ? moves_by(8, p.a.data, p.k, p.a.col, p.a.row, batch, 0)
                                    : moves_by(8, p.a.data, p.m, p.a.row, p.a.col, batch, 0),
                          b_along_k ? moves_by(8, p.b.data, p.k, p.b.row, p.b.col, batch, 1)
                                    : moves_by(8, p.b.data, p.n, p.b.col, p.b.row, batch, 1),
                          moves_by(2, p.c.data, p.n, p.c.col, p.c.row, batch, 2)};
  const auto kernel = b_along_k   ? tensor_products<T, tile, true, true>
                      : a_along_k ? tensor_products<T, tile, true, false>
                                  : tensor_products<T, tile, false, false>;
  const int64_t tiles = (p.m + tile - 1) / tile * ((p.n + tile - 1) / tile) * batch.count;
  run_split<float>(p, batch, tiles, [&](Split split, float* sums) {
    launch(kernel, blocks_for_lines(tiles * split.pieces), kTensorThreads, p, batch, aligned, split, sums);
  });
}

template <class T>
void run_tensor_tiles(Product<T> p, Batch batch) {
  constexpr int kLarge = 128, kSmall = 64;
  if (p.c.col != 1 && p.c.row == 1) transpose(p, batch);
  bool a_along_k = p.a.col == 1 || p.a.row != 1, b_along_k = p.b.row == 1 || p.b.col != 1;
  if (!a_along_k && b_along_k) {  // no kernel has these; the transpose is the other way round
    transpose(p, batch);
    a_along_k = true, b_along_k = false;
  }
  const int64_t tiles = (p.m + kLarge - 1) / kLarge * ((p.n + kLarge - 1) / kLarge) * batch.count;
  if (tiles >= kMultiprocessors && p.m > kSmall && p.n > kSmall)
    launch_tensor_tiles<T, kLarge>(p, batch, a_along_k, b_along_k);
  else
    launch_tensor_tiles<T, kSmall>(p, batch, a_along_k, b_along_k);
}

}  // namespace
}  // namespace pullback::cuda
