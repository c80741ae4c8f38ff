// What is launched on a GPU is recorded by CUDA's graphs, not here.
#include "bind/recording.h"

namespace pullback::bind {

bool this_thread_records() { return false; }
bool read_step(const Signature&, PyObject* const*, Step&) { return true; }
void note_step(Kernel&, const Operand*, const int32_t*, int, const Scalar*, int, Step&&) {}

}  // namespace pullback::bind
