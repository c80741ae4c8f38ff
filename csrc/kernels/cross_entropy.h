// Cross-entropy of logits x against classes, or against probabilities, along `axis`; k runs over the C classes, i over
// the lines. With log p = log_softmax(x):
//
//   ℓ_i = −Σ_k q_ik log p_ik        dx_ik = g_i (p_ik Σ_j q_ij − q_ik)
//   against a class:         q_ik = (1 − ε) w_k [k = target_i] + ε w_k / C, and ℓ_i = 0 where target_i = ignore_index
//   against probabilities:   q_ik = w_k ((1 − ε) t_ik + ε / C)
//
// weight w is 1 where it is absent, ε is `smoothing`. reduction 0 leaves the ℓ_i as they are, 2 sums them, 1 divides
// their sum by Σ_i w_{target_i} over the lines that count, or by the number of lines. g_i is dy_i where dy is given,
// and else what makes dx the gradient of the reduced loss. loss and dx are written where they are given, in one pass
// over x.
#pragma once
#include "kernels/loss.h"

namespace pullback {

inline constexpr Signature cross_entropy_signatures[] = {
    {"cross_entropy",
     "loss = reduce ℓ_i, dx = g (p Σ q − q), against classes",
     {in("x", kFloat), in("target", kIndex), optional(in("weight", kFloat)), optional(in("dy", kFloat)),
      optional(out("loss", kFloat)), optional(out("dx", kFloat)), integer("axis"), integer("ignore_index"),
      real("smoothing"), integer("reduction")}},
    {"cross_entropy_soft",
     "loss = reduce ℓ_i, dx = g (p Σ q − q), against probabilities",
     {in("x", kFloat), in("target", kFloat), optional(in("weight", kFloat)), optional(in("dy", kFloat)),
      optional(out("loss", kFloat)), optional(out("dx", kFloat)), integer("axis"), real("smoothing"),
      integer("reduction")}},
    {"cross_entropy_scale",
     "y = dy dx for a single dy; nothing is touched where dy = 1 and y is dx",
     {in("dx", kFloat), in("dy", kFloat), out("y", kFloat)}},
    {"nll_loss",
     "loss = reduce ℓ_i, ℓ_i = −w_{target_i} x_{i, target_i}",
     {in("x", kFloat), in("target", kIndex), optional(in("weight", kFloat)), out("loss", kFloat), integer("axis"),
      integer("ignore_index"), integer("reduction")}},
    {"nll_loss_backward",
     "dx_{i, target_i} = −g_i w_{target_i}, 0 elsewhere",
     {in("dy", kFloat), in("target", kIndex), optional(in("weight", kFloat)), out("dx", kFloat), integer("axis"),
      integer("ignore_index"), integer("reduction")}},
};

}  // namespace pullback
