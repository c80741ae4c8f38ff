// NumPy arrays as operands, read through NumPy's C interface; and new arrays whose memory the caching allocator owns.
#pragma once
#include <Python.h>

#include "bind/memory.h"
#include "bind/read.h"

namespace pullback::bind {

bool is_block(PyObject* object);  // which is what lies at the end of the chain of bases of an array of ours
// The array that owns its memory, at the end of a chain of views.
PyObject* root_of(PyObject* array);
PyObject* base_of(PyObject* array);  // borrowed; nullptr for none

// empty(shape, dtype): an uninitialised array in row-major order.
PyObject* empty(PyObject* module, PyObject* const* args, Py_ssize_t count);

}  // namespace pullback::bind
