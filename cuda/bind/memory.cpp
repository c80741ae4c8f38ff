// Memory of a GPU as recordings and plans know it. A block lies in the array library's pool; blocks made during
// recordings are found by their addresses, since an array's views tell nothing else in both CuPy and the emulation.
#include "bind/memory.h"

#include <structmember.h>

#include <cstring>
#include <map>

#include "bind/gpu.h"
#include "bind/kernel.h"
#include "bind/numpy.h"
#include "bind/read.h"
#include "bind/recording.h"
#include "bind/run.h"
#include "plan/plan.h"

namespace pullback::bind {
namespace {

struct PoolBlock {
  Block block;
  PyObject* piece;  // of the pool
};
PyTypeObject* block_type = nullptr;

// The blocks made during recordings that are still alive, by address. They come and go under the GIL.
std::map<const char*, Block*> recorded;

const char* end_of(const Block* block) { return static_cast<char*>(block->data) + block->bytes; }

void free_block(PyObject* self) {
  auto* block = reinterpret_cast<Block*>(self);
  if (block->serial) {
    forget_block(block->serial);
    recorded.erase(static_cast<char*>(block->data));
  }
  Py_DECREF(reinterpret_cast<PoolBlock*>(self)->piece);
  PyTypeObject* type = Py_TYPE(self);
  type->tp_free(self);
  Py_DECREF(type);
}

Ref attribute(PyObject* object, const char* name) {
  return Ref(object ? PyObject_GetAttrString(object, name) : nullptr);
}

char* pointer_of(PyObject* array) {
  const Ref data = attribute(array, "data"), ptr = attribute(data.get(), "ptr");
  return ptr ? static_cast<char*>(PyLong_AsVoidPtr(ptr.get())) : nullptr;
}

bool read_tuple(PyObject* tuple, std::vector<int64_t>& numbers) {
  if (!tuple || !PyTuple_Check(tuple)) return false;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tuple); ++i)
    numbers.push_back(PyLong_AsLongLong(PyTuple_GET_ITEM(tuple, i)));
  return !PyErr_Occurred();
}

// Bytes of a row-major array; −1 of any other.
int64_t dense_bytes(const Layout& layout) {
  int64_t bytes = PyDataType_ELSIZE(reinterpret_cast<PyArray_Descr*>(layout.descr));
  for (size_t d = layout.shape.size(); d-- > 0;) {
    if (layout.shape[d] != 1 && layout.strides[d] != bytes) bytes = -1;
    if (layout.shape[d] == 0) return 0;
    if (bytes < 0) break;
    bytes *= layout.shape[d];
  }
  return bytes;
}

// The block that an address lies in, or that nothing of an empty array begins behind.
Block* block_at(const char* address) {
  auto next = recorded.upper_bound(address);
  if (next == recorded.begin()) return nullptr;
  Block* block = std::prev(next)->second;
  return address <= end_of(block) ? block : nullptr;
}

}  // namespace

int make_block_type(const char* name) {
  static PyMemberDef members[] = {{"nbytes", T_LONGLONG, offsetof(Block, bytes), READONLY, nullptr},
                                  {nullptr, 0, 0, 0, nullptr}};
  static PyType_Slot slots[] = {
      {Py_tp_dealloc, reinterpret_cast<void*>(free_block)}, {Py_tp_members, members}, {0, nullptr}};
  static PyType_Spec spec = {name, sizeof(PoolBlock), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
  block_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
  return block_type ? 0 : -1;
}

PyObject* new_block(int64_t bytes, int device) {
  Ref piece(cuda::allocate_on(device, bytes));
  const Ref ptr = attribute(piece.get(), "ptr");
  void* data = ptr ? PyLong_AsVoidPtr(ptr.get()) : nullptr;
  auto* made = data ? PyObject_New(PoolBlock, block_type) : nullptr;
  if (!made) return PyErr_Occurred() ? nullptr : PyErr_NoMemory();
  made->block.data = data;
  made->block.bytes = bytes;
  made->block.serial = 0;
  made->piece = piece.release();
  auto* object = reinterpret_cast<PyObject*>(made);
  if (recording()) {
    note_block(object);
    recorded.emplace(static_cast<char*>(data), &made->block);
  }
  return object;
}

bool is_array(PyObject* object) {
  const char* address = pointer_of(object);
  const bool is = address || !PyErr_Occurred();
  PyErr_Clear();
  return is;
}

bool read_layout(PyObject* array, Layout& layout, char*& address) {
  address = pointer_of(array);
  if (!address && PyErr_Occurred()) return false;
  layout.descr = PyObject_GetAttrString(array, "dtype");
  const Ref shape = attribute(array, "shape"), strides = attribute(array, "strides");
  return layout.descr && read_tuple(shape.get(), layout.shape) && read_tuple(strides.get(), layout.strides);
}

bool memory_of(PyObject* array, Memory& m) {
  m.address = pointer_of(array);
  if (!m.address && PyErr_Occurred()) return false;
  if (Block* block = block_at(m.address)) {
    m.owner.reset(Py_NewRef(reinterpret_cast<PyObject*>(block)));
    m.address = static_cast<char*>(block->data), m.bytes = block->bytes, m.serial = block->serial;
    return true;
  }
  Ref base = attribute(array, "base");
  if (!base) return false;
  m.owner = base.get() == Py_None ? Ref(Py_NewRef(array)) : std::move(base);
  Layout layout;
  const bool is_read = read_layout(m.owner.get(), layout, m.address);
  const Ref descr(layout.descr);
  if (is_read) m.bytes = dense_bytes(layout);
  return is_read;
}

PyObject* whole_block(PyObject* array) {
  Layout layout;
  char* address = nullptr;
  const bool is_read = read_layout(array, layout, address);
  const Ref descr(layout.descr);
  Block* block = is_read ? block_at(address) : nullptr;
  const bool whole = block && address == block->data && dense_bytes(layout) == block->bytes;
  return whole ? reinterpret_cast<PyObject*>(block) : nullptr;
}

PyObject* array_over(PyObject* owner, char* address, const Layout& layout, int device) {
  const auto tuple = [](const std::vector<int64_t>& numbers) {
    Ref all(PyTuple_New(static_cast<Py_ssize_t>(numbers.size())));
    for (size_t i = 0; all && i < numbers.size(); ++i)
      PyTuple_SET_ITEM(all.get(), static_cast<Py_ssize_t>(i), PyLong_FromLongLong(numbers[i]));
    return all;
  };
  const Ref pointer(PyLong_FromVoidPtr(address)), shape = tuple(layout.shape), strides = tuple(layout.strides);
  if (!pointer || !shape || !strides) return nullptr;
  return cuda::make_array(owner, pointer.get(), layout.descr, shape.get(), strides.get(), device);
}

void copy_bytes(void* to, const void* from, int64_t bytes) { cuda::copy_waiting(to, from, bytes); }

bool copy_array(PyObject* to, PyObject* from) {
  static Kernel* kernel = [] {
    for (Kernel& k : kernels())
      if (!std::strcmp(k.signature->name, "copy")) return &k;
    std::abort();
  }();
  Operand operands[2];
  PyObject* arrays[] = {from, to};
  for (int i = 0; i < 2; ++i)
    if (!read_array(arrays[i], "capture", kernel->signature->params[i], operands[i])) return false;
  const int32_t first[] = {0, 1, 2};
  try {
    launch(*kernel, operands, first, nullptr);
  } catch (...) {
    return raise_current(), false;
  }
  return true;
}

}  // namespace pullback::bind

namespace pullback::cuda {

PyObject* empty(PyObject* shape, PyObject* dtype, int device) {
  using namespace bind;
  Layout layout;
  PyArray_Descr* descr = nullptr;
  if (!PyArray_DescrConverter(dtype, &descr)) return nullptr;
  const Ref held(reinterpret_cast<PyObject*>(descr));
  layout.descr = held.get();
  if (!read_tuple(shape, layout.shape)) return PyErr_Format(PyExc_TypeError, "empty: expected a tuple, got %R", shape);
  layout.strides.resize(layout.shape.size());
  int64_t bytes = PyDataType_ELSIZE(descr);
  for (size_t d = layout.shape.size(); d-- > 0;) {
    layout.strides[d] = bytes;
    if (layout.shape[d] < 0 || __builtin_mul_overflow(bytes, layout.shape[d], &bytes))
      return PyErr_Format(PyExc_ValueError, "empty: shape %R is negative or too large", shape);
  }
  const Ref block(new_block(bytes, device));
  if (!block) return nullptr;
  return array_over(block.get(), static_cast<char*>(reinterpret_cast<Block*>(block.get())->data), layout, device);
}

}  // namespace pullback::cuda

namespace pullback {

const int64_t alignment = 256;  // where memory of the pool lies no better for cuBLASLt, whose choices depend on it

bool same_bytes(const void* a, const void* b, int64_t bytes) {
  std::vector<char> x(static_cast<size_t>(bytes)), y(static_cast<size_t>(bytes));
  bind::copy_bytes(x.data(), a, bytes);
  bind::copy_bytes(y.data(), b, bytes);
  return x == y;
}

}  // namespace pullback
