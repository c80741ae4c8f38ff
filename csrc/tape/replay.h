// A short way of captured steps: it does sooner what Python's Capture would do, or leaves it to that.
#pragma once
#include "tape/object.h"

namespace pullback::tape {

// What recorded steps depend on and no argument shows; Python has it as pullback._session.marks.
struct Marks {
  PyObject_HEAD long long generation;  // how often an array, a hook or a parameter was exchanged for another
  long long modes;                     // which switches are not as at first, as an exclusive or
  long long sessions;                  // captures that are recording now, in all threads
};
inline Marks* marks = nullptr;

int make_replayer_type(PyObject* module);  // and marks; -1 with a Python error set

}  // namespace pullback::tape
