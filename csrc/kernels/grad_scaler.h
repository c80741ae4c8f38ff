// Gradients of a scaled loss: dividing them by the scale, and the scale's next value. The scale, what was found and the
// count stay in memory, so that no step waits for them.
#pragma once
#include "runtime/signature.h"

namespace pullback {

inline constexpr Types kScale{bit(DType::f32), 0};
inline constexpr Types kTracker{bit(DType::i32), 0};

inline constexpr Signature grad_scaler_signatures[] = {
    {"unscale",
     "g ← g/s for every g, by 1/s in float;  f ← 1 where some g/s is not finite, else as it was",
     {list(inout("grads", kFloat)), inout("found_inf", kScale), real("scale")}},
    {"update_scale",
     "s ← βs, t ← 0 where f ≠ 0; else t ← t + 1, and at t = n: s ← γs if that is finite, t ← 0",
     {inout("scale", kScale), inout("growth_tracker", kTracker), in("found_inf", kScale), real("growth_factor"),
      real("backoff_factor"), integer("growth_interval")}},
};

}  // namespace pullback
