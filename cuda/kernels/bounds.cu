#include "common/device.h"
#include "kernels/bounds_formulas.h"

namespace pullback::cuda {
namespace {

template <class Op, class T>
__global__ void check_numbers(const T* a, const T* b, double scalar, Error* error) {
  if (thread() != 0) return;
  const double first = static_cast<double>(*a), second = b ? static_cast<double>(*b) : scalar;
  if (Op::refused(first, second)) report(error, ErrorCode::bad_value, word_of(first), word_of(second));
}

template <class Op>
void check(const Call& c) {
  if (!has_numbers<Op>(c)) return;
  visit_float(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    const T* b = Op::operands > 1 ? c[1].data<T>() : nullptr;
    launch(check_numbers<Op, T>, 1, kWarpSize, static_cast<const T*>(c[0].data<T>()), b, Op::scalars ? c.real(0) : 0,
           device_error(c));
  });
}

constexpr EntryRow rows[] = {
    {"binary_cross_entropy_bounds", check<Probabilities>},
    {"quantile_bounds", check<Quantiles>},
    {"gaussian_nll_loss_bounds", check<Variance>},
    {"total_norm_bounds", check<Norm>},
};

}  // namespace

extern const Family bounds_family;
const Family bounds_family = {rows, sizeof(rows) / sizeof(rows[0])};

}  // namespace pullback::cuda
