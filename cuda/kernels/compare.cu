#include "common/elementwise.h"
#include "kernels/compare_formulas.h"

namespace pullback::cuda {
namespace {

uint32_t bits_of(const bool (&truth)[4]) {
  uint32_t bits = 0;
  for (int i = 0; i < 4; ++i) bits |= static_cast<uint32_t>(truth[i]) << i;
  return bits;
}

// A test is what it says of each way that a and b can stand to each other, a bit for each: so that one kernel makes
// all.
template <class T>
struct Order {
  uint32_t truth;  // where a < b, a = b, a > b, and where one is NaN
  PB_DEVICE void operator()(T a, T b, bool& y) const { y = truth >> (a < b ? 0 : a == b ? 1 : a > b ? 2 : 3) & 1; }
};
template <class T>
struct Logic {
  uint32_t truth;  // where neither, a, b and both are not 0
  PB_DEVICE void operator()(T a, T b, bool& y) const { y = truth >> ((a != T(0)) + 2 * (b != T(0))) & 1; }
};
template <class T>
struct Close {
  IsClose op;
  PB_DEVICE void operator()(T a, T b, bool& y) const { y = op.test(a, b); }
};

template <template <class> class F, class Parameter>
void test(const Call& c, Parameter parameter) {
  visit_real_any(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    elementwise<const T, const T, bool>(c, F<Computed<T>>{parameter});
  });
}
template <class Op>
void order(const Call& c) {
  const double nan = __builtin_nan("");
  const bool truth[] = {Op::test(0., 1.), Op::test(0., 0.), Op::test(1., 0.), Op::test(nan, nan)};
  test<Order>(c, bits_of(truth));
}
template <class Op>
void logic(const Call& c) {
  const bool truth[] = {Op::test(0, 0), Op::test(1, 0), Op::test(0, 1), Op::test(1, 1)};
  test<Logic>(c, bits_of(truth));
}
void isclose(const Call& c) { test<Close>(c, IsClose{c.real(0), c.real(1), c.flag(2)}); }

template <class T>
struct LogicalNot {
  PB_DEVICE void operator()(T a, bool& y) const { y = a == T(0); }
};
void logical_not(const Call& c) {
  visit_real_any(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    elementwise<const T, bool>(c, LogicalNot<Computed<T>>());
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
    {"eq", order<Eq>, kTakesHalves},
    {"ne", order<Ne>, kTakesHalves},
    {"lt", order<Lt>, kTakesHalves},
    {"le", order<Le>, kTakesHalves},
    {"gt", order<Gt>, kTakesHalves},
    {"ge", order<Ge>, kTakesHalves},
    {"logical_and", logic<LogicalAnd>, kTakesHalves},
    {"logical_or", logic<LogicalOr>, kTakesHalves},
    {"logical_xor", logic<LogicalXor>, kTakesHalves},
    {"logical_not", logical_not, kTakesHalves},
    {"isclose", isclose, kTakesHalves},
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
