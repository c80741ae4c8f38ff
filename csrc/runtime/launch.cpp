#include "runtime/launch.h"

namespace pullback {
namespace {

const char* operand_name(const Signature& s, int64_t number) {
  for (const Param& p : s.params)
    if (p.name && p.kind == ParamKind::operand && number-- == 0) return p.name;
  return "an operand";
}

}  // namespace

std::string describe(const Kernel& kernel, const Error& e) {
  std::string name = kernel.signature->name;
  std::string value = std::to_string(e.value), bound = std::to_string(e.bound);
  switch (e.code) {
    case ErrorCode::index_out_of_range:
      return name + ": index " + value + " is out of range for a dimension of size " + bound;
    case ErrorCode::class_out_of_range:
      return name + ": target " + value + " is out of range, expected a class from 0 to " + std::to_string(e.bound - 1);
    case ErrorCode::division_by_zero:
      return name + ": an integer is divided by zero";
    case ErrorCode::negative_power:
      return name + ": integers to negative integer powers are not allowed, got power " + value;
    case ErrorCode::out_of_memory:
      return name + ": out of memory for scratch space";
    case ErrorCode::bad_shape:
      return name + ": the shape of " + operand_name(*kernel.signature, e.value) + " does not fit its output's";
    default:
      return name + ": bad value " + value;
  }
}

void launch(Kernel& kernel, const Operand* operands, const int32_t* first, const Scalar* scalars) {
  __atomic_fetch_add(&kernel.launches, 1, __ATOMIC_RELAXED);
  run(kernel, operands, first, scalars);
}

}  // namespace pullback
