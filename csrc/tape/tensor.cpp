#include "tape/tensor.h"

#include <structmember.h>

#include <cstddef>

#include "tape/arrays.h"
#include "tape/watch.h"

namespace pullback::tape {

PyTypeObject* tensor_base = nullptr;

namespace {

// The pullback dtype of an array. Arrays mostly have one of NumPy's own descriptors, which are compared as pointers.
PyObject* dtype_of(PyObject* array) {
  struct Known {
    PyObject* descr;
    PyObject* dtype;
  };
  static Known known[16];
  Ref descr = PyArray_Check(array) ? Ref::to(reinterpret_cast<PyObject*>(PyArray_DESCR(as_array(array))))
                                   : Ref(PyObject_GetAttrString(array, "dtype"));
  if (!descr) return nullptr;
  const int number = reinterpret_cast<PyArray_Descr*>(descr.get())->type_num;
  Known* place = PyArray_Check(array) && number >= 0 && number < 16 ? &known[number] : nullptr;
  if (place && place->descr == descr.get()) return place->dtype;
  PyObject* dtype = PyDict_GetItemWithError(library.dtypes, descr.get());
  if (!dtype && !PyErr_Occurred()) PyErr_SetObject(PyExc_KeyError, descr.get());
  if (dtype && place && !place->descr) *place = {Py_NewRef(descr.get()), dtype};
  return dtype;
}

PyObject* wrap_array(PyObject* type, PyObject* array) {
  return wrap(reinterpret_cast<PyTypeObject*>(type), array).release();
}

int traverse(PyObject* self, visitproc visit, void* arg) {
  TensorObject* t = as_tensor(self);
  for (PyObject* field : {t->array, t->dtype, t->device, t->grad, t->node, t->base, t->hooks, t->version})
    Py_VISIT(field);
  Py_VISIT(Py_TYPE(self));
  return 0;
}

int clear(PyObject* self) {
  TensorObject* t = as_tensor(self);
  Py_CLEAR(t->array);
  Py_CLEAR(t->dtype);
  Py_CLEAR(t->device);
  Py_CLEAR(t->grad);
  Py_CLEAR(t->node);
  Py_CLEAR(t->base);
  Py_CLEAR(t->hooks);
  Py_CLEAR(t->version);
  return 0;
}

void dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  if (as_tensor(self)->weak_references) PyObject_ClearWeakRefs(self);
  clear(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* get_version(PyObject* self, void*) { return Py_XNewRef(version_of(as_tensor(self))); }

int set_version(PyObject* self, PyObject* value, void*) {
  if (!value || !PyList_Check(value) || PyList_GET_SIZE(value) != 1) {
    PyErr_SetString(PyExc_TypeError, "_version: expected a list of one int");
    return -1;
  }
  Py_XSETREF(as_tensor(self)->version, Py_NewRef(value));
  return 0;
}

PyMemberDef members[] = {{"__weaklistoffset__", T_PYSSIZET, offsetof(TensorObject, weak_references), READONLY, nullptr},
                         {"_array", T_OBJECT, offsetof(TensorObject, array), 0, nullptr},
                         {"dtype", T_OBJECT, offsetof(TensorObject, dtype), 0, nullptr},
                         {"device", T_OBJECT, offsetof(TensorObject, device), 0, nullptr},
                         {"grad", T_OBJECT, offsetof(TensorObject, grad), 0, nullptr},
                         {"_node", T_OBJECT, offsetof(TensorObject, node), 0, nullptr},
                         {"_base", T_OBJECT, offsetof(TensorObject, base), 0, nullptr},
                         {"_hooks", T_OBJECT, offsetof(TensorObject, hooks), 0, nullptr},
                         {"_generation", T_LONGLONG, offsetof(TensorObject, generation), 0, nullptr},
                         {"_output", T_INT, offsetof(TensorObject, output), 0, nullptr},
                         {"_requires_grad", T_BOOL, offsetof(TensorObject, requires_grad), 0, nullptr},
                         {nullptr, 0, 0, 0, nullptr}};
PyGetSetDef properties[] = {{"_version", get_version, set_version, nullptr, nullptr},
                            {nullptr, nullptr, nullptr, nullptr, nullptr}};
PyMethodDef methods[] = {{"_wrap", wrap_array, METH_O | METH_CLASS, "A new tensor over an array, not on the tape."},
                         {nullptr, nullptr, 0, nullptr}};

}  // namespace

Ref wrap(PyTypeObject* type, PyObject* array) {
  PyObject* dtype = dtype_of(array);
  Ref device = dtype ? device_of(array) : Ref();
  if (!device) return {};
  Ref made(type->tp_alloc(type, 0));
  if (!made) return {};
  TensorObject* t = as_tensor(made.get());
  t->array = Py_NewRef(array);
  t->dtype = Py_NewRef(dtype);
  t->device = device.release();
  return made;
}

PyObject* version_of(TensorObject* t) {
  if (!t->version) {
    t->version = PyList_New(1);
    if (t->version) PyList_SET_ITEM(t->version, 0, PyLong_FromLong(0));
  }
  return t->version && note_version(t->version) ? t->version : nullptr;
}

long long count_of(PyObject* version) { return PyLong_AsLongLong(PyList_GET_ITEM(version, 0)); }

bool follow_base(TensorObject* t) {
  if (!given(t->base) || as_tensor(t->base)->generation == t->generation) return true;
  return static_cast<bool>(Ref(PyObject_CallMethodNoArgs(reinterpret_cast<PyObject*>(t), names.follow_base)));
}

int make_tensor_type(PyObject* module) {
  static PyType_Slot slots[] = {{Py_tp_dealloc, reinterpret_cast<void*>(dealloc)},
                                {Py_tp_traverse, reinterpret_cast<void*>(traverse)},
                                {Py_tp_clear, reinterpret_cast<void*>(clear)},
                                {Py_tp_members, members},
                                {Py_tp_getset, properties},
                                {Py_tp_methods, methods},
                                {0, nullptr}};
  static PyType_Spec spec = {"pullback._core.TensorBase", sizeof(TensorObject), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots};
  tensor_base = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
  return tensor_base ? PyModule_AddObjectRef(module, "TensorBase", reinterpret_cast<PyObject*>(tensor_base)) : -1;
}

}  // namespace pullback::tape
