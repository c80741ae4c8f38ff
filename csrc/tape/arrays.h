// NumPy arrays as ops see them: which are plain enough for a short way, and new ones.
#pragma once
#include "tape/numpy.h"
#include "tape/tensor.h"

namespace pullback::tape {

// The array of a tensor that lives on the default device and holds float32 or float64; nullptr for all else.
PyArrayObject* plain(PyObject* object);
bool is_plain_array(PyObject* array);

inline bool same_dtype(PyArrayObject* a, PyArrayObject* b) { return PyArray_DESCR(a) == PyArray_DESCR(b); }

Ref tuple_of(int ndim, const npy_intp* sizes);
inline Ref shape_of(PyArrayObject* a) { return tuple_of(PyArray_NDIM(a), PyArray_DIMS(a)); }

// Uninitialised, from the device's allocator.
Ref empty(int ndim, const npy_intp* sizes, PyArrayObject* like);
// A kernel of the default device.
Ref find_kernel(PyObject* name);

}  // namespace pullback::tape
