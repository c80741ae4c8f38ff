// Arrays put together, and the triangles of matrices. Everything else in ops/shape.py is made of strided copies.
#pragma once
#include "runtime/signature.h"

namespace pullback {

inline constexpr Signature shape_signatures[] = {
    {"cat",
     "y has the parts one behind the other along the axis; a part that lacks the axis is one layer of it",
     {list(in("parts", kAny)), out("y", kAny), integer("axis")}},
    {"tril",
     "y_ij = x_ij where j − i ≤ diagonal, else 0, for each matrix in the last two dimensions",
     {in("x", kAny), out("y", kAny), integer("diagonal")}},
    {"triu", "y_ij = x_ij where j − i ≥ diagonal, else 0", {in("x", kAny), out("y", kAny), integer("diagonal")}},
};

}  // namespace pullback
