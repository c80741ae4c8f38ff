#include "kernels/clip_grad.h"

#include "isa/table.h"

namespace pullback::ISA_NAMESPACE {
namespace {

// A norm is a join of terms, and a function of that. All of it is in double: no sum of squares overflows
// float.
struct Absolute {
  PB_INLINE static double term(double x, double) { return __builtin_fabs(x); }
  PB_INLINE static double join(double a, double b) { return a + b; }
};
struct Square : Absolute {
  PB_INLINE static double term(double x, double) { return x * x; }
};
struct Cube : Absolute {
  PB_INLINE static double term(double x, double) { return __builtin_fabs(x) * x * x; }
};
struct Power : Absolute {
  PB_INLINE static double term(double x, double p) { return __builtin_pow(__builtin_fabs(x), p); }
};
struct Nonzero : Absolute {
  PB_INLINE static double term(double x, double) { return x != 0; }
};
struct Largest : Absolute {  // a NaN wins and stays
  PB_INLINE static double join(double a, double b) { return b > a || b != b ? b : a; }
};
struct Smallest : Absolute {
  PB_INLINE static double join(double a, double b) { return b < a || b != b ? b : a; }
};

struct Norm {
  double p, start;
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
  for (double& p : partial) p = h.start;
  int64_t i = 0;
  for (; i + kPartial <= row.n; i += kPartial)
    for (int k = 0; k < kPartial; ++k) partial[k] = Kind::join(partial[k], Kind::term(x[i + k], h.p));
  for (int k = 0; i < row.n; ++i, ++k) partial[k] = Kind::join(partial[k], Kind::term(x[i], h.p));
  for (const double p : partial) h.pieces[row.piece] = Kind::join(h.pieces[row.piece], p);
}

template <class Kind, class T>
double join_rows(const Table& t, double p, double start = 0) {
  Scratch scratch;
  const Norm h{p, start, scratch.take<double>(t.pieces())};
  for (int64_t i = 0; i < t.pieces(); ++i) h.pieces[i] = start;
  for_each_row(t, join_row<Kind, T>, &h);
  double result = start;
  for (int64_t i = 0; i < t.pieces(); ++i) result = Kind::join(result, h.pieces[i]);
  return result;
}

template <class T>
double norm(const Table& t, double p) {
  const double infinity = __builtin_inf();
  if (t.total() == 0) return 0;
  if (p == 2) return __builtin_sqrt(join_rows<Square, T>(t, p));
  if (p == 1) return join_rows<Absolute, T>(t, p);
  if (p == 3) return __builtin_cbrt(join_rows<Cube, T>(t, p));
  if (p == 0) return join_rows<Nonzero, T>(t, p);
  if (p == infinity) return join_rows<Largest, T>(t, p);
  if (p == -infinity) return join_rows<Smallest, T>(t, p, infinity);
  return __builtin_pow(join_rows<Power, T>(t, p), 1 / p);
}

void total_norm(const Call& c) {
  Scratch scratch;
  Table t;
  t.add(c.list(0));
  t.count(scratch);
  visit_float(c[1].dtype, [&](auto zero) {
    using T = decltype(zero);
    *c[1].data<T>() = static_cast<T>(norm<T>(t, c.real(0)));
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
