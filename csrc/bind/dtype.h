// NumPy's numbers of types as the kernels' dtypes.
#pragma once
#include "bind/numpy.h"  // not a header of NumPy's: since 2.5 each of them brings its C interface with it
#include "runtime/record.h"

namespace pullback::bind {

// False for a type that no kernel knows.
inline bool dtype_of(int type_number, int64_t item_size, DType& t) {
  switch (type_number) {
    case NPY_FLOAT:
      t = DType::f32;
      return true;
    case NPY_HALF:
      t = DType::f16;
      return true;
    case NPY_USHORT:  // what bfloat16 lies in, which NumPy lacks; pullback has no uint16
      t = DType::bf16;
      return true;
    case NPY_DOUBLE:
      t = DType::f64;
      return true;
    case NPY_BOOL:
      t = DType::b8;
      return true;
    case NPY_UBYTE:
      t = DType::u8;
      return true;
    case NPY_BYTE:
      t = DType::i8;
      return true;
    case NPY_SHORT:
      t = DType::i16;
      return true;
    case NPY_INT:
    case NPY_LONG:
    case NPY_LONGLONG:
      t = item_size == 8 ? DType::i64 : DType::i32;
      return true;
    default:
      return false;
  }
}

}  // namespace pullback::bind
