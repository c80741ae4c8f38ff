// Reading arrays, which each module does for its own kind of them.
#pragma once
#include <Python.h>

#include "runtime/signature.h"

namespace pullback::bind {

void import_numpy();  // once, before anything else here

// Reads `object` into `operand`. False, with a Python error that names kernel and parameter, where it is not an
// array that the parameter admits.
bool read_array(PyObject* object, const char* kernel, const Param& param, Operand& operand);

}  // namespace pullback::bind
