#pragma once
// What the vector extension can't express, or compilers do badly: fused multiply-add, square root, rounding,
// min and max in one instruction, float to double and back, and memory access under a mask and past the caches.
// One section for each instruction set; everything else about vectors is in vec.h.
//
// A kernel source is compiled once per instruction set, with
//   ISA_NAMESPACE     avx512 | avx2 | portable
//   ISA_VECTOR_BYTES  64     | 32   | 16
// and every helper has internal linkage, so that the linker can't hand AVX-512 code to the portable build.

#include <cstdint>

#if ISA_VECTOR_BYTES > 16 || defined(__SSE2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define ISA_INLINE [[gnu::always_inline]] inline

namespace pullback::ISA_NAMESPACE {
namespace {

// RawOf<T>::type: as many lanes of T as fit in a register. IntOf<T>::type: the signed integer as wide as T.
template <class T>
struct RawOf {
  typedef T type __attribute__((vector_size(ISA_VECTOR_BYTES)));
};
template <int bytes>
struct IntOfSize;
template <>
struct IntOfSize<4> {
  using type = std::int32_t;
};
template <>
struct IntOfSize<8> {
  using type = std::int64_t;
};
template <class T>
using IntOf = typename IntOfSize<sizeof(T)>::type;

namespace native {

using F32 = RawOf<float>::type;
using F64 = RawOf<double>::type;
using I32 = RawOf<std::int32_t>::type;
using I64 = RawOf<std::int64_t>::type;

// a in the lanes where the mask is all ones, b where it is zero
template <class Mask, class Raw>
ISA_INLINE Raw select(Mask mask, Raw a, Raw b) {
#if ISA_VECTOR_BYTES > 16
  return mask ? a : b;
#else  // GCC 12 breaks off on ?: by 64-bit lanes, which SSE2 can't compare; nor has SSE2 anything better than
       // this.
  return (Raw)((mask & (Mask)a) | (~mask & (Mask)b));
#endif
}

// Whether fma rounds once.
#if ISA_VECTOR_BYTES > 16 || defined(__aarch64__)
constexpr bool fused = true;
#else
constexpr bool fused = false;
#endif

#if ISA_VECTOR_BYTES == 64

// The maskz forms with a full mask compile to the plain instructions; GCC 12 warns about an undefined operand
// in the others.
constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
constexpr int kDown = _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC;
constexpr int kUp = _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC;
constexpr int kZero = _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC;
ISA_INLINE F32 fma(F32 a, F32 b, F32 c) { return _mm512_fmadd_ps(a, b, c); }
ISA_INLINE F64 fma(F64 a, F64 b, F64 c) { return _mm512_fmadd_pd(a, b, c); }
ISA_INLINE F32 sqrt(F32 x) { return _mm512_maskz_sqrt_ps(0xffff, x); }
ISA_INLINE F64 sqrt(F64 x) { return _mm512_maskz_sqrt_pd(0xff, x); }
ISA_INLINE F32 min(F32 a, F32 b) { return _mm512_maskz_min_ps(0xffff, a, b); }
ISA_INLINE F64 min(F64 a, F64 b) { return _mm512_maskz_min_pd(0xff, a, b); }
ISA_INLINE F32 max(F32 a, F32 b) { return _mm512_maskz_max_ps(0xffff, a, b); }
ISA_INLINE F64 max(F64 a, F64 b) { return _mm512_maskz_max_pd(0xff, a, b); }
ISA_INLINE F32 round(F32 x) { return _mm512_maskz_roundscale_ps(0xffff, x, kNearest); }
ISA_INLINE F64 round(F64 x) { return _mm512_maskz_roundscale_pd(0xff, x, kNearest); }
ISA_INLINE F32 floor(F32 x) { return _mm512_maskz_roundscale_ps(0xffff, x, kDown); }
ISA_INLINE F64 floor(F64 x) { return _mm512_maskz_roundscale_pd(0xff, x, kDown); }
ISA_INLINE F32 ceil(F32 x) { return _mm512_maskz_roundscale_ps(0xffff, x, kUp); }
ISA_INLINE F64 ceil(F64 x) { return _mm512_maskz_roundscale_pd(0xff, x, kUp); }
ISA_INLINE F32 trunc(F32 x) { return _mm512_maskz_roundscale_ps(0xffff, x, kZero); }
ISA_INLINE F64 trunc(F64 x) { return _mm512_maskz_roundscale_pd(0xff, x, kZero); }
ISA_INLINE F32 scale(F32 x, F32 k) { return _mm512_maskz_scalef_ps(0xffff, x, k); }  // x 2^k, k whole
ISA_INLINE F64 scale(F64 x, F64 k) { return _mm512_maskz_scalef_pd(0xff, x, k); }
// √x from 14 bits of 1 / √x, and what their square leaves of x; 0 at 0.
ISA_INLINE F32 root(F32 x) {
  const F32 r = _mm512_maskz_rsqrt14_ps(_mm512_test_epi32_mask((__m512i)x, (__m512i)x), x), s = x * r;
  return fma(fma(-s, s, x), r * 0.5f, s);
}
ISA_INLINE F64 widen_low(F32 v) { return _mm512_maskz_cvtps_pd(0xff, _mm512_maskz_extractf32x8_ps(0xff, v, 0)); }
ISA_INLINE F64 widen_high(F32 v) { return _mm512_maskz_cvtps_pd(0xff, _mm512_maskz_extractf32x8_ps(0xff, v, 1)); }
ISA_INLINE F32 narrow(F64 low, F64 high) {
  const __m512 lower = _mm512_castps256_ps512(_mm512_maskz_cvtpd_ps(0xff, low));
  return _mm512_insertf32x8(lower, _mm512_maskz_cvtpd_ps(0xff, high), 1);
}
ISA_INLINE bool any(I32 mask) { return _mm512_movepi32_mask((__m512i)mask) != 0; }
ISA_INLINE bool any(I64 mask) { return _mm512_movepi64_mask((__m512i)mask) != 0; }
ISA_INLINE I64 multiply_low(I64 a, I64 b) { return (I64)_mm512_maskz_mul_epu32(0xff, (__m512i)a, (__m512i)b); }
template <class T>
ISA_INLINE typename RawOf<T>::type load(const T* p, int n) {
  const unsigned lanes = (1u << n) - 1;
  if constexpr (sizeof(T) == 4) {
    return (typename RawOf<T>::type)_mm512_maskz_loadu_epi32(static_cast<__mmask16>(lanes), p);
  } else {
    return (typename RawOf<T>::type)_mm512_maskz_loadu_epi64(static_cast<__mmask8>(lanes), p);
  }
}
template <class T>
ISA_INLINE void store(T* p, typename RawOf<T>::type v, int n) {
  const unsigned lanes = (1u << n) - 1;
  if constexpr (sizeof(T) == 4) {
    _mm512_mask_storeu_epi32(p, static_cast<__mmask16>(lanes), (__m512i)v);
  } else {
    _mm512_mask_storeu_epi64(p, static_cast<__mmask8>(lanes), (__m512i)v);
  }
}

template <class T>
ISA_INLINE void stream(T* p, typename RawOf<T>::type v) {
  _mm512_stream_si512(reinterpret_cast<__m512i*>(p), (__m512i)v);
}
ISA_INLINE void stream_fence() { _mm_sfence(); }

#elif ISA_VECTOR_BYTES == 32

ISA_INLINE F32 fma(F32 a, F32 b, F32 c) { return _mm256_fmadd_ps(a, b, c); }
ISA_INLINE F64 fma(F64 a, F64 b, F64 c) { return _mm256_fmadd_pd(a, b, c); }
ISA_INLINE F32 sqrt(F32 x) { return _mm256_sqrt_ps(x); }
ISA_INLINE F64 sqrt(F64 x) { return _mm256_sqrt_pd(x); }
ISA_INLINE F32 min(F32 a, F32 b) { return _mm256_min_ps(a, b); }
ISA_INLINE F64 min(F64 a, F64 b) { return _mm256_min_pd(a, b); }
ISA_INLINE F32 max(F32 a, F32 b) { return _mm256_max_ps(a, b); }
ISA_INLINE F64 max(F64 a, F64 b) { return _mm256_max_pd(a, b); }
ISA_INLINE F32 round(F32 x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
ISA_INLINE F64 round(F64 x) { return _mm256_round_pd(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
ISA_INLINE F32 floor(F32 x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
ISA_INLINE F64 floor(F64 x) { return _mm256_round_pd(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
ISA_INLINE F32 ceil(F32 x) { return _mm256_round_ps(x, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC); }
ISA_INLINE F64 ceil(F64 x) { return _mm256_round_pd(x, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC); }
ISA_INLINE F32 trunc(F32 x) { return _mm256_round_ps(x, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC); }
ISA_INLINE F64 trunc(F64 x) { return _mm256_round_pd(x, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC); }
ISA_INLINE F64 widen_low(F32 v) { return _mm256_cvtps_pd(_mm256_castps256_ps128(v)); }
ISA_INLINE F64 widen_high(F32 v) { return _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1)); }
ISA_INLINE F32 narrow(F64 low, F64 high) { return _mm256_set_m128(_mm256_cvtpd_ps(high), _mm256_cvtpd_ps(low)); }
ISA_INLINE bool any(I32 mask) { return _mm256_movemask_ps((__m256)mask) != 0; }
ISA_INLINE bool any(I64 mask) { return _mm256_movemask_pd((__m256d)mask) != 0; }
ISA_INLINE I64 multiply_low(I64 a, I64 b) { return (I64)_mm256_mul_epu32((__m256i)a, (__m256i)b); }
template <class T>
ISA_INLINE typename RawOf<T>::type load(const T* p, int n) {
  if constexpr (sizeof(T) == 4) {
    const auto lanes = (__m256i)(I32{0, 1, 2, 3, 4, 5, 6, 7} < n);
    return (typename RawOf<T>::type)_mm256_maskload_epi32(reinterpret_cast<const int*>(p), lanes);
  } else {
    const auto lanes = (__m256i)(I64{0, 1, 2, 3} < n);
    return (typename RawOf<T>::type)_mm256_maskload_epi64(reinterpret_cast<const long long*>(p), lanes);
  }
}
template <class T>
ISA_INLINE void store(T* p, typename RawOf<T>::type v, int n) {
  if constexpr (sizeof(T) == 4) {
    const auto lanes = (__m256i)(I32{0, 1, 2, 3, 4, 5, 6, 7} < n);
    _mm256_maskstore_epi32(reinterpret_cast<int*>(p), lanes, (__m256i)v);
  } else {
    const auto lanes = (__m256i)(I64{0, 1, 2, 3} < n);
    _mm256_maskstore_epi64(reinterpret_cast<long long*>(p), lanes, (__m256i)v);
  }
}

template <class T>
ISA_INLINE void stream(T* p, typename RawOf<T>::type v) {
  _mm256_stream_si256(reinterpret_cast<__m256i*>(p), (__m256i)v);
}
ISA_INLINE void stream_fence() { _mm_sfence(); }

#else

// Plain stores.
template <class T>
ISA_INLINE void stream(T* p, typename RawOf<T>::type v) {
  __builtin_memcpy(p, &v, sizeof(v));
}
ISA_INLINE void stream_fence() {}

// Lane by lane: these run on the tail of an array only. (A loop to n would become a call of memcpy.)
template <class T>
ISA_INLINE typename RawOf<T>::type load(const T* p, int n) {
  typename RawOf<T>::type v{};
  for (int i = 0; i < static_cast<int>(ISA_VECTOR_BYTES / sizeof(T)); ++i) {
    if (i < n) v[i] = p[i];
  }
  return v;
}
template <class T>
ISA_INLINE void store(T* p, typename RawOf<T>::type v, int n) {
  for (int i = 0; i < static_cast<int>(ISA_VECTOR_BYTES / sizeof(T)); ++i) {
    if (i < n) p[i] = v[i];
  }
}

#if defined(__aarch64__)

ISA_INLINE F32 fma(F32 a, F32 b, F32 c) { return vfmaq_f32(c, a, b); }
ISA_INLINE F64 fma(F64 a, F64 b, F64 c) { return vfmaq_f64(c, a, b); }
ISA_INLINE F32 sqrt(F32 x) { return vsqrtq_f32(x); }
ISA_INLINE F64 sqrt(F64 x) { return vsqrtq_f64(x); }
ISA_INLINE F32 min(F32 a, F32 b) { return a < b ? a : b; }
ISA_INLINE F64 min(F64 a, F64 b) { return a < b ? a : b; }
ISA_INLINE F32 max(F32 a, F32 b) { return a > b ? a : b; }
ISA_INLINE F64 max(F64 a, F64 b) { return a > b ? a : b; }
ISA_INLINE F32 round(F32 x) { return vrndnq_f32(x); }
ISA_INLINE F64 round(F64 x) { return vrndnq_f64(x); }
ISA_INLINE F32 floor(F32 x) { return vrndmq_f32(x); }
ISA_INLINE F64 floor(F64 x) { return vrndmq_f64(x); }
ISA_INLINE F32 ceil(F32 x) { return vrndpq_f32(x); }
ISA_INLINE F64 ceil(F64 x) { return vrndpq_f64(x); }
ISA_INLINE F32 trunc(F32 x) { return vrndq_f32(x); }
ISA_INLINE F64 trunc(F64 x) { return vrndq_f64(x); }
ISA_INLINE F64 widen_low(F32 v) { return vcvt_f64_f32(vget_low_f32(v)); }
ISA_INLINE F64 widen_high(F32 v) { return vcvt_high_f64_f32(v); }
ISA_INLINE F32 narrow(F64 low, F64 high) { return vcvt_high_f32_f64(vcvt_f32_f64(low), high); }
ISA_INLINE bool any(I32 mask) { return vmaxvq_u32((uint32x4_t)mask) != 0; }
ISA_INLINE bool any(I64 mask) { return vmaxvq_u32((uint32x4_t)mask) != 0; }
ISA_INLINE I64 multiply_low(I64 a, I64 b) { return (I64)vmull_u32(vmovn_u64((uint64x2_t)a), vmovn_u64((uint64x2_t)b)); }

#else

// SSE2, and processors that have no section here, lack a fused multiply-add and rounding: fma rounds twice,
// and x is rounded by adding and subtracting 2^23 (2^52 for double), from where on every number is whole.
template <class Raw>
struct Rounding;
template <>
struct Rounding<F32> {
  using Int = I32;
  static constexpr float whole = 0x1p23f;
  static constexpr std::int32_t sign = INT32_MIN;
};
template <>
struct Rounding<F64> {
  using Int = I64;
  static constexpr double whole = 0x1p52;
  static constexpr std::int64_t sign = INT64_MIN;
};
template <class Raw>
ISA_INLINE Raw with_sign_of(Raw magnitude, Raw x) {
  using Int = typename Rounding<Raw>::Int;
  const Int sign = Int{} + Rounding<Raw>::sign;
  return (Raw)(((Int)magnitude & ~sign) | ((Int)x & sign));
}

template <class Raw>
ISA_INLINE Raw fma(Raw a, Raw b, Raw c) {
  return a * b + c;
}
template <class Raw>
ISA_INLINE Raw round(Raw x) {
  using Int = typename Rounding<Raw>::Int;
  const Raw magnitude = with_sign_of(x, Raw{}), whole = Raw{} + Rounding<Raw>::whole;
  return select((Int)(magnitude < whole), with_sign_of(magnitude + whole - whole, x), x);
}
template <class Raw>
ISA_INLINE Raw floor(Raw x) {
  const Raw r = round(x);
  return select((typename Rounding<Raw>::Int)(r > x), r - 1, r);
}
template <class Raw>
ISA_INLINE Raw ceil(Raw x) {
  const Raw r = round(x);
  return select((typename Rounding<Raw>::Int)(r < x), with_sign_of(r + 1, x), r);
}
template <class Raw>
ISA_INLINE Raw trunc(Raw x) {
  return with_sign_of(floor(with_sign_of(x, Raw{})), x);
}

#if defined(__SSE2__)
ISA_INLINE F32 sqrt(F32 x) { return _mm_sqrt_ps(x); }
ISA_INLINE F64 sqrt(F64 x) { return _mm_sqrt_pd(x); }
ISA_INLINE F32 min(F32 a, F32 b) { return _mm_min_ps(a, b); }
ISA_INLINE F64 min(F64 a, F64 b) { return _mm_min_pd(a, b); }
ISA_INLINE F32 max(F32 a, F32 b) { return _mm_max_ps(a, b); }
ISA_INLINE F64 max(F64 a, F64 b) { return _mm_max_pd(a, b); }
ISA_INLINE F64 widen_low(F32 v) { return _mm_cvtps_pd(v); }
ISA_INLINE F64 widen_high(F32 v) { return _mm_cvtps_pd(_mm_movehl_ps(v, v)); }
ISA_INLINE F32 narrow(F64 low, F64 high) { return _mm_movelh_ps(_mm_cvtpd_ps(low), _mm_cvtpd_ps(high)); }
ISA_INLINE bool any(I32 mask) { return _mm_movemask_ps((__m128)mask) != 0; }
ISA_INLINE bool any(I64 mask) { return _mm_movemask_pd((__m128d)mask) != 0; }
ISA_INLINE I64 multiply_low(I64 a, I64 b) { return (I64)_mm_mul_epu32((__m128i)a, (__m128i)b); }
#else
ISA_INLINE F32 sqrt(F32 x) {
  return F32{__builtin_sqrtf(x[0]), __builtin_sqrtf(x[1]), __builtin_sqrtf(x[2]), __builtin_sqrtf(x[3])};
}
ISA_INLINE F64 sqrt(F64 x) { return F64{__builtin_sqrt(x[0]), __builtin_sqrt(x[1])}; }
template <class Raw>
ISA_INLINE Raw min(Raw a, Raw b) {
  return a < b ? a : b;
}
template <class Raw>
ISA_INLINE Raw max(Raw a, Raw b) {
  return a > b ? a : b;
}
ISA_INLINE F64 widen_low(F32 v) { return F64{v[0], v[1]}; }
ISA_INLINE F64 widen_high(F32 v) { return F64{v[2], v[3]}; }
ISA_INLINE F32 narrow(F64 low, F64 high) {
  return F32{static_cast<float>(low[0]), static_cast<float>(low[1]), static_cast<float>(high[0]),
             static_cast<float>(high[1])};
}
ISA_INLINE bool any(I64 mask) { return (mask[0] | mask[1]) != 0; }
ISA_INLINE I64 multiply_low(I64 a, I64 b) { return (a & 0xffffffff) * (b & 0xffffffff); }
ISA_INLINE bool any(I32 mask) { return any((I64)mask); }
#endif

#endif
#endif

template <class Raw>
ISA_INLINE Raw root(Raw x) {
  return sqrt(x);
}

}  // namespace native
}  // namespace
}  // namespace pullback::ISA_NAMESPACE
