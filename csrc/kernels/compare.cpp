#include "kernels/compare.h"

#include "isa/elementwise.h"

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

template <class Op, class T>
void test_tile(const Tile& t) {
  const int64_t n = t.n;  // a copy: y could alias it
  const T *a = t.x<T>(0), *b = t.x<T>(1);
  bool* y = t.y<bool>();
  for (int64_t i = 0; i < n; ++i) y[i] = Op::test(a[i], b[i]);
}

template <class Op>
void compare(const Call& c) {
  visit_any(c[0].dtype, [&](auto zero) { elementwise(c, test_tile<Op, decltype(zero)>, 2); });
}

template <class T>
void logical_not_tile(const Tile& t) {
  const int64_t n = t.n;  // a copy: y could alias it
  const T* a = t.x<T>(0);
  bool* y = t.y<bool>();
  for (int64_t i = 0; i < n; ++i) y[i] = a[i] == T(0);
}

void logical_not(const Call& c) {
  visit_any(c[0].dtype, [&](auto zero) { elementwise(c, logical_not_tile<decltype(zero)>, 1); });
}

// In double for every dtype; equality is decided in T, since large integers round.
template <class T>
void isclose_tile(const Tile& t) {
  const int64_t n = t.n;  // a copy: y could alias it
  const T *a = t.x<T>(0), *b = t.x<T>(1);
  bool* y = t.y<bool>();
  const double rtol = t.call->real(0), atol = t.call->real(1);
  const bool equal_nan = t.call->flag(2);
  for (int64_t i = 0; i < n; ++i) {
    const double u = static_cast<double>(a[i]), v = static_cast<double>(b[i]);
    const double error = __builtin_fabs(u - v), allowed = atol + rtol * __builtin_fabs(v);
    const bool near = (error <= allowed) & (error < __builtin_inf());
    y[i] = (a[i] == b[i]) | near | (equal_nan & (u != u) & (v != v));
  }
}

void isclose(const Call& c) {
  visit_any(c[0].dtype, [&](auto zero) { elementwise(c, isclose_tile<decltype(zero)>, 2); });
}

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

template <class Op, class T>
void bits_tile(const Tile& t) {
  const int64_t n = t.n;  // a copy: y could alias it
  const T *a = t.x<T>(0), *b = t.x<T>(1);
  T* y = t.y<T>();
  for (int64_t i = 0; i < n; ++i) y[i] = Op::of(a[i], b[i]);
}

template <class Op>
void bits(const Call& c) {
  if (c[0].dtype == DType::b8) return elementwise(c, bits_tile<Op, bool>, 2);
  visit_integer(c[0].dtype, [&](auto zero) { elementwise(c, bits_tile<Op, decltype(zero)>, 2); });
}
template <class Op>
void shift(const Call& c) {
  visit_integer(c[0].dtype, [&](auto zero) { elementwise(c, bits_tile<Op, decltype(zero)>, 2); });
}

template <class T>
void bitwise_not_tile(const Tile& t) {
  const int64_t n = t.n;  // a copy: y could alias it
  const T* a = t.x<T>(0);
  T* y = t.y<T>();
  for (int64_t i = 0; i < n; ++i) y[i] = static_cast<T>(~a[i]);
}

void bitwise_not(const Call& c) {
  if (c[0].dtype == DType::b8) return elementwise(c, logical_not_tile<bool>, 1);
  visit_integer(c[0].dtype, [&](auto zero) { elementwise(c, bitwise_not_tile<decltype(zero)>, 1); });
}

constexpr EntryRow rows[] = {
    {"eq", compare<Eq>},
    {"ne", compare<Ne>},
    {"lt", compare<Lt>},
    {"le", compare<Le>},
    {"gt", compare<Gt>},
    {"ge", compare<Ge>},
    {"logical_and", compare<LogicalAnd>},
    {"logical_or", compare<LogicalOr>},
    {"logical_xor", compare<LogicalXor>},
    {"logical_not", logical_not},
    {"isclose", isclose},
    {"bitwise_and", bits<And>},
    {"bitwise_or", bits<Or>},
    {"bitwise_xor", bits<Xor>},
    {"bitwise_not", bitwise_not},
    {"bitwise_left_shift", shift<LeftShift>},
    {"bitwise_right_shift", shift<RightShift>},
};

}  // namespace

extern const Family compare_family;
const Family compare_family = {rows, sizeof(rows) / sizeof(rows[0])};

}  // namespace pullback::ISA_NAMESPACE
