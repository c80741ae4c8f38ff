// Choosing elements, bounding them, and the fused ternary functions.
#pragma once
#include "runtime/variables.h"

namespace pullback {

inline constexpr Signature where_signatures[] = {
    {"where",
     "y = a where condition holds, else b",
     {in("condition", kBool), in("a", kAny), in("b", kAny), out("y", kAny)}},
    {"where_backward",
     "dx = dy where condition = chosen, else 0",
     {in("dy", kFloat), in("condition", kBool), out("dx", kFloat), flag("chosen")}},
    {"clamp",
     "y = min(max(x, low), high), NaN where any of them is",
     {in("x", kFloat), out("y", kFloat), real("low"), real("high")}},
    {"clamp_backward",
     "dx = dy where low ≤ x ≤ high, else 0",
     {in("dy", kFloat), in("x", kFloat), out("dx", kFloat), real("low"), real("high")}},
    {"clamp_between",
     "y = min(max(x, low), high), NaN where any of them is",
     {in("x", kNumber), in("low", kNumber), in("high", kNumber), out("y", kNumber)}},
    {"clamp_between_backward",
     "dx = dy where low ≤ x ≤ high; dlow = dy where x < low < high; dhigh = dy where x > high or low > high; "
     "else 0",
     {in("dy", kFloat), in("x", kFloat), in("low", kFloat), in("high", kFloat), out("dx", kFloat), out("dlow", kFloat),
      out("dhigh", kFloat)}},
    {"lerp",
     "y = a + weight (b − a)",
     {in("a", kFloat), in("b", kFloat), in("weight", or_number(kFloat)), out("y", kFloat)}},
    {"lerp_backward",
     "da = dy (1 − weight), db = dy weight",
     {in("dy", kFloat), in("weight", or_number(kFloat)), out("da", kFloat), out("db", kFloat)}},
    {"lerp_backward_weight",
     "dweight = dy (b − a)",
     {in("dy", kFloat), in("a", kFloat), in("b", kFloat), out("dweight", kFloat)}},
    {"addcmul",
     "y = x + value a b",
     {in("x", kNumber), in("a", kNumber), in("b", kNumber), out("y", kNumber), real("value")}},
    {"addcmul_backward",
     "dfactor = value dy other, for each of the two factors",
     {in("dy", kFloat), in("other", kFloat), out("dfactor", kFloat), real("value")}},
    {"addcdiv",
     "y = x + value a / b",
     {in("x", kFloat), in("a", kFloat), in("b", kFloat), out("y", kFloat), real("value")}},
    {"addcdiv_backward",
     "da = value dy / b, db = −value dy a / b²",
     {in("dy", kFloat), in("a", kFloat), in("b", kFloat), out("da", kFloat), out("db", kFloat), real("value")}},
    {"nan_to_num",
     "y = nan, posinf, neginf where x is NaN, +∞, −∞, else x",
     {in("x", kFloat), out("y", kFloat), real("nan"), real("posinf"), real("neginf")}},
    {"nan_to_num_backward",
     "dx = dy where x is finite, else 0",
     {in("dy", kFloat), in("x", kFloat), out("dx", kFloat)}},
};

}  // namespace pullback
