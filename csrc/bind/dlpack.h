// bfloat16 in DLPack. NumPy and CuPy have no such type: a tensor of it lies in an array of uint16, and of a DLPack
// capsule only the type's code differs.
#pragma once
#include <Python.h>

namespace pullback::bind {

// Of a capsule that nobody has taken yet: makes its elements of 16 bits bfloat16 instead of unsigned integers, or the
// other way; whether they were the one. BufferError for another object, with Python's error set.
bool exchange_bfloat16(PyObject* capsule, bool to_bfloat16);

}  // namespace pullback::bind
