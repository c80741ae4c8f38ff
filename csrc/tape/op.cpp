#include "tape/op.h"

#include <structmember.h>

#include <cstddef>
#include <cstring>
#include <vector>

namespace pullback::tape {

PyObject* kernel_of(OpObject* op) {
  if (op->device == library.device) return op->kernel;
  Ref kernel = find_kernel(library.device, op->kernel_name);
  if (!kernel) return nullptr;
  Py_XSETREF(op->kernel, kernel.release());
  Py_XSETREF(op->device, Py_NewRef(library.device));
  return op->kernel;
}

namespace {

PyTypeObject* op_type = nullptr;

struct Kind {
  const char* name;
  vectorcallfunc call;
  const char* kernel = nullptr;  // otherwise the rule's name
};
constexpr Kind kinds[] = {
    {"unary", call_unary}, {"binary", call_binary}, {"matmul", call_matmul}, {"linear", call_linear, "matmul"},
    {"total", call_total}, {"cast", call_cast},
};

// Op(function, kind, rule, saves, activation=0): `saves` names "inputs", "output", both or nothing. Of kind "cast", the
// rule is autocast's policy for the function.
PyObject* new_op(PyTypeObject* type, PyObject* arguments, PyObject*) {
  PyObject *function, *rule;
  const char *kind, *saves;
  int activation = 0;
  if (!PyArg_ParseTuple(arguments, "OsOs|i:Op", &function, &kind, &rule, &saves, &activation)) return nullptr;
  const Kind* found = nullptr;
  for (const Kind& k : kinds)
    if (!std::strcmp(k.name, kind)) found = &k;
  if (!found) return PyErr_Format(PyExc_ValueError, "Op: unknown kind '%s'", kind);
  Ref made(type->tp_alloc(type, 0));
  if (!made) return nullptr;
  OpObject* op = as_op(made.get());
  op->call = found->call;
  op->function = Py_NewRef(function);
  op->rule = Py_NewRef(rule);
  op->kernel_name = found->kernel ? PyUnicode_InternFromString(found->kernel) : PyObject_GetAttr(rule, names.name);
  op->activation = PyLong_FromLong(activation);
  op->saves_inputs = std::strstr(saves, "inputs") != nullptr;
  op->saves_output = std::strstr(saves, "output") != nullptr;
  return op->kernel_name && op->activation ? made.release() : nullptr;
}

int traverse(PyObject* self, visitproc visit, void* arg) {
  OpObject* op = as_op(self);
  for (PyObject* field : {op->dict, op->function, op->rule, op->kernel_name, op->activation, op->kernel, op->device})
    Py_VISIT(field);
  Py_VISIT(Py_TYPE(self));
  return 0;
}

int clear(PyObject* self) {
  OpObject* op = as_op(self);
  Py_CLEAR(op->dict);
  Py_CLEAR(op->function);
  Py_CLEAR(op->rule);
  Py_CLEAR(op->kernel_name);
  Py_CLEAR(op->activation);
  Py_CLEAR(op->kernel);
  Py_CLEAR(op->device);
  return 0;
}

void dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  clear(self);
  type->tp_free(self);
  Py_DECREF(type);
}

// As a function does it: x.relu is relu with x in front.
PyObject* bind(PyObject* self, PyObject* instance, PyObject*) {
  return given(instance) ? PyMethod_New(self, instance) : Py_NewRef(self);
}

PyObject* repr(PyObject* self) { return PyUnicode_FromFormat("<op %U>", as_op(self)->kernel_name); }

// The same short way in front of another function.
PyObject* before(PyObject* self, PyObject* function) {
  OpObject* op = as_op(self);
  Ref made(op_type->tp_alloc(op_type, 0));
  if (!made) return nullptr;
  OpObject* other = as_op(made.get());
  other->call = op->call;
  other->function = Py_NewRef(function);
  other->rule = Py_NewRef(op->rule);
  other->kernel_name = Py_NewRef(op->kernel_name);
  other->activation = Py_NewRef(op->activation);
  other->saves_inputs = op->saves_inputs;
  other->saves_output = op->saves_output;
  return made.release();
}

// As functions are pickled and copied: by name.
PyObject* reduce(PyObject* self, PyObject*) { return PyObject_GetAttrString(self, "__qualname__"); }

PyMethodDef methods[] = {{"before", before, METH_O, "The same short way in front of another function."},
                         {"__reduce__", reduce, METH_NOARGS, nullptr},
                         {nullptr, nullptr, 0, nullptr}};
PyMemberDef members[] = {{"__vectorcalloffset__", T_PYSSIZET, offsetof(OpObject, call), READONLY, nullptr},
                         {"__dictoffset__", T_PYSSIZET, offsetof(OpObject, dict), READONLY, nullptr},
                         {nullptr, 0, 0, 0, nullptr}};
PyGetSetDef properties[] = {{"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, nullptr, nullptr},
                            {nullptr, nullptr, nullptr, nullptr, nullptr}};

// set_autocast(on): switches it for this thread; whether it was on.
PyObject* set_autocast(PyObject*, PyObject* on) {
  const int wanted = PyObject_IsTrue(on);
  if (wanted < 0) return nullptr;
  const bool before = std::exchange(autocast_here, wanted != 0);
  autocasts += autocast_here - before;
  return PyBool_FromLong(before);
}

PyObject* is_autocasting(PyObject*, PyObject*) { return PyBool_FromLong(autocasting()); }

}  // namespace

PyObject* call_cast(PyObject* self, PyObject* const* args, size_t nargsf, PyObject* keywords) {
  OpObject* op = as_op(self);
  if (!autocasting()) return by_function(op, args, nargsf, keywords);
  const Py_ssize_t count = PyVectorcall_NARGS(nargsf), named = keywords ? PyTuple_GET_SIZE(keywords) : 0;
  std::vector<PyObject*> all{op->function};
  all.insert(all.end(), args, args + count + named);
  return PyObject_Vectorcall(op->rule, all.data(), count + 1, keywords);
}

PyMethodDef autocasting_method = {"autocasting", is_autocasting, METH_NOARGS, "Whether autocast is on in this thread."};
PyMethodDef set_autocast_method = {"set_autocast", set_autocast, METH_O,
                                   "set_autocast(on): switches autocast for this thread; whether it was on."};

int make_op_type(PyObject* module) {
  static PyType_Slot slots[] = {{Py_tp_new, reinterpret_cast<void*>(new_op)},
                                {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
                                {Py_tp_dealloc, reinterpret_cast<void*>(dealloc)},
                                {Py_tp_traverse, reinterpret_cast<void*>(traverse)},
                                {Py_tp_clear, reinterpret_cast<void*>(clear)},
                                {Py_tp_descr_get, reinterpret_cast<void*>(bind)},
                                {Py_tp_repr, reinterpret_cast<void*>(repr)},
                                {Py_tp_members, members},
                                {Py_tp_getset, properties},
                                {Py_tp_methods, methods},
                                {0, nullptr}};
  static PyType_Spec spec = {
      "pullback._core.Op", sizeof(OpObject), 0,
      Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR, slots};
  op_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
  return op_type ? PyModule_AddObjectRef(module, "Op", reinterpret_cast<PyObject*>(op_type)) : -1;
}

}  // namespace pullback::tape
