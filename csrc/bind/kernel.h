// A kernel as a Python callable: it reads its arguments by the contract, fills a record, and launches it.
#pragma once
#include <Python.h>

#include "runtime/launch.h"

namespace pullback::bind {

int make_kernel_type(const char* name);  // once, with the module's name in front; -1 with a Python error set
int add_kernels(PyObject* module);       // every kernel under its own name
PyObject* signatures();                  // [(name, formula, [(parameter, kind, role, dtypes, optional, list), …]), …]
PyObject* launch_counts();               // {name: launches}

struct PythonError {};      // thrown through kernels where Python has an exception set already
PyObject* raise_current();  // the C++ exception being handled as a Python one of its kind; returns nullptr

}  // namespace pullback::bind
