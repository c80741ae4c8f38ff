#include "common/elementwise.h"
#include "common/scalar.h"

namespace pullback::cuda {
namespace {

template <class Op, class T>
struct Forward {
  Error* error;
  PB_DEVICE void operator()(T a, T b, T& y) const {
    if constexpr (is_float<T>) {
      y = Op::f(a, b);
    } else {
      y = Op::g(a, b, error);
    }
  }
};
template <class Op, class T>
struct Backward {
  PB_DEVICE void operator()(T dy, T a, T b, T& dx) const { dx = Op::d(dy, a, b); }
};

template <class Op, class T>
void forward(const Call& c) {
  elementwise<const T, const T, T>(c, Forward<Op, Computed<T>>{device_error(c)});
}

template <class Op>
void of_any(const Call& c) {
  visit_real_any(c[0].dtype, [&](auto zero) { forward<Op, decltype(zero)>(c); });
}
template <class Op>
void of_numbers(const Call& c) {
  visit_real_number(c[0].dtype, [&](auto zero) { forward<Op, decltype(zero)>(c); });
}
template <class Op>
void of_floats(const Call& c) {
  visit_real(c[0].dtype, [&](auto zero) { forward<Op, decltype(zero)>(c); });
}
template <class Op>
void backward(const Call& c) {
  visit_real(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    elementwise<const T, const T, const T, T>(c, Backward<Op, Computed<T>>());
  });
}

}  // namespace
}  // namespace pullback::cuda

#include "kernels/binary_formulas.h"
