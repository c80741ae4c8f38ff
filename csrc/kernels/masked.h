// Where the elements that are not zero stand, and which elements a mask chooses. Their number is known only when it has
// been counted, hence a kernel for that; the others stay within what they are given.
#pragma once
#include "runtime/signature.h"

namespace pullback {

inline constexpr Signature masked_signatures[] = {
    {"count_nonzero_all", "y = the number of x_i ≠ 0", {in("x", kAny), out("y", kIndex)}},
    {"nonzero",
     "y[k, d] = coordinate d of the k-th x_i ≠ 0, in row-major order; y has as many rows as there are",
     {in("x", kAny), out("y", kIndex)}},
    {"masked_select",
     "y[k] = the k-th x_i whose mask_i holds, in row-major order; mask has x's shape",
     {in("x", kAny), in("mask", kBool), out("y", kAny)}},
    {"masked_scatter",
     "y_i = values[k] where mask_i is the k-th that holds, else x_i; x, mask and y have one shape",
     {in("x", kAny), in("mask", kBool), in("values", kAny), out("y", kAny)}},
};

}  // namespace pullback
