#include "isa/elementwise.h"
#include "isa/math.h"
#include "isa/math_normal.h"

namespace pullback::ISA_NAMESPACE {
namespace {

template <class T>
struct Relu;

template <template <class> class Op, class T>
void forward_tile(const Tile& t) {
  const Op<T> op(*t.call);
  const T* x = t.x<T>(0);
  T* y = t.y<T>();
  for_each_vec<T>(t.n, [&](int64_t i, auto lanes) { op.f(Vec<T>::load(x + i, lanes)).store(y + i, lanes); });
}

template <template <class> class Op, class T>
void backward_tile(const Tile& t) {
  const Op<T> op(*t.call);
  const T *dy = t.x<T>(0), *saved = t.x<T>(1);
  T* dx = t.y<T>();
  for_each_vec<T>(t.n, [&](int64_t i, auto lanes) {
    op.pull(Vec<T>::load(dy + i, lanes), Vec<T>::load(saved + i, lanes)).store(dx + i, lanes);
  });
}

template <template <class> class Op>
void forward(const Call& c) {
  visit_float(c[0].dtype, [&](auto zero) { elementwise(c, forward_tile<Op, decltype(zero)>, 1); });
}
template <template <class> class Op>
void backward(const Call& c) {
  visit_float(c[0].dtype, [&](auto zero) { elementwise(c, backward_tile<Op, decltype(zero)>, 2); });
}

template <class T>
void relu_integer_tile(const Tile& t) {
  const T* x = t.x<T>(0);
  T* y = t.y<T>();
  for_each_element(t.n, [&](int64_t i) { y[i] = x[i] > 0 ? x[i] : T(0); });
}

void relu(const Call& c) {
  if (c[0].dtype == DType::f32 || c[0].dtype == DType::f64) return forward<Relu>(c);
  visit_integer(c[0].dtype, [&](auto zero) { elementwise(c, relu_integer_tile<decltype(zero)>, 1); });
}

template <class T>
void heaviside_tile(const Tile& t) {
  using S = Stored<T>;
  const S *x = t.x<S>(0), *values = t.x<S>(1);
  S* y = t.y<S>();
  for_each_element(t.n, [&](int64_t i) {
    const S at_zero = values[i];  // read in any case: a branch would keep the loop scalar
    y[i] = x[i] == 0 ? at_zero : S(x[i] > 0);
  });
}

void heaviside(const Call& c) {
  visit_any(c[0].dtype, [&](auto zero) { elementwise(c, heaviside_tile<decltype(zero)>, 2); });
}

template <class T>
void prelu_tile(const Tile& t) {
  const T *x = t.x<T>(0), *weight = t.x<T>(1);
  T* y = t.y<T>();
  for_each_vec<T>(t.n, [&](int64_t i, auto lanes) {
    const auto v = Vec<T>::load(x + i, lanes);
    select(v > Vec<T>(0), v, Vec<T>::load(weight + i, lanes) * v).store(y + i, lanes);
  });
}

void prelu(const Call& c) {
  visit_float(c[0].dtype, [&](auto zero) { elementwise(c, prelu_tile<decltype(zero)>, 2); });
}

template <class T>
void prelu_backward_tile(const Tile& t) {
  const T *dy = t.x<T>(0), *x = t.x<T>(1), *weight = t.x<T>(2);
  T *dx = t.y<T>(0), *dweight = t.y<T>(1);
  for_each_vec<T>(t.n, [&](int64_t i, auto lanes) {
    const auto g = Vec<T>::load(dy + i, lanes), v = Vec<T>::load(x + i, lanes);
    const auto positive = v > Vec<T>(0);
    select(positive, g, Vec<T>::load(weight + i, lanes) * g).store(dx + i, lanes);
    select(positive, Vec<T>(0), v * g).store(dweight + i, lanes);
  });
}

void prelu_backward(const Call& c) {
  visit_float(c[0].dtype, [&](auto zero) { elementwise(c, prelu_backward_tile<decltype(zero)>, 3, 2); });
}

}  // namespace
}  // namespace pullback::ISA_NAMESPACE

#include "kernels/activation_formulas.h"
