#include "tape/replay.h"

#include <structmember.h>

#include <cstddef>
#include <memory>
#include <new>
#include <vector>

#include "tape/arrays.h"
#include "tape/node.h"
#include "tape/watch.h"

namespace pullback::tape {
namespace {

// --- what a replay depends on, and what it consists of ---------------------------------------------------------------

// The last call, where it was a replay: under which conditions the next one is the same, and what to do then.
struct Last {
  long long generation, modes;
  bool grad;
  std::vector<int64_t> layout;        // of the arguments
  PyObject *leaves, *presence;        // a list; a byte for each: whether it has a gradient
  PyObject* read;                     // list of (leaf, the array that its gradient has to lie in)
  PyObject* cells;                    // list of [group, name, index, device, cell, what the group said last, …]
  PyObject *acquire, *release, *run;  // of the capture's lock; of the plan: arrays → arrays
  PyObject *exchanged, *gradients;    // lists: leaves and what their gradients are after a run
  PyObject* results;                  // (tensors, arrays) → value; None where the value is the one array's tensor

  template <class F>
  void each(F&& f) {
    for (PyObject** p : {&leaves, &presence, &read, &cells, &acquire, &release, &run, &exchanged, &gradients, &results})
      f(*p);
  }
  ~Last() {
    each([](PyObject*& p) { Py_CLEAR(p); });
  }
};

struct ReplayerObject {
  PyObject_HEAD std::shared_ptr<Last> last;
  long long replayed;
};
ReplayerObject* as_replayer(PyObject* object) { return reinterpret_cast<ReplayerObject*>(object); }

bool same_presence(const Last& last) {
  const char* presence = PyBytes_AS_STRING(last.presence);
  if (PyList_GET_SIZE(last.leaves) != PyBytes_GET_SIZE(last.presence)) return false;
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(last.leaves); ++i)
    if (given(as_tensor(PyList_GET_ITEM(last.leaves, i))->grad) != (presence[i] != 0)) return false;
  return true;
}

bool reads_the_same(const Last& last) {
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(last.read); ++i) {
    PyObject* pair = PyList_GET_ITEM(last.read, i);
    if (gradient_of(PyTuple_GET_ITEM(pair, 0)) != PyTuple_GET_ITEM(pair, 1)) return false;
  }
  return true;
}

// A list may say something else and be the same; the cell then notes None instead.
constexpr Py_ssize_t kSaidLast = 5;
bool cells_are_fresh(const Last& last) {
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(last.cells); ++i) {
    PyObject* cell = PyList_GET_ITEM(last.cells, i);
    PyObject* says = PyDict_GetItemWithError(PyList_GET_ITEM(cell, 0), PyList_GET_ITEM(cell, 1));
    if (!says || says != PyList_GET_ITEM(cell, kSaidLast)) return PyErr_Clear(), false;
  }
  return true;
}

bool is_the_same(const Last& last, PyObject* arguments) {
  static thread_local std::vector<int64_t> layout;
  if (marks->sessions || last.generation != marks->generation || last.modes != marks->modes) return false;
  if (last.grad != grad_enabled() || autocasting()) return false;
  return read_layout(arguments, layout) && layout == last.layout && same_presence(last) && reads_the_same(last) &&
         cells_are_fresh(last);
}

Ref arrays_of(PyObject* tensors) {
  Ref arrays(PyTuple_New(PyTuple_GET_SIZE(tensors)));
  for (Py_ssize_t i = 0; arrays && i < PyTuple_GET_SIZE(tensors); ++i)
    PyTuple_SET_ITEM(arrays.get(), i, Py_NewRef(as_tensor(PyTuple_GET_ITEM(tensors, i))->array));
  return arrays;
}

PyObject* run(const Last& last, PyObject* tensors) {
  const Ref arrays = arrays_of(tensors);
  const Ref results = arrays ? Ref(PyObject_CallOneArg(last.run, arrays.get())) : Ref();
  if (!results || !restore_gradients(last.exchanged, last.gradients)) return nullptr;
  if (last.results != Py_None) return call(last.results, tensors, results.get()).release();
  return wrap(PyTuple_GET_ITEM(results.get(), 0)).release();
}

// --- the type --------------------------------------------------------------------------------------------------------

PyObject* call_replayer(PyObject* self, PyObject* arguments, PyObject* keywords) {
  const std::shared_ptr<Last> last = as_replayer(self)->last;  // a destructor may call, and so forget it
  if (last && (!keywords || PyDict_GET_SIZE(keywords) == 0) && is_the_same(*last, arguments)) {
    const Ref mine = call(last->acquire, Py_False);
    if (!mine) return nullptr;
    if (mine.get() == Py_True) {
      ++as_replayer(self)->replayed;
      Ref value(run(*last, arguments));
      PyObject *type, *error, *trace;
      PyErr_Fetch(&type, &error, &trace);
      const Ref released(PyObject_CallNoArgs(last->release));
      PyErr_Restore(type, error, trace);
      return value.release();
    }
  }
  const Ref slowly(PyObject_GetAttr(self, names.call));
  return slowly ? PyObject_Call(slowly.get(), arguments, keywords) : nullptr;
}

// remember(tensors, leaves, presence, read, cells, acquire, release, run, exchanged, gradients, results)
PyObject* remember(PyObject* self, PyObject* arguments) {
  auto last = std::make_shared<Last>();
  PyObject* tensors;
  Last& l = *last;
  if (!PyArg_ParseTuple(arguments, "O!O!SO!O!OOOO!O!O:remember", &PyTuple_Type, &tensors, &PyList_Type, &l.leaves,
                        &l.presence, &PyList_Type, &l.read, &PyList_Type, &l.cells, &l.acquire, &l.release, &l.run,
                        &PyList_Type, &l.exchanged, &PyList_Type, &l.gradients, &l.results)) {
    l.each([](PyObject*& p) { p = nullptr; });
    return nullptr;
  }
  l.each([](PyObject*& p) { Py_INCREF(p); });
  l.generation = marks->generation, l.modes = marks->modes, l.grad = grad_enabled();
  if (!autocasting() && read_layout(tensors, l.layout)) as_replayer(self)->last = std::move(last);
  Py_RETURN_NONE;
}

PyObject* forget(PyObject* self, PyObject*) {
  const std::shared_ptr<Last> last = std::move(as_replayer(self)->last);
  Py_RETURN_NONE;
}

PyObject* new_replayer(PyTypeObject* type, PyObject*, PyObject*) {
  PyObject* self = type->tp_alloc(type, 0);
  if (self) new (&as_replayer(self)->last) std::shared_ptr<Last>;
  return self;
}

int traverse(PyObject* self, visitproc visit, void* arg) {
  int result = 0;
  if (const auto& last = as_replayer(self)->last; last && last.use_count() == 1)
    last->each([&](PyObject*& p) {
      if (!result && p) result = visit(p, arg);
    });
  Py_VISIT(Py_TYPE(self));
  return result;
}

int clear(PyObject* self) {
  const std::shared_ptr<Last> last = std::move(as_replayer(self)->last);
  return 0;
}

void dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  as_replayer(self)->last.~shared_ptr();
  type->tp_free(self);
  Py_DECREF(type);
}

PyMethodDef methods[] = {{"_remember", remember, METH_VARARGS,
                          "_remember(tensors, leaves, presence, read, cells, acquire, release, run, exchanged, "
                          "gradients, results): the next "
                          "call with such tensors is such a replay."},
                         {"_forget", forget, METH_NOARGS, "The next call is looked at anew."},
                         {nullptr, nullptr, 0, nullptr}};
PyMemberDef members[] = {{"_replayed", T_LONGLONG, offsetof(ReplayerObject, replayed), 0, nullptr},
                         {nullptr, 0, 0, 0, nullptr}};

PyMemberDef marks_members[] = {{"generation", T_LONGLONG, offsetof(Marks, generation), 0, nullptr},
                               {"modes", T_LONGLONG, offsetof(Marks, modes), 0, nullptr},
                               {"sessions", T_LONGLONG, offsetof(Marks, sessions), 0, nullptr},
                               {nullptr, 0, 0, 0, nullptr}};

int make_marks(PyObject* module) {
  static PyType_Slot slots[] = {{Py_tp_members, marks_members}, {0, nullptr}};
  static PyType_Spec spec = {"pullback._core.Marks", sizeof(Marks), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
  auto* type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
  marks = type ? reinterpret_cast<Marks*>(type->tp_alloc(type, 0)) : nullptr;
  return marks ? PyModule_AddObjectRef(module, "marks", reinterpret_cast<PyObject*>(marks)) : -1;
}

}  // namespace

int make_replayer_type(PyObject* module) {
  static PyType_Slot slots[] = {{Py_tp_new, reinterpret_cast<void*>(new_replayer)},
                                {Py_tp_dealloc, reinterpret_cast<void*>(dealloc)},
                                {Py_tp_traverse, reinterpret_cast<void*>(traverse)},
                                {Py_tp_clear, reinterpret_cast<void*>(clear)},
                                {Py_tp_call, reinterpret_cast<void*>(call_replayer)},
                                {Py_tp_methods, methods},
                                {Py_tp_members, members},
                                {0, nullptr}};
  static PyType_Spec spec = {"pullback._core.Replayer", sizeof(ReplayerObject), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots};
  PyObject* type = PyType_FromSpec(&spec);
  if (!type || make_marks(module) < 0) return -1;
  return PyModule_AddObject(module, "Replayer", type);
}

}  // namespace pullback::tape
