// Comparisons, logic, and the bits of integers. Operands were promoted to one dtype.
#pragma once
#include "runtime/signature.h"

namespace pullback {

inline constexpr Types kShifted{kIntegerBits, 'T'};  // integers, not bool

constexpr Signature comparison(const char* name, const char* formula) {
  return {name, formula, {in("a", kAny), in("b", kAny), out("y", kBool)}};
}
constexpr Signature bitwise(const char* name, const char* formula, Types types = kInteger) {
  return {name, formula, {in("a", types), in("b", types), out("y", types)}};
}

inline constexpr Signature compare_signatures[] = {
    comparison("eq", "y = a = b"),
    comparison("ne", "y = a ≠ b"),
    comparison("lt", "y = a < b"),
    comparison("le", "y = a ≤ b"),
    comparison("gt", "y = a > b"),
    comparison("ge", "y = a ≥ b"),
    comparison("logical_and", "y = a ≠ 0 ∧ b ≠ 0"),
    comparison("logical_or", "y = a ≠ 0 ∨ b ≠ 0"),
    comparison("logical_xor", "y = (a ≠ 0) ≠ (b ≠ 0)"),
    {"logical_not", "y = (a = 0)", {in("a", kAny), out("y", kBool)}},
    {"isclose",
     "y = a = b ∨ |a − b| ≤ atol + rtol |b| < ∞ ∨ (equal_nan ∧ both are NaN)",
     {in("a", kAny), in("b", kAny), out("y", kBool), real("rtol"), real("atol"), flag("equal_nan")}},
    bitwise("bitwise_and", "y = a ∧ b in every bit"),
    bitwise("bitwise_or", "y = a ∨ b in every bit"),
    bitwise("bitwise_xor", "y = a ≠ b in every bit"),
    {"bitwise_not", "y = ¬a in every bit; of a bool, its negation", {in("a", kInteger), out("y", kInteger)}},
    bitwise("bitwise_left_shift", "y = a 2^b, without the bits that leave; 0 where b is negative or has all bits leave",
            kShifted),
    bitwise("bitwise_right_shift", "y = ⌊a 2^−b⌋; where b is negative, as if it were the number of bits", kShifted),
};

}  // namespace pullback
