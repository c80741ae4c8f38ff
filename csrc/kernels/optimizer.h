// One step of an optimizer, for a whole group of parameters in one call: element k of every list belongs to
// parameter k.
//
// g is the gradient, or −g where the objective is maximized. The formulas are PyTorch's; bias corrections and
// 1 − β are computed in double, whatever the dtype of the parameters. Where `found_inf` is not 0, nothing changes, step
// counts included: a number that is no number was found among scaled gradients.
#pragma once
#include "runtime/signature.h"

namespace pullback {

inline constexpr Types kStep{bit(DType::f32), 0};  // a step count, exact up to 2²⁴

inline constexpr Signature optimizer_signatures[] = {
    {"sgd",
     "g ← g + λp;  b ← g at the first step, else μb + (1 − τ)g;  u = g without b, g + μb with nesterov, else "
     "b;  "
     "p ← p − ηu",
     {list(inout("params", kFloat)), list(in("grads", kFloat)), list(inout("momentum_buffers", kFloat)), real("lr"),
      real("momentum"), real("dampening"), real("weight_decay"), flag("nesterov"), flag("maximize"), flag("first"),
      real("found_inf")}},
    {"adam",
     "t ← t + 1;  p ← p − ηλp where decoupled, else g ← g + λp;  m ← β₁m + (1 − β₁)g;  v ← β₂v + (1 − β₂)g²; "
     " "
     "w = max over the steps of v with amsgrad, else v;  p ← p − η/(1 − β₁ᵗ) m / (√w/√(1 − β₂ᵗ) + ε)",
     {list(inout("params", kFloat)), list(in("grads", kFloat)), list(inout("exp_avgs", kFloat)),
      list(inout("exp_avg_sqs", kFloat)), list(inout("max_exp_avg_sqs", kFloat)), list(inout("steps", kStep)),
      real("lr"), real("beta1"), real("beta2"), real("eps"), real("weight_decay"), flag("decoupled"), flag("amsgrad"),
      flag("maximize"), real("found_inf")}},
    {"rmsprop",
     "t ← t + 1;  g ← g + λp;  v ← αv + (1 − α)g²;  a ← αa + (1 − α)g where centered, else 0;  s = √(v − a²) + ε, or "
     "√(v − a² + ε) with eps_inside;  b ← μb + g/s;  p ← p − ηb, p − ηg/s without b",
     {list(inout("params", kFloat)), list(in("grads", kFloat)), list(inout("square_avgs", kFloat)),
      list(inout("grad_avgs", kFloat)), list(inout("momentum_buffers", kFloat)), list(inout("steps", kStep)),
      real("lr"), real("alpha"), real("eps"), real("weight_decay"), real("momentum"), flag("centered"),
      flag("maximize"), flag("eps_inside"), real("found_inf")}},
};

}  // namespace pullback
