// An index for each element: reading and writing along one dimension.
//
// index counts from 0, or from −size on where `wrap` is set. One that is out of range sets the error word, and nothing
// is written. Where an index repeats, writes happen as if in its row-major order: the last assignment stays. Sums are
// rounded in one order only, for any number of threads; on the CPU it is that of the index.
//
// mode: 0 x ← v, 1 x ← x + v, 2 x ← x v, 3 x ← min(x, v), 4 x ← max(x, v); NaN wins in 3 and 4.
#pragma once
#include "runtime/signature.h"

namespace pullback {

inline constexpr Signature along_signatures[] = {
    {"gather",
     "y[…, j, …] = x[…, index[…, j, …], …] along dim; y has index's shape, which is within x's elsewhere",
     {in("x", kAny), in("index", kIndex), out("y", kAny), integer("dim"), flag("wrap")}},
    {"scatter",
     "x[…, index[…, j, …], …] ← values[…, j, …] along dim, combined by mode; values has index's shape",
     {inout("x", kAny), in("index", kIndex), in("values", kAny), integer("dim"), integer("mode")}},
};

}  // namespace pullback
