#include <cstring>

#include "tape/op.h"

namespace pullback::tape {

// --- y = a b, y = x Wᵀ + bias ----------------------------------------------------------------------------------------

namespace {

PyObject* product(OpObject* op, PyObject* a, PyObject* b, PyObject* bias, Tensors inputs, const npy_intp* shape,
                  int ndim) {
  static PyObject* const one = PyFloat_FromDouble(1);
  static PyObject* const zero = PyFloat_FromDouble(0);
  PyObject* kernel = kernel_of(op);
  const Ref out = kernel ? empty(ndim, shape, as_array(a)) : Ref();
  if (!out || !call(kernel, a, b, out.get(), bias, one, zero, op->activation)) return nullptr;
  return finish(op, out, inputs, {inputs.items, 2}, no_args);
}

}  // namespace

PyObject* call_matmul(PyObject* self, PyObject* const* args, size_t nargsf, PyObject* keywords) {
  OpObject* op = as_op(self);
  const bool two = PyVectorcall_NARGS(nargsf) == 2 && !keywords;
  PyArrayObject *a = two ? plain(args[0]) : nullptr, *b = a ? plain(args[1]) : nullptr;
  if (!b || !same_dtype(a, b) || PyArray_NDIM(a) != 2 || PyArray_NDIM(b) != 2 || PyArray_DIM(a, 1) != PyArray_DIM(b, 0))
    return by_function(op, args, nargsf, keywords);
  const npy_intp shape[] = {PyArray_DIM(a, 0), PyArray_DIM(b, 1)};
  return product(op, as_tensor(args[0])->array, as_tensor(args[1])->array, Py_None, {args, 2}, shape, 2);
}

PyObject* call_linear(PyObject* self, PyObject* const* args, size_t nargsf, PyObject* keywords) {
  OpObject* op = as_op(self);
  const Py_ssize_t count = PyVectorcall_NARGS(nargsf);
  const bool fits = (count == 2 || count == 3) && !keywords;
  PyArrayObject *x = fits ? plain(args[0]) : nullptr, *w = x ? plain(args[1]) : nullptr;
  const bool has_bias = count == 3 && args[2] != Py_None;
  PyArrayObject* bias = w && has_bias ? plain(args[2]) : nullptr;
  const int ndim = x ? PyArray_NDIM(x) : 0;
  if (!w || !same_dtype(x, w) || ndim < 2 || PyArray_NDIM(w) != 2 || PyArray_DIM(x, ndim - 1) != PyArray_DIM(w, 1))
    return by_function(op, args, nargsf, keywords);
  if (has_bias &&
      (!bias || !same_dtype(x, bias) || PyArray_NDIM(bias) != 1 || PyArray_DIM(bias, 0) != PyArray_DIM(w, 0)))
    return by_function(op, args, nargsf, keywords);
  npy_intp shape[NPY_MAXDIMS];
  std::memcpy(shape, PyArray_DIMS(x), sizeof(npy_intp) * ndim);
  shape[ndim - 1] = PyArray_DIM(w, 0);
  const Ref transposed(PyArray_Transpose(w, nullptr));
  if (!transposed) return nullptr;
  PyObject* added = has_bias ? as_tensor(args[2])->array : Py_None;
  return product(op, as_tensor(args[0])->array, transposed.get(), added, {args, has_bias ? 3 : 2}, shape, ndim);
}

// --- the way back ----------------------------------------------------------------------------------------------------

namespace {

struct Numbers {
  PyObject* one = PyFloat_FromDouble(1);
  PyObject* zero = PyFloat_FromDouble(0);
  PyObject* none = PyLong_FromLong(0);
};

// a b of matrices.
Ref multiply(PyObject* matmul, PyObject* a, PyObject* b, const Numbers& numbers) {
  const npy_intp shape[] = {PyArray_DIM(as_array(a), 0), PyArray_DIM(as_array(b), 1)};
  Ref out = empty(2, shape, as_array(a));
  if (out && !call(matmul, a, b, out.get(), Py_None, numbers.one, numbers.zero, numbers.none)) return {};
  return out;
}

// Σ over the rows of ȳ.
Ref sum_rows(PyObject* dy) {
  const npy_intp n = PyArray_DIM(as_array(dy), 1);
  Ref out = empty(1, &n, as_array(dy));
  npy_intp row[] = {1, n};
  PyArray_Dims dims{row, 2};
  const Ref seen(out ? PyArray_Newshape(as_array(out.get()), &dims, NPY_CORDER) : nullptr);
  const Ref sum = find_kernel(library.device, names.sum);
  return seen && sum && call(sum.get(), dy, seen.get()) ? std::move(out) : Ref();
}

bool is_matrix(PyObject* array) { return is_plain_array(array) && PyArray_NDIM(as_array(array)) == 2; }

// pull_linear(node, dy): [x̄ = ȳ W, W̄ = ȳᵀ x, b̄ = Σ ȳ] of a node that saved x and W first; None where they or ȳ are no
// plain matrices.
PyObject* pull_linear(PyObject*, PyObject* const* args, Py_ssize_t count) {
  static const Numbers numbers;
  if (count != 2 || !is_node(args[0]) || !as_node(args[0])->saved || PyTuple_GET_SIZE(as_node(args[0])->saved) < 2) {
    PyErr_SetString(PyExc_TypeError, "pull_linear: expected a node that saved x and W, and the gradient");
    return nullptr;
  }
  NodeObject* node = as_node(args[0]);
  const Ref saved = Ref::to(node->saved);  // another thread's walk may let go of it meanwhile
  PyObject *dy = args[1], *x = PyTuple_GET_ITEM(saved.get(), 0), *w = PyTuple_GET_ITEM(saved.get(), 1);
  if (!is_matrix(dy) || !is_matrix(x) || !is_matrix(w)) Py_RETURN_NONE;
  const Py_ssize_t parents = PyTuple_GET_SIZE(node->parents);
  const auto wanted = [&](Py_ssize_t i) { return i < parents && PyTuple_GET_ITEM(node->parents, i) != Py_None; };
  const Ref matmul = find_kernel(library.device, names.matmul);
  Ref found(matmul ? PyList_New(3) : nullptr);
  for (Py_ssize_t i = 0; found && i < 3; ++i) {
    Ref gradient = Ref::to(Py_None);
    if (wanted(i) && i == 0) gradient = multiply(matmul.get(), dy, w, numbers);
    if (wanted(i) && i == 1) {
      const Ref transposed(PyArray_Transpose(as_array(dy), nullptr));
      gradient = transposed ? multiply(matmul.get(), transposed.get(), x, numbers) : Ref();
    }
    if (wanted(i) && i == 2) gradient = sum_rows(dy);
    if (!gradient) return nullptr;
    PyList_SET_ITEM(found.get(), i, gradient.release());
  }
  return found.release();
}

}  // namespace

PyMethodDef pull_linear_method = {
    "pull_linear", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(pull_linear)), METH_FASTCALL,
    "pull_linear(node, dy): the gradients of y = x Wᵀ + b, or None where x, W or dy is no plain matrix."};

}  // namespace pullback::tape
