#include "common/elementwise.h"
#include "common/scalar.h"

namespace pullback::cuda {
namespace {

template <class Op, class T>
struct Forward {
  Op op;
  PB_DEVICE void operator()(T x, T& y) const { y = op.f(x); }
};
template <class Op, class T>
struct Backward {
  Op op;
  PB_DEVICE void operator()(T dy, T saved, T& dx) const { dx = op.pull(dy, saved); }
};

template <template <class> class Op>
void forward(const Call& c) {
  visit_real(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    using C = Computed<T>;
    elementwise<const T, T>(c, Forward<Op<C>, C>{Op<C>(c)});
  });
}
template <template <class> class Op>
void backward(const Call& c) {
  visit_real(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    using C = Computed<T>;
    elementwise<const T, const T, T>(c, Backward<Op<C>, C>{Op<C>(c)});
  });
}

template <class T>
struct ReluOfNumber {
  PB_DEVICE void operator()(T x, T& y) const { y = T(0) > x ? T(0) : x; }  // x where it is NaN
};
void relu(const Call& c) {
  visit_real_number(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    elementwise<const T, T>(c, ReluOfNumber<Computed<T>>());
  });
}

template <class T>
struct Heaviside {
  PB_DEVICE void operator()(T x, T value, T& y) const { y = x == T(0) ? value : T(x > T(0)); }
};
void heaviside(const Call& c) {
  visit_real_any(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    elementwise<const T, const T, T>(c, Heaviside<Computed<T>>());
  });
}

template <class T>
struct Prelu {
  PB_DEVICE void operator()(T x, T weight, T& y) const { y = x > 0 ? x : weight * x; }
};
void prelu(const Call& c) {
  visit_real(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    elementwise<const T, const T, T>(c, Prelu<Computed<T>>());
  });
}

template <class T>
struct PreluBackward {
  PB_DEVICE void operator()(T dy, T x, T weight, T& dx, T& dweight) const {
    dx = x > 0 ? dy : weight * dy;
    dweight = x > 0 ? 0 : x * dy;
  }
};
void prelu_backward(const Call& c) {
  visit_real(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    elementwise<const T, const T, const T, T, T>(c, PreluBackward<Computed<T>>());
  });
}

}  // namespace
}  // namespace pullback::cuda

#include "kernels/activation_formulas.h"
