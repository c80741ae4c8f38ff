#include "common/elementwise.h"
#include "kernels/copy_formulas.h"

namespace pullback::cuda {
namespace {

template <class From, class To>
struct Copy {
  PB_DEVICE void operator()(From x, To& y) const { y = convert_to<To>(x); }
};
template <class From, class To>
void copy_elements(const Call& c) {
  elementwise<const From, To>(c, Copy<From, To>());
}
void copy(const Call& c) {
  if (c[0].dtype == c[1].dtype)
    return visit_words(c[0].dtype, [&](auto word) { copy_elements<decltype(word), decltype(word)>(c); });
  visit_stored(c[0].dtype, [&](auto from) {
    visit_stored(c[1].dtype, [&](auto to) { copy_elements<decltype(from), decltype(to)>(c); });
  });
}

template <class T>
struct Fill {
  T value;
  PB_DEVICE void operator()(T& y) const { y = value; }
};
void fill(const Call& c) {
  visit_stored(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    elementwise<T>(c, Fill<T>{convert_to<T>(c.real(0))});
  });
}
void fill_integer(const Call& c) {
  visit_stored(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    elementwise<T>(c, Fill<T>{static_cast<T>(c.integer(0))});
  });
}

// y_i = start + i step
template <class T, class Wide>
__global__ void progression(int64_t n, Wide start, Wide step, T* y, int64_t y_stride) {
  for (int64_t i = first(); i < n; i += stride()) y[i * y_stride] = static_cast<T>(start + static_cast<Wide>(i) * step);
}
void arange(const Call& c) {
  const Operand& y = c[0];
  if (y.ndim != 1) return c.error->set(ErrorCode::bad_shape, 0, 0);
  visit_number(y.dtype, [&](auto zero) {
    using T = decltype(zero);
    using Wide = std::conditional_t<is_float<T>, double, uint64_t>;  // integers wrap around
    const Wide start = is_float<T> ? static_cast<Wide>(c.real(0)) : static_cast<Wide>(c.integer(0));
    const Wide step = is_float<T> ? static_cast<Wide>(c.real(1)) : static_cast<Wide>(c.integer(1));
    launch(progression<T, Wide>, blocks_for(y.shape[0]), kBlockSize, y.shape[0], start, step, y.data<T>(),
           y.strides[0]);
  });
}

constexpr EntryRow rows[] = {
    {"copy", copy, kTakesHalves},
    {"fill", fill, kTakesHalves},
    {"fill_integer", fill_integer, kTakesHalves},
    {"arange", arange},
};

}  // namespace

extern const Family copy_family;
const Family copy_family = {rows, sizeof(rows) / sizeof(rows[0])};

}  // namespace pullback::cuda
