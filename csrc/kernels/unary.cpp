#include "isa/elementwise.h"
#include "isa/math.h"

namespace pullback::ISA_NAMESPACE {
namespace {

template <class T>
PB_INLINE Vec<T> sign_of(Vec<T> x) {
  return select(x > Vec<T>(0), Vec<T>(1), select(x < Vec<T>(0), Vec<T>(-1), select(isnan(x), x, Vec<T>(0))));
}
template <class T>
PB_INLINE Vec<T> abs_of(Vec<T> x) {
  return abs(x);
}

template <class Op, class T>
void forward_tile(const Tile& t) {
  const T* x = t.x<T>(0);
  T* y = t.y<T>();
  if constexpr (is_float<T>) {
    for_each_vec<T>(t.n, [&](int64_t i, auto lanes) { Op::f(Vec<T>::load(x + i, lanes)).store(y + i, lanes); });
  } else {
    for_each_element(t.n, [&](int64_t i) { y[i] = Op::f(x[i]); });
  }
}

// dx = dy ∘ f'(saved)
template <class Op, class T>
void backward_tile(const Tile& t) {
  const T *dy = t.x<T>(0), *saved = t.x<T>(1);
  T* dx = t.y<T>();
  for_each_vec<T>(t.n, [&](int64_t i, auto lanes) {
    (Vec<T>::load(dy + i, lanes) * Op::df(Vec<T>::load(saved + i, lanes))).store(dx + i, lanes);
  });
}

template <class Op, class T>
void test_tile(const Tile& t) {
  const T* x = t.x<T>(0);
  bool* y = t.y<bool>();
  for_each_element(t.n, [&](int64_t i) { y[i] = Op::test(x[i]); });
}

template <class Op>
void forward(const Call& c) {
  visit_float(c[0].dtype, [&](auto zero) { elementwise(c, forward_tile<Op, decltype(zero)>, 1); });
}
template <class Op>
void forward_number(const Call& c) {
  visit_number(c[0].dtype, [&](auto zero) { elementwise(c, forward_tile<Op, decltype(zero)>, 1); });
}
template <class Op>
void backward(const Call& c) {
  visit_float(c[0].dtype, [&](auto zero) { elementwise(c, backward_tile<Op, decltype(zero)>, 2); });
}
template <class Op>
void test(const Call& c) {
  visit_float(c[0].dtype, [&](auto zero) { elementwise(c, test_tile<Op, decltype(zero)>, 1); });
}

}  // namespace
}  // namespace pullback::ISA_NAMESPACE

#include "kernels/unary_formulas.h"
