#include "tape/walk.h"

#include <new>
#include <queue>
#include <stdexcept>
#include <unordered_map>
#include <vector>

#include "tape/arrays.h"
#include "tape/node.h"
#include "tape/watch.h"

namespace pullback::tape {
namespace {

// The same of an array that is not NumPy's: its base is the array that owns the memory, None where that is itself.
bool exclusive_elsewhere(PyObject* array) {
  const Ref base(PyObject_GetAttr(array, names.base));
  const bool shared = base && base.get() != Py_None && Py_REFCNT(base.get()) != 2;  // the array's, and the one here
  const Ref device = base && !shared ? device_of(array) : Ref();
  const Ref owns(device ? PyObject_CallMethodOneArg(device.get(), names.owns, array) : nullptr);
  PyErr_Clear();  // what cannot be asked is not ours
  return owns.get() == Py_True;
}

// Whether nobody but the one reference at hand can see an array, and its memory is ours, whole and row-major: then it
// may be added to in place, and a leaf may keep it as its gradient.
bool exclusive(PyObject* object) {
  if (Py_REFCNT(object) != 1) return false;
  if (!PyArray_CheckExact(object)) return exclusive_elsewhere(object);
  PyArrayObject* array = as_array(object);
  PyObject* owner = PyArray_BASE(array);
  if (owner && PyArray_CheckExact(owner) && Py_REFCNT(owner) == 1 &&
      PyArray_NBYTES(as_array(owner)) == PyArray_NBYTES(array))
    owner = PyArray_BASE(as_array(owner));
  return owner && Py_IS_TYPE(owner, library.block) && PyArray_IS_C_CONTIGUOUS(array);
}

struct Pending {
  Ref node;
  std::vector<Ref> gradients;  // of each output, none until one arrives
};

struct Leaf {
  Ref tensor, gradient;
};

class Walk {
 public:
  bool create_graph = false, retain_graph = false;
  PyObject* stop = nullptr;     // a set: only these nodes are pulled through
  PyObject* targets = nullptr;  // {node: {output: gradient}}, filled as they arrive

  bool start(PyObject* starts);
  bool run();
  PyObject* leaf_gradients() const;
  bool accumulate();

 private:
  bool add(PyObject* parent, long index, Ref gradient);
  bool grow(Ref& sum, Ref gradient);
  bool visit(Pending& here);
  bool call_hooks(NodeObject* node, std::vector<Ref>& gradients);
  bool note_targets(NodeObject* node, const std::vector<Ref>& gradients);
  Ref pull(NodeObject* node, std::vector<Ref>& gradients);
  bool hand_on(NodeObject* node, PyObject* gradients);

  std::unordered_map<PyObject*, Pending> pending_;
  std::priority_queue<std::pair<long long, PyObject*>> queue_;
  std::vector<Leaf> leaves_;
  std::unordered_map<PyObject*, size_t> place_;  // of a leaf in leaves_
};

// starts: [(node or leaf, output, gradient), …]
bool Walk::start(PyObject* starts) {
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(starts); ++i) {
    PyObject *parent, *gradient;
    long index;
    if (!PyArg_ParseTuple(PyList_GET_ITEM(starts, i), "OlO:walk", &parent, &index, &gradient)) return false;
    if (!is_tensor(gradient)) {
      PyErr_SetString(PyExc_TypeError, "walk: gradient expects a Tensor");
      return false;
    }
    if (!add(parent, index, Ref::to(create_graph ? gradient : as_tensor(gradient)->array))) return false;
  }
  return true;
}

// ḡ of a node's output, or of a leaf, grows by one contribution.
bool Walk::add(PyObject* parent, long index, Ref gradient) {
  if (!is_node(parent)) {
    const auto [found, is_new] = place_.try_emplace(parent, leaves_.size());
    if (is_new) leaves_.push_back({Ref::to(parent), Ref()});
    return grow(leaves_[found->second].gradient, std::move(gradient));
  }
  Pending& at = pending_[parent];
  if (!at.node) {
    PyObject* outputs = as_node(parent)->outputs;
    at.node = Ref::to(parent);
    at.gradients.resize(PyTuple_GET_SIZE(outputs) ? PyTuple_GET_SIZE(outputs) : 1);
    queue_.emplace(as_node(parent)->order, parent);
  }
  return grow(at.gradients.at(index), std::move(gradient));
}

bool Walk::grow(Ref& sum, Ref gradient) {
  if (!sum) {
    sum = std::move(gradient);
    return true;
  }
  if (create_graph) {
    sum = Ref(PyNumber_Add(sum.get(), gradient.get()));
    return static_cast<bool>(sum);
  }
  Ref out = exclusive(sum.get()) ? Ref::to(sum.get()) : empty_like(sum.get());
  const Ref device = device_of(sum.get()), add = find_kernel(device.get(), names.add);
  if (!out || !add || !call(add.get(), sum.get(), gradient.get(), out.get())) return false;
  sum = std::move(out);
  return true;
}

bool Walk::run() {
  while (!queue_.empty()) {
    PyObject* node = queue_.top().second;
    queue_.pop();
    Pending here = std::move(pending_.extract(node).mapped());
    if (!visit(here)) return false;
  }
  return true;
}

bool Walk::visit(Pending& here) {
  NodeObject* node = as_node(here.node.get());
  if (given(node->hooks) && !call_hooks(node, here.gradients)) return false;
  if (targets && !note_targets(node, here.gradients)) return false;
  if (stop) {
    const int on_the_way = PySet_Contains(stop, here.node.get());
    if (on_the_way <= 0) return on_the_way == 0;
  }
  const Ref gradients = pull(node, here.gradients);
  here.gradients.clear();
  if (!gradients || !hand_on(node, gradients.get())) return false;
  if (!retain_graph && node->kept_count > 0) free_saved(node);
  return true;
}

bool Walk::call_hooks(NodeObject* node, std::vector<Ref>& gradients) {
  PyObject *index, *hooks;
  const Ref all(PyDict_Copy(node->hooks));
  for (Py_ssize_t at = 0; all && PyDict_Next(all.get(), &at, &index, &hooks);) {
    Ref& gradient = gradients.at(PyLong_AsLong(index));
    if (!gradient) continue;
    const Ref before = create_graph ? Ref::to(gradient.get()) : wrap(gradient.get());
    Ref after = before ? call(library.run_hooks, hooks, before.get()) : Ref();
    if (!after) return false;
    gradient = create_graph ? std::move(after) : Ref::to(as_tensor(after.get())->array);
  }
  return static_cast<bool>(all);
}

bool Walk::note_targets(NodeObject* node, const std::vector<Ref>& gradients) {
  PyObject *index, *before;
  PyObject* wanted = PyDict_GetItemWithError(targets, reinterpret_cast<PyObject*>(node));
  for (Py_ssize_t at = 0; wanted && PyDict_Next(wanted, &at, &index, &before);) {
    const Ref& gradient = gradients.at(PyLong_AsLong(index));
    if (PyDict_SetItem(wanted, index, gradient ? gradient.get() : Py_None) < 0) return false;
  }
  return !PyErr_Occurred();
}

// x̄ = (df_x)ᵀ ȳ by the node's rule: one gradient, or None, for each parent.
Ref Walk::pull(NodeObject* node, std::vector<Ref>& gradients) {
  if (!check_saved(node)) return {};
  const Ref rule(PyObject_GetAttr(node->rule, create_graph ? names.pullback_ops : names.pullback));
  if (!rule) return {};
  if (rule.get() == Py_None) {
    const Ref name(PyObject_GetAttr(node->rule, names.name));
    if (name)
      PyErr_Format(PyExc_RuntimeError, "%U: its pullback cannot be differentiated again (create_graph=True)",
                   name.get());
    return {};
  }
  auto* self = reinterpret_cast<PyObject*>(node);
  if (PyTuple_GET_SIZE(node->outputs) == 0) {
    node->owned = !create_graph && exclusive(gradients[0].get()) ? gradients[0].get() : nullptr;
    Ref result = call(rule.get(), self, gradients[0].get());
    node->owned = nullptr;
    return result;
  }
  const Ref list(PyList_New(static_cast<Py_ssize_t>(gradients.size())));
  if (!list) return {};
  for (size_t i = 0; i < gradients.size(); ++i)
    PyList_SET_ITEM(list.get(), i, gradients[i] ? gradients[i].release() : Py_NewRef(Py_None));
  return call(rule.get(), self, list.get());
}

bool Walk::hand_on(NodeObject* node, PyObject* gradients) {
  const Ref items(PySequence_Fast(gradients, "pullback: expected a sequence of gradients"));
  if (!items) return false;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(node->parents); ++i) {
    PyObject* parent = PyTuple_GET_ITEM(node->parents, i);
    if (parent == Py_None) continue;
    if (i >= PySequence_Fast_GET_SIZE(items.get())) {
      PyErr_SetString(PyExc_IndexError, "pullback: fewer gradients than parents");
      return false;
    }
    PyObject* gradient = PySequence_Fast_GET_ITEM(items.get(), i);
    if (gradient == Py_None) continue;
    if (!add(parent, PyLong_AsLong(PyTuple_GET_ITEM(node->indices, i)), Ref::to(gradient))) return false;
  }
  return true;
}

PyObject* Walk::leaf_gradients() const {
  Ref found(PyDict_New());
  for (const Leaf& leaf : leaves_)
    if (!found || PyDict_SetItem(found.get(), leaf.tensor.get(), leaf.gradient.get()) < 0) return nullptr;
  return found.release();
}

// The first gradient that reaches a leaf becomes its own without a copy, where nobody else can hold that array.
bool Walk::accumulate() {
  for (Leaf& leaf : leaves_) {
    TensorObject* t = as_tensor(leaf.tensor.get());
    if (!note_leaf(leaf.tensor.get())) return false;
    const bool keep = !create_graph && !given(t->grad) && !given(t->hooks) && exclusive(leaf.gradient.get());
    Ref gradient = create_graph ? Ref::to(leaf.gradient.get()) : wrap(leaf.gradient.get());
    if (!gradient) return false;
    if (keep) {
      Py_XSETREF(t->grad, gradient.release());
    } else if (!call(library.accumulate, leaf.tensor.get(), gradient.get(), create_graph ? Py_True : Py_False)) {
      return false;
    }
    leaf.gradient = Ref();
  }
  return true;
}

PyObject* run_pass(Walk& pass, PyObject* starts) {
  try {
    if (!pass.start(starts)) return nullptr;
    if (PyList_SetSlice(starts, 0, PyList_GET_SIZE(starts), nullptr) < 0) return nullptr;
    if (!pass.run()) return nullptr;
    if (pass.targets) return pass.leaf_gradients();
    if (!pass.accumulate()) return nullptr;
  } catch (const std::bad_alloc&) {
    return PyErr_NoMemory();
  } catch (const std::out_of_range&) {
    PyErr_SetString(PyExc_IndexError, "walk: a node has no such output");
    return nullptr;
  }
  Py_RETURN_NONE;
}

PyObject* walk(PyObject*, PyObject* arguments, PyObject* keywords) {
  static const char* const parameters[] = {"starts", "create_graph", "retain_graph", "stop", "targets", nullptr};
  PyObject *starts, *stop = Py_None, *targets = Py_None;
  int create_graph, retain_graph;
  if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O!pp|OO:walk", const_cast<char**>(parameters), &PyList_Type,
                                   &starts, &create_graph, &retain_graph, &stop, &targets))
    return nullptr;
  Walk pass;
  pass.create_graph = create_graph;
  pass.retain_graph = retain_graph;
  pass.stop = given(stop) ? stop : nullptr;
  pass.targets = given(targets) ? targets : nullptr;
  const GradMode mode(create_graph);
  return mode.is_set() ? run_pass(pass, starts) : nullptr;
}

}  // namespace

PyMethodDef walk_method = {
    "walk", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(walk)), METH_VARARGS | METH_KEYWORDS,
    "walk(starts, create_graph, retain_graph, stop=None, targets=None): from [(node or leaf, output, gradient), …], "
    "which is emptied, to the leaves. With `targets`, {node: {output: None}}, gradients are put there as they arrive "
    "and "
    "those of the leaves are returned; without, they are added to `leaf.grad`."};

}  // namespace pullback::tape
