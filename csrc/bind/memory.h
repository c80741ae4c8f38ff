// What a recording and a plan ask of arrays and of the memory behind them: of NumPy's in memory.cpp, of a GPU's in
// cuda/bind/memory.cpp.
#pragma once
#include <Python.h>

#include <cstdint>
#include <memory>
#include <vector>

namespace pullback::bind {

struct Decref {
  void operator()(PyObject* object) const { Py_XDECREF(object); }
};
using Ref = std::unique_ptr<PyObject, Decref>;

// Memory of the device's allocator, which it goes back to with this object.
struct Block {
  PyObject_HEAD void* data;
  int64_t bytes;
  uint64_t serial;  // 0, or its number where it was made during a recording
};
int make_block_type(const char* name);  // once, with the module's name in front; -1 with a Python error set
PyObject* new_block(int64_t bytes, int device = 0);  // nullptr with MemoryError set

// The piece of memory that an array lies in.
struct Memory {
  Ref owner;  // keeps it alive
  char* address = nullptr;
  int64_t bytes = -1;   // −1 where an array leaves gaps
  uint64_t serial = 0;  // of the block
};
bool is_array(PyObject* object);
bool memory_of(PyObject* array, Memory& memory);  // false with a Python error set
// The block that a row-major array is all of: borrowed; nullptr where it is not.
PyObject* whole_block(PyObject* array);

// How an array lies in memory.
struct Layout {
  PyObject* descr = nullptr;            // a reference of its own, given back by whoever holds the layout
  std::vector<int64_t> shape, strides;  // strides in bytes
};
// `address` is where its first element lies; false with a Python error set.
bool read_layout(PyObject* array, Layout& layout, char*& address);
PyObject* array_over(PyObject* owner, char* address, const Layout& layout, int device);

// Waits until it is done; either side may be the host's.
void copy_bytes(void* to, const void* from, int64_t bytes);
// to[…] = from[…], arrays of one shape; false with a Python error set.
bool copy_array(PyObject* to, PyObject* from);

}  // namespace pullback::bind
