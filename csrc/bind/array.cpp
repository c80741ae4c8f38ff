#define PULLBACK_IMPORTS_NUMPY
#include "bind/array.h"

#include <stdexcept>

#include "bind/dtype.h"
#include "bind/numpy.h"
#include "bind/recording.h"
#include "runtime/memory.h"

namespace pullback::bind {
namespace {

PyTypeObject* block_type = nullptr;

void free_block(PyObject* self) {
  auto* block = reinterpret_cast<Block*>(self);
  if (block->serial) forget_block(block->serial);
  deallocate(block->data, block->bytes);
  PyTypeObject* type = Py_TYPE(self);
  type->tp_free(self);
  Py_DECREF(type);
}

bool refuse(PyObject* kind, const char* kernel, const Param& param, const char* expected, PyObject* got) {
  PyErr_Format(kind, "%s: %s expects %s, got %R", kernel, param.name, expected, got);
  return false;
}

}  // namespace

void import_numpy() {
  if (_import_array() < 0) throw std::runtime_error("numpy's C interface cannot be imported");
}

int make_block_type(const char* name) {
  static PyType_Slot slots[] = {{Py_tp_dealloc, reinterpret_cast<void*>(free_block)}, {0, nullptr}};
  static PyType_Spec spec = {name, sizeof(Block), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
  block_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
  return block_type ? 0 : -1;
}

bool is_block(PyObject* object) { return object && Py_IS_TYPE(object, block_type); }

PyObject* new_block(int64_t bytes, int) {
  void* data = allocate(bytes);
  if (!data) return PyErr_NoMemory();
  auto* block = PyObject_New(Block, block_type);
  if (!block) {
    deallocate(data, bytes);
    return nullptr;
  }
  block->data = data;
  block->bytes = bytes;
  block->serial = 0;
  auto* made = reinterpret_cast<PyObject*>(block);
  if (recording()) note_block(made);
  return made;
}

PyObject* root_of(PyObject* array) {
  auto* root = reinterpret_cast<PyArrayObject*>(array);
  while (PyArray_BASE(root) && PyArray_Check(PyArray_BASE(root)))
    root = reinterpret_cast<PyArrayObject*>(PyArray_BASE(root));
  return reinterpret_cast<PyObject*>(root);
}

PyObject* base_of(PyObject* array) { return PyArray_BASE(reinterpret_cast<PyArrayObject*>(array)); }

bool read_array(PyObject* object, const char* kernel, const Param& param, Operand& operand) {
  if (!PyArray_Check(object))
    return refuse(PyExc_TypeError, kernel, param, "a NumPy array", reinterpret_cast<PyObject*>(Py_TYPE(object)));
  auto* array = reinterpret_cast<PyArrayObject*>(object);
  auto* descr = reinterpret_cast<PyObject*>(PyArray_DESCR(array));
  const npy_intp size = PyArray_ITEMSIZE(array);
  if (!dtype_of(PyArray_TYPE(array), size, operand.dtype) || !(param.types.mask & bit(operand.dtype)))
    return refuse(PyExc_TypeError, kernel, param, "another dtype", descr);
  if (!PyArray_ISNOTSWAPPED(array)) return refuse(PyExc_TypeError, kernel, param, "native byte order", descr);
  if (param.role != Role::in && !PyArray_ISWRITEABLE(array))
    return refuse(PyExc_ValueError, kernel, param, "a writeable array", descr);
  const int ndim = PyArray_NDIM(array);
  if (ndim > kMaxDims) {
    PyErr_Format(PyExc_ValueError, "%s: %s expects at most %d dimensions, got %d", kernel, param.name, kMaxDims, ndim);
    return false;
  }
  operand.ndim = ndim;
  operand.role = param.role;
  operand.device = 0;
  for (int d = 0; d < ndim; ++d) {
    operand.shape[d] = PyArray_DIM(array, d);
    const npy_intp stride = PyArray_STRIDE(array, d);
    if (stride % size) return refuse(PyExc_ValueError, kernel, param, "strides of whole elements", object);
    operand.strides[d] = stride / size;
  }
  if (!PyArray_ISALIGNED(array)) return refuse(PyExc_ValueError, kernel, param, "aligned elements", object);
  auto* root = reinterpret_cast<PyArrayObject*>(root_of(object));
  operand.buffer = PyArray_BYTES(root);
  operand.offset = PyArray_BYTES(array) - operand.buffer;
  return true;
}

PyObject* empty(PyObject*, PyObject* const* args, Py_ssize_t count) {
  if (count != 2 || !PyTuple_Check(args[0])) {
    PyErr_SetString(PyExc_TypeError, "empty: expected (shape: tuple, dtype: numpy.dtype)");
    return nullptr;
  }
  npy_intp shape[kMaxDims];
  const Py_ssize_t ndim = PyTuple_GET_SIZE(args[0]);
  if (ndim > kMaxDims) {
    PyErr_Format(PyExc_ValueError, "empty: shape expects at most %d dimensions, got %zd", kMaxDims, ndim);
    return nullptr;
  }
  PyArray_Descr* descr = nullptr;
  if (!PyArray_DescrConverter(args[1], &descr)) return nullptr;
  if (!PyTypeNum_ISNUMBER(descr->type_num) && !PyTypeNum_ISBOOL(descr->type_num)) {  // objects must not start as noise
    PyErr_Format(PyExc_TypeError, "empty: dtype expects a type of numbers, got %R", descr);
    Py_DECREF(descr);
    return nullptr;
  }
  int64_t bytes = PyDataType_ELSIZE(descr);
  for (Py_ssize_t d = 0; d < ndim; ++d) {
    shape[d] = PyLong_AsSsize_t(PyTuple_GET_ITEM(args[0], d));
    const bool failed = shape[d] == -1 && PyErr_Occurred();
    if (failed || shape[d] < 0 || __builtin_mul_overflow(bytes, static_cast<int64_t>(shape[d]), &bytes)) {
      if (!failed) PyErr_Format(PyExc_ValueError, "empty: shape %R is negative or too large", args[0]);
      Py_DECREF(descr);
      return nullptr;
    }
  }
  PyObject* block = new_block(bytes);
  if (!block) {
    Py_DECREF(descr);
    return PyErr_Format(PyExc_MemoryError, "empty: out of memory for %lld bytes (shape %R)",
                        static_cast<long long>(bytes), args[0]);
  }
  PyObject* array =
      PyArray_NewFromDescr(&PyArray_Type, descr, static_cast<int>(ndim), shape, nullptr,
                           reinterpret_cast<Block*>(block)->data, NPY_ARRAY_CARRAY, nullptr);  // takes over descr
  if (!array) {
    Py_DECREF(block);
    return nullptr;
  }
  PyArray_SetBaseObject(reinterpret_cast<PyArrayObject*>(array), block);
  return array;
}

}  // namespace pullback::bind
