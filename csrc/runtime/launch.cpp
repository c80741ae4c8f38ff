#include "runtime/launch.h"

#include <cstdio>
#include <cstring>

namespace pullback {
namespace {

const char* operand_name(const Signature& s, int64_t number) {
  for (const Param& p : s.params)
    if (p.name && p.kind == ParamKind::operand && number-- == 0) return p.name;
  return "an operand";
}

// What the kernels of kernels/bounds.h say of the two numbers in their error words, and whether it is a ValueError that
// says it, as in PyTorch, or a RuntimeError.
struct Bounds {
  const char* kernel;
  const char* words;
  bool is_value_error;
};
constexpr Bounds bounds[] = {
    {"binary_cross_entropy_bounds",
     "binary_cross_entropy: input expects probabilities in [0, 1], got values in [%g, %g]; for logits take "
     "binary_cross_entropy_with_logits",
     false},
    {"quantile_bounds", "quantile: q expects values from 0 to 1, got values in [%g, %g]", false},
    {"gaussian_nll_loss_bounds", "gaussian_nll_loss: var expects numbers ≥ 0, got %g", true},
    {"total_norm_bounds", "get_total_norm: the norm of order %2$g of the gradients is %1$g", false},
};

const Bounds* bounds_of(const Kernel& kernel, ErrorCode code) {
  for (const Bounds& b : bounds)
    if (code == ErrorCode::bad_value && !std::strcmp(b.kernel, kernel.signature->name)) return &b;
  return nullptr;
}

std::string out_of_bounds(const char* words, const Error& e) {
  char text[256];
  double first, second;
  std::memcpy(&first, &e.value, sizeof(first));
  std::memcpy(&second, &e.bound, sizeof(second));
  std::snprintf(text, sizeof(text), words, first, second);
  return text;
}

}  // namespace

std::string describe(const Kernel& kernel, const Error& e) {
  if (const Bounds* b = bounds_of(kernel, e.code)) return out_of_bounds(b->words, e);
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

void throw_error(const Kernel& kernel, ErrorCode code, const std::string& message) {
  const Bounds* b = bounds_of(kernel, code);
  if (b && !b->is_value_error) throw std::runtime_error(message);
  throw KernelError(code, message);
}

void launch(Kernel& kernel, const Operand* operands, const int32_t* first, const Scalar* scalars) {
  __atomic_fetch_add(&kernel.launches, 1, __ATOMIC_RELAXED);
  run(kernel, operands, first, scalars);
}

}  // namespace pullback
