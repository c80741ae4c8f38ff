// One step of an optimizer with a rate for each element, beside Adam and RMSprop of optimizer.h, whose conventions
// hold: element k of every list belongs to parameter k, g is −g where the objective is maximized, constants are worked
// out in double. Where decay is not decoupled, g ← g + λp comes first; where it is, p ← (1 − ηλ)p.
#pragma once
#include "kernels/optimizer.h"

namespace pullback {

inline constexpr Signature optimizer_adaptive_signatures[] = {
    {"adagrad",
     "t ← t + 1;  s ← s + g²;  p ← p − η/(1 + (t − 1)γ) g / (√s + ε)",
     {list(inout("params", kFloat)), list(in("grads", kFloat)), list(inout("sums", kFloat)),
      list(inout("steps", kStep)), real("lr"), real("lr_decay"), real("eps"), real("weight_decay"), flag("maximize"),
      real("found_inf")}},
    {"adadelta",
     "t ← t + 1;  v ← ρv + (1 − ρ)g²;  δ = √(a + ε)/√(v + ε) g;  a ← ρa + (1 − ρ)δ²;  p ← p − ηδ",
     {list(inout("params", kFloat)), list(in("grads", kFloat)), list(inout("square_avgs", kFloat)),
      list(inout("acc_deltas", kFloat)), list(inout("steps", kStep)), real("lr"), real("rho"), real("eps"),
      real("weight_decay"), flag("maximize"), real("found_inf")}},
    {"adamax",
     "t ← t + 1;  m ← β₁m + (1 − β₁)g;  u ← max(β₂u, |g| + ε);  p ← p − η/(1 − β₁ᵗ) m / u",
     {list(inout("params", kFloat)), list(in("grads", kFloat)), list(inout("exp_avgs", kFloat)),
      list(inout("exp_infs", kFloat)), list(inout("steps", kStep)), real("lr"), real("beta1"), real("beta2"),
      real("eps"), real("weight_decay"), flag("maximize"), real("found_inf")}},
    {"nadam",
     "t ← t + 1;  μ(t) = β₁(1 − ½·0.96^(tψ));  P ← P μ(t);  m ← β₁m + (1 − β₁)g;  v ← β₂v + (1 − β₂)g²;  "
     "d = √v/√(1 − β₂ᵗ) + ε;  p ← p − η(1 − μ(t))/(1 − P) g/d − ημ(t+1)/(1 − Pμ(t+1)) m/d",
     {list(inout("params", kFloat)), list(in("grads", kFloat)), list(inout("exp_avgs", kFloat)),
      list(inout("exp_avg_sqs", kFloat)), list(inout("mu_products", kStep)), list(inout("steps", kStep)), real("lr"),
      real("beta1"), real("beta2"), real("eps"), real("weight_decay"), real("momentum_decay"), flag("maximize"),
      flag("decoupled"), real("found_inf")}},
    {"radam",
     "t ← t + 1;  m ← β₁m + (1 − β₁)g;  v ← β₂v + (1 − β₂)g²;  ρ∞ = 2/(1 − β₂) − 1;  ρ = ρ∞ − 2tβ₂ᵗ/(1 − β₂ᵗ);  "
     "r² = (ρ − 4)(ρ − 2)ρ∞ / ((ρ∞ − 4)(ρ∞ − 2)ρ);  p ← p − η/(1 − β₁ᵗ) r√(1 − β₂ᵗ) m/(√v + ε) where ρ > 5, else "
     "p − η/(1 − β₁ᵗ) m",
     {list(inout("params", kFloat)), list(in("grads", kFloat)), list(inout("exp_avgs", kFloat)),
      list(inout("exp_avg_sqs", kFloat)), list(inout("steps", kStep)), real("lr"), real("beta1"), real("beta2"),
      real("eps"), real("weight_decay"), flag("maximize"), flag("decoupled"), real("found_inf")}},
};

}  // namespace pullback
