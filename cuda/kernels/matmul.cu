// The product by cuBLASLt where that is there and takes it. Without it a block computes a tile of c, slab by slab of k
// through shared memory, and each of its threads a square of that tile in registers.
#include "common/scalar.h"
#include "kernels/matmul_library.h"
#include "kernels/matmul_shapes.h"

namespace pullback::cuda {
namespace {

constexpr int kTile = 64;     // rows and columns of c in a block
constexpr int kDepth = 16;    // of a slab
constexpr int kSquare = 4;    // rows and columns of c in a thread
constexpr int kFolded = 256;  // terms that are added up in T before they join the others in double: a float is soon too
                              // large to notice one more term
constexpr int kThreads = kTile * kTile / kSquare / kSquare;

template <class T>
struct Product {
  int64_t m, n, k;
  Matrix<const T> a, b;
  Matrix<T> c;
  Matrix<const T> bias;  // no data where there is none
  T alpha, beta;
  Activation activation;
};

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

// c = f(α Σ_k a_ik b_kj + β c + bias) for one tile
template <class T>
PB_DEVICE void compute_tile(const Product<T>& p, int64_t i0, int64_t j0) {
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
      T v = p.alpha * static_cast<T>(total[r][s]);
      if (p.beta != T(0)) v = fma(p.beta, *p.c.at(row, col), v);
      if (p.bias.data != nullptr) v += *p.bias.at(row, col);
      *p.c.at(row, col) = activate(p.activation, v);
    }
}

template <class T>
__global__ void products(Product<T> p, Batch batch) {
  const int64_t rows = (p.m + kTile - 1) / kTile, columns = (p.n + kTile - 1) / kTile;
  for (int64_t index = block(); index < rows * columns * batch.count; index += blocks()) {
    const int64_t tile = index % (rows * columns), of = index / (rows * columns);
    Product<T> one = p;
    one.a.data += batch.at(0, of);
    one.b.data += batch.at(1, of);
    one.c.data += batch.at(2, of);
    if (p.bias.data != nullptr) one.bias.data += batch.at(3, of);
    compute_tile(one, tile % rows * kTile, tile / rows * kTile);
  }
}

// c = f(c + bias), what the library leaves to be done
template <class T>
__global__ void finish(Product<T> p, Batch batch) {
  for (int64_t i = first(); i < p.m * p.n * batch.count; i += stride()) {
    const int64_t col = i % p.n, row = i / p.n % p.m, of = i / p.n / p.m;
    T* c = p.c.at(row, col) + batch.at(2, of);
    T v = *c;
    if (p.bias.data != nullptr) v += *(p.bias.at(row, col) + batch.at(3, of));
    *c = activate(p.activation, v);
  }
}

// --- from the call ---------------------------------------------------------------------------------------------------

template <class T>
Matrix<T> matrix_of(const Operand& x, int ndim) {
  return {x.data<T>(), broadcast_stride(x, ndim, ndim - 2), broadcast_stride(x, ndim, ndim - 1)};
}

Batch batch_of(const Call& call) {
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

// Whether the library's epilogue can add the bias: a vector along the columns in memory of what it computes.
template <class T>
bool is_epilogue(const Product<T>& p, const Batch& batch, bool swapped) {
  const int64_t along = swapped ? p.bias.col : p.bias.row, across = swapped ? p.bias.row : p.bias.col;
  const int64_t length = swapped ? p.n : p.m, copies = swapped ? p.m : p.n;
  for (int d = 0; d < batch.ndim; ++d)
    if (batch.stride[3][d] != 0) return false;
  return (along == 1 || length == 1) && (across == 0 || copies == 1);
}

template <class T>
bool run_library(Product<T> p, const Batch& batch) {
  LibraryProduct q;
  bool swapped;
  if (!as_library_product(p.a, p.b, p.c, p.m, p.n, p.k, batch, swapped, q)) return false;
  q.alpha = static_cast<double>(p.alpha), q.beta = static_cast<double>(p.beta);
  const bool fuses = p.bias.data == nullptr || is_epilogue(p, batch, swapped);
  q.bias = fuses ? p.bias.data : nullptr;
  q.relu = fuses && p.activation == Activation::relu;
  if (multiply_by_library(q)) {
    if (fuses) p.bias.data = nullptr;
    if (q.relu) p.activation = Activation::none;
  } else {  // not every type has every epilogue
    q.bias = nullptr, q.relu = false;
    if (!multiply_by_library(q)) return false;
  }
  if (p.bias.data != nullptr || p.activation != Activation::none)
    launch(finish<T>, blocks_for(p.m * p.n * batch.count), kBlockSize, p, batch);
  return true;
}

template <class T>
void run(const Call& call) {
  const Operand &a = call[0], &b = call[1], &c = call[2];
  Product<T> p;
  p.m = c.shape[c.ndim - 2], p.n = c.shape[c.ndim - 1], p.k = a.shape[a.ndim - 1];
  p.a = matrix_of<const T>(a, c.ndim), p.b = matrix_of<const T>(b, c.ndim), p.c = matrix_of<T>(c, c.ndim);
  p.bias = call.has(3) ? matrix_of<const T>(call[3], c.ndim) : Matrix<const T>{nullptr, 0, 0};
  p.alpha = static_cast<T>(call.real(0)), p.beta = static_cast<T>(call.real(1));
  p.activation = static_cast<Activation>(call.integer(2));
  if (c.size() == 0) return;
  Batch batch = batch_of(call);
  join_rows(p, batch);
  if (run_library(p, batch)) return;
  const int64_t tiles = (p.m + kTile - 1) / kTile * ((p.n + kTile - 1) / kTile) * batch.count;
  launch(products<T>, tiles < kMostBlocks ? tiles : kMostBlocks, kThreads, p, batch);
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

}  // namespace pullback::cuda
