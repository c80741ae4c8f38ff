#include "common/elementwise.h"
#include "common/scalar.h"

namespace pullback::cuda {
namespace {

template <class Op, class T>
struct Forward {
  PB_DEVICE void operator()(T x, T& y) const { y = Op::f(x); }
};
// dx = dy ∘ f'(saved)
template <class Op, class T>
struct Backward {
  PB_DEVICE void operator()(T dy, T saved, T& dx) const { dx = dy * Op::df(saved); }
};
template <class Op, class T>
struct Test {
  PB_DEVICE void operator()(T x, bool& y) const { y = Op::test(x); }
};

template <class Op>
void forward(const Call& c) {
  visit_real(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    elementwise<const T, T>(c, Forward<Op, Computed<T>>());
  });
}
template <class Op>
void forward_number(const Call& c) {
  visit_real_number(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    elementwise<const T, T>(c, Forward<Op, Computed<T>>());
  });
}
template <class Op>
void backward(const Call& c) {
  visit_real(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    elementwise<const T, const T, T>(c, Backward<Op, Computed<T>>());
  });
}
template <class Op>
void test(const Call& c) {
  visit_real(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    elementwise<const T, bool>(c, Test<Op, Computed<T>>());
  });
}

}  // namespace
}  // namespace pullback::cuda

#include "kernels/unary_formulas.h"
