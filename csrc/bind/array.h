// NumPy arrays as operands, read through NumPy's C interface; and new arrays whose memory the caching allocator owns.
#pragma once
#include <Python.h>

#include "runtime/signature.h"

namespace pullback::bind {

void import_numpy();    // once, before anything else here
int make_block_type();  // likewise; -1 with a Python error set

const char* dtype_name(DType t);

// Reads `object` into `operand`. False, with a Python error that names kernel and parameter, where it is not an
// array that the parameter admits.
bool read_array(PyObject* object, const char* kernel, const Param& param, Operand& operand);
// A cell: an array of one element of float32, float64 or int64, read when the kernel runs.
bool read_cell(PyObject* object, const char* kernel, const Param& param, Scalar& scalar);

// empty(shape, dtype): an uninitialised array in row-major order.
PyObject* empty(PyObject* module, PyObject* const* args, Py_ssize_t count);

}  // namespace pullback::bind
