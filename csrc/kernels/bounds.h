// What ops demand of the values of their arguments: an error, and no output, where they are not so.
//
// least and greatest are what amin and amax found, NaN where any value is. The error word holds two numbers as doubles,
// from which runtime/launch.cpp makes the op's words.
#pragma once
#include "runtime/signature.h"

namespace pullback {

inline constexpr Signature bounds_signatures[] = {
    {"binary_cross_entropy_bounds",
     "an error unless 0 ≤ least and greatest ≤ 1",
     {in("least", kFloat), in("greatest", kFloat)}},
    {"quantile_bounds", "an error where least < 0 or greatest > 1", {in("least", kFloat), in("greatest", kFloat)}},
    {"gaussian_nll_loss_bounds", "an error where least < 0", {in("least", kFloat)}},
    {"total_norm_bounds", "an error unless y, a norm of order p, is finite", {in("y", kFloat), real("p")}},
};

}  // namespace pullback
