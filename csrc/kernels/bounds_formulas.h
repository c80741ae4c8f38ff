// The tests of bounds.h, on the CPU and on the GPU: refused(a, b) says whether two numbers are an error, b being the
// second operand, the scalar, or 0.
#pragma once
#include "kernels/bounds.h"
#include "runtime/operands.h"

namespace pullback::ISA_NAMESPACE {
namespace {

struct Probabilities {
  static constexpr int operands = 2, scalars = 0;
  PB_INLINE static bool refused(double least, double greatest) { return !(least >= 0 && greatest <= 1); }
};
struct Quantiles {
  static constexpr int operands = 2, scalars = 0;
  PB_INLINE static bool refused(double least, double greatest) { return least < 0 || greatest > 1; }
};
struct Variance {
  static constexpr int operands = 1, scalars = 0;
  PB_INLINE static bool refused(double least, double) { return least < 0; }
};
struct Norm {
  static constexpr int operands = 1, scalars = 1;
  PB_INLINE static bool refused(double y, double) { return !(__builtin_fabs(y) < __builtin_inf()); }
};

template <class Op>
bool has_numbers(const Call& c) {
  for (int i = 0; i < Op::operands; ++i)
    if (c[i].size() != 1) return c.error->set(ErrorCode::bad_shape, i, 0), false;
  return true;
}

// A double in an error word.
PB_INLINE int64_t word_of(double x) { return __builtin_bit_cast(int64_t, x); }

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
