// The functions and partial derivatives of binary.h. V is a vector on the CPU, one number on the GPU: both sources
// include this after the functions that the table at the end names.
#pragma once
#include "kernels/binary.h"

namespace pullback::ISA_NAMESPACE {
namespace {

// f on floats works on vectors; on integers and bool, g works on single elements. Signed integers wrap around.
template <class T>
struct Wrapping {
  using type = T;
};
template <>
struct Wrapping<int64_t> {
  using type = uint64_t;
};
template <>
struct Wrapping<int32_t> {
  using type = uint32_t;
};

struct Add {
  template <class V>
  PB_INLINE static V f(V a, V b) {
    return a + b;
  }
  template <class T>
  PB_INLINE static T g(T a, T b, Error*) {
    using W = typename Wrapping<T>::type;
    return static_cast<T>(static_cast<W>(a) + static_cast<W>(b));
  }
};
struct Sub {
  template <class V>
  PB_INLINE static V f(V a, V b) {
    return a - b;
  }
  template <class T>
  PB_INLINE static T g(T a, T b, Error*) {
    using W = typename Wrapping<T>::type;
    return static_cast<T>(static_cast<W>(a) - static_cast<W>(b));
  }
};
struct Mul {
  static constexpr bool takes_numbers = true;  // beside halves, see binary.h
  template <class V>
  PB_INLINE static V f(V a, V b) {
    return a * b;
  }
  template <class T>
  PB_INLINE static T g(T a, T b, Error*) {
    using W = typename Wrapping<T>::type;
    return static_cast<T>(static_cast<W>(a) * static_cast<W>(b));
  }
};
struct Maximum {
  template <class V>
  PB_INLINE static V f(V a, V b) {
    return max(a, b);
  }
  template <class T>
  PB_INLINE static T g(T a, T b, Error*) {
    return a > b ? a : b;
  }
};
struct Minimum {
  template <class V>
  PB_INLINE static V f(V a, V b) {
    return min(a, b);
  }
  template <class T>
  PB_INLINE static T g(T a, T b, Error*) {
    return a < b ? a : b;
  }
};
struct Div {
  static constexpr bool takes_numbers = true;
  template <class V>
  PB_INLINE static V f(V a, V b) {
    return a / b;
  }
};

// The remainder is exact, and the quotient is made from it: ⌊a / b⌋ = (a − r) / b. Rounding a / b alone would give
// ⌊1 / 0.1⌋ = 10, but 0.1 is a little more than a tenth.
template <class V>
PB_INLINE V remainder_of(V a, V b) {
  const V r = fmod(a, b), zero = V(0);
  return select((r != zero) & ((b < zero) ^ (r < zero)), r + b, r);
}
template <class V>
PB_INLINE V floor_quotient(V a, V b) {
  const V r = fmod(a, b), zero = V(0), one = V(1);
  const V below = select((r != zero) & ((b < zero) ^ (r < zero)), one, zero);
  const V q = (a - r) / b - below;  // b may be infinite: r + b would be too
  const V floored = floor(q), nearest = select(q - floored > V(0.5), floored + one, floored);
  return select(b == zero, a / b, select(q == zero, copysign(zero, a / b), nearest));
}

struct FloorDivide {
  static constexpr bool takes_numbers = true;
  template <class V>
  PB_INLINE static V f(V a, V b) {
    return floor_quotient(a, b);
  }
  template <class T>
  PB_INLINE static T g(T a, T b, Error* error) {
    if (b == 0) return error->set(ErrorCode::division_by_zero, 0, 0), T(0);
    if (b == T(-1)) return static_cast<T>(0 - static_cast<uint64_t>(a));  // the smallest / −1 would trap
    const T q = static_cast<T>(a / b);
    return static_cast<T>(q - ((a % b != 0) && ((a < 0) != (b < 0))));
  }
};
struct Remainder {
  template <class V>
  PB_INLINE static V f(V a, V b) {
    return remainder_of(a, b);
  }
  template <class T>
  PB_INLINE static T g(T a, T b, Error* error) {
    if (b == 0) return error->set(ErrorCode::division_by_zero, 0, 0), T(0);
    if (b == T(-1)) return 0;
    const T r = static_cast<T>(a % b);
    return static_cast<T>(r != 0 && ((r < 0) != (b < 0)) ? r + b : r);
  }
};
struct Fmod {
  template <class V>
  PB_INLINE static V f(V a, V b) {
    return fmod(a, b);
  }
  template <class T>
  PB_INLINE static T g(T a, T b, Error* error) {
    if (b == 0) return error->set(ErrorCode::division_by_zero, 0, 0), T(0);
    return b == T(-1) ? T(0) : static_cast<T>(a % b);
  }
};
struct Pow {
  template <class V>
  PB_INLINE static V f(V a, V b) {
    return pow(a, b);
  }
  // Square and multiply, modulo 2^64 as all integer arithmetic here.
  template <class T>
  PB_INLINE static T g(T a, T b, Error* error) {
    if (b < 0) return error->set(ErrorCode::negative_power, static_cast<int64_t>(b), 0), T(0);
    uint64_t result = 1, square = static_cast<uint64_t>(a);
    for (auto e = static_cast<uint64_t>(b); e; e >>= 1, square *= square)
      if (e & 1) result *= square;
    return static_cast<T>(result);
  }
};
struct Atan2 {
  template <class V>
  PB_INLINE static V f(V a, V b) {
    return atan2(a, b);
  }
};
struct Hypot {
  template <class V>
  PB_INLINE static V f(V a, V b) {
    return hypot(a, b);
  }
};

// Partial derivatives: d(dy, a, b).
struct DivA {
  static constexpr bool takes_numbers = true;
  template <class V>
  PB_INLINE static V d(V dy, V, V b) {
    return dy / b;
  }
};
struct DivB {
  static constexpr bool takes_numbers = true;
  template <class V>
  PB_INLINE static V d(V dy, V a, V b) {
    return -(dy * (a / b)) / b;
  }
};
struct PowA {
  template <class V>
  PB_INLINE static V d(V dy, V a, V b) {
    return select(b == V(0), V(0), dy * b * pow(a, b - V(1)));
  }
};
struct PowB {
  template <class V>
  PB_INLINE static V d(V dy, V a, V b) {
    return select((a == V(0)) & (b >= V(0)), V(0), dy * pow(a, b) * log(a));
  }
};
template <bool want_larger, bool of_a>
struct Extremum {
  template <class V>
  PB_INLINE static V d(V dy, V a, V b) {
    const auto wins = want_larger == of_a ? a > b : a < b;
    return select(wins, dy, select(a == b, dy * V(0.5), V(0)));
  }
};
struct Atan2A {
  template <class V>
  PB_INLINE static V d(V dy, V a, V b) {
    return dy * b / fma(a, a, b * b);
  }
};
struct Atan2B {
  template <class V>
  PB_INLINE static V d(V dy, V a, V b) {
    return -(dy * a) / fma(a, a, b * b);
  }
};
struct HypotA {
  template <class V>
  PB_INLINE static V d(V dy, V a, V b) {
    return dy * (a / Hypot::f(a, b));
  }
};
struct HypotB {
  template <class V>
  PB_INLINE static V d(V dy, V a, V b) {
    return dy * (b / Hypot::f(a, b));
  }
};
struct RemainderB {
  template <class V>
  PB_INLINE static V d(V dy, V a, V b) {
    return -(dy * FloorDivide::f(a, b));
  }
};
struct FmodB {
  template <class V>
  PB_INLINE static V d(V dy, V a, V b) {
    return -(dy * trunc(a / b));
  }
};

constexpr EntryRow rows[] = {
    {"add", of_any<Add>, kHalves},
    {"sub", of_numbers<Sub>, kHalves},
    {"mul", of_any<Mul>, kHalves},
    {"div", of_floats<Div>, kHalves},
    {"floor_divide", of_numbers<FloorDivide>, kHalves},
    {"remainder", of_numbers<Remainder>, kHalves},
    {"fmod", of_numbers<Fmod>, kHalves},
    {"pow", of_numbers<Pow>, kHalves},
    {"maximum", of_any<Maximum>, kHalves},
    {"minimum", of_any<Minimum>, kHalves},
    {"atan2", of_floats<Atan2>, kHalves},
    {"hypot", of_floats<Hypot>, kHalves},
    {"div_backward_a", backward<DivA>, kHalves},
    {"div_backward_b", backward<DivB>, kHalves},
    {"pow_backward_a", backward<PowA>, kHalves},
    {"pow_backward_b", backward<PowB>, kHalves},
    {"maximum_backward_a", backward<Extremum<true, true>>, kHalves},
    {"maximum_backward_b", backward<Extremum<true, false>>, kHalves},
    {"minimum_backward_a", backward<Extremum<false, true>>, kHalves},
    {"minimum_backward_b", backward<Extremum<false, false>>, kHalves},
    {"atan2_backward_a", backward<Atan2A>, kHalves},
    {"atan2_backward_b", backward<Atan2B>, kHalves},
    {"hypot_backward_a", backward<HypotA>, kHalves},
    {"hypot_backward_b", backward<HypotB>, kHalves},
    {"remainder_backward_b", backward<RemainderB>, kHalves},
    {"fmod_backward_b", backward<FmodB>, kHalves},
};

}  // namespace

extern const Family binary_family;
const Family binary_family = {rows, sizeof(rows) / sizeof(rows[0])};

}  // namespace pullback::ISA_NAMESPACE
