// The product by cuBLASLt where that is there and takes it. Without it a block computes a tile of c, slab by slab of k
// through shared memory, and each of its threads a square of that tile in registers; where tiles are few and k is long,
// blocks share a tile's slabs.
#include "kernels/matmul_library.h"
#include "kernels/matmul_mma.h"
#include "kernels/matmul_split.h"

namespace pullback::cuda {
namespace {

constexpr int kTile = 64;     // rows and columns of c in a block
constexpr int kDepth = 16;    // of a slab
constexpr int kSquare = 4;    // rows and columns of c in a thread
constexpr int kFolded = 256;  // terms that are added up in T before they join the others in double: a float is soon too
                              // large to notice one more term
constexpr int kThreads = kTile * kTile / kSquare / kSquare;

// piece[k][l] = x[l, k] for kTile of l and kDepth of k, zeros past the ends; neighbouring threads read neighbours in
// memory.
template <class T>
PB_DEVICE void load_slab(Matrix<const T> x, int64_t l0, int64_t l_end, int64_t k0, int64_t k_end, T* piece) {
  for (int e = thread(); e < kTile * kDepth; e += kThreads) {
    const int l = x.col == 1 ? e / kDepth : e % kTile, k = x.col == 1 ? e % kDepth : e / kTile;
    const bool inside = l0 + l < l_end && k0 + k < k_end;
    piece[k * (kTile + 1) + l] = inside ? *x.at(l0 + l, k0 + k) : T(0);
  }
}

// c = f(α Σ_k a_ik b_kj + β c + bias) for one tile, or Σ_k a_ik b_kj into `sums` [m, n], where there are any
template <class T>
PB_DEVICE void compute_tile(const Product<T>& p, int64_t i0, int64_t j0, double* sums) {
  T* a = shared<T, kDepth*(kTile + 1), 0>();
  T* b = shared<T, kDepth*(kTile + 1), 1>();
  const int i = thread() / (kTile / kSquare) * kSquare, j = thread() % (kTile / kSquare) * kSquare;
  T sum[kSquare][kSquare] = {};
  double total[kSquare][kSquare] = {};
  const auto fold = [&] {
    for (int r = 0; r < kSquare; ++r)
      for (int s = 0; s < kSquare; ++s) total[r][s] += static_cast<double>(sum[r][s]), sum[r][s] = 0;
  };
  for (int64_t k0 = 0; k0 < p.k; k0 += kDepth) {
    load_slab(p.a, i0, p.m, k0, p.k, a);
    load_slab<T>({p.b.data, p.b.col, p.b.row}, j0, p.n, k0, p.k, b);
    sync_block();
    const int depth = p.k - k0 < kDepth ? static_cast<int>(p.k - k0) : kDepth;
    for (int k = 0; k < depth; ++k)
      for (int r = 0; r < kSquare; ++r)
        for (int s = 0; s < kSquare; ++s)
          sum[r][s] = fma(a[k * (kTile + 1) + i + r], b[k * (kTile + 1) + j + s], sum[r][s]);
    sync_block();
    if ((k0 + kDepth) % kFolded == 0) fold();
  }
  fold();
  for (int r = 0; r < kSquare; ++r)
    for (int s = 0; s < kSquare; ++s) {
      const int64_t row = i0 + i + r, col = j0 + j + s;
      if (row >= p.m || col >= p.n) continue;
      if (sums != nullptr)
        sums[row * p.n + col] = total[r][s];
      else
        *p.c.at(row, col) = finished(p, row, col, p.alpha * static_cast<T>(total[r][s]));
    }
}

template <class T>
__global__ void products(Product<T> p, Batch batch, Split split, double* sums) {
  const int64_t rows = (p.m + kTile - 1) / kTile, columns = (p.n + kTile - 1) / kTile;
  for (int64_t index = block(); index < rows * columns * split.pieces * batch.count; index += blocks()) {
    const int64_t tile = index % (rows * columns), part = index / (rows * columns);
    compute_tile(piece_of(p.one(batch, part / split.pieces), split, part % split.pieces), tile % rows * kTile,
                 tile / rows * kTile, sums == nullptr ? sums : sums + part * p.m * p.n);
  }
}

template <class T>
void run_tiles(const Product<T>& p, const Batch& batch) {
  const int64_t tiles = (p.m + kTile - 1) / kTile * ((p.n + kTile - 1) / kTile) * batch.count;
  run_split<double>(p, batch, tiles, [&](Split split, double* sums) {
    launch(products<T>, blocks_for_lines(tiles * split.pieces), kThreads, p, batch, split, sums);
  });
}

template <class T>
void run(const Call& call) {
  Product<T> p = product_of<T>(call);
  if (call[2].size() == 0) return;
  Batch batch = batch_of(call);
  join_rows(p, batch);
  if (run_library(p, batch)) return;
  if constexpr (is_half<T>)
    run_tensor_tiles(p, batch);
  else
    run_tiles(p, batch);
}

void matmul(const Call& call) {
  const int misfit = first_misfit(call);
  if (misfit >= 0) return call.error->set(ErrorCode::bad_shape, misfit, 0);
  switch (call[2].dtype) {
    case DType::f16:
      return run<Half>(call);
    case DType::bf16:
      return run<BFloat16>(call);
    case DType::f32:
      return run<float>(call);
    default:
      return run<double>(call);
  }
}

constexpr EntryRow rows[] = {{"matmul", matmul, kTakesHalves}};

}  // namespace

extern const Family matmul_family;
const Family matmul_family = {rows, sizeof(rows) / sizeof(rows[0])};

}  // namespace pullback::cuda
