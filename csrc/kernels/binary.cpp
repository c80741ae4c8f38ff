#include "isa/elementwise.h"
#include "isa/math.h"

namespace pullback::ISA_NAMESPACE {
namespace {

template <class Op, class T>
void forward_tile(const Tile& t) {
  const T *a = t.x<T>(0), *b = t.x<T>(1);
  T* y = t.y<T>();
  if constexpr (is_float<T>) {
    for_each_vec<T>(t.n, [&](int64_t i, auto lanes) {
      Op::f(Vec<T>::load(a + i, lanes), Vec<T>::load(b + i, lanes)).store(y + i, lanes);
    });
  } else {
    Error* error = t.call->error;
    for_each_element(t.n, [&](int64_t i) { y[i] = Op::g(a[i], b[i], error); });
  }
}

template <class Op, class T>
void backward_tile(const Tile& t) {
  const T *dy = t.x<T>(0), *a = t.x<T>(1), *b = t.x<T>(2);
  T* dx = t.y<T>();
  for_each_vec<T>(t.n, [&](int64_t i, auto lanes) {
    Op::d(Vec<T>::load(dy + i, lanes), Vec<T>::load(a + i, lanes), Vec<T>::load(b + i, lanes)).store(dx + i, lanes);
  });
}

template <class Op>
void of_any(const Call& c) {
  visit_any(c[0].dtype, [&](auto zero) { elementwise(c, forward_tile<Op, decltype(zero)>, 2); });
}
template <class Op>
void of_numbers(const Call& c) {
  visit_number(c[0].dtype, [&](auto zero) { elementwise(c, forward_tile<Op, decltype(zero)>, 2); });
}
template <class Op>
void of_floats(const Call& c) {
  visit_float(c[0].dtype, [&](auto zero) { elementwise(c, forward_tile<Op, decltype(zero)>, 2); });
}
template <class Op>
void backward(const Call& c) {
  visit_float(c[0].dtype, [&](auto zero) { elementwise(c, backward_tile<Op, decltype(zero)>, 3); });
}

}  // namespace
}  // namespace pullback::ISA_NAMESPACE

#include "kernels/binary_formulas.h"
