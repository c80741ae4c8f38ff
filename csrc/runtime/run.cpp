// Running a kernel on the CPU.
#include <new>

#include "runtime/launch.h"

namespace pullback {

const bool runs_without_gil = true;

void run(const Kernel& kernel, const Operand* operands, const int32_t* first, const Scalar* scalars) {
  Error error;
  try {
    kernel.entry({operands, first, scalars, &error});
  } catch (const std::bad_alloc&) {
    error.code = ErrorCode::out_of_memory;
  }
  if (error.code != ErrorCode::none) throw_error(kernel, error.code, describe(kernel, error));
}

}  // namespace pullback
