// The tests and bits of compare.h, one element at a time, on the CPU and on the GPU.
#pragma once
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
// A shift by a negative number, or by as many bits as there are, has no meaning in C++.
struct LeftShift {
  template <class T>
  PB_INLINE static T of(T a, T b) {
    constexpr T bits = 8 * sizeof(T);
    return b < 0 || b >= bits ? T(0) : static_cast<T>(static_cast<uint64_t>(a) << b);
  }
};
struct RightShift {
  template <class T>
  PB_INLINE static T of(T a, T b) {
    constexpr bool is_signed = T(-1) < T(0);
    constexpr T most = 8 * sizeof(T) - is_signed;  // leaves 0, or -1 of a negative a
    return b < 0 || b >= most ? static_cast<T>(static_cast<int64_t>(a) >> most) : static_cast<T>(a >> b);
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
