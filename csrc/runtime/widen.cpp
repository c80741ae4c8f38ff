#include "runtime/widen.h"

#include <cstring>

namespace pullback {
namespace {

const Kernel& copy_kernel() {
  for (const Kernel& k : kernels())
    if (!std::strcmp(k.signature->name, "copy")) return k;
  __builtin_unreachable();
}

}  // namespace

Operand widened(const Operand& x, int64_t& elements) {
  Operand wide = x;
  wide.dtype = DType::f32, wide.offset = 0;
  elements = 1;
  for (int d = x.ndim - 1; d >= 0; --d) {
    if (x.strides[d] == 0) continue;
    wide.strides[d] = elements;
    elements *= x.shape[d];
  }
  return wide;
}

void copy_elements(Operand x, Operand y, Error* error) {
  static const Kernel& copy = copy_kernel();
  constexpr int32_t first[] = {0, 1, 2};
  for (int d = 0; d < y.ndim; ++d)
    if (y.strides[d] == 0 && y.shape[d] > 1) x.shape[d] = y.shape[d] = 1;
  x.role = Role::in, y.role = Role::out;
  const Operand pair[] = {x, y};
  copy.entry({pair, first, nullptr, error});
}

}  // namespace pullback
