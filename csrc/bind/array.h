// NumPy arrays as operands, read through NumPy's C interface; and new arrays whose memory the caching allocator owns.
#pragma once
#include <Python.h>

#include "bind/read.h"

namespace pullback::bind {

int make_block_type();  // once; -1 with a Python error set

// empty(shape, dtype): an uninitialised array in row-major order.
PyObject* empty(PyObject* module, PyObject* const* args, Py_ssize_t count);

}  // namespace pullback::bind
