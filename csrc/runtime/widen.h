// Halves are what numbers are stored in; a kernel that does not read them itself computes on floats beside them.
#pragma once
#include <vector>

#include "runtime/kernels.h"

namespace pullback {

inline bool lies_in_halves(const Operand& x) { return x.dtype >= DType::f16; }

inline bool has_halves(const Operand* operands, int count) {
  for (int i = 0; i < count; ++i)
    if (lies_in_halves(operands[i])) return true;
  return false;
}

// The operand as `elements` floats without gaps, at an address that is still to be set. Where it repeats an element
// they do too.
Operand widened(const Operand& x, int64_t& elements);

// y = x, by the kernel of that name, in all elements that differ in place.
void copy_elements(Operand x, Operand y, Error* error);

// The kernel with every half among its operands widened; allocate(bytes) is memory that lives until the call is over.
template <class Allocate>
void run_in_float(const Kernel& kernel, const Operand* operands, int count, const int32_t* first, const Scalar* scalars,
                  Error* error, const Allocate& allocate) {
  std::vector<Operand> wide(operands, operands + count);
  for (int i = 0; i < count; ++i) {
    if (!lies_in_halves(operands[i])) continue;
    int64_t elements;
    wide[i] = widened(operands[i], elements);
    wide[i].buffer = static_cast<char*>(allocate(elements * static_cast<int64_t>(sizeof(float))));
    if (operands[i].role != Role::out) copy_elements(operands[i], wide[i], error);
  }
  kernel.entry({wide.data(), first, scalars, error});
  for (int i = 0; i < count; ++i)
    if (lies_in_halves(operands[i]) && operands[i].role != Role::in) copy_elements(wide[i], operands[i], error);
}

}  // namespace pullback
