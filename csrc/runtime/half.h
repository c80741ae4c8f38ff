// The types of 16 bits that numbers are stored in: float16 (IEEE's binary16) and bfloat16 (the upper half of a float).
// Nothing is computed in them: they become float on the way in, and are rounded to the nearest, ties to even, on the
// way out.
#pragma once
#include <cstdint>

#include "runtime/record.h"

namespace pullback {

PB_INLINE uint32_t bits_of(float x) {
  uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  return bits;
}
PB_INLINE float float_of(uint32_t bits) {
  float x;
  __builtin_memcpy(&x, &bits, sizeof x);
  return x;
}

struct Half {
  uint16_t bits;

  Half() = default;
  template <class T>
  PB_INLINE explicit Half(T x) : bits(round(static_cast<float>(x))) {}
  PB_INLINE operator float() const { return widen(bits); }

  PB_INLINE static float widen(uint16_t h) {
#if defined(__CUDA_ARCH__)
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(h));
    return x;
#else
    // The exponent's bias is 15 here and 127 in a float; subnormal numbers come out right by themselves.
    const float x = float_of(static_cast<uint32_t>(h & 0x7fff) << 13) * 0x1p112f;
    const uint32_t special = (h & 0x7c00) == 0x7c00 ? 0x7f800000u : 0u, sign = static_cast<uint32_t>(h & 0x8000) << 16;
    return float_of(bits_of(x) | special | sign);
#endif
  }
  PB_INLINE static uint16_t round(float x) {
#if defined(__CUDA_ARCH__)
    uint16_t h;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(x));
    return h;
#else
    const uint32_t bits = bits_of(x), sign = bits >> 31 << 15, a = bits & 0x7fffffff;
    const uint32_t normal = (a - (112u << 23) + 0xfff + (a >> 13 & 1)) >> 13;
    // Adding 1/2 leaves what is below 2⁻¹⁴ in the last bits of a float, rounded to a multiple of 2⁻²⁴.
    const uint32_t subnormal = bits_of(float_of(a) + 0.5f) - bits_of(0.5f);
    const uint32_t finite = a < 113u << 23 ? subnormal : normal;
    const uint32_t large = a > 0x7f800000 ? 0x7e00u : 0x7c00u;  // NaN, or what rounds to 65536 and more
    return static_cast<uint16_t>((a < 0x477ff000 ? finite : large) | sign);
#endif
  }
};

struct BFloat16 {
  uint16_t bits;

  BFloat16() = default;
  template <class T>
  PB_INLINE explicit BFloat16(T x) : bits(round(static_cast<float>(x))) {}
  PB_INLINE operator float() const { return float_of(static_cast<uint32_t>(bits) << 16); }

  PB_INLINE static uint16_t round(float x) {
    const uint32_t b = bits_of(x);
    return static_cast<uint16_t>(x != x ? 0x7fc0u | (b >> 31 << 15) : (b + 0x7fff + (b >> 16 & 1)) >> 16);
  }
};

}  // namespace pullback
