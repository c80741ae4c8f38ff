#include "bind/kernel.h"

#include <structmember.h>

#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "bind/read.h"
#include "bind/recording.h"
#include "runtime/launch.h"
#include "runtime/variables.h"

namespace pullback::bind {
namespace {

constexpr int64_t kElementsWithoutGil = 1 << 15;  // below that, releasing the GIL costs more than it gives
constexpr int kOperandsOnStack = 8;

struct KernelObject {
  PyObject_HEAD vectorcallfunc call;
  Kernel* kernel;
  int params;                   // of all kinds
  PyObject* names[kMaxParams];  // interned
};
PyTypeObject* kernel_type = nullptr;

const char* name_of(const KernelObject* self) { return self->kernel->signature->name; }

// Arguments in the order of the contract; None stands for an absent optional one.
bool order_arguments(KernelObject* self, PyObject* const* args, Py_ssize_t given, PyObject* keywords,
                     PyObject** ordered) {
  if (given > self->params) {
    PyErr_Format(PyExc_TypeError, "%s: expected at most %d arguments, got %zd", name_of(self), self->params, given);
    return false;
  }
  for (int i = 0; i < self->params; ++i) ordered[i] = i < given ? args[i] : nullptr;
  for (Py_ssize_t k = 0; keywords && k < PyTuple_GET_SIZE(keywords); ++k) {
    PyObject* key = PyTuple_GET_ITEM(keywords, k);
    int i = 0;
    while (i < self->params && self->names[i] != key && PyUnicode_Compare(self->names[i], key)) ++i;
    if (i == self->params || ordered[i]) {
      PyErr_Format(PyExc_TypeError, "%s: %s argument %R", name_of(self), i == self->params ? "unknown" : "repeated",
                   key);
      return false;
    }
    ordered[i] = args[given + k];
  }
  for (int i = 0; i < self->params; ++i) {
    if (!ordered[i] && self->kernel->signature->params[i].optional) ordered[i] = Py_None;
    if (!ordered[i]) {
      PyErr_Format(PyExc_TypeError, "%s: argument %U is missing", name_of(self), self->names[i]);
      return false;
    }
  }
  return true;
}

// `expected` is that of the operands before, −1 where there are none.
bool same_device(const char* kernel, const Param& param, int device, int expected) {
  if (device == expected || expected < 0) return true;
  PyErr_Format(PyExc_RuntimeError, "%s: %s expects an array on GPU %d as its other operands, got one on GPU %d", kernel,
               param.name, expected, device);
  return false;
}

// A cell: an array of one element of float32, float64 or int64, read when the kernel runs.
bool read_cell(PyObject* object, const char* kernel, const Param& param, Scalar& scalar, int device) {
  Operand cell;
  const Param as_array{
      param.name, ParamKind::operand, Role::in, {static_cast<uint16_t>(kWholeFloatBits | bit(DType::i64)), 0}};
  if (!read_array(object, kernel, as_array, cell)) return false;
  if (cell.size() != 1) {
    PyErr_Format(PyExc_ValueError, "%s: %s expects a number or an array of one element, got %R", kernel, param.name,
                 object);
    return false;
  }
  if (!same_device(kernel, param, cell.device, device)) return false;
  scalar.cell = cell.data<void>();
  scalar.kind = cell.dtype == DType::f32   ? Scalar::Kind::cell_f32
                : cell.dtype == DType::f64 ? Scalar::Kind::cell_f64
                                           : Scalar::Kind::cell_i64;
  return true;
}

bool read_scalar(PyObject* object, const char* kernel, const Param& param, Scalar& scalar, int device) {
  if (PyFloat_Check(object) && param.kind == ParamKind::real) {
    scalar.kind = Scalar::Kind::real;
    scalar.real_value = PyFloat_AS_DOUBLE(object);
    return true;
  }
  if (PyLong_Check(object)) {  // bool too
    int overflow = 0;
    scalar.kind = Scalar::Kind::integer;  // exact, also where the contract says real
    scalar.integer_value = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (overflow && param.kind == ParamKind::real) {
      scalar.kind = Scalar::Kind::real;
      scalar.real_value = PyLong_AsDouble(object);
    } else if (overflow) {
      PyErr_Format(PyExc_OverflowError, "%s: %s expects a 64-bit integer, got %R", kernel, param.name, object);
    }
    return !PyErr_Occurred();
  }
  return read_cell(object, kernel, param, scalar, device);
}

// The record under construction: on the stack for most calls, on the heap for long lists.
struct Arguments {
  Operand on_stack[kOperandsOnStack];
  std::vector<Operand> on_heap;
  Operand* operands = on_stack;
  int32_t count = 0;
  int32_t first[kMaxParams + 1];
  int params = 0;
  Scalar scalars[kMaxParams];
  int scalar_count = 0;
  Variables variables;

  Arguments() { first[0] = 0; }  // the rest as operands are read: no call pays for zeros

  int device() const { return count ? operands[0].device : -1; }

  bool add(PyObject* object, const char* kernel, const Param& param) {
    Operand& operand = operands[count];
    if (!read_array(object, kernel, param, operand)) return false;
    if (!same_device(kernel, param, operand.device, device())) return false;
    ++count;
    return variables.admit(param, operand) || refuse(kernel, param, operand.dtype);
  }

  bool refuse(const char* kernel, const Param& param, DType got) const {
    PyErr_Format(PyExc_TypeError, "%s: %s expects %s as its other operands, got %s", kernel, param.name,
                 dtype_name(variables.expected(param)), dtype_name(got));
    return false;
  }

  bool read(KernelObject* self, PyObject** ordered) {
    const char* kernel = name_of(self);
    for (int i = 0; i < self->params; ++i) {
      const Param& param = self->kernel->signature->params[i];
      if (param.kind != ParamKind::operand) {
        if (!read_scalar(ordered[i], kernel, param, scalars[scalar_count++], device())) return false;
        continue;
      }
      if (param.list) {
        for (Py_ssize_t k = 0; k < PyList_GET_SIZE(ordered[i]); ++k)
          if (!add(PyList_GET_ITEM(ordered[i], k), kernel, param)) return false;
      } else if (ordered[i] != Py_None || !param.optional) {
        if (!add(ordered[i], kernel, param)) return false;
      }
      first[++params] = count;
    }
    const Param* misplaced = variables.misplaced();
    return !misplaced || refuse(kernel, *misplaced, DType::f32);
  }

  // Room for every operand, before any is read.
  bool reserve(KernelObject* self, PyObject** ordered) {
    Py_ssize_t needed = self->params;
    for (int i = 0; i < self->params; ++i)
      if (self->kernel->signature->params[i].list) {
        if (!PyList_Check(ordered[i])) {
          PyErr_Format(PyExc_TypeError, "%s: %U expects a list of arrays, got %R", name_of(self), self->names[i],
                       Py_TYPE(ordered[i]));
          return false;
        }
        needed += PyList_GET_SIZE(ordered[i]);
      }
    if (needed > kOperandsOnStack) {
      on_heap.resize(static_cast<size_t>(needed));
      operands = on_heap.data();
    }
    return true;
  }

  int64_t elements() const {
    int64_t n = 0;
    for (int i = 0; i < count; ++i) n += operands[i].size();
    return n;
  }
};

// What another thread might drop while the GIL is released: a list's items, unlike arguments, belong to the list only.
struct Held {
  PyObject* tuples[kMaxParams];
  int count = 0;

  bool hold(PyObject* const* arguments, int n) {
    for (int i = 0; i < n; ++i) {
      if (!PyList_Check(arguments[i])) continue;
      tuples[count] = PyList_AsTuple(arguments[i]);
      if (!tuples[count]) return false;
      ++count;
    }
    return true;
  }
  ~Held() {
    for (int i = 0; i < count; ++i) Py_DECREF(tuples[i]);
  }
};

PyObject* call(PyObject* object, PyObject* const* args, size_t nargsf, PyObject* keywords) {
  auto* self = reinterpret_cast<KernelObject*>(object);
  if (!self->kernel->entry) {
    PyErr_Format(PyExc_NotImplementedError, "%s: there is no kernel for this device yet", name_of(self));
    return nullptr;
  }
  PyObject* ordered[kMaxParams];
  if (!order_arguments(self, args, PyVectorcall_NARGS(nargsf), keywords, ordered)) return nullptr;
  try {
    Arguments a;
    if (!a.reserve(self, ordered) || !a.read(self, ordered)) return nullptr;
    std::unique_ptr<Step> step;
    if (recording()) {
      step = std::make_unique<Step>();
      if (!read_step(*self->kernel->signature, ordered, *step)) return nullptr;
    }
    const bool release = runs_without_gil && a.elements() > kElementsWithoutGil;
    Held held;
    if (release && !held.hold(ordered, self->params)) return nullptr;
    {
      PyThreadState* released = release ? PyEval_SaveThread() : nullptr;
      struct Restore {
        PyThreadState* state;
        ~Restore() {
          if (state) PyEval_RestoreThread(state);
        }
      } restore{released};
      launch(*self->kernel, a.operands, a.first, a.scalars);
    }
    if (step) note_step(*self->kernel, a.operands, a.first, a.params, a.scalars, a.scalar_count, std::move(*step));
  } catch (...) {
    return raise_current();
  }
  Py_RETURN_NONE;
}

void free_kernel(PyObject* object) {
  auto* self = reinterpret_cast<KernelObject*>(object);
  for (int i = 0; i < self->params; ++i) Py_DECREF(self->names[i]);
  PyTypeObject* type = Py_TYPE(object);
  type->tp_free(object);
  Py_DECREF(type);
}

PyObject* get_name(PyObject* self, void*) {
  return PyUnicode_FromString(name_of(reinterpret_cast<KernelObject*>(self)));
}
PyObject* get_formula(PyObject* self, void*) {
  return PyUnicode_FromString(reinterpret_cast<KernelObject*>(self)->kernel->signature->formula);
}

KernelObject* make_kernel(Kernel& kernel) {
  auto* self = PyObject_New(KernelObject, kernel_type);
  if (!self) return nullptr;
  self->call = call;
  self->kernel = &kernel;
  self->params = 0;
  for (const Param& p : kernel.signature->params)
    if (p.name) self->names[self->params++] = PyUnicode_InternFromString(p.name);
  return self;
}

const char* kind_name(const Param& p) {
  constexpr const char* names[] = {"operand", "real", "integer", "flag"};
  return names[static_cast<int>(p.kind)];
}
const char* role_name(const Param& p) {
  constexpr const char* names[] = {"in", "out", "inout"};
  return names[static_cast<int>(p.role)];
}

PyObject* describe(const Param& p) {
  PyObject* dtypes = PyList_New(0);
  for (int t = 0; t < kDTypes; ++t)
    if (p.types.mask >> t & 1) {
      PyObject* name = PyUnicode_FromString(dtype_name(static_cast<DType>(t)));
      PyList_Append(dtypes, name);
      Py_DECREF(name);
    }
  return Py_BuildValue("(sssNOO)", p.name, kind_name(p), role_name(p), dtypes, p.optional ? Py_True : Py_False,
                       p.list ? Py_True : Py_False);
}

void raise(const KernelError& e) {
  switch (e.code) {
    case ErrorCode::out_of_memory:
      PyErr_SetString(PyExc_MemoryError, e.what());
      break;
    case ErrorCode::division_by_zero:
      PyErr_SetString(PyExc_ZeroDivisionError, e.what());
      break;
    case ErrorCode::negative_power:
    case ErrorCode::bad_shape:
    case ErrorCode::bad_value:
      PyErr_SetString(PyExc_ValueError, e.what());
      break;
    default:
      PyErr_SetString(PyExc_IndexError, e.what());
  }
}

}  // namespace

PyObject* raise_current() {
  try {
    throw;
  } catch (const PythonError&) {
  } catch (const KernelError& e) {
    raise(e);
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  } catch (const std::exception& e) {
    PyErr_SetString(PyExc_RuntimeError, e.what());
  }
  return nullptr;
}

int make_kernel_type(const char* name) {
  static PyMemberDef members[] = {{"__vectorcalloffset__", T_PYSSIZET, offsetof(KernelObject, call), READONLY, nullptr},
                                  {nullptr, 0, 0, 0, nullptr}};
  static PyGetSetDef properties[] = {{"__name__", get_name, nullptr, nullptr, nullptr},
                                     {"__doc__", get_formula, nullptr, nullptr, nullptr},
                                     {nullptr, nullptr, nullptr, nullptr, nullptr}};
  static PyType_Slot slots[] = {{Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
                                {Py_tp_dealloc, reinterpret_cast<void*>(free_kernel)},
                                {Py_tp_members, members},
                                {Py_tp_getset, properties},
                                {0, nullptr}};
  static PyType_Spec spec = {name, sizeof(KernelObject), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                             slots};
  kernel_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
  return kernel_type ? 0 : -1;
}

int add_kernels(PyObject* module) {
  for (Kernel& kernel : kernels()) {
    auto* object = reinterpret_cast<PyObject*>(make_kernel(kernel));
    if (!object || PyModule_AddObject(module, kernel.signature->name, object) < 0) return -1;
  }
  return 0;
}

PyObject* signatures() {
  PyObject* all = PyList_New(0);
  for (const Kernel& kernel : kernels()) {
    PyObject* params = PyList_New(0);
    for (const Param& p : kernel.signature->params)
      if (p.name) {
        PyObject* row = describe(p);
        PyList_Append(params, row);
        Py_DECREF(row);
      }
    PyObject* row = Py_BuildValue("(ssN)", kernel.signature->name, kernel.signature->formula, params);
    PyList_Append(all, row);
    Py_DECREF(row);
  }
  return all;
}

PyObject* launch_counts() {
  PyObject* counts = PyDict_New();
  for (const Kernel& kernel : kernels()) {
    PyObject* n = PyLong_FromLongLong(kernel.launches);
    PyDict_SetItemString(counts, kernel.signature->name, n);
    Py_DECREF(n);
  }
  return counts;
}

}  // namespace pullback::bind
