// Reading and writing at index arrays that point into the leading dimensions.
//
// An index counts from 0, or from −size on where `wrap` is set. One that is out of range sets the error word, and
// nothing is written. Where positions repeat, writes happen as if in the row-major order of the indices: the last
// assignment stays. Sums are rounded in one order only, for any number of threads; on the CPU it is that of the
// indices.
#pragma once
#include "runtime/signature.h"

namespace pullback {

inline constexpr Signature index_signatures[] = {
    {"index",
     "y[b…, r…] = x[i₁[b…], i₂[b…], …, r…]: each index of y's leading shape, for the leading dimensions of x",
     {in("x", kAny), list(in("indices", kIndex)), out("y", kAny), flag("wrap")}},
    {"index_put",
     "x[i₁[b…], i₂[b…], …, r…] ← values[b…, r…], added where `accumulate`",
     {inout("x", kAny), list(in("indices", kIndex)), in("values", kAny), flag("accumulate"), flag("wrap")}},
};

}  // namespace pullback
