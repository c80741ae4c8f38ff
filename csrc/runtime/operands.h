// What the sources of both halves ask about operands on the host: the C++ type behind a dtype, shapes that broadcast.
// Compiled once per instruction set and for CUDA, each in a namespace of its own.
#pragma once
#include <type_traits>

#include "runtime/half.h"
#include "runtime/record.h"

#define PB_HOST_INLINE [[gnu::always_inline]] inline

namespace pullback::ISA_NAMESPACE {
namespace {

// Calls f(T{}) with the C++ type behind a dtype: inside, `using T = decltype(zero);`.
template <class F>
PB_HOST_INLINE void visit_float(DType t, F&& f) {
  if (t == DType::f32) return f(float{});
  f(double{});
}

template <class F>
PB_HOST_INLINE void visit_integer(DType t, F&& f) {
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
PB_HOST_INLINE void visit_number(DType t, F&& f) {
  if (t == DType::f32 || t == DType::f64) return visit_float(t, f);
  visit_integer(t, f);
}

template <class F>
PB_HOST_INLINE void visit_any(DType t, F&& f) {
  if (t == DType::b8) return f(bool{});
  visit_number(t, f);
}

// Every type that elements are stored in, Half and BFloat16 too.
template <class F>
PB_HOST_INLINE void visit_stored(DType t, F&& f) {
  if (t == DType::f16) return f(Half{});
  if (t == DType::bf16) return f(BFloat16{});
  visit_any(t, f);
}

// The same with a word of an element's size, where elements only move.
template <class F>
PB_HOST_INLINE void visit_words(DType t, F&& f) {
  switch (item_size(t)) {
    case 8:
      return f(uint64_t{});
    case 4:
      return f(uint32_t{});
    case 2:
      return f(uint16_t{});
    default:
      return f(uint8_t{});
  }
}

template <class T>
inline constexpr bool is_float = false;
template <>
inline constexpr bool is_float<float> = true;
template <>
inline constexpr bool is_float<double> = true;

template <class T>
inline constexpr bool is_half = std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>;

// What loops read T as. GCC 12 makes no vectors of most loops over bool, and a byte that is true may not be 1.
template <class T>
using Stored = std::conditional_t<std::is_same_v<T, bool>, uint8_t, T>;

// Whether x stretches to y's shape, dimensions aligned at the right.
PB_HOST_INLINE bool stretches(const Operand& x, const Operand& y) {
  const int lead = y.ndim - x.ndim;
  for (int d = 0; d < x.ndim; ++d)
    if (x.shape[d] != 1 && (lead + d < 0 || x.shape[d] != y.shape[lead + d])) return false;
  return true;
}

// Ops check shapes before they call; this keeps any other caller in bounds.
PB_HOST_INLINE bool check_shapes(const Call& call, int inputs, int outputs) {
  const Operand& y = call.operands[inputs];
  for (int i = 0; i < inputs + outputs; ++i) {
    const Operand& x = call.operands[i];
    if (stretches(x, y) && (i < inputs || stretches(y, x))) continue;
    call.error->set(ErrorCode::bad_shape, i, 0);
    return false;
  }
  return true;
}

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
