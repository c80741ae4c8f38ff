#include "kernels/bounds_formulas.h"

namespace pullback::ISA_NAMESPACE {
namespace {

template <class Op>
void check(const Call& c) {
  if (!has_numbers<Op>(c)) return;
  visit_float(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto number = [&](int i) { return static_cast<double>(*c[i].data<T>()); };
    const double a = number(0), b = Op::operands > 1 ? number(1) : Op::scalars ? c.real(0) : 0;
    if (Op::refused(a, b)) c.error->set(ErrorCode::bad_value, word_of(a), word_of(b));
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

}  // namespace pullback::ISA_NAMESPACE
