// Moving elements: between layouts and dtypes, and filling.
#pragma once
#include "runtime/signature.h"

namespace pullback {

inline constexpr Signature copy_signatures[] = {
    {"copy", "y = x, x broadcast to y's shape and converted to its dtype", {in("x", kAny), out("y", kOther)}},
    {"fill", "y_i = value", {out("y", kAny), real("value")}},
    {"fill_integer", "y_i = value, exact for any 64-bit integer", {out("y", kAny), integer("value")}},
    {"arange", "y_i = start + i step", {out("y", kNumber), real("start"), real("step")}},
};

}  // namespace pullback
