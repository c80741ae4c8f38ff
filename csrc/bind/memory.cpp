#include "bind/memory.h"

#include <cstring>

#include "bind/array.h"
#include "bind/numpy.h"
#include "plan/plan.h"

namespace pullback::bind {

bool is_array(PyObject* object) { return PyArray_Check(object); }

bool memory_of(PyObject* array, Memory& m) {
  PyObject *root = root_of(array), *base = base_of(root);
  const auto* block = is_block(base) ? reinterpret_cast<Block*>(base) : nullptr;
  m.owner.reset(Py_NewRef(root));
  m.address = PyArray_BYTES(as_array(root));
  if (block)
    m.bytes = block->bytes - (m.address - static_cast<char*>(block->data));
  else if (PyArray_ISONESEGMENT(as_array(root)))
    m.bytes = PyArray_NBYTES(as_array(root));
  m.serial = block ? block->serial : 0;
  return true;
}

PyObject* whole_block(PyObject* array) {
  const bool is_root = root_of(array) == array && is_block(base_of(array));
  return is_root && PyArray_IS_C_CONTIGUOUS(as_array(array)) ? base_of(array) : nullptr;
}

bool read_layout(PyObject* object, Layout& layout, char*& address) {
  PyArrayObject* array = as_array(object);
  layout.descr = Py_NewRef(reinterpret_cast<PyObject*>(PyArray_DESCR(array)));
  layout.shape.assign(PyArray_DIMS(array), PyArray_DIMS(array) + PyArray_NDIM(array));
  layout.strides.assign(PyArray_STRIDES(array), PyArray_STRIDES(array) + PyArray_NDIM(array));
  address = PyArray_BYTES(array);
  return true;
}

PyObject* array_over(PyObject* owner, char* address, const Layout& layout, int) {
  auto* descr = reinterpret_cast<PyArray_Descr*>(Py_NewRef(layout.descr));
  PyObject* array = PyArray_NewFromDescr(&PyArray_Type, descr, static_cast<int>(layout.shape.size()),
                                         reinterpret_cast<const npy_intp*>(layout.shape.data()),
                                         reinterpret_cast<const npy_intp*>(layout.strides.data()), address,
                                         NPY_ARRAY_WRITEABLE | NPY_ARRAY_ALIGNED, nullptr);
  if (!array) return nullptr;
  PyArray_SetBaseObject(as_array(array), Py_NewRef(owner));
  PyArray_UpdateFlags(as_array(array), NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_F_CONTIGUOUS | NPY_ARRAY_ALIGNED);
  return array;
}

void copy_bytes(void* to, const void* from, int64_t bytes) {
  if (bytes > 0) std::memcpy(to, from, static_cast<size_t>(bytes));
}

bool copy_array(PyObject* to, PyObject* from) { return PyArray_CopyInto(as_array(to), as_array(from)) >= 0; }

}  // namespace pullback::bind

namespace pullback {

const int64_t alignment = 64;

bool same_bytes(const void* a, const void* b, int64_t bytes) {
  return std::memcmp(a, b, static_cast<size_t>(bytes)) == 0;
}

}  // namespace pullback
