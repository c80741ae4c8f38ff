// Arrays put together, padded, and the triangles of matrices. Everything else in ops/shape.py is made of strided
// copies.
#pragma once
#include "runtime/signature.h"

namespace pullback {

inline constexpr Signature shape_signatures[] = {
    {"cat",
     "y has the parts one behind the other along the axis; a part that lacks the axis is one layer of it",
     {list(in("parts", kAny)), out("y", kAny), integer("axis")}},
    {"pad",
     "y is x with pads[d, 0] more elements before and pads[d, 1] behind in dimension d, fewer where negative. mode: 0 "
     "the "
     "value, 1 mirrored at the edge, 2 the edge, 3 those of the other end",
     {in("x", kAny), in("pads", kIndex), in("value", kAny), out("y", kAny), integer("mode")}},
    {"tril",
     "y_ij = x_ij where j − i ≤ diagonal, else 0, for each matrix in the last two dimensions",
     {in("x", kAny), out("y", kAny), integer("diagonal")}},
    {"triu", "y_ij = x_ij where j − i ≥ diagonal, else 0", {in("x", kAny), out("y", kAny), integer("diagonal")}},
};

}  // namespace pullback
