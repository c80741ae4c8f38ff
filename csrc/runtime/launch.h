// The one door: every kernel call goes through launch(), eager or replayed.
#pragma once
#include <stdexcept>
#include <string>

#include "runtime/kernels.h"

namespace pullback {

// What the data told a kernel; the bindings turn it into IndexError, MemoryError or ValueError.
struct KernelError : std::runtime_error {
  ErrorCode code;
  KernelError(ErrorCode c, const std::string& message) : std::runtime_error(message), code(c) {}
};

void launch(Kernel& kernel, const Operand* operands, const int32_t* first, const Scalar* scalars);

// What the two halves do in their own way: running a kernel, which may throw_error(), and whether others may have
// the GIL meanwhile.
void run(const Kernel& kernel, const Operand* operands, const int32_t* first, const Scalar* scalars);
extern const bool runs_without_gil;

std::string describe(const Kernel& kernel, const Error& e);  // the exception's words

// Throws KernelError, or std::runtime_error for what is a RuntimeError in Python.
[[noreturn]] void throw_error(const Kernel& kernel, ErrorCode code, const std::string& message);

}  // namespace pullback
