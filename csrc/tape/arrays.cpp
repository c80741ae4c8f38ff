#include "tape/arrays.h"

namespace pullback::tape {

bool is_plain_array(PyObject* array) {
  if (!PyArray_CheckExact(array)) return false;
  const int type = PyArray_TYPE(as_array(array));
  return type == NPY_FLOAT || type == NPY_DOUBLE;
}

PyArrayObject* plain(PyObject* object) {
  if (!is_tensor(object) || as_tensor(object)->device != library.device) return nullptr;
  PyObject* array = as_tensor(object)->array;
  return array && is_plain_array(array) ? as_array(array) : nullptr;
}

Ref tuple_of(int ndim, const npy_intp* sizes) {
  Ref shape(PyTuple_New(ndim));
  for (int d = 0; shape && d < ndim; ++d) PyTuple_SET_ITEM(shape.get(), d, PyLong_FromSsize_t(sizes[d]));
  return shape;
}

Ref empty(int ndim, const npy_intp* sizes, PyArrayObject* like) {
  const Ref make(PyObject_GetAttr(library.device, names.empty)), shape = tuple_of(ndim, sizes);
  if (!make || !shape) return {};
  Ref made = call(make.get(), shape.get(), reinterpret_cast<PyObject*>(PyArray_DESCR(like)));
  if (made && !PyArray_Check(made.get())) {
    PyErr_SetString(PyExc_TypeError, "empty: expected a NumPy array");
    return {};
  }
  return made;
}

Ref find_kernel(PyObject* name) {
  const Ref kernels(PyObject_GetAttr(library.device, names.kernels));
  return kernels ? Ref(PyObject_GetAttr(kernels.get(), name)) : Ref();
}

}  // namespace pullback::tape
