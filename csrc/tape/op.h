// Ops with a short way: for plain arguments (floating-point arrays of NumPy that fit together) the launch and the
// record happen here; everything else goes to the op's own Python function. And ops that autocast knows: where it is
// on, they go to its policy.
#pragma once
#include "tape/arrays.h"
#include "tape/node.h"

namespace pullback::tape {

struct OpObject {
  PyObject_HEAD vectorcallfunc call;
  PyObject* dict;      // what functools.update_wrapper writes
  PyObject* function;  // the op in Python, which knows every case
  PyObject* rule;
  PyObject* kernel_name;
  PyObject* kernel;  // of `device`
  PyObject* device;
  PyObject* activation;  // of kind linear: its number in the kernel's contract
  char saves_inputs, saves_output;
};

inline OpObject* as_op(PyObject* object) { return reinterpret_cast<OpObject*>(object); }
int make_op_type(PyObject* module);

PyObject* kernel_of(OpObject* op);

inline PyObject* by_function(OpObject* op, PyObject* const* args, size_t nargsf, PyObject* keywords) {
  return PyObject_Vectorcall(op->function, args, nargsf, keywords);
}

// The result, on the tape where it belongs there; `read` are at most two inputs that the pullback may read, and `args`
// makes what it needs to know beside arrays.
template <class Args>
PyObject* finish(OpObject* op, const Ref& out, Tensors inputs, Tensors read, Args args) {
  const int on_tape = recording(inputs);
  if (on_tape < 0) return nullptr;
  if (!on_tape) return wrap(out.get()).release();
  const Ref plain_values = args();
  PyObject* saved[3];
  Py_ssize_t count = 0;
  for (Py_ssize_t i = 0; op->saves_inputs && i < read.count; ++i) saved[count++] = read.items[i];
  if (op->saves_output) saved[count++] = output_mark;
  return record(op->rule, out.get(), inputs, {saved, count}, plain_values.get()).release();
}
inline Ref no_args() { return Ref(PyTuple_New(0)); }

PyObject* call_cast(PyObject* self, PyObject* const* args, size_t nargsf, PyObject* keywords);  // rule(f, …), or f(…)

// The short ways, in elementwise.cpp and linear.cpp.
PyObject* call_unary(PyObject* self, PyObject* const* args, size_t nargsf, PyObject* keywords);   // y = f(x)
PyObject* call_binary(PyObject* self, PyObject* const* args, size_t nargsf, PyObject* keywords);  // y = f(a, b)
PyObject* call_total(PyObject* self, PyObject* const* args, size_t nargsf, PyObject* keywords);   // y = Σ x
PyObject* call_matmul(PyObject* self, PyObject* const* args, size_t nargsf, PyObject* keywords);  // y = a b
PyObject* call_linear(PyObject* self, PyObject* const* args, size_t nargsf, PyObject* keywords);  // y = f(x Wᵀ + b)
extern PyMethodDef pull_linear_method, set_autocast_method, autocasting_method;

}  // namespace pullback::tape
