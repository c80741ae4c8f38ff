#include "tape/watch.h"

#include <vector>

#include "tape/numpy.h"
#include "tape/tensor.h"

namespace pullback::tape {
namespace {

// watch(leaves, versions): fill them from here on; None: no more.
PyObject* start_watching(PyObject*, PyObject* arguments) {
  PyObject *leaves, *versions;
  if (!PyArg_ParseTuple(arguments, "OO:watch", &leaves, &versions)) return nullptr;
  watches -= (watch.leaves != nullptr) + (watch.versions != nullptr);
  Py_XSETREF(watch.leaves, PyList_Check(leaves) ? Py_NewRef(leaves) : nullptr);
  Py_XSETREF(watch.versions, PyDict_Check(versions) ? Py_NewRef(versions) : nullptr);
  watches += (watch.leaves != nullptr) + (watch.versions != nullptr);
  Py_RETURN_NONE;
}

bool check_list(PyObject* list) {
  if (!PyList_Check(list)) return PyErr_SetString(PyExc_TypeError, "expected a list of tensors"), false;
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); ++i)
    if (!is_tensor(PyList_GET_ITEM(list, i)))
      return PyErr_SetString(PyExc_TypeError, "expected a list of tensors"), false;
  return true;
}

// presence(leaves): a byte for each, 1 where it has a gradient.
PyObject* presence(PyObject*, PyObject* leaves) {
  if (!check_list(leaves)) return nullptr;
  PyObject* bytes = PyBytes_FromStringAndSize(nullptr, PyList_GET_SIZE(leaves));
  for (Py_ssize_t i = 0; bytes && i < PyList_GET_SIZE(leaves); ++i)
    PyBytes_AS_STRING(bytes)[i] = given(as_tensor(PyList_GET_ITEM(leaves, i))->grad);
  return bytes;
}

// restore(leaves, gradients): leaf.grad is that gradient, or None, again.
PyObject* restore(PyObject*, PyObject* arguments) {
  PyObject *leaves, *gradients;
  if (!PyArg_ParseTuple(arguments, "OO!:restore", &leaves, &PyList_Type, &gradients)) return nullptr;
  if (!restore_gradients(leaves, gradients)) return nullptr;
  Py_RETURN_NONE;
}

// gradients(leaves): weak references to the arrays that their gradients lie in, None for no gradient.
PyObject* gradients(PyObject*, PyObject* leaves) {
  if (!check_list(leaves)) return nullptr;
  Ref all(PyList_New(PyList_GET_SIZE(leaves)));
  for (Py_ssize_t i = 0; all && i < PyList_GET_SIZE(leaves); ++i) {
    PyObject* array = gradient_of(PyList_GET_ITEM(leaves, i));
    PyObject* reference = array ? PyWeakref_NewRef(array, nullptr) : Py_NewRef(Py_None);
    if (!reference) return nullptr;
    PyList_SET_ITEM(all.get(), i, reference);
  }
  return all.release();
}

// exchanged(leaves, before): those whose gradient lies elsewhere than it did; `before` may be shorter.
PyObject* exchanged(PyObject*, PyObject* arguments) {
  PyObject *leaves, *before;
  if (!PyArg_ParseTuple(arguments, "OO!:exchanged", &leaves, &PyList_Type, &before) || !check_list(leaves))
    return nullptr;
  Ref all(PyList_New(0));
  for (Py_ssize_t i = 0; all && i < PyList_GET_SIZE(leaves); ++i) {
    PyObject* reference = i < PyList_GET_SIZE(before) ? PyList_GET_ITEM(before, i) : Py_None;
    const Ref array(reference == Py_None ? nullptr : PyObject_CallNoArgs(reference));  // None where it is gone
    PyObject* leaf = PyList_GET_ITEM(leaves, i);
    if (gradient_of(leaf) != array.get() && PyList_Append(all.get(), leaf) < 0) return nullptr;
  }
  return all.release();
}

// layout(tensors): bytes that are equal for tuples of tensors of equal shapes, strides, dtypes and devices; None where
// there is anything else among them.
PyObject* layout(PyObject*, PyObject* tensors) {
  std::vector<int64_t> words;
  if (!read_layout(tensors, words)) Py_RETURN_NONE;
  return PyBytes_FromStringAndSize(reinterpret_cast<const char*>(words.data()),
                                   static_cast<Py_ssize_t>(words.size() * sizeof(int64_t)));
}

}  // namespace

PyObject* gradient_of(PyObject* leaf) {
  PyObject* gradient = as_tensor(leaf)->grad;
  return given(gradient) ? as_tensor(gradient)->array : nullptr;
}

bool restore_gradients(PyObject* leaves, PyObject* gradients) {
  if (!check_list(leaves)) return false;
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(leaves) && i < PyList_GET_SIZE(gradients); ++i) {
    TensorObject* leaf = as_tensor(PyList_GET_ITEM(leaves, i));
    PyObject* gradient = PyList_GET_ITEM(gradients, i);
    if (leaf->grad != gradient) Py_XSETREF(leaf->grad, Py_NewRef(gradient));
  }
  return true;
}

bool read_layout(PyObject* tensors, std::vector<int64_t>& words) {
  words.clear();
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tensors); ++i) {
    PyObject* object = PyTuple_GET_ITEM(tensors, i);
    if (!Py_IS_TYPE(object, library.tensor)) return false;
    const TensorObject* t = as_tensor(object);
    if (!t->array || !PyArray_CheckExact(t->array)) return false;
    const int ndim = PyArray_NDIM(as_array(t->array));
    words.push_back(reinterpret_cast<intptr_t>(t->dtype));
    words.push_back(reinterpret_cast<intptr_t>(t->device));
    words.push_back(2 * ndim + t->requires_grad);
    words.insert(words.end(), PyArray_DIMS(as_array(t->array)), PyArray_DIMS(as_array(t->array)) + ndim);
    words.insert(words.end(), PyArray_STRIDES(as_array(t->array)), PyArray_STRIDES(as_array(t->array)) + ndim);
  }
  return true;
}

PyMethodDef watch_method = {"watch", start_watching, METH_VARARGS,
                            "watch(leaves, versions): fill a list with the leaves whose gradients grow on this thread, "
                            "and a dict with the counters of changes in place that are asked for; None: no more."};
PyMethodDef presence_method = {"presence", presence, METH_O, "A byte for each leaf, 1 where it has a gradient."};
PyMethodDef gradients_method = {"gradients", gradients, METH_O,
                                "Weak references to the arrays of the leaves' gradients; None for no gradient."};
PyMethodDef exchanged_method = {
    "exchanged", exchanged, METH_VARARGS,
    "exchanged(leaves, before): those whose gradient lies elsewhere than gradients() said."};
PyMethodDef restore_method = {"restore", restore, METH_VARARGS, "restore(leaves, gradients): leaf.grad = gradient."};

PyMethodDef layout_method = {
    "layout", layout, METH_O,
    "Bytes that stand for shapes, strides, dtypes and devices of a tuple of tensors; None where "
    "there is anything else in it."};

bool add_leaf(PyObject* leaf) { return !watch.leaves || PyList_Append(watch.leaves, leaf) == 0; }

bool add_version(PyObject* version) {
  if (!watch.versions) return true;
  const Ref key(PyLong_FromVoidPtr(version));
  if (!key) return false;
  if (PyDict_Contains(watch.versions, key.get())) return true;
  const Ref pair(PyTuple_Pack(2, version, PyList_GET_ITEM(version, 0)));
  return pair && PyDict_SetItem(watch.versions, key.get(), pair.get()) == 0;
}

}  // namespace pullback::tape
