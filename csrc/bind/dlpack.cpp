#include "bind/dlpack.h"

#include <cstdint>

namespace pullback::bind {
namespace {

// The parts of dlpack.h (versions 0 and 1) that lie before what is looked at.
struct Type {
  uint8_t code, bits;
  uint16_t lanes;
};
struct DlTensor {
  void* data;
  int32_t device_type, device_id, ndim;
  Type type;
};
struct Managed {
  DlTensor tensor;
};
struct ManagedVersioned {
  uint32_t major, minor;
  void *context, *deleter;
  uint64_t flags;
  DlTensor tensor;
};
constexpr uint8_t kUnsigned = 1, kBFloat = 4;

Type* type_of(PyObject* capsule) {
  if (PyCapsule_IsValid(capsule, "dltensor"))
    return &static_cast<Managed*>(PyCapsule_GetPointer(capsule, "dltensor"))->tensor.type;
  auto* versioned = static_cast<ManagedVersioned*>(PyCapsule_GetPointer(capsule, "dltensor_versioned"));
  if (versioned && versioned->major == 1) return &versioned->tensor.type;
  PyErr_SetString(PyExc_BufferError, "from_dlpack: expected a capsule of DLPack, version 0 or 1, that nobody took");
  return nullptr;
}

}  // namespace

bool exchange_bfloat16(PyObject* capsule, bool to_bfloat16) {
  Type* type = type_of(capsule);
  if (!type || type->bits != 16 || type->code != (to_bfloat16 ? kUnsigned : kBFloat)) return false;
  type->code = to_bfloat16 ? kBFloat : kUnsigned;
  return true;
}

}  // namespace pullback::bind
