// What passes and checks ask about the calls of a trace.
#pragma once
#include <algorithm>
#include <cstring>

#include "plan/plan.h"

namespace pullback {

// The arguments of matmul and add, by the places that their contracts give them.
enum Matmul { kA, kB, kC, kBias };
enum MatmulScalar { kAlpha, kBeta, kActivation };
enum Add { kLeft, kRight, kSum };

inline bool is(const Step& s, const char* name) { return s.kernel && !std::strcmp(s.kernel->signature->name, name); }

inline bool is_zero(const Scalar& s) { return s.kind <= Scalar::Kind::integer && s.real() == 0; }

inline bool has_bias(const Step& product) { return product.first[kBias + 1] > product.first[kBias]; }

// A product whose sums go nowhere but into its result.
inline bool is_plain_product(const Step& s) {
  return is(s, "matmul") && s.scalars[kActivation].integer_value == 0 && is_zero(s.scalars[kBeta]);
}

inline bool same_shape(const Operand& a, const Operand& b) {
  return a.ndim == b.ndim && std::equal(a.shape, a.shape + a.ndim, b.shape);
}

// Of one buffer, the same elements in the same order.
inline bool same_view(const Operand& a, const Operand& b) {
  if (!same_shape(a, b) || a.dtype != b.dtype || a.offset != b.offset) return false;
  for (int d = 0; d < a.ndim; ++d)
    if (a.shape[d] != 1 && a.strides[d] != b.strides[d]) return false;
  return true;
}

}  // namespace pullback
