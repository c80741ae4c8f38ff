// Reductions: an output has as many dimensions as x, and size 1 in those that are reduced; n is the number of
// terms.
//
// Sums are taken in y's dtype (integers and bool in int64), blockwise and then pairwise. In pullbacks what
// broadcasts (dy, y, and what the forward pass left beside it) has the shape of y.
#pragma once
#include "runtime/signature.h"

namespace pullback {

inline constexpr Types kSummed{kFloatBits | bit(DType::i64), 'U'};

inline constexpr Signature reduce_signatures[] = {
    {"sum", "y = Σ x", {in("x", kAny), out("y", kSummed)}},
    {"mean", "y = Σ x / n", {in("x", kFloat), out("y", kFloat)}},
    {"prod", "y = Π x", {in("x", kAny), out("y", kSummed)}},
    {"norm", "y = (Σ |x|^p)^(1/p)", {in("x", kFloat), out("y", kFloat), real("p")}},
    {"logsumexp", "y = ln Σ eˣ", {in("x", kFloat), out("y", kFloat)}},
    {"var",
     "y = Σ (x − x̄)² / max(n − correction, 0), mean = x̄",
     {in("x", kFloat), out("y", kFloat), out("mean", kFloat), real("correction")}},
    {"std", "y = √var x, mean = x̄", {in("x", kFloat), out("y", kFloat), out("mean", kFloat), real("correction")}},
    {"amax", "y = max x; NaN where any x is", {in("x", kAny), out("y", kAny)}},
    {"amin", "y = min x; NaN where any x is", {in("x", kAny), out("y", kAny)}},
    {"argmax", "y = the first r with x_r = max x", {in("x", kAny), out("y", kIndex)}},
    {"argmin", "y = the first r with x_r = min x", {in("x", kAny), out("y", kIndex)}},
    {"max_index", "y = max x, index = argmax x", {in("x", kAny), out("y", kAny), out("index", kIndex)}},
    {"min_index", "y = min x, index = argmin x", {in("x", kAny), out("y", kAny), out("index", kIndex)}},
    {"count_nonzero", "y = Σ [x ≠ 0]", {in("x", kAny), out("y", kIndex)}},
    {"all", "y = every x ≠ 0", {in("x", kAny), out("y", kBool)}},
    {"any", "y = some x ≠ 0", {in("x", kAny), out("y", kBool)}},

    {"mean_backward", "dx = dy / n", {in("dy", kFloat), out("dx", kFloat)}},
    {"norm_backward",
     "dx = dy sign(x) |x / y|^(p − 1), 0 where x = 0",
     {in("dy", kFloat), in("x", kFloat), in("y", kFloat), out("dx", kFloat), real("p")}},
    {"logsumexp_backward",
     "dx = dy e^(x − y)",
     {in("dy", kFloat), in("x", kFloat), in("y", kFloat), out("dx", kFloat)}},
    {"var_backward",
     "dx = 2 dy (x − x̄) / max(n − correction, 0)",
     {in("dy", kFloat), in("x", kFloat), in("mean", kFloat), out("dx", kFloat), real("correction")}},
    {"std_backward",
     "dx = dy (x − x̄) / (y max(n − correction, 0)), 0 where y = 0",
     {in("dy", kFloat), in("x", kFloat), in("mean", kFloat), in("y", kFloat), out("dx", kFloat), real("correction")}},
    {"prod_backward", "dx_r = dy Π_{s ≠ r} x_s", {in("dy", kFloat), in("x", kFloat), out("dx", kFloat)}},
    {"extremum_mask",
     "mask = 1 where x = y or both are NaN, else 0",
     {in("x", kFloat), in("y", kFloat), out("mask", kFloat)}},
    {"extremum_backward",
     "dx = dy mask / count, count = Σ mask",
     {in("dy", kFloat), in("mask", kFloat), in("count", kFloat), out("dx", kFloat)}},
};

}  // namespace pullback
