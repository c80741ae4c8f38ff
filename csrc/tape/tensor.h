// The fields of a tensor. Everything else about it is Python: pullback/_tensor.py.
#pragma once
#include "tape/object.h"

namespace pullback::tape {

struct TensorObject {
  PyObject_HEAD PyObject* weak_references;
  PyObject* array;
  PyObject* dtype;
  PyObject* device;
  PyObject* grad;
  PyObject* node;        // a Node; none for a leaf
  PyObject* base;        // of a view: the tensor it looks into
  PyObject* hooks;       // of a leaf
  PyObject* version;     // [changes in place], shared by all views of one storage; made when somebody asks
  long long generation;  // of a base: how often its node was replaced; of a view: the base's when its node was made
  int output;            // which of the node's results it is
  char requires_grad;
};

extern PyTypeObject* tensor_base;
int make_tensor_type(PyObject* module);  // -1 with a Python error set

inline bool is_tensor(PyObject* object) { return PyObject_TypeCheck(object, tensor_base); }
inline TensorObject* as_tensor(PyObject* object) { return reinterpret_cast<TensorObject*>(object); }

// A new tensor over an array, off the tape.
Ref wrap(PyTypeObject* type, PyObject* array);
inline Ref wrap(PyObject* array) { return wrap(library.tensor, array); }

PyObject* version_of(TensorObject* t);  // borrowed
long long count_of(PyObject* version);  // −1 with a Python error set where it is no list of an int

// A view whose base was changed in place, on the tape, becomes a view of what the base is now.
bool follow_base(TensorObject* t);

}  // namespace pullback::tape
