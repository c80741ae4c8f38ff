#include "tape/arrays.h"

namespace pullback::tape {

Ref registered_device_of(PyObject* array) {
  PyObject* find = PyDict_GetItemWithError(library.devices, reinterpret_cast<PyObject*>(Py_TYPE(array)));
  if (find) return call(find, array);
  if (!PyErr_Occurred()) PyErr_Format(PyExc_TypeError, "device_of: expected an array, got %R", Py_TYPE(array));
  return {};
}

bool is_plain_array(PyObject* array) {
  if (!PyArray_CheckExact(array)) return false;
  const int type = PyArray_TYPE(as_array(array));
  return type == NPY_FLOAT || type == NPY_DOUBLE;
}

PyArrayObject* plain(PyObject* object) {
  if (autocasting() || !is_tensor(object) || as_tensor(object)->device != library.device) return nullptr;
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

Ref empty_like(PyObject* array) {
  const Ref device = device_of(array);
  const Ref empty(device ? PyObject_GetAttr(device.get(), names.empty) : nullptr);
  const Ref shape(PyObject_GetAttrString(array, "shape")), dtype(PyObject_GetAttrString(array, "dtype"));
  return empty && shape && dtype ? call(empty.get(), shape.get(), dtype.get()) : Ref();
}

Ref find_kernel(PyObject* device, PyObject* name) {
  const Ref kernels(device ? PyObject_GetAttr(device, names.kernels) : nullptr);
  return kernels ? Ref(PyObject_GetAttr(kernels.get(), name)) : Ref();
}

namespace {

PyObject* device_of_call(PyObject*, PyObject* array) { return device_of(array).release(); }

PyObject* as_strided(PyObject*, PyObject* const* args, Py_ssize_t count) {
  if (count != 3 || !PyArray_Check(args[0])) {
    PyErr_SetString(PyExc_TypeError, "as_strided: expected a NumPy array, its shape and its strides");
    return nullptr;
  }
  PyArray_Dims shape{nullptr, 0}, strides{nullptr, 0};
  Ref made;
  if (PyArray_IntpConverter(args[1], &shape) && PyArray_IntpConverter(args[2], &strides)) {
    PyArrayObject* array = as_array(args[0]);
    PyArray_Descr* descr = PyArray_DESCR(array);
    if (shape.len == strides.len) {
      Py_INCREF(descr);
      made = Ref(PyArray_NewFromDescr(&PyArray_Type, descr, shape.len, shape.ptr, strides.ptr, PyArray_DATA(array),
                                      PyArray_FLAGS(array) & NPY_ARRAY_WRITEABLE, nullptr));
    } else {
      PyErr_SetString(PyExc_ValueError, "as_strided: expected one stride for each dimension");
    }
    if (made && PyArray_SetBaseObject(as_array(made.get()), Py_NewRef(args[0])) < 0) made = Ref();
  }
  PyDimMem_FREE(shape.ptr);
  PyDimMem_FREE(strides.ptr);
  return made.release();
}

}  // namespace

PyMethodDef device_of_method = {"device_of", device_of_call, METH_O, "device_of(array): the device that holds it."};
PyMethodDef as_strided_method = {
    "as_strided", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(as_strided)), METH_FASTCALL,
    "as_strided(array, shape, strides): a NumPy array's memory under another shape and strides (bytes)."};

}  // namespace pullback::tape
