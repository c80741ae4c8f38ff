// Conversions between dtypes, one element at a time, on the CPU and on the GPU.
#pragma once
#include "kernels/copy.h"

namespace pullback::ISA_NAMESPACE {
namespace {

// A float outside the range of an integer type has no defined conversion. As on PyTorch's CPU, it goes through int32
// (uint8 and int64: int64), whose smallest value stands for all that does not fit.
template <class To, class From>
PB_INLINE To convert_to(From x) {
  if constexpr (is_half<From>) return convert_to<To>(static_cast<float>(x));
  if constexpr (is_float<From> && std::is_integral_v<To>) {
    if constexpr (sizeof(To) == 1 && To(-1) == To(1)) return x != 0;  // bool
    if constexpr (sizeof(To) < 8 && To(-1) < To(0)) {
      const bool fits = x > From(-2147483649.0) && x < From(2147483648.0);
      return static_cast<To>(fits ? static_cast<int32_t>(x) : INT32_MIN);
    }
    const bool fits = x >= From(-9223372036854775808.0) && x < From(9223372036854775808.0);
    return static_cast<To>(fits ? static_cast<int64_t>(x) : INT64_MIN);
  }
  return static_cast<To>(x);
}

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
