// Running a kernel on a GPU: on the stream and in the memory that the array library hands out.
#pragma once
#include <Python.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace pullback::cuda {

// Fills the table of kernels; before anything else here.
void fill_table();

// current_stream() -> int, allocate(bytes) -> an object with .ptr. Both are asked with the arrays' device current.
void connect(PyObject* current_stream, PyObject* allocate);

// Raises what kernels have reported since the last check; the caller has waited for the device.
void check_errors();

// Of the call that this thread is in. Scratch memory is given back when its launches are made.
void* stream_of_call();
int device_of_call();
void* scratch_of_call(size_t bytes);

// Memory that stays with the call's device and stream from the first time on, always of one size: where a CUDA graph is
// captured nothing is allocated then, and a graph that holds on to held_workspaces() finds it where it was.
void* workspace_of_call(size_t bytes);
void drop_workspaces();
std::vector<PyObject*> held_workspaces();  // borrowed

[[noreturn]] void refuse_cell();  // the host code of a kernel wanted to read a cell

// Whether products of matrices go to cuBLASLt where they can; on the emulation, to a stand-in for it.
void use_library(bool use);
int64_t library_products();  // how many have gone there

}  // namespace pullback::cuda
