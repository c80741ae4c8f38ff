#include "isa/table.h"
#include "kernels/clip_grad_formulas.h"

namespace pullback::ISA_NAMESPACE {
namespace {

struct Norm {
  double p;
  double* pieces;
};

// Term i goes to partial result i mod kPartial, and these are joined in order: the same bits on every
// instruction set.
inline constexpr int kPartial = 16;

template <class Kind, class T>
void join_row(const Row& row) {
  const auto& h = *static_cast<const Norm*>(row.context);
  const T* x = row.x<T>(0);
  double partial[kPartial];
  for (double& p : partial) p = Kind::start;
  int64_t i = 0;
  for (; i + kPartial <= row.n; i += kPartial)
    for (int k = 0; k < kPartial; ++k) partial[k] = Kind::join(partial[k], Kind::term(x[i + k], h.p));
  for (int k = 0; i < row.n; ++i, ++k) partial[k] = Kind::join(partial[k], Kind::term(x[i], h.p));
  for (const double p : partial) h.pieces[row.piece] = Kind::join(h.pieces[row.piece], p);
}

template <class Kind, class T>
double norm(const Table& t, double p) {
  Scratch scratch;
  const Norm h{p, scratch.take<double>(t.pieces())};
  for (int64_t i = 0; i < t.pieces(); ++i) h.pieces[i] = Kind::start;
  for_each_row(t, join_row<Kind, T>, &h);
  double result = Kind::start;
  for (int64_t i = 0; i < t.pieces(); ++i) result = Kind::join(result, h.pieces[i]);
  return Kind::finish(result, p);
}

void total_norm(const Call& c) {
  Scratch scratch;
  Table t;
  t.add(c.list(0));
  t.count(scratch);
  visit_float(c[1].dtype, [&](auto zero) {
    using T = decltype(zero);
    visit_norm(c.real(0), t.total(),
               [&](auto kind) { *c[1].data<T>() = static_cast<T>(norm<decltype(kind), T>(t, c.real(0))); });
  });
}

template <class T>
void scale_row(const Row& row) {
  const Vec<T> factor = *static_cast<const T*>(row.context);
  T* x = row.x<T>(0);
  for_each_vec<T>(row.n, [&](int64_t i, auto lanes) { (factor * Vec<T>::load(x + i, lanes)).store(x + i, lanes); });
}

void scale_list(const Call& c) {
  if (!c.has(0)) return;
  Scratch scratch;
  Table t;
  t.add(c.list(0));
  t.count(scratch);
  visit_float(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    const T factor = static_cast<T>(c.real(0));
    if (factor != 1) for_each_row(t, scale_row<T>, &factor);
  });
}

constexpr EntryRow rows[] = {
    {"total_norm", total_norm},
    {"scale_list", scale_list},
};

}  // namespace

extern const Family clip_grad_family;
const Family clip_grad_family = {rows, sizeof(rows) / sizeof(rows[0])};

}  // namespace pullback::ISA_NAMESPACE
