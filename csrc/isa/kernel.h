// What every kernel source starts from: vectors, records, threads, scratch, and a choice of T by dtype.
#pragma once
#include "isa/vec.h"
#include "runtime/operands.h"
#include "runtime/scratch.h"
#include "runtime/signature.h"
#include "runtime/threads.h"

namespace pullback::ISA_NAMESPACE {
namespace {

PB_INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
PB_INLINE int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
