// What every kernel source starts from: vectors, records, threads, scratch, and a choice of T by dtype.
#pragma once
#include <type_traits>

#include "isa/vec.h"
#include "runtime/operands.h"
#include "runtime/scratch.h"
#include "runtime/signature.h"
#include "runtime/threads.h"

namespace pullback::ISA_NAMESPACE {
namespace {

// What loops read T as. GCC 12 makes no vectors of most loops over bool, and a byte that is true may not be 1.
template <class T>
using Stored = std::conditional_t<std::is_same_v<T, bool>, uint8_t, T>;

PB_INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
PB_INLINE int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
