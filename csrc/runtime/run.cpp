// Running a kernel on the CPU.
#include <new>

#include "runtime/launch.h"
#include "runtime/scratch.h"
#include "runtime/widen.h"

namespace pullback {

const bool runs_without_gil = true;

void run(const Kernel& kernel, const Operand* operands, const int32_t* first, const Scalar* scalars) {
  Error error;
  try {
    const int count = first[kernel.operand_parameters];
    if (kernel.takes_halves || !has_halves(operands, count)) {
      kernel.entry({operands, first, scalars, &error});
    } else {
      Scratch scratch;
      run_in_float(kernel, operands, count, first, scalars, &error,
                   [&](int64_t bytes) { return scratch.take<char>(bytes); });
    }
  } catch (const std::bad_alloc&) {
    error.code = ErrorCode::out_of_memory;
  }
  if (error.code != ErrorCode::none) throw_error(kernel, error.code, describe(kernel, error));
}

}  // namespace pullback
