#include "isa/elementwise.h"
#include "kernels/compare_formulas.h"

namespace pullback::ISA_NAMESPACE {
namespace {

template <class Op, class T>
void test_tile(const Tile& t) {
  const T *a = t.x<T>(0), *b = t.x<T>(1);
  bool* y = t.y<bool>();
  for_each_element(t.n, [&](int64_t i) { y[i] = Op::test(a[i], b[i]); });
}

template <class Op>
void compare(const Call& c) {
  visit_any(c[0].dtype, [&](auto zero) { elementwise(c, test_tile<Op, decltype(zero)>, 2); });
}

template <class T>
void logical_not_tile(const Tile& t) {
  const auto* a = t.x<Stored<T>>(0);
  bool* y = t.y<bool>();
  for_each_element(t.n, [&](int64_t i) { y[i] = a[i] == 0; });
}

void logical_not(const Call& c) {
  visit_any(c[0].dtype, [&](auto zero) { elementwise(c, logical_not_tile<decltype(zero)>, 1); });
}

template <class T>
void isclose_tile(const Tile& t) {
  const T *a = t.x<T>(0), *b = t.x<T>(1);
  bool* y = t.y<bool>();
  const IsClose op{t.call->real(0), t.call->real(1), t.call->flag(2)};
  for_each_element(t.n, [&](int64_t i) { y[i] = op.test(a[i], b[i]); });
}

void isclose(const Call& c) {
  visit_any(c[0].dtype, [&](auto zero) { elementwise(c, isclose_tile<decltype(zero)>, 2); });
}

template <class Op, class T>
void bits_tile(const Tile& t) {
  const T *a = t.x<T>(0), *b = t.x<T>(1);
  T* y = t.y<T>();
  for_each_element(t.n, [&](int64_t i) { y[i] = Op::of(a[i], b[i]); });
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
  const T* a = t.x<T>(0);
  T* y = t.y<T>();
  for_each_element(t.n, [&](int64_t i) { y[i] = static_cast<T>(~a[i]); });
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
