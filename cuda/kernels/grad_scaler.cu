#include "common/optimizer.h"
#include "kernels/grad_scaler_formulas.h"

namespace pullback::cuda {
namespace {

// g ← g/s; f ← 1 where that is not finite
template <class T>
struct Unscale {
  T inverse;
  int* found_inf;  // a float's bits
  PB_DEVICE void operator()(T g, T& to) const {
    to = g * inverse;
    if (to - to != 0) compare_and_swap(found_inf, 0, 0x3f800000);
  }
};
template <class T>
struct PrepareUnscale {
  Scalar scale;
  int* found_inf;
  PB_DEVICE Unscale<T> prepare(Nothing) const { return {inverse_of<T>(scale.real()), found_inf}; }
};

void unscale(const Call& c) {
  visit_parameters(c, [&](auto zero) {
    using T = decltype(zero);
    const PrepareUnscale<Computed<T>> h{c.scalars[0], reinterpret_cast<int*>(c[1].template data<float>())};
    elementwise_lists<const T, T>(c, {0, 0}, [](int) { return Nothing(); }, h);
  });
}

__global__ void update_scale_once(float* scale, int* tracker, const float* found_inf, Scalar growth, Scalar backoff,
                                  Scalar interval) {
  if (thread() == 0)
    update_scale_of(*scale, *tracker, *found_inf != 0, growth.real(), backoff.real(), interval.integer());
}

void update_scale(const Call& c) {
  launch(update_scale_once, 1, kWarpSize, c[0].data<float>(), c[1].data<int>(),
         static_cast<const float*>(c[2].data<float>()), c.scalars[0], c.scalars[1], c.scalars[2]);
}

constexpr EntryRow rows[] = {
    {"unscale", unscale, kTakesHalves},
    {"update_scale", update_scale},
};

}  // namespace

extern const Family grad_scaler_family;
const Family grad_scaler_family = {rows, sizeof(rows) / sizeof(rows[0])};

}  // namespace pullback::cuda
