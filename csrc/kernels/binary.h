// Elementwise arithmetic on two operands that broadcast, and the partial derivatives that are more than a product:
// name_backward_a gives dy ∂f/∂a, name_backward_b gives dy ∂f/∂b, both of the broadcast shape.
#pragma once
#include "runtime/variables.h"

namespace pullback {

constexpr Signature binary(const char* name, const char* formula, Types types) {
  return {name, formula, {in("a", types), in("b", types), out("y", types)}};
}
// A number on either side keeps its precision beside halves.
constexpr Signature with_numbers(const char* name, const char* formula, Types types) {
  return {name, formula, {in("a", or_number(types)), in("b", or_number(types)), out("y", types)}};
}
constexpr Signature binary_backward(const char* name, const char* formula) {
  return {name, formula, {in("dy", kFloat), in("a", kFloat), in("b", kFloat), out("dx", kFloat)}};
}

inline constexpr Signature binary_signatures[] = {
    binary("add", "y = a + b (bool: or)", kAny),
    binary("sub", "y = a − b", kNumber),
    with_numbers("mul", "y = a b (bool: and)", kAny),
    with_numbers("div", "y = a / b", kFloat),
    with_numbers("floor_divide", "y = ⌊a / b⌋", kNumber),
    binary("remainder", "y = a − b ⌊a / b⌋", kNumber),
    binary("fmod", "y = a − b trunc(a / b)", kNumber),
    binary("pow", "y = a^b", kNumber),
    binary("maximum", "y = max(a, b), NaN where either is", kAny),
    binary("minimum", "y = min(a, b), NaN where either is", kAny),
    binary("atan2", "y = the angle of the point (b, a)", kFloat),
    binary("hypot", "y = √(a² + b²)", kFloat),
    {"div_backward_a",
     "dx = dy / b",
     {in("dy", kFloat), in("a", kFloat), in("b", or_number(kFloat)), out("dx", kFloat)}},
    {"div_backward_b",
     "dx = −dy a / b²",
     {in("dy", kFloat), in("a", or_number(kFloat)), in("b", kFloat), out("dx", kFloat)}},
    binary_backward("pow_backward_a", "dx = dy b a^(b−1), 0 where b = 0"),
    binary_backward("pow_backward_b", "dx = dy a^b ln a, 0 where a = 0 and b ≥ 0"),
    binary_backward("maximum_backward_a", "dx = dy where a > b, dy/2 where a = b"),
    binary_backward("maximum_backward_b", "dx = dy where b > a, dy/2 where a = b"),
    binary_backward("minimum_backward_a", "dx = dy where a < b, dy/2 where a = b"),
    binary_backward("minimum_backward_b", "dx = dy where b < a, dy/2 where a = b"),
    binary_backward("atan2_backward_a", "dx = dy b / (a² + b²)"),
    binary_backward("atan2_backward_b", "dx = −dy a / (a² + b²)"),
    binary_backward("hypot_backward_a", "dx = dy a / √(a² + b²)"),
    binary_backward("hypot_backward_b", "dx = dy b / √(a² + b²)"),
    binary_backward("remainder_backward_b", "dx = −dy ⌊a / b⌋"),
    binary_backward("fmod_backward_b", "dx = −dy trunc(a / b)"),
};

}  // namespace pullback
