// Arrays as the tape sees them: where one lives, which are plain enough for a short way, and new ones.
#pragma once
#include "tape/numpy.h"
#include "tape/tensor.h"

namespace pullback::tape {

// The device that holds an array: of NumPy's at once, of others by what their type was registered with.
Ref registered_device_of(PyObject* array);
inline Ref device_of(PyObject* array) {
  return PyArray_Check(array) ? Ref::to(library.device) : registered_device_of(array);
}

// Whether this thread computes some ops in other types than those of their operands: then short ways are closed.
inline thread_local bool autocast_here = false;
inline int autocasts = 0;  // threads that do; changes under the GIL
inline bool autocasting() { return autocasts > 0 && autocast_here; }

// The NumPy array of a tensor that holds float32 or float64; nullptr for all else.
PyArrayObject* plain(PyObject* object);
bool is_plain_array(PyObject* array);

inline bool same_dtype(PyArrayObject* a, PyArrayObject* b) { return PyArray_DESCR(a) == PyArray_DESCR(b); }

Ref tuple_of(int ndim, const npy_intp* sizes);
inline Ref shape_of(PyArrayObject* a) { return tuple_of(PyArray_NDIM(a), PyArray_DIMS(a)); }

// Uninitialised, from the allocator of NumPy arrays' device.
Ref empty(int ndim, const npy_intp* sizes, PyArrayObject* like);
// Uninitialised, beside another array and as that.
Ref empty_like(PyObject* array);
Ref find_kernel(PyObject* device, PyObject* name);

extern PyMethodDef device_of_method;
extern PyMethodDef as_strided_method;

}  // namespace pullback::tape
