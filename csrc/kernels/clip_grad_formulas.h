// The norms of clip_grad.h, on the CPU and on the GPU: a join of terms, and a function of that. All of it is in double:
// no sum of squares overflows float.
#pragma once
#include <math.h>

#include "kernels/clip_grad.h"

namespace pullback::ISA_NAMESPACE {
namespace {

struct Absolute {
  static constexpr double start = 0;
  PB_INLINE static double term(double x, double) { return fabs(x); }
  PB_INLINE static double join(double a, double b) { return a + b; }
  PB_INLINE static double finish(double sum, double) { return sum; }
};
struct Square : Absolute {
  PB_INLINE static double term(double x, double) { return x * x; }
  PB_INLINE static double finish(double sum, double) { return sqrt(sum); }
};
struct Cube : Absolute {
  PB_INLINE static double term(double x, double) { return fabs(x) * x * x; }
  PB_INLINE static double finish(double sum, double) { return cbrt(sum); }
};
struct Power : Absolute {
  PB_INLINE static double term(double x, double p) { return pow(fabs(x), p); }
  PB_INLINE static double finish(double sum, double p) { return pow(sum, 1 / p); }
};
struct Nonzero : Absolute {
  PB_INLINE static double term(double x, double) { return x != 0; }
};
struct Greatest : Absolute {  // a NaN wins and stays
  PB_INLINE static double join(double a, double b) { return b > a || b != b ? b : a; }
};
struct Smallest : Absolute {
  static constexpr double start = __builtin_inf();
  PB_INLINE static double join(double a, double b) { return b < a || b != b ? b : a; }
};

// Calls f(Kind{}) with the norm of order p of so many elements.
template <class F>
void visit_norm(double p, int64_t elements, F&& f) {
  if (elements == 0) return f(Absolute());  // 0 for every p
  if (p == 2) return f(Square());
  if (p == 1) return f(Absolute());
  if (p == 3) return f(Cube());
  if (p == 0) return f(Nonzero());
  if (p == __builtin_inf()) return f(Greatest());
  if (p == -__builtin_inf()) return f(Smallest());
  f(Power());
}

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
