#include "tape/node.h"

#include <structmember.h>

#include <cstddef>

#include "tape/numpy.h"

namespace pullback::tape {

PyTypeObject* node_type = nullptr;
PyObject* output_mark = nullptr;

namespace {

PyObject* grad_mode = nullptr;  // a ContextVar: every thread has its own
long long last_order = 0;

PyObject* parent_of(TensorObject* t) {
  if (!t->requires_grad) return nullptr;
  return given(t->node) ? t->node : reinterpret_cast<PyObject*>(t);
}

// Which results the inputs are: mostly the first of each, for which one tuple serves all.
PyObject* indices_of(Tensors inputs) {
  static PyObject* zeros[4];
  bool first = inputs.count < 4;
  for (Py_ssize_t i = 0; i < inputs.count; ++i) first = first && as_tensor(inputs.items[i])->output == 0;
  if (first && zeros[inputs.count]) return Py_NewRef(zeros[inputs.count]);
  PyObject* indices = PyTuple_New(inputs.count);
  for (Py_ssize_t i = 0; indices && i < inputs.count; ++i)
    PyTuple_SET_ITEM(indices, i, PyLong_FromLong(as_tensor(inputs.items[i])->output));
  if (first && indices) zeros[inputs.count] = Py_NewRef(indices);
  return indices;
}

bool keep(NodeObject* node, PyObject* saved, TensorObject* out) {
  const bool own = saved == output_mark;
  TensorObject* t = own ? out : as_tensor(saved);
  PyObject* version = version_of(t);
  if (!version) return false;
  Saved& s = node->kept[node->kept_count++];
  s = {Py_XNewRef(t->array), Py_NewRef(version), count_of(version), nullptr, own ? kOwn : t->output};
  if (!own) s.parent = Py_XNewRef(parent_of(t));
  return true;
}

// The elements of a tuple or list of tensors, among which `mark` may stand.
bool read_tensors(PyObject* sequence, const char* what, PyObject* mark, Tensors& tensors) {
  if (!PyTuple_Check(sequence) && !PyList_Check(sequence)) {
    PyErr_Format(PyExc_TypeError, "record: %s expects a tuple or a list, got %R", what, Py_TYPE(sequence));
    return false;
  }
  tensors = {PySequence_Fast_ITEMS(sequence), PySequence_Fast_GET_SIZE(sequence)};
  for (Py_ssize_t i = 0; i < tensors.count; ++i)
    if (tensors.items[i] != mark && !is_tensor(tensors.items[i])) {
      PyErr_Format(PyExc_TypeError, "record: %s expects tensors, got %R", what, Py_TYPE(tensors.items[i]));
      return false;
    }
  return true;
}

Ref make_node(PyObject* rule, Tensors inputs, Tensors saved, PyObject* args, TensorObject* out) {
  Ref made(node_type->tp_alloc(node_type, 0));
  if (!made) return {};
  NodeObject* node = as_node(made.get());
  node->order = ++last_order;
  node->rule = Py_NewRef(rule);
  node->args = Py_NewRef(args);
  node->parents = PyTuple_New(inputs.count);
  node->indices = indices_of(inputs);
  node->outputs = PyTuple_New(0);
  node->kept = static_cast<Saved*>(PyMem_Calloc(saved.count + 1, sizeof(Saved)));
  if (!node->parents || !node->indices || !node->kept) return PyErr_NoMemory(), Ref();
  for (Py_ssize_t i = 0; i < inputs.count; ++i) {
    PyObject* parent = parent_of(as_tensor(inputs.items[i]));
    PyTuple_SET_ITEM(node->parents, i, Py_NewRef(parent ? parent : Py_None));
  }
  for (Py_ssize_t i = 0; i < saved.count; ++i)
    if (!keep(node, saved.items[i], out)) return {};
  return made;
}

// --- the type --------------------------------------------------------------------------------------------------------

// Node(rule, inputs, saved, args, out)
PyObject* new_node(PyTypeObject*, PyObject* arguments, PyObject*) {
  PyObject *rule, *inputs, *saved, *args, *out;
  Tensors in, kept;
  if (!PyArg_ParseTuple(arguments, "OOOOO!:Node", &rule, &inputs, &saved, &args, tensor_base, &out)) return nullptr;
  if (!read_tensors(inputs, "inputs", nullptr, in) || !read_tensors(saved, "saved", output_mark, kept)) return nullptr;
  return make_node(rule, in, kept, args, as_tensor(out)).release();
}

int traverse(PyObject* self, visitproc visit, void* arg) {
  NodeObject* n = as_node(self);
  for (PyObject* field : {n->rule, n->parents, n->indices, n->args, n->hooks, n->outputs, n->saved}) Py_VISIT(field);
  for (int i = 0; i < n->kept_count; ++i) {
    Py_VISIT(n->kept[i].array);
    Py_VISIT(n->kept[i].version);
    Py_VISIT(n->kept[i].parent);
  }
  Py_VISIT(Py_TYPE(self));
  return 0;
}

int clear(PyObject* self) {
  NodeObject* n = as_node(self);
  Py_CLEAR(n->rule);
  Py_CLEAR(n->parents);
  Py_CLEAR(n->indices);
  Py_CLEAR(n->args);
  Py_CLEAR(n->hooks);
  Py_CLEAR(n->outputs);
  free_saved(n);
  return 0;
}

// A chain of nodes may be long: the trashcan keeps its end from exhausting the stack.
void dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  Py_TRASHCAN_BEGIN(self, dealloc);
  clear(self);
  type->tp_free(self);
  Py_DECREF(type);
  Py_TRASHCAN_END;
}

PyObject* rule_name(PyObject* self, void*) { return PyObject_GetAttr(as_node(self)->rule, names.name); }

PyObject* repr(PyObject* self) {
  const Ref name(rule_name(self, nullptr));
  return name ? PyUnicode_FromFormat("<%U pullback>", name.get()) : nullptr;
}

PyObject* check(PyObject* self, PyObject*) {
  if (!check_saved(as_node(self))) return nullptr;
  Py_RETURN_NONE;
}

PyObject* needs(PyObject* self, PyObject* number) {
  const Py_ssize_t i = PyLong_AsSsize_t(number);
  PyObject* parents = as_node(self)->parents;
  if (i == -1 && PyErr_Occurred()) return nullptr;
  if (i < 0 || i >= PyTuple_GET_SIZE(parents)) {
    PyErr_SetString(PyExc_IndexError, "needs: no such parent");
    return nullptr;
  }
  return PyBool_FromLong(PyTuple_GET_ITEM(parents, i) != Py_None);
}

// Several threads may walk one graph: what is asked for is this array, not the last one.
PyObject* owns(PyObject* self, PyObject* gradient) { return PyBool_FromLong(as_node(self)->owned == gradient); }

PyObject* saved_tensor(NodeObject* node, const Saved& s) {
  if (s.parent && is_tensor(s.parent)) return Py_NewRef(s.parent);
  Ref made = wrap(s.array);
  if (!made) return nullptr;
  TensorObject* t = as_tensor(made.get());
  t->version = Py_NewRef(s.version);
  t->node = s.output == kOwn ? Py_NewRef(reinterpret_cast<PyObject*>(node)) : Py_XNewRef(s.parent);
  t->output = s.output == kOwn ? 0 : s.output;
  t->requires_grad = t->node != nullptr;
  if (!t->node) t->output = 0;
  return made.release();
}

PyObject* tensors(PyObject* self, PyObject*) {
  NodeObject* node = as_node(self);
  Ref list(PyList_New(node->kept_count));
  for (int i = 0; list && i < node->kept_count; ++i) {
    PyObject* t = saved_tensor(node, node->kept[i]);
    if (!t) return nullptr;
    PyList_SET_ITEM(list.get(), i, t);
  }
  return list.release();
}

PyObject* free_now(PyObject* self, PyObject*) {
  free_saved(as_node(self));
  Py_RETURN_NONE;
}

PyObject* get_saved(PyObject* self, void*) {
  PyObject* saved = as_node(self)->saved;
  return saved ? Py_NewRef(saved) : PyTuple_New(0);
}

PyObject* get_outputs(PyObject* self, void*) { return Py_XNewRef(as_node(self)->outputs); }

int set_outputs(PyObject* self, PyObject* value, void*) {
  if (!value || !PyTuple_Check(value)) {
    PyErr_SetString(PyExc_TypeError, "outputs: expected a tuple");
    return -1;
  }
  Py_XSETREF(as_node(self)->outputs, Py_NewRef(value));
  return 0;
}

PyMemberDef members[] = {{"rule", T_OBJECT, offsetof(NodeObject, rule), READONLY, nullptr},
                         {"parents", T_OBJECT, offsetof(NodeObject, parents), READONLY, nullptr},
                         {"indices", T_OBJECT, offsetof(NodeObject, indices), READONLY, nullptr},
                         {"args", T_OBJECT, offsetof(NodeObject, args), 0, nullptr},
                         {"hooks", T_OBJECT, offsetof(NodeObject, hooks), 0, nullptr},
                         {"order", T_LONGLONG, offsetof(NodeObject, order), READONLY, nullptr},
                         {nullptr, 0, 0, 0, nullptr}};
PyGetSetDef properties[] = {{"name", rule_name, nullptr, "The op's name.", nullptr},
                            {"outputs", get_outputs, set_outputs, "What each of several results is.", nullptr},
                            {"saved", get_saved, nullptr, "The saved arrays, once a pullback ran.", nullptr},
                            {nullptr, nullptr, nullptr, nullptr, nullptr}};
PyMethodDef methods[] = {
    {"check_saved", check, METH_NOARGS,
     "Fill `saved` with the arrays; RuntimeError where they were freed, or changed in place since."},
    {"tensors", tensors, METH_NOARGS, "What was saved, as tensors that are still part of the graph."},
    {"needs", needs, METH_O, "Whether parent i wants its gradient."},
    {"owns", owns, METH_O, "Whether nobody but the walk holds this gradient, which the pullback was given."},
    {"free", free_now, METH_NOARGS, "Let go of what was saved."},
    {nullptr, nullptr, 0, nullptr}};

// record(rule, array, inputs, saved=(), args=())
PyObject* record_call(PyObject*, PyObject* const* given_args, Py_ssize_t count) {
  if (count < 3 || count > 5) {
    PyErr_SetString(PyExc_TypeError, "record: expected (rule, array, inputs, saved=(), args=())");
    return nullptr;
  }
  Tensors inputs, saved{nullptr, 0};
  if (!read_tensors(given_args[2], "inputs", nullptr, inputs)) return nullptr;
  if (count > 3 && !read_tensors(given_args[3], "saved", output_mark, saved)) return nullptr;
  const int on_tape = recording(inputs);
  if (on_tape < 0) return nullptr;
  if (!on_tape) return wrap(given_args[1]).release();
  const Ref none(count > 4 ? nullptr : PyTuple_New(0));
  return record(given_args[0], given_args[1], inputs, saved, count > 4 ? given_args[4] : none.get()).release();
}

}  // namespace

bool check_saved(NodeObject* node) {
  const Ref name(rule_name(reinterpret_cast<PyObject*>(node), nullptr));
  if (!name) return false;
  if (node->freed) {
    PyErr_Format(PyExc_RuntimeError,
                 "%U: backward through the graph a second time, but its saved arrays were freed; pass "
                 "retain_graph=True to the first backward()",
                 name.get());
    return false;
  }
  Ref saved(PyTuple_New(node->kept_count));
  for (int i = 0; saved && i < node->kept_count; ++i) {
    const Saved& s = node->kept[i];
    const long long now = count_of(s.version);
    if (now != s.then) {
      const Ref shape(PyObject_GetAttrString(s.array, "shape")), list(shape ? PySequence_List(shape.get()) : nullptr);
      if (list)
        PyErr_Format(PyExc_RuntimeError,
                     "%U: a tensor of shape %R that backward() needs was changed in place (it is at version %lld, "
                     "expected version %lld)",
                     name.get(), list.get(), now, s.then);
      return false;
    }
    PyTuple_SET_ITEM(saved.get(), i, Py_NewRef(s.array));
  }
  Py_XSETREF(node->saved, saved.release());
  return node->saved != nullptr;
}

void free_saved(NodeObject* node) {
  Saved* kept = std::exchange(node->kept, nullptr);
  const int count = std::exchange(node->kept_count, 0);
  node->freed = 1;
  Py_CLEAR(node->saved);
  for (int i = 0; i < count; ++i) {
    Py_XDECREF(kept[i].array);
    Py_XDECREF(kept[i].version);
    Py_XDECREF(kept[i].parent);
  }
  PyMem_Free(kept);
}

bool grad_enabled() {
  PyObject* mode = nullptr;
  if (PyContextVar_Get(grad_mode, nullptr, &mode) < 0) PyErr_Clear();
  const bool on = mode == Py_True;
  Py_XDECREF(mode);
  return on;
}

GradMode::GradMode(bool enabled) : token_(PyContextVar_Set(grad_mode, enabled ? Py_True : Py_False)) {}

GradMode::~GradMode() {
  if (!token_) return;
  PyObject *type, *value, *trace;  // an error on its way out stays
  PyErr_Fetch(&type, &value, &trace);
  if (PyContextVar_Reset(grad_mode, token_.get()) < 0) PyErr_Clear();
  PyErr_Restore(type, value, trace);
}

int recording(Tensors inputs) {
  bool wanted = false;
  for (Py_ssize_t i = 0; i < inputs.count; ++i) {
    TensorObject* t = as_tensor(inputs.items[i]);
    wanted = wanted || t->requires_grad || given(t->base);
  }
  if (!wanted || !grad_enabled()) return 0;
  wanted = false;
  for (Py_ssize_t i = 0; i < inputs.count; ++i) {
    if (!follow_base(as_tensor(inputs.items[i]))) return -1;
    wanted = wanted || as_tensor(inputs.items[i])->requires_grad;
  }
  return wanted;
}

Ref record(PyObject* rule, PyObject* array, Tensors inputs, Tensors saved, PyObject* args) {
  Ref made = wrap(array);
  if (!made || !args) return {};
  TensorObject* out = as_tensor(made.get());
  out->requires_grad = 1;
  out->node = make_node(rule, inputs, saved, args, out).release();
  return out->node ? std::move(made) : Ref();
}

PyMethodDef record_method = {"record", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(record_call)),
                             METH_FASTCALL,
                             "record(rule, array, inputs, saved=(), args=()): the result of an op as a tensor, on the "
                             "tape if gradients are enabled and any input wants one."};

int make_node_type(PyObject* module) {
  static PyType_Slot slots[] = {{Py_tp_new, reinterpret_cast<void*>(new_node)},
                                {Py_tp_dealloc, reinterpret_cast<void*>(dealloc)},
                                {Py_tp_traverse, reinterpret_cast<void*>(traverse)},
                                {Py_tp_clear, reinterpret_cast<void*>(clear)},
                                {Py_tp_repr, reinterpret_cast<void*>(repr)},
                                {Py_tp_members, members},
                                {Py_tp_getset, properties},
                                {Py_tp_methods, methods},
                                {0, nullptr}};
  static PyType_Spec spec = {"pullback._core.Node", sizeof(NodeObject), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
                             slots};
  node_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
  grad_mode = PyContextVar_New("grad_mode", Py_True);
  output_mark = PyObject_CallNoArgs(reinterpret_cast<PyObject*>(&PyBaseObject_Type));
  if (!node_type || !grad_mode || !output_mark) return -1;
  if (PyModule_AddObjectRef(module, "Node", reinterpret_cast<PyObject*>(node_type)) < 0) return -1;
  if (PyModule_AddObjectRef(module, "grad_mode", grad_mode) < 0) return -1;
  return PyModule_AddObjectRef(module, "OUTPUT", output_mark);
}

}  // namespace pullback::tape
