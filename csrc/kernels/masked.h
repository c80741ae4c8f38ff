// Where the elements that are not zero stand. Their number is known only when it has been counted, hence two
// kernels.
#pragma once
#include "runtime/signature.h"

namespace pullback {

inline constexpr Signature masked_signatures[] = {
    {"count_nonzero_all", "y = the number of x_i ≠ 0", {in("x", kAny), out("y", kIndex)}},
    {"nonzero",
     "y[k, d] = coordinate d of the k-th x_i ≠ 0, in row-major order; y has as many rows as there are",
     {in("x", kAny), out("y", kIndex)}},
};

}  // namespace pullback
