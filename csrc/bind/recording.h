// Recording: the kernel calls of one thread, with the arrays that they touch kept alive, and their naive replay.
#pragma once
#include <Python.h>

namespace pullback::bind {

// False with a Python error set; no effect where nothing is being recorded.
bool keep_for_recording(PyObject* const* arguments, int count);

}  // namespace pullback::bind
