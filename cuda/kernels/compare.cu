#include "common/elementwise.h"
#include "kernels/compare_formulas.h"

namespace pullback::cuda {
namespace {

template <class Op, class T>
struct Test {
  Op op;
  PB_DEVICE void operator()(T a, T b, bool& y) const { y = op.test(a, b); }
};
template <class Op>
void test(const Call& c, Op op) {
  visit_any(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    elementwise<const T, const T, bool>(c, Test<Op, T>{op});
  });
}
template <class Op>
void compare(const Call& c) {
  test(c, Op());
}
void isclose(const Call& c) { test(c, IsClose{c.real(0), c.real(1), c.flag(2)}); }

template <class T>
struct LogicalNot {
  PB_DEVICE void operator()(T a, bool& y) const { y = a == T(0); }
};
void logical_not(const Call& c) {
  visit_any(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    elementwise<const T, bool>(c, LogicalNot<T>());
  });
}

template <class Op, class T>
struct Bits {
  PB_DEVICE void operator()(T a, T b, T& y) const { y = Op::of(a, b); }
};
template <class Op>
void shift(const Call& c) {
  visit_integer(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    elementwise<const T, const T, T>(c, Bits<Op, T>());
  });
}
template <class Op>
void bits(const Call& c) {
  if (c[0].dtype == DType::b8) return elementwise<const bool, const bool, bool>(c, Bits<Op, bool>());
  shift<Op>(c);
}

template <class T>
struct BitwiseNot {
  PB_DEVICE void operator()(T a, T& y) const { y = static_cast<T>(~a); }
};
void bitwise_not(const Call& c) {
  if (c[0].dtype == DType::b8) return elementwise<const bool, bool>(c, LogicalNot<bool>());
  visit_integer(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    elementwise<const T, T>(c, BitwiseNot<T>());
  });
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

}  // namespace pullback::cuda
