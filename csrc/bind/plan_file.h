// A recording as plain Python values, for a file; and such values, checked, as a recording.
#pragma once
#include <pybind11/pybind11.h>

namespace pullback::bind {

// (buffers, steps, results): rows of strings, numbers and lists, as restore_recording() takes them. A buffer is
// (kind, bytes, name, whether a kernel writes there), a step (kernel, [operands of a parameter, …], scalars, line).
pybind11::tuple describe_recording(pybind11::object recording);

// The bytes of given memory, or what the host filled it with, as an array.
pybind11::object buffer_content(pybind11::object recording, int32_t buffer);

// A settled Recording. `constants` and `inputs` are the arrays behind these buffers, in their order. ValueError where
// anything does not hold; see plan/check.h.
pybind11::object restore_recording(pybind11::list buffers, pybind11::list steps, pybind11::list results,
                                   pybind11::list constants, pybind11::list inputs, int64_t max_bytes);

}  // namespace pullback::bind
