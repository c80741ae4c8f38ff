// Arrays in GPU memory as operands: whatever has CuPy's attributes .data.ptr, .shape, .strides, .dtype and .device.id.
#define PULLBACK_IMPORTS_NUMPY
#include <memory>
#include <stdexcept>

#include "bind/dtype.h"
#include "bind/memory.h"
#include "bind/numpy.h"
#include "bind/read.h"

namespace pullback::bind {
namespace {

struct Names {
  PyObject* data = PyUnicode_InternFromString("data");
  PyObject* ptr = PyUnicode_InternFromString("ptr");
  PyObject* shape = PyUnicode_InternFromString("shape");
  PyObject* strides = PyUnicode_InternFromString("strides");
  PyObject* dtype = PyUnicode_InternFromString("dtype");
  PyObject* device = PyUnicode_InternFromString("device");
  PyObject* id = PyUnicode_InternFromString("id");
};
const Names& names() {
  static const Names interned;
  return interned;
}

Ref attribute(PyObject* object, PyObject* name) { return Ref(object ? PyObject_GetAttr(object, name) : nullptr); }

bool refuse(PyObject* kind, const char* kernel, const Param& param, const char* expected, PyObject* got) {
  PyErr_Format(kind, "%s: %s expects %s, got %R", kernel, param.name, expected, got);
  return false;
}

bool read_dtype(PyObject* dtype, const char* kernel, const Param& param, DType& t) {
  auto* descr = reinterpret_cast<PyArray_Descr*>(dtype);
  const bool known = PyArray_DescrCheck(dtype) && PyArray_ISNBO(descr->byteorder) &&
                     dtype_of(descr->type_num, PyDataType_ELSIZE(descr), t);
  return (known && (param.types.mask & bit(t))) || refuse(PyExc_TypeError, kernel, param, "another dtype", dtype);
}

// Tuples of integers; strides in bytes become strides in elements.
bool read_layout(PyObject* shape, PyObject* strides, const char* kernel, const Param& param, Operand& operand) {
  const Py_ssize_t ndim = PyTuple_GET_SIZE(shape);
  if (ndim > kMaxDims) {
    PyErr_Format(PyExc_ValueError, "%s: %s expects at most %d dimensions, got %zd", kernel, param.name, kMaxDims, ndim);
    return false;
  }
  const int64_t size = item_size(operand.dtype);
  operand.ndim = static_cast<int32_t>(ndim);
  for (Py_ssize_t d = 0; d < ndim; ++d) {
    operand.shape[d] = PyLong_AsLongLong(PyTuple_GET_ITEM(shape, d));
    const int64_t stride = PyLong_AsLongLong(PyTuple_GET_ITEM(strides, d));
    if (stride % size) return refuse(PyExc_ValueError, kernel, param, "strides of whole elements", strides);
    operand.strides[d] = stride / size;
  }
  return !PyErr_Occurred();
}

bool is_layout(PyObject* shape, PyObject* strides) {
  return shape && strides && PyTuple_Check(shape) && PyTuple_Check(strides) &&
         PyTuple_GET_SIZE(shape) == PyTuple_GET_SIZE(strides);
}

}  // namespace

void import_numpy() {
  if (_import_array() < 0) throw std::runtime_error("numpy's C interface cannot be imported");
}

bool read_array(PyObject* object, const char* kernel, const Param& param, Operand& operand) {
  const Ref data = attribute(object, names().data), ptr = attribute(data.get(), names().ptr);
  const Ref shape = attribute(ptr ? object : nullptr, names().shape);
  const Ref strides = attribute(shape ? object : nullptr, names().strides);
  const Ref dtype = attribute(strides ? object : nullptr, names().dtype);
  const Ref device = attribute(dtype ? object : nullptr, names().device), id = attribute(device.get(), names().id);
  if (!id || !PyLong_Check(ptr.get()) || !PyLong_Check(id.get()) || !is_layout(shape.get(), strides.get())) {
    PyErr_Clear();
    return refuse(PyExc_TypeError, kernel, param, "an array in GPU memory",
                  reinterpret_cast<PyObject*>(Py_TYPE(object)));
  }
  operand.role = param.role;
  operand.device = static_cast<int16_t>(PyLong_AsLong(id.get()));
  operand.offset = 0;
  operand.buffer = static_cast<char*>(PyLong_AsVoidPtr(ptr.get()));
  if (PyErr_Occurred() || !read_dtype(dtype.get(), kernel, param, operand.dtype) ||
      !read_layout(shape.get(), strides.get(), kernel, param, operand))
    return false;
  if (reinterpret_cast<uintptr_t>(operand.buffer) % item_size(operand.dtype))
    return refuse(PyExc_ValueError, kernel, param, "aligned elements", object);
  return true;
}

}  // namespace pullback::bind
