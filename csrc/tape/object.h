// What the tape's sources share: owned references, interned names, and what the Python layer connects to this one.
#pragma once
#include <Python.h>

#include <utility>

namespace pullback::tape {

// One owned reference; nullptr where there is none, or where an error is set.
class Ref {
 public:
  Ref() = default;
  explicit Ref(PyObject* owned) : object_(owned) {}
  static Ref to(PyObject* borrowed) { return Ref(Py_XNewRef(borrowed)); }
  Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  Ref& operator=(Ref&& other) noexcept {
    PyObject* before = std::exchange(object_, std::exchange(other.object_, nullptr));
    Py_XDECREF(before);
    return *this;
  }
  ~Ref() { Py_XDECREF(object_); }
  PyObject* get() const { return object_; }
  PyObject* release() { return std::exchange(object_, nullptr); }
  explicit operator bool() const { return object_ != nullptr; }

 private:
  PyObject* object_ = nullptr;
};

// Whether a field holds something: one that was never set is nullptr, one that Python cleared is None.
inline bool given(PyObject* field) { return field && field != Py_None; }

// What `connect` was told: the Python layer's own types and functions, which this one calls back.
struct Library {
  PyTypeObject* tensor = nullptr;  // pullback.Tensor
  PyObject* device = nullptr;      // that of NumPy arrays
  PyObject* devices = nullptr;     // {type of array: array → its device} of all others
  PyObject* dtypes = nullptr;      // {numpy dtype: pullback dtype}
  PyTypeObject* block = nullptr;   // what owns the memory of an array of ours
  PyObject* run_hooks = nullptr;   // (hooks, gradient) → gradient
  PyObject* accumulate = nullptr;  // (leaf, gradient, create_graph): leaf.grad grows
};
inline Library library;

struct Names {
  PyObject *pullback, *pullback_ops, *name, *empty, *kernels, *owns, *base, *add, *matmul, *sum, *follow_base, *call;
};
inline Names names;

// The exact type's vectorcall: f(arguments…) as a new reference.
template <class... Arguments>
Ref call(PyObject* f, Arguments... arguments) {
  PyObject* array[] = {nullptr, arguments...};  // the first cell is the callee's to use
  return Ref(PyObject_Vectorcall(f, array + 1, sizeof...(Arguments) | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr));
}

}  // namespace pullback::tape
