#include "kernels/loss.h"

#include "isa/elementwise.h"
#include "isa/math.h"

namespace pullback::ISA_NAMESPACE {
namespace {

template <template <class> class Op, class T>
void forward_tile(const Tile& t) {
  const Op<T> op(*t.call);
  const T *x = t.x<T>(0), *y = t.x<T>(1);
  T* loss = t.y<T>();
  for_each_vec<T>(t.n, [&](int64_t i, auto lanes) {
    op.f(Vec<T>::load(x + i, lanes) - Vec<T>::load(y + i, lanes)).store(loss + i, lanes);
  });
}

// Σ ℓ(x_i − y_i) of at most kTile elements; lanes that hold none add ℓ(0) = 0.
template <class Op, class T>
PB_INLINE T sum_tile(const Op& op, const T* x, const T* y, int64_t n) {
  using V = Vec<T>;
  constexpr int64_t size = V::size;
  const auto at = [&](int64_t i, auto lanes) { return op.f(V::load(x + i, lanes) - V::load(y + i, lanes)); };
  V a, b, c, d;  // four sums side by side, since one would wait for its own last result
  int64_t i = 0;
  for (; i + 4 * size <= n; i += 4 * size) {
    a += at(i, AllLanes{});
    b += at(i + size, AllLanes{});
    c += at(i + 2 * size, AllLanes{});
    d += at(i + 3 * size, AllLanes{});
  }
  for_each_vec<T>(n - i, [&](int64_t k, auto lanes) { a += at(i + k, lanes); });
  return reduce_add((a + b) + (c + d));
}

// The same of elements begin, …, end - 1: in tiles, whose sums are added in double.
template <class Op, class T>
double sum_piece(const Op& op, const Space& s, int64_t begin, int64_t end) {
  alignas(64) T buffer[2][kTile];
  double total = 0;
  for (int64_t b = begin; b < end; b += kTile) {
    const int64_t n = smaller(kTile, end - b);
    const T* x[2];
    for (int i = 0; i < 2; ++i) {
      x[i] = reinterpret_cast<const T*>(in_place(s, i, b, n));
      if (!x[i]) gather(s, i, b, n, reinterpret_cast<char*>(buffer[i])), x[i] = buffer[i];
    }
    total += static_cast<double>(sum_tile(op, x[1], x[0], n));
  }
  return total;
}

// The sum or mean of all losses, in pieces that depend on the shape only. y stretches to x's shape.
template <class Op, class T>
void reduce(const Call& c, bool divide) {
  if (!stretches(c[1], c[0])) return c.error->set(ErrorCode::bad_shape, 1, 0);
  if (c[2].size() != 1) return c.error->set(ErrorCode::bad_shape, 2, 0);
  const Op op(c);
  const Operand operands[] = {c[1], c[0]};
  const Space s = make_space(operands, 1, 1);
  const int64_t n = s.total(), pieces = n ? (n - 1) / kPiece + 1 : 0;
  Scratch scratch;
  double* part = scratch.take<double>(pieces);
  parallel_for(n, kPiece,
               [&](int64_t begin, int64_t end) { part[begin / kPiece] = sum_piece<Op, T>(op, s, begin, end); });
  double total = 0;
  for (int64_t i = 0; i < pieces; ++i) total += part[i];
  *c[2].data<T>() = static_cast<T>(divide ? total / static_cast<double>(n) : total);
}

template <template <class> class Op>
void forward(const Call& c) {
  visit_float(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    const int64_t reduction = c.integer(0);
    if (reduction == Reduction::none) return elementwise(c, forward_tile<Op, T>, 2);
    reduce<Op<T>, T>(c, reduction == Reduction::mean);
  });
}

template <template <class> class Op, class T>
void backward_tile(const Tile& t) {
  const Op<T> op(*t.call);
  const Vec<T> scale(static_cast<T>(t.call->real(0)));
  const T *dloss = t.x<T>(0), *x = t.x<T>(1), *y = t.x<T>(2);
  T *dx = t.y<T>(0), *dy = t.call->has(4) ? t.y<T>(1) : nullptr;
  for_each_vec<T>(t.n, [&](int64_t i, auto lanes) {
    const auto d = Vec<T>::load(x + i, lanes) - Vec<T>::load(y + i, lanes);
    const auto g = scale * Vec<T>::load(dloss + i, lanes) * op.slope(d);
    g.store(dx + i, lanes);
    if (dy) (-g).store(dy + i, lanes);
  });
}

template <template <class> class Op>
void backward(const Call& c) {
  visit_float(c[1].dtype, [&](auto zero) { elementwise(c, backward_tile<Op, decltype(zero)>, 3, c.has(4) ? 2 : 1); });
}

}  // namespace
}  // namespace pullback::ISA_NAMESPACE

#include "kernels/loss_formulas.h"
