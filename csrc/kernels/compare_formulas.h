// The tests and bits of compare.h, one element at a time, on the CPU and on the GPU.
#pragma once
#include <type_traits>

#include "kernels/compare.h"

namespace pullback::ISA_NAMESPACE {
namespace {

struct Eq {
  template <class T>
  PB_INLINE static bool test(T a, T b) {
    return a == b;
  }
};
struct Ne {
  template <class T>
  PB_INLINE static bool test(T a, T b) {
    return a != b;
  }
};
struct Lt {
  template <class T>
  PB_INLINE static bool test(T a, T b) {
    return a < b;
  }
};
struct Le {
  template <class T>
  PB_INLINE static bool test(T a, T b) {
    return a <= b;
  }
};
struct Gt {
  template <class T>
  PB_INLINE static bool test(T a, T b) {
    return a > b;
  }
};
struct Ge {
  template <class T>
  PB_INLINE static bool test(T a, T b) {
    return a >= b;
  }
};
struct LogicalAnd {
  template <class T>
  PB_INLINE static bool test(T a, T b) {
    return (a != T(0)) & (b != T(0));
  }
};
struct LogicalOr {
  template <class T>
  PB_INLINE static bool test(T a, T b) {
    return (a != T(0)) | (b != T(0));
  }
};
struct LogicalXor {
  template <class T>
  PB_INLINE static bool test(T a, T b) {
    return (a != T(0)) != (b != T(0));
  }
};

struct And {
  template <class T>
  PB_INLINE static T of(T a, T b) {
    return static_cast<T>(a & b);
  }
};
struct Or {
  template <class T>
  PB_INLINE static T of(T a, T b) {
    return static_cast<T>(a | b);
  }
};
struct Xor {
  template <class T>
  PB_INLINE static T of(T a, T b) {
    return static_cast<T>(a ^ b);
  }
};
// A shift by a negative number, or by as many bits as there are, has no meaning in C++; as an unsigned one, a negative
// number is too large as well. Both shift 32 bits or 64: compilers make no vectors of shifts of fewer.
struct LeftShift {
  template <class T>
  PB_INLINE static T of(T a, T b) {
    using Wide = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;
    constexpr Wide bits = 8 * sizeof(T);
    const Wide count = static_cast<Wide>(b);
    return static_cast<T>(count < bits ? static_cast<Wide>(a) << count : 0);
  }
};
struct RightShift {
  template <class T>
  PB_INLINE static T of(T a, T b) {
    using Wide = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;
    constexpr bool is_signed = T(-1) < T(0);
    constexpr Wide most = 8 * sizeof(T) - is_signed;  // leaves 0, or -1 of a negative a
    const Wide count = static_cast<Wide>(b);
    return static_cast<T>(static_cast<std::make_signed_t<Wide>>(a) >> (count < most ? count : most));
  }
};

// In double for every dtype; equality is decided in T, since large integers round.
struct IsClose {
  double rtol, atol;
  bool equal_nan;
  template <class T>
  PB_INLINE bool test(T a, T b) const {
    const double u = static_cast<double>(a), v = static_cast<double>(b);
    const double error = __builtin_fabs(u - v), allowed = atol + rtol * __builtin_fabs(v);
    const bool near = (error <= allowed) & (error < __builtin_inf());
    return (a == b) | near | (equal_nan & (u != u) & (v != v));
  }
};

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
