// What the optimizers' sources share: one parameter at a time, and its step count.
#pragma once
#include "common/elementwise.h"
#include "common/scalar.h"

namespace pullback::cuda {
namespace {

// √v of a second moment v, which a large gradient may have made infinite.
template <class T>
PB_DEVICE T root(T v) {
  return sqrt(min_fast(sizeof(T) == 4 ? T(__FLT_MAX__) : T(__DBL_MAX__), v));
}

// f(T{}) with what the parameters are stored as, if there are any.
template <class F>
void visit_parameters(const Call& c, F&& f) {
  if (c.has(0)) visit_real(c[0].dtype, f);
}

// Element k of every list, in this order, as a call of its own.
template <class... T, class F>
void step_of_parameter(const Call& c, int k, std::initializer_list<int> lists, F f) {
  Operand operands[sizeof...(T)];
  int n = 0;
  for (const int list : lists) operands[n++] = c.list(list)[k];
  Call one = c;
  one.operands = operands;
  elementwise<T...>(one, f);
}

// A step that leaves everything as it is where `found_inf` is not 0.
template <class Step>
struct Unless {
  Scalar found_inf;
  Step step;

  struct Prepared {
    decltype(step.prepare()) change;
    bool skip;
    PB_DEVICE bool idle() const { return skip; }
    template <class... T>
    PB_DEVICE void operator()(T&&... x) const {
      change(static_cast<T&&>(x)...);
    }
  };
  PB_DEVICE Prepared prepare() const { return {step.prepare(), found_inf.real() != 0}; }
};

// t ← t + 1 for every parameter
__global__ void count(float* step, Scalar found_inf) {
  if (thread() == 0 && found_inf.real() == 0) *step += 1;
}
inline void count_steps(const OperandList& steps, const Scalar& found_inf) {
  for (int k = 0; k < steps.count; ++k) launch(count, 1, kWarpSize, steps[k].data<float>(), found_inf);
}

}  // namespace
}  // namespace pullback::cuda
