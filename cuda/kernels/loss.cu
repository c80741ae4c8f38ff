#include "common/pieces.h"
#include "common/scalar.h"
#include "kernels/loss.h"

namespace pullback::cuda {
namespace {

template <class Op, class T>
struct Each {
  Op op;
  PB_DEVICE void operator()(T x, T y, T& loss) const { loss = op.f(x - y); }
};

// Σ ℓ(x_i − y_i) / divisor, in double.
template <class Op, class T>
struct Total {
  using State = double;
  static constexpr int pack = 16 / sizeof(T);
  Op op;
  Space<2> space;  // of y, x
  const T *y, *x;
  T* loss;
  double divisor;
  bool packed;
  Format format;

  const Total& results() const { return *this; }
  PB_DEVICE double start() const { return 0; }
  PB_DEVICE double join(double a, double b) const { return a + b; }
  PB_DEVICE int row(int64_t) const { return 0; }
  PB_DEVICE void take(double& s, int, int64_t i) const { s += loss_of(x[space.at(1, i)], y[space.at(0, i)]); }
  PB_DEVICE void take_pack(double* s, int, int64_t i) const {
    const auto x_i = load_pack<pack>(x, i), y_i = load_pack<pack>(y, i);
    for (int e = 0; e < pack; ++e) s[e] += loss_of(x_i.element[e], y_i.element[e]);
  }
  PB_DEVICE void put(double s, int64_t) const { format.write(*loss, static_cast<Computed<T>>(s / divisor)); }

 private:
  PB_DEVICE double loss_of(T x_i, T y_i) const {
    return static_cast<double>(op.f(format.read(x_i) - format.read(y_i)));
  }
};

// The sum or mean of all losses. y stretches to x's shape.
template <class Op, class T>
void reduce(const Call& c, bool divide) {
  if (!stretches(c[1], c[0])) return c.error->set(ErrorCode::bad_shape, 1, 0);
  if (c[2].size() != 1) return c.error->set(ErrorCode::bad_shape, 2, 0);
  const Operand operands[] = {c[1], c[0]};  // the last one's shape is that of all
  Total<Op, T> f{Op(c), make_space<2>(operands, 1), c[1].data<T>(), c[0].data<T>(), c[2].data<T>(), 1,
                 false, Format(c[0].dtype)};
  if (divide) f.divisor = static_cast<double>(c[0].size());
  f.packed = f.space.linear && takes_packs<f.pack>(f.x) && takes_packs<f.pack>(f.y);
  reduce_in_rows(f, 1, f.space.size);
}

template <template <class> class Op>
void forward(const Call& c) {
  visit_real(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    using C = Computed<T>;
    const int64_t reduction = c.integer(0);
    if (reduction == Reduction::none) return elementwise<const T, const T, T>(c, Each<Op<C>, C>{Op<C>(c)});
    reduce<Op<C>, T>(c, reduction == Reduction::mean);
  });
}

// dx = scale dloss ℓ'(x − y), dy = −dx
template <class Op, class T>
struct Backward {
  Op op;
  T scale;
  PB_DEVICE void operator()(T dloss, T x, T y, T& dx) const { dx = scale * dloss * op.slope(x - y); }
  PB_DEVICE void operator()(T dloss, T x, T y, T& dx, T& dy) const {
    (*this)(dloss, x, y, dx);
    dy = -dx;
  }
};

template <template <class> class Op>
void backward(const Call& c) {
  visit_real(c[1].dtype, [&](auto zero) {
    using T = decltype(zero);
    using C = Computed<T>;
    const Backward<Op<C>, C> f{Op<C>(c), static_cast<C>(c.real(0))};
    if (c.has(4)) return elementwise<const T, const T, const T, T, T>(c, f);
    elementwise<const T, const T, const T, T>(c, f);
  });
}

}  // namespace
}  // namespace pullback::cuda

#include "kernels/loss_formulas.h"
