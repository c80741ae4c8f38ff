// What a capture wants to know of the code that it runs on this thread: whose gradients are set, and what changes in
// place.
#pragma once
#include <cstdint>
#include <vector>

#include "tape/object.h"

namespace pullback::tape {

struct Watch {
  PyObject* leaves = nullptr;  // a list: every leaf whose gradient grew
  PyObject* versions =
      nullptr;  // a dict: {address: (counter of changes in place, what it was)} of whatever was asked for
};
inline thread_local Watch watch;
inline int watches = 0;  // lists and dicts that threads have here; changes under the GIL

extern PyMethodDef watch_method, presence_method, gradients_method, exchanged_method, restore_method, layout_method;

// The array that a leaf's gradient lies in, borrowed; nullptr where it has none.
PyObject* gradient_of(PyObject* leaf);
bool restore_gradients(PyObject* leaves, PyObject* gradients);  // lists; false with a Python error set
// Numbers that are equal for tuples of tensors of equal shapes, strides, dtypes and devices; false where there is
// anything else among them.
bool read_layout(PyObject* tensors, std::vector<int64_t>& words);

bool add_leaf(PyObject* leaf);
bool add_version(PyObject* version);
inline bool note_leaf(PyObject* leaf) { return watches == 0 || add_leaf(leaf); }
inline bool note_version(PyObject* version) { return watches == 0 || add_version(version); }

}  // namespace pullback::tape
