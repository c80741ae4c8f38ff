// Running a kernel on a GPU: on the stream and in the memory that the array library hands out.
#pragma once
#include <Python.h>

namespace pullback::cuda {

// Fills the table of kernels; before anything else here.
void fill_table();

// current_stream() -> int, allocate(bytes) -> an object with .ptr. Both are asked with the arrays' device current.
void connect(PyObject* current_stream, PyObject* allocate);

// Throws KernelError for what kernels have reported since the last check; the caller has waited for the device.
void check_errors();

void* stream_of_call();           // of the call that this thread is in
[[noreturn]] void refuse_cell();  // the host code of a kernel wanted to read a cell

}  // namespace pullback::cuda
