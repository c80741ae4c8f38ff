// pullback._core: the parts of the tape that every op passes through.
#define PULLBACK_IMPORTS_NUMPY
#include "tape/arrays.h"
#include "tape/node.h"
#include "tape/numpy.h"
#include "tape/op.h"
#include "tape/replay.h"
#include "tape/tensor.h"
#include "tape/walk.h"
#include "tape/watch.h"

namespace pullback::tape {
namespace {

template <class T>
void hold(T*& field, PyObject* value) {
  PyObject* before = reinterpret_cast<PyObject*>(std::exchange(field, reinterpret_cast<T*>(Py_NewRef(value))));
  Py_XDECREF(before);
}

// connect(Tensor, device, devices, dtypes, block, run_hooks, accumulate), each when its module is ready
PyObject* connect(PyObject*, PyObject* arguments, PyObject* keywords) {
  static const char* const parameters[] = {"Tensor", "device",    "devices",    "dtypes",
                                           "block",  "run_hooks", "accumulate", nullptr};
  PyObject *tensor = nullptr, *device = nullptr, *devices = nullptr, *dtypes = nullptr, *block = nullptr,
           *run_hooks = nullptr, *accumulate = nullptr;
  if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "|$O!OO!O!O!OO:connect", const_cast<char**>(parameters),
                                   &PyType_Type, &tensor, &device, &PyDict_Type, &devices, &PyDict_Type, &dtypes,
                                   &PyType_Type, &block, &run_hooks, &accumulate))
    return nullptr;
  if (tensor) hold(library.tensor, tensor);
  if (device) hold(library.device, device);
  if (devices) hold(library.devices, devices);
  if (dtypes) hold(library.dtypes, dtypes);
  if (block) hold(library.block, block);
  if (run_hooks) hold(library.run_hooks, run_hooks);
  if (accumulate) hold(library.accumulate, accumulate);
  Py_RETURN_NONE;
}

PyObject* is_recording(PyObject*, PyObject*) { return PyBool_FromLong(grad_enabled()); }

PyMethodDef functions[] = {
    {"connect", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(connect)), METH_VARARGS | METH_KEYWORDS,
     "connect(*, Tensor, device, devices, dtypes, block, run_hooks, accumulate): what this module calls back."},
    {"grad_enabled", is_recording, METH_NOARGS, "Whether ops are being recorded."},
    device_of_method,
    as_strided_method,
    record_method,
    walk_method,
    pull_linear_method,
    watch_method,
    presence_method,
    gradients_method,
    exchanged_method,
    restore_method,
    layout_method,
    set_autocast_method,
    autocasting_method,
    {nullptr, nullptr, 0, nullptr}};

PyModuleDef module_definition = {PyModuleDef_HEAD_INIT,
                                 "pullback._core",
                                 "The tape's fields, nodes, short ways and walk.",
                                 -1,
                                 functions,
                                 nullptr,
                                 nullptr,
                                 nullptr,
                                 nullptr};

bool intern_names() {
  const struct {
    PyObject** place;
    const char* text;
  } all[] = {{&names.pullback, "pullback"},
             {&names.pullback_ops, "pullback_ops"},
             {&names.name, "name"},
             {&names.empty, "empty"},
             {&names.kernels, "kernels"},
             {&names.owns, "owns"},
             {&names.base, "base"},
             {&names.add, "add"},
             {&names.matmul, "matmul"},
             {&names.sum, "sum"},
             {&names.follow_base, "_follow_base"},
             {&names.call, "_call"}};
  for (const auto& [place, text] : all)
    if (!(*place = PyUnicode_InternFromString(text))) return false;
  return true;
}

}  // namespace
}  // namespace pullback::tape

PyMODINIT_FUNC PyInit__core() {
  using namespace pullback::tape;
  import_array();
  if (!intern_names()) return nullptr;
  Ref module(PyModule_Create(&module_definition));
  if (!module || make_tensor_type(module.get()) < 0 || make_node_type(module.get()) < 0 ||
      make_op_type(module.get()) < 0 || make_replayer_type(module.get()) < 0)
    return nullptr;
  return module.release();
}
