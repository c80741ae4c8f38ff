// Sorting along one axis, and searching in what is sorted.
//
// The order is that of numbers, with NaN the largest: last when ascending, first when descending. −0 equals 0, and one
// NaN another. Equals stay in the order in which they stood, in either direction, so every index is determined.
#pragma once
#include "runtime/signature.h"

namespace pullback {

inline constexpr Signature sort_signatures[] = {
    {"sort",
     "y_k = x[index_k]: the line in order; index_k < index_{k+1} where y_k = y_{k+1}",
     {in("x", kAny), out("y", kAny), out("index", kIndex), integer("axis"), flag("descending")}},
    {"topk",
     "the first of what sort gives, as many as y has along the axis, at most as many as x has",
     {in("x", kAny), out("y", kAny), out("index", kIndex), integer("axis"), flag("descending")}},
    {"kthvalue",
     "what stands at k, from 0 on, when the line is sorted; y and index have size 1 along the axis",
     {in("x", kAny), out("y", kAny), out("index", kIndex), integer("axis"), integer("k")}},
    {"median",
     "what stands at (n − 1) div 2 among the line's n numbers; the first NaN where there is one, unless skipped",
     {in("x", kAny), out("y", kAny), out("index", kIndex), integer("axis"), flag("skip_nan")}},
    {"searchsorted",
     "index_j = |{k: s_k < x_j}|, or |{k: s_k ≤ x_j}| to the right, in ascending lines s along the last axis; all for "
     "NaN",
     {in("s", kAny), in("x", kAny), out("index", kIndex), flag("right")}},
};

}  // namespace pullback
