// Scans along one axis: each element is computed from the one before it (after it, where `reverse` is set).
#pragma once
#include "runtime/signature.h"

namespace pullback {

inline constexpr Types kScanned{kFloatBits | bit(DType::i64), 'T'};

inline constexpr Signature scan_signatures[] = {
    {"cumsum",
     "y_k = x_k + y_{k−1}, or x_k + y_{k+1} in reverse; floats are added in double",
     {in("x", kScanned), out("y", kScanned), integer("axis"), flag("reverse")}},
    {"cumprod",
     "y_k = x_k y_{k−1}; floats are multiplied in double",
     {in("x", kScanned), out("y", kScanned), integer("axis")}},
    {"cumprod_backward",
     "dx_k = y_{k−1} s_k with s_k = dy_k + x_{k+1} s_{k+1}",
     {in("dy", kFloat), in("x", kFloat), in("y", kFloat), out("dx", kFloat), integer("axis")}},
    {"linear_scan",
     "y_k = b_k + a_k y_{k−1}, or b_k + a_k y_{k+1} in reverse",
     {in("a", kFloat), in("b", kFloat), out("y", kFloat), integer("axis"), flag("reverse")}},
    {"cummax",
     "y_k = max_{j ≤ k} x_j, index_k = the last such j; NaN is the largest",
     {in("x", kScanned), out("y", kScanned), out("index", kIndex), integer("axis")}},
    {"cummin",
     "y_k = min_{j ≤ k} x_j, index_k = the last such j; NaN is the smallest",
     {in("x", kScanned), out("y", kScanned), out("index", kIndex), integer("axis")}},
};

}  // namespace pullback
