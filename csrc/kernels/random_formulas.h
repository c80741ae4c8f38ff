// What random numbers are made of words by, on the CPU and on the GPU: V is a vector there, one number here. Both
// sources include this after log, sqrt and sin_of_angle of their V.
//
// Sums and products are rounded one by one, never fused: uniform numbers have the same bits everywhere.
#pragma once
#include "kernels/random.h"

namespace pullback::ISA_NAMESPACE {
namespace {

// u = k 2⁻²⁴ or k 2⁻⁵³ in [0, 1)
PB_INLINE float unit(uint32_t k) { return static_cast<float>(static_cast<int32_t>(k >> 8)) * 0x1p-24f; }
PB_INLINE double unit(uint64_t k) { return static_cast<double>(static_cast<int64_t>(k >> 11)) * 0x1p-53; }
// (k + ½) 2⁻⁵³, in (0, 1)
PB_INLINE double inner_unit(uint64_t k) { return (static_cast<double>(k >> 11) + 0.5) * 0x1p-53; }

// low + (high − low) u, but low for a sum that was rounded up to the bound
template <class T>
PB_INLINE T between(T low, T high, T u) {
  const T value = low + (high - low) * u;
  return value < high ? value : low;
}

// As many bits of a word as a half's numbers below 1 have of their own: with more, u would be rounded up to 1.
template <class T>
inline constexpr int kUnitBits = std::is_same_v<T, Half> ? 11 : 8;

// What is drawn for an element of type T.
template <class T, class Number>
PB_INLINE T uniform_of(double low, double high, Number k) {
  if constexpr (is_half<T>) {
    const float u = static_cast<float>(k >> (32 - kUnitBits<T>)) / (1 << kUnitBits<T>);
    const auto from = static_cast<float>(low), to = static_cast<float>(high);
    const T value(from + (to - from) * u);
    return value < to ? value : T(from);
  } else {
    return between(static_cast<T>(low), static_cast<T>(high), unit(k));
  }
}

template <class F>
PB_HOST_INLINE void visit_uniform(DType t, F&& f) {
  if (t == DType::f16) return f(Half{});
  if (t == DType::bf16) return f(BFloat16{});
  visit_float(t, f);
}

// ⌊n k 2⁻⁶⁴⌋
PB_INLINE uint64_t below(uint64_t n, uint64_t k) {
  return static_cast<uint64_t>(static_cast<unsigned __int128>(n) * k >> 64);
}

// Tiles of the higher halves of a permutation's keys; as many of the lower halves follow.
PB_INLINE int64_t key_tiles(int64_t n) { return (n + kWords - 1) / kWords; }

// k 2⁻³² < p
PB_INLINE bool happens(uint32_t k, double p) { return static_cast<double>(k) < p * 0x1p32; }

// Dropout keeps what draws a k from first_kept on, and multiplies it.
PB_INLINE double keep_scale(double p) { return p < 1 ? 1 / (1 - p) : 0; }
PB_INLINE uint32_t first_kept(double p) { return p < 1 ? static_cast<uint32_t>(p * 0x1p32) : 0; }

// A number k as u in (0, 1], and as an angle (quadrant + fraction) π/2.
template <class T>
struct Numbers;
template <>
struct Numbers<float> {
  using Int = Vec<int32_t>;
  PB_INLINE static Vec<float> positive_unit(Int k) {
    return convert<float>((k >> 1) & Int(INT32_MAX)) * 0x1p-31f + 0x1p-32f;
  }
  PB_INLINE static Vec<float> fraction(Int k) { return convert<float>(k & Int(0x3fffffff)) * 0x1p-30f; }
  PB_INLINE static Int quadrant(Int k) { return k >> 30; }
};
template <>
struct Numbers<double> {
  using Int = Vec<int64_t>;
  PB_INLINE static Vec<double> positive_unit(Int k) {
    return convert<double>((k >> 11) & Int((int64_t{1} << 53) - 1)) * 0x1p-53 + 0x1p-54;
  }
  PB_INLINE static Vec<double> fraction(Int k) {
    return convert<double>((k >> 9) & Int((int64_t{1} << 53) - 1)) * 0x1p-53;
  }
  PB_INLINE static Int quadrant(Int k) { return k >> 62; }
};

// z₁, z₂ = √(−2 ln u) (cos θ, sin θ), θ = (quadrant + fraction − ½) π/2
template <class T>
struct NormalPair {
  Vec<T> first, second;
};
template <class T>
PB_INLINE NormalPair<T> box_muller(typename Numbers<T>::Int k1, typename Numbers<T>::Int k2) {
  using N = Numbers<T>;
  const Vec<T> radius = sqrt(Vec<T>(-2) * log(N::positive_unit(k1)));
  const Vec<T> angle = (N::fraction(k2) - Vec<T>(T(0.5))) * Vec<T>(T(1.57079632679489661923));
  const auto quadrant = N::quadrant(k2);
  return {radius * sin_of_angle(angle, quadrant + typename N::Int(1)), radius * sin_of_angle(angle, quadrant)};
}

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
