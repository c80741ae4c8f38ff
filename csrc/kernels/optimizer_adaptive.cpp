#include "kernels/optimizer_rows.h"

namespace pullback::ISA_NAMESPACE {
namespace {

PB_INLINE double power(double base, double exponent) { return __builtin_pow(base, exponent); }
PB_INLINE double square_root(double x) { return __builtin_sqrt(x); }

}  // namespace
}  // namespace pullback::ISA_NAMESPACE

#include "kernels/optimizer_adaptive_formulas.h"

namespace pullback::ISA_NAMESPACE {
namespace {

// The elements of one row: `context` holds a Step, prepared, for each parameter.
template <class T, class Step>
void step_row(const Row& row) {
  const Step step = static_cast<const Step*>(row.context)[row.row];
  T *p = row.x<T>(0), *g = row.x<T>(1);
  const int64_t ahead = bytes_ahead(row);
  for_each_vec<T>(row.n, [&](int64_t i, auto lanes) {
    auto pi = take(p, i, lanes, ahead);
    Vec<T> s[Step::states];
    for (int k = 0; k < Step::states; ++k) s[k] = take(row.x<T>(2 + k), i, lanes, ahead);
    step(pi, take(g, i, lanes, ahead), s);
    for (int k = 0; k < Step::states; ++k) s[k].store(row.x<T>(2 + k) + i, lanes);
    pi.store(p + i, lanes);
  });
}

// t ← t + 1, then `prepare(t, r)` for every parameter r and its step.
template <class T, class Step, class Prepare>
void step_all(const Call& c, const OperandList& steps, Prepare&& prepare) {
  Scratch scratch;
  Table t;
  for (int k = 0; k < 2 + Step::states; ++k) t.add(c.list(k));
  t.count(scratch);
  auto* prepared = scratch.take<Step>(steps.count);
  for (int r = 0; r < steps.count; ++r) prepared[r] = prepare(*steps[r].data<float>() += 1, r);
  for_each_row(t, step_row<T, Step>, prepared);
}

template <template <class> class Step, class T>
void step_of(const Call& c) {
  step_all<T, Step<T>>(c, c.list(2 + Step<T>::states), [&](double t, int) { return Step<T>::prepare(c, t); });
}

template <class T>
void nadam(const Call& c) {
  step_all<T, Nadam<T>>(c, c.list(5), [&](double t, int r) {
    float& product = *c.list(4)[r].data<float>();
    product *= static_cast<float>(nadam_momentum(c.real(1), c.real(5), t));
    return Nadam<T>::prepare(c, t, product);
  });
}

constexpr EntryRow rows[] = {
    {"adagrad", by_dtype<5, step_of<Adagrad, float>, step_of<Adagrad, double>>},
    {"adadelta", by_dtype<5, step_of<Adadelta, float>, step_of<Adadelta, double>>},
    {"adamax", by_dtype<6, step_of<Adamax, float>, step_of<Adamax, double>>},
    {"nadam", by_dtype<8, nadam<float>, nadam<double>>},
    {"radam", by_dtype<7, step_of<Radam, float>, step_of<Radam, double>>},
};

}  // namespace

extern const Family optimizer_adaptive_family;
const Family optimizer_adaptive_family = {rows, sizeof(rows) / sizeof(rows[0])};

}  // namespace pullback::ISA_NAMESPACE
