#include "isa/table.h"
#include "kernels/grad_scaler_formulas.h"

namespace pullback::ISA_NAMESPACE {
namespace {

template <class T>
struct Unscale {
  T inverse;
  bool* found;  // by pieces
};

// g ← g/s; Σ 0·g is 0 where all are finite, else NaN
template <class T>
void unscale_row(const Row& row) {
  const auto& h = *static_cast<const Unscale<T>*>(row.context);
  T* g = row.x<T>(0);
  Vec<T> sum(0);
  for_each_vec<T>(row.n, [&](int64_t i, auto lanes) {
    const auto gi = Vec<T>::load(g + i, lanes) * Vec<T>(h.inverse);
    gi.store(g + i, lanes);
    sum = sum + gi * Vec<T>(0);
  });
  if (reduce_add(sum) != 0) h.found[row.piece] = true;
}

void unscale(const Call& c) {
  if (!c.has(0)) return;
  Scratch scratch;
  Table t;
  t.add(c.list(0));
  t.count(scratch);
  auto* found = scratch.take<bool>(t.pieces());
  for (int64_t i = 0; i < t.pieces(); ++i) found[i] = false;
  visit_float(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    const Unscale<T> h{inverse_of<T>(c.real(0)), found};
    for_each_row(t, unscale_row<T>, &h);
  });
  for (int64_t i = 0; i < t.pieces(); ++i)
    if (found[i]) *c[1].data<float>() = 1;
}

void update_scale(const Call& c) {
  update_scale_of(*c[0].data<float>(), *c[1].data<int>(), *c[2].data<float>() != 0, c.real(0), c.real(1), c.integer(2));
}

constexpr EntryRow rows[] = {
    {"unscale", unscale},
    {"update_scale", update_scale},
};

}  // namespace

extern const Family grad_scaler_family;
const Family grad_scaler_family = {rows, sizeof(rows) / sizeof(rows[0])};

}  // namespace pullback::ISA_NAMESPACE
