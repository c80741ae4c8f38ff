#include "tape/op.h"

namespace pullback::tape {

// --- y = f(x) --------------------------------------------------------------------------------------------------------

PyObject* call_unary(PyObject* self, PyObject* const* args, size_t nargsf, PyObject* keywords) {
  OpObject* op = as_op(self);
  PyArrayObject* x = PyVectorcall_NARGS(nargsf) == 1 && !keywords ? plain(args[0]) : nullptr;
  if (!x || !PyArray_IS_C_CONTIGUOUS(x)) return by_function(op, args, nargsf, keywords);
  PyObject* kernel = kernel_of(op);
  const Ref out = kernel ? empty(PyArray_NDIM(x), PyArray_DIMS(x), x) : Ref();
  if (!out || !call(kernel, as_tensor(args[0])->array, out.get())) return nullptr;
  return finish(op, out, {args, 1}, {args, 1}, no_args);
}

// --- y = f(a, b), the shapes broadcast -------------------------------------------------------------------------------

namespace {

// The common shape, dimensions aligned at the right; −1 where they do not fit.
int broadcast(PyArrayObject* a, PyArrayObject* b, npy_intp* shape) {
  if (PyArray_NDIM(a) < PyArray_NDIM(b)) return broadcast(b, a, shape);
  const int ndim = PyArray_NDIM(a), lead = ndim - PyArray_NDIM(b);
  for (int d = 0; d < ndim; ++d) {
    const npy_intp n = PyArray_DIM(a, d), m = d < lead ? 1 : PyArray_DIM(b, d - lead);
    if (n != m && n != 1 && m != 1) return -1;
    shape[d] = n == 1 ? m : n;
  }
  return ndim;
}

// A Python float, or an int that a double holds, as an array without dimensions.
Ref number(PyObject* value, PyArrayObject* like) {
  const double v = PyFloat_AsDouble(value);
  if (v == -1 && PyErr_Occurred()) return {};
  Ref array = empty(0, nullptr, like);
  if (!array) return {};
  void* data = PyArray_DATA(as_array(array.get()));
  if (PyArray_TYPE(like) == NPY_FLOAT)
    *static_cast<float*>(data) = static_cast<float>(v);
  else
    *static_cast<double*>(data) = v;
  return array;
}

bool is_number(PyObject* object) {
  int overflow = 0;
  if (PyFloat_CheckExact(object)) return true;
  return PyLong_CheckExact(object) && (PyLong_AsLongAndOverflow(object, &overflow), overflow == 0);
}

// An operand as a tensor, or a number as one of the other's dtype.
Ref operand(PyObject* object, PyArrayObject* other) {
  if (is_tensor(object)) return Ref::to(object);
  const Ref array = number(object, other);
  return array ? wrap(array.get()) : Ref();
}

}  // namespace

PyObject* call_binary(PyObject* self, PyObject* const* args, size_t nargsf, PyObject* keywords) {
  OpObject* op = as_op(self);
  if (PyVectorcall_NARGS(nargsf) != 2 || keywords) return by_function(op, args, nargsf, keywords);
  PyArrayObject *x = plain(args[0]), *y = plain(args[1]);
  const bool fits = x && y ? same_dtype(x, y) : (x && is_number(args[1])) || (y && is_number(args[0]));
  if (!fits) return by_function(op, args, nargsf, keywords);
  const Ref a = operand(args[0], x ? x : y), b = operand(args[1], x ? x : y);
  if (!a || !b) return nullptr;
  x = as_array(as_tensor(a.get())->array), y = as_array(as_tensor(b.get())->array);
  npy_intp shape[NPY_MAXDIMS];
  const int ndim = broadcast(x, y, shape);
  if (ndim < 0) return by_function(op, args, nargsf, keywords);
  PyObject* kernel = kernel_of(op);
  const Ref out = kernel ? empty(ndim, shape, x) : Ref();
  if (!out || !call(kernel, as_tensor(a.get())->array, as_tensor(b.get())->array, out.get())) return nullptr;
  PyObject* inputs[] = {a.get(), b.get()};
  return finish(op, out, {inputs, 2}, {inputs, 2}, [&] {  // the shapes that gradients are summed to
    const Ref first = shape_of(x), second = shape_of(y);
    return first && second ? Ref(PyTuple_Pack(2, first.get(), second.get())) : Ref();
  });
}

// --- y = Σ x over everything -----------------------------------------------------------------------------------------

// The result with a size 1 for every dimension of x, as kernels want it; as (x's shape, that, the dimensions) it is
// what the pullback knows.
PyObject* call_total(PyObject* self, PyObject* const* args, size_t nargsf, PyObject* keywords) {
  OpObject* op = as_op(self);
  PyArrayObject* x = PyVectorcall_NARGS(nargsf) == 1 && !keywords ? plain(args[0]) : nullptr;
  if (!x) return by_function(op, args, nargsf, keywords);
  const int ndim = PyArray_NDIM(x);
  npy_intp ones[NPY_MAXDIMS];
  for (int d = 0; d < ndim; ++d) ones[d] = 1;
  PyObject* kernel = kernel_of(op);
  const Ref out = kernel ? empty(0, nullptr, x) : Ref();
  PyArray_Dims kept{ones, ndim};
  const Ref seen(out ? PyArray_Newshape(as_array(out.get()), &kept, NPY_CORDER) : nullptr);
  if (!seen || !call(kernel, as_tensor(args[0])->array, seen.get())) return nullptr;
  return finish(op, out, {args, 1}, {args, 1}, [&] {
    npy_intp count[NPY_MAXDIMS];
    for (int d = 0; d < ndim; ++d) count[d] = d;
    const Ref shape = shape_of(x), with_ones = tuple_of(ndim, ones), dims = tuple_of(ndim, count);
    return shape && with_ones && dims ? Ref(PyTuple_Pack(3, shape.get(), with_ones.get(), dims.get())) : Ref();
  });
}

}  // namespace pullback::tape
