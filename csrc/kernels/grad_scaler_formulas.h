// The formulas of grad_scaler.h, on the CPU and on the GPU.
#pragma once
#include <math.h>

#include "kernels/grad_scaler.h"

namespace pullback::ISA_NAMESPACE {
namespace {

// 1/s, rounded to float whatever the gradients are
template <class T>
PB_INLINE T inverse_of(double scale) {
  return static_cast<T>(static_cast<float>(1 / scale));
}

// s and t of the next step
PB_INLINE void update_scale_of(float& scale, int& tracker, bool found_inf, double growth, double backoff,
                               int64_t interval) {
  if (found_inf) {
    scale = static_cast<float>(scale * backoff), tracker = 0;
    return;
  }
  if (++tracker != interval) return;
  const float grown = static_cast<float>(scale * growth);
  if (grown - grown == 0) scale = grown;
  tracker = 0;
}

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
