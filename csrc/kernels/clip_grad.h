// The norm of all gradients together, and scaling them, each in one call over a list of arrays.
#pragma once
#include "runtime/signature.h"

namespace pullback {

inline constexpr Signature clip_grad_signatures[] = {
    {"total_norm",
     "y = (Σ |x_i|ᵖ)^(1/p) over the elements of all tensors; max |x_i| for p = ∞, min |x_i| for p = −∞, the "
     "number of "
     "x_i ≠ 0 for p = 0; 0 for no elements",
     {list(in("tensors", kFloat)), out("y", kFloat), real("p")}},
    {"scale_list", "x ← factor x", {list(inout("tensors", kFloat)), real("factor")}},
};

}  // namespace pullback
