// What a capture wants to know of the code that it runs on this thread: whose gradients are set, and what changes in
// place.
#pragma once
#include "tape/object.h"

namespace pullback::tape {

struct Watch {
  PyObject* leaves = nullptr;  // a list: every leaf whose gradient grew
  PyObject* versions =
      nullptr;  // a dict: {address: (counter of changes in place, what it was)} of whatever was asked for
};
inline thread_local Watch watch;

extern PyMethodDef watch_method, presence_method, restore_method, layout_method;

bool note_leaf(PyObject* leaf);
bool note_version(PyObject* version);

}  // namespace pullback::tape
