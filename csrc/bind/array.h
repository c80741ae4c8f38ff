// NumPy arrays as operands, read through NumPy's C interface; and new arrays whose memory the caching allocator owns.
#pragma once
#include <Python.h>

#include "bind/read.h"

namespace pullback::bind {

int make_block_type();  // once; -1 with a Python error set

// The memory behind an array of ours: what lies at the end of its chain of bases.
struct Block {
  PyObject_HEAD void* data;
  int64_t bytes;
  uint64_t serial;  // 0, or its number where it was made during a recording
};
PyObject* new_block(int64_t bytes);  // nullptr with MemoryError set
bool is_block(PyObject* object);
// The array that owns its memory, at the end of a chain of views.
PyObject* root_of(PyObject* array);
PyObject* base_of(PyObject* array);  // borrowed; nullptr for none

// empty(shape, dtype): an uninitialised array in row-major order.
PyObject* empty(PyObject* module, PyObject* const* args, Py_ssize_t count);

}  // namespace pullback::bind
