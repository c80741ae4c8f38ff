// Softmax along one axis, k running over it, and its logarithm. What is infinite or NaN in a line makes all of it NaN,
// as in PyTorch, apart from −∞ beside finite elements.
#pragma once
#include "runtime/signature.h"

namespace pullback {

inline constexpr Signature softmax_signatures[] = {
    {"softmax", "y_k = e^(x_k − m) / Σ_j e^(x_j − m), m = max x", {in("x", kFloat), out("y", kFloat), integer("axis")}},
    {"log_softmax",
     "y_k = x_k − m − ln Σ_j e^(x_j − m), m = max x",
     {in("x", kFloat), out("y", kFloat), integer("axis")}},
    {"softmax_backward",
     "dx_k = y_k (dy_k − Σ_j dy_j y_j)",
     {in("dy", kFloat), in("y", kFloat), out("dx", kFloat), integer("axis")}},
    {"log_softmax_backward",
     "dx_k = dy_k − e^(y_k) Σ_j dy_j",
     {in("dy", kFloat), in("y", kFloat), out("dx", kFloat), integer("axis")}},
};

}  // namespace pullback
