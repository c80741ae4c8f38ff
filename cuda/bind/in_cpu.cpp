// The emulated kernels as an instruction set of _cpu, which hears of errors at once and whose cells are all its own.
#include "common/cublaslt.h"

namespace pullback {

void require_kernel() {}

namespace cuda {

Error* device_error(const Call& call) { return call.error; }
bool multiply_by_library(const LibraryProduct&) { return false; }

}  // namespace cuda
}  // namespace pullback
