// Running a kernel on a GPU: on the stream and in the memory that the array library hands out.
#pragma once
#include <Python.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "bind/memory.h"

namespace pullback::cuda {

// Fills the table of kernels; before anything else here.
void fill_table();

// current_stream() -> int, allocate(bytes) -> an object with .ptr, both asked with the arrays' device current; and
// over(owner, pointer, dtype, shape, strides, device) -> an array in memory that `owner` keeps alive.
void connect(PyObject* current_stream, PyObject* allocate, PyObject* over);
void* library_stream();                            // of the current device; throws
PyObject* allocate_on(int device, int64_t bytes);  // at least one byte; nullptr with a Python error set
PyObject* make_array(PyObject* owner, PyObject* pointer, PyObject* dtype, PyObject* shape, PyObject* strides,
                     int device);

// Raises what kernels have reported since the last check; the caller has waited for the device.
void check_errors();

// An uninitialised array in row-major order, whose memory is a block.
PyObject* empty(PyObject* shape, PyObject* dtype, int device);

// Scratch memory that belongs to a plan, for as long as its graphs launch. Its calls follow one another on a stream, so
// that each takes it from the beginning.
class PlanScratch {
 public:
  void* take(size_t bytes);
  void begin_call() { next_ = 0; }

 private:
  struct Piece {
    size_t bytes = 0;
    bind::Ref memory;
    void* address = nullptr;
  };
  std::vector<Piece> pieces_;
  std::vector<bind::Ref> outgrown_;  // a graph may hold their addresses
  size_t next_ = 0;
};

// While it lives, calls of this thread run on this stream, and take their scratch memory from a plan.
class InPlan {
 public:
  InPlan(void* stream, PlanScratch& scratch);
  ~InPlan();
  InPlan(const InPlan&) = delete;
  InPlan& operator=(const InPlan&) = delete;

  void* const stream;
  PlanScratch& scratch;

 private:
  const InPlan* before_;
};

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
