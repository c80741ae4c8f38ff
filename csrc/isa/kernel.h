// What every kernel source starts from: vectors, records, threads, scratch, and a choice of T by dtype.
#pragma once
#include "isa/vec.h"
#include "runtime/record.h"
#include "runtime/scratch.h"
#include "runtime/signature.h"
#include "runtime/threads.h"

namespace pullback::ISA_NAMESPACE {
namespace {

// Calls f(T{}) with the C++ type behind a dtype: inside, `using T = decltype(zero);`.
template <class F>
PB_INLINE void visit_float(DType t, F&& f) {
  if (t == DType::f32) return f(float{});
  f(double{});
}

template <class F>
PB_INLINE void visit_integer(DType t, F&& f) {
  switch (t) {
    case DType::i64:
      return f(int64_t{});
    case DType::i32:
      return f(int32_t{});
    case DType::i16:
      return f(int16_t{});
    case DType::i8:
      return f(int8_t{});
    default:
      return f(uint8_t{});
  }
}

template <class F>
PB_INLINE void visit_number(DType t, F&& f) {
  if (t == DType::f32 || t == DType::f64) return visit_float(t, f);
  visit_integer(t, f);
}

template <class F>
PB_INLINE void visit_any(DType t, F&& f) {
  if (t == DType::b8) return f(bool{});
  visit_number(t, f);
}

template <class T>
inline constexpr bool is_float = false;
template <>
inline constexpr bool is_float<float> = true;
template <>
inline constexpr bool is_float<double> = true;

PB_INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
PB_INLINE int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
