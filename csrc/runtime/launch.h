// The one door: every kernel call goes through launch(), eager or replayed.
#pragma once
#include <stdexcept>
#include <string>
#include <vector>

#include "runtime/kernels.h"

namespace pullback {

// What the data told a kernel; the bindings turn it into IndexError, MemoryError or ValueError.
struct KernelError : std::runtime_error {
  ErrorCode code;
  KernelError(ErrorCode c, const std::string& message) : std::runtime_error(message), code(c) {}
};

// A call with storage of its own, so that it can be run again.
struct Record {
  const Kernel* kernel;
  std::vector<Operand> operands;
  std::vector<int32_t> first;
  std::vector<Scalar> scalars;
};

// The calls of one thread between begin_recording() and end_recording(), in order.
using Recording = std::vector<Record>;

void launch(Kernel& kernel, const Operand* operands, const int32_t* first, int params, const Scalar* scalars,
            int scalar_count);
void replay(const Recording& recording);

// What the two halves do in their own way: running a kernel, which throws KernelError, and whether others may have the
// GIL meanwhile.
void run(const Kernel& kernel, const Operand* operands, const int32_t* first, const Scalar* scalars);
extern const bool runs_without_gil;

std::string describe(const Kernel& kernel, const Error& e);  // the exception's words

void begin_recording(Recording* into);  // this thread's calls are recorded as well as run; nullptr ends it
Recording* active_recording();

}  // namespace pullback
