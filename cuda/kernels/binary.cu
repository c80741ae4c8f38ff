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

// Whether one of the operands may be a float beside halves, see binary.h.
template <class Op, class T>
inline constexpr bool takes_numbers = is_any_half<T> && requires { Op::takes_numbers; };

template <class Op, class T>
void forward(const Call& c) {
  const Forward<Op, Computed<T>> f{device_error(c)};
  if constexpr (takes_numbers<Op, T>) {
    if (c[0].dtype == DType::f32) return elementwise<const float, const T, T>(c, f);
    if (c[1].dtype == DType::f32) return elementwise<const T, const float, T>(c, f);
  }
  elementwise<const T, const T, T>(c, f);
}

template <class Op, class T>
void backward_of(const Call& c) {
  const Backward<Op, Computed<T>> f;
  if constexpr (takes_numbers<Op, T>) {
    if (c[1].dtype == DType::f32) return elementwise<const T, const float, const T, T>(c, f);
    if (c[2].dtype == DType::f32) return elementwise<const T, const T, const float, T>(c, f);
  }
  elementwise<const T, const T, const T, T>(c, f);
}

template <class Op>
void of_any(const Call& c) {
  visit_real_any(c[2].dtype, [&](auto zero) { forward<Op, decltype(zero)>(c); });
}
template <class Op>
void of_numbers(const Call& c) {
  visit_real_number(c[2].dtype, [&](auto zero) { forward<Op, decltype(zero)>(c); });
}
template <class Op>
void of_floats(const Call& c) {
  visit_real(c[2].dtype, [&](auto zero) { forward<Op, decltype(zero)>(c); });
}
template <class Op>
void backward(const Call& c) {
  visit_real(c[0].dtype, [&](auto zero) { backward_of<Op, decltype(zero)>(c); });
}

}  // namespace
}  // namespace pullback::cuda

#include "kernels/binary_formulas.h"
