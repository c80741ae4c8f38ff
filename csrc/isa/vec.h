#pragma once
// Vec<T>: one register full of T, over the vector extension of GCC and Clang. Only kernel sources include
// this; see native.h for how they are compiled. T is float, double, or a 32- or 64-bit integer; floats and
// integers of one width have as many lanes, so that bits_as and convert go between them.

#include <cstdint>
#include <type_traits>
#include <utility>

#include "isa/native.h"

namespace pullback::ISA_NAMESPACE {
namespace {

template <class T>
struct Vec;

// The result of a comparison: every lane all ones or all zeros.
template <class T>
struct Mask {
  using Raw = typename RawOf<IntOf<T>>::type;
  Raw raw{};

  Mask() = default;
  explicit Mask(Raw r) : raw(r) {}

  friend Mask operator&(Mask a, Mask b) { return Mask(a.raw & b.raw); }
  friend Mask operator|(Mask a, Mask b) { return Mask(a.raw | b.raw); }
  friend Mask operator^(Mask a, Mask b) { return Mask(a.raw ^ b.raw); }
  friend Mask operator~(Mask a) { return Mask(~a.raw); }
  friend bool any(Mask m) { return native::any(m.raw); }
  friend bool all(Mask m) { return !native::any(~m.raw); }

  // Lanes of a where m holds, of b elsewhere.
  friend Vec<T> select(Mask m, Vec<T> a, Vec<T> b) { return Vec<T>(native::select(m.raw, a.raw, b.raw)); }
};

// The type that T is added, subtracted and multiplied in: integers wrap around, which only unsigned ones may.
template <class T>
using WrapOf = typename std::conditional_t<std::is_integral_v<T>, std::make_unsigned<T>, std::type_identity<T>>::type;

// A full register where load and store take the number of lanes; see for_each_vec.
struct AllLanes {};

template <class T>
struct Vec {
  using Raw = typename RawOf<T>::type;
  using Wrap = typename RawOf<WrapOf<T>>::type;
  static constexpr int size = ISA_VECTOR_BYTES / sizeof(T);
  Raw raw{};

  Vec() = default;                        // zeros
  Vec(T scalar) : raw(scalar - Raw{}) {}  // in every lane (x - 0 keeps -0, x + 0 would not)
  explicit Vec(Raw r) : raw(r) {}

  // p needs no alignment. With n <= size lanes the rest are zero, and memory past p[n - 1] is never touched.
  static Vec load(const T* p) {
    Vec v;
    __builtin_memcpy(&v.raw, p, sizeof(Raw));
    return v;
  }
  static Vec load(const T* p, AllLanes) { return load(p); }
  static Vec load(const T* p, int n) { return Vec(native::load(p, n)); }
  void store(T* p) const { __builtin_memcpy(p, &raw, sizeof(Raw)); }
  void store(T* p, AllLanes) const { store(p); }
  void store(T* p, int n) const { native::store(p, raw, n); }
  // Past the caches, to p aligned as Raw is: seen by other threads after stream_fence.
  void stream(T* p) const { native::stream(p, raw); }

  T operator[](int lane) const { return raw[lane]; }

  friend Vec operator+(Vec a, Vec b) { return Vec((Raw)((Wrap)a.raw + (Wrap)b.raw)); }
  friend Vec operator-(Vec a, Vec b) { return Vec((Raw)((Wrap)a.raw - (Wrap)b.raw)); }
  friend Vec operator*(Vec a, Vec b) { return Vec((Raw)((Wrap)a.raw * (Wrap)b.raw)); }
  friend Vec operator/(Vec a, Vec b) { return Vec(a.raw / b.raw); }
  friend Vec operator-(Vec a) { return Vec((Raw)(-(Wrap)a.raw)); }
  Vec& operator+=(Vec b) { return *this = *this + b; }
  Vec& operator-=(Vec b) { return *this = *this - b; }
  Vec& operator*=(Vec b) { return *this = *this * b; }
  Vec& operator/=(Vec b) { return *this = *this / b; }

  friend Mask<T> operator==(Vec a, Vec b) { return Mask<T>((typename Mask<T>::Raw)(a.raw == b.raw)); }
  friend Mask<T> operator!=(Vec a, Vec b) { return Mask<T>((typename Mask<T>::Raw)(a.raw != b.raw)); }
  friend Mask<T> operator<(Vec a, Vec b) { return Mask<T>((typename Mask<T>::Raw)(a.raw < b.raw)); }
  friend Mask<T> operator<=(Vec a, Vec b) { return Mask<T>((typename Mask<T>::Raw)(a.raw <= b.raw)); }
  friend Mask<T> operator>(Vec a, Vec b) { return Mask<T>((typename Mask<T>::Raw)(a.raw > b.raw)); }
  friend Mask<T> operator>=(Vec a, Vec b) { return Mask<T>((typename Mask<T>::Raw)(a.raw >= b.raw)); }

  // Integers only. A shift to the right carries the sign in where T is signed.
  friend Vec operator&(Vec a, Vec b) { return Vec(a.raw & b.raw); }
  friend Vec operator|(Vec a, Vec b) { return Vec(a.raw | b.raw); }
  friend Vec operator^(Vec a, Vec b) { return Vec(a.raw ^ b.raw); }
  friend Vec operator~(Vec a) { return Vec(~a.raw); }
  friend Vec operator<<(Vec a, int bits) { return Vec(a.raw << bits); }
  friend Vec operator>>(Vec a, int bits) { return Vec(a.raw >> bits); }

  // Floats only. ab + c, rounded once; the portable set of x86 has no such instruction and rounds twice.
  friend Vec fma(Vec a, Vec b, Vec c) { return Vec(native::fma(a.raw, b.raw, c.raw)); }
  friend Vec sqrt(Vec x) { return Vec(native::sqrt(x.raw)); }
  friend Vec round(Vec x) { return Vec(native::round(x.raw)); }  // halves to even
  friend Vec floor(Vec x) { return Vec(native::floor(x.raw)); }
  friend Vec ceil(Vec x) { return Vec(native::ceil(x.raw)); }
  friend Vec trunc(Vec x) { return Vec(native::trunc(x.raw)); }
  friend Mask<T> isnan(Vec x) { return x != x; }

  // √x within 0.6 ulp for 2^-100 <= x < inf and for 0; in between, good to 13 bits.
  friend Vec sqrt_fast(Vec x) { return Vec(native::root(x.raw)); }

  // a < b ? a : b and a > b ? a : b, one instruction each: b where either is NaN.
  friend Vec min_fast(Vec a, Vec b) { return Vec(native::min(a.raw, b.raw)); }
  friend Vec max_fast(Vec a, Vec b) { return Vec(native::max(a.raw, b.raw)); }
  // NaN where either is NaN, as NumPy's and PyTorch's minimum and maximum.
  friend Vec min(Vec a, Vec b) { return select(isnan(a), a, min_fast(a, b)); }
  friend Vec max(Vec a, Vec b) { return select(isnan(a), a, max_fast(a, b)); }
};

ISA_INLINE void stream_fence() { native::stream_fence(); }

// The same bits as lanes of U.
template <class U, class T>
ISA_INLINE Vec<U> bits_as(Vec<T> v) {
  return Vec<U>((typename Vec<U>::Raw)v.raw);
}
template <class U, class T>
ISA_INLINE Mask<U> bits_as(Mask<T> m) {
  return Mask<U>((typename Mask<U>::Raw)m.raw);
}

// The same numbers as lanes of U, which is as wide as T; a float is truncated to an integer, and has to fit.
template <class U, class T>
ISA_INLINE Vec<U> convert(Vec<T> v) {
  return Vec<U>(__builtin_convertvector(v.raw, typename Vec<U>::Raw));
}

// The float lanes as doubles: the first half in low, the second in high. narrow rounds them back.
struct Halves {
  Vec<double> low, high;
};
ISA_INLINE Halves widen(Vec<float> v) {
  return {Vec<double>(native::widen_low(v.raw)), Vec<double>(native::widen_high(v.raw))};
}
ISA_INLINE Vec<float> narrow(Halves v) { return Vec<float>(native::narrow(v.low.raw, v.high.raw)); }

template <class T>
ISA_INLINE Vec<T> abs(Vec<T> x) {
  return bits_as<T>(bits_as<IntOf<T>>(x) & ~bits_as<IntOf<T>>(Vec<T>(T(-0.0))));
}

// |magnitude| with the sign of x, which may be -0 or NaN.
template <class T>
ISA_INLINE Vec<T> copysign(Vec<T> magnitude, Vec<T> x) {
  const auto sign = bits_as<IntOf<T>>(Vec<T>(T(-0.0)));
  return bits_as<T>((bits_as<IntOf<T>>(magnitude) & ~sign) | (bits_as<IntOf<T>>(x) & sign));
}

// v[lanes[0]], v[lanes[1]], …
template <class T, int... lanes>
ISA_INLINE Vec<T> permute(Vec<T> v, std::integer_sequence<int, lanes...>) {
#if defined(__clang__)
  return Vec<T>(__builtin_shufflevector(v.raw, v.raw, lanes...));
#else
  return Vec<T>(__builtin_shuffle(v.raw, typename RawOf<IntOf<T>>::type{lanes...}));
#endif
}
// Lane i takes lane i ^ distance.
template <int distance, class T, int... lanes>
ISA_INLINE Vec<T> exchange(Vec<T> v, std::integer_sequence<int, lanes...>) {
  return permute(v, std::integer_sequence<int, (lanes ^ distance)...>{});
}
template <int distance, class T>
ISA_INLINE Vec<T> exchange(Vec<T> v) {
  return exchange<distance>(v, std::make_integer_sequence<int, Vec<T>::size>{});
}

// Last lane first.
template <class T>
ISA_INLINE Vec<T> reverse(Vec<T> v) {
  return exchange<Vec<T>::size - 1>(v);
}

// 0, 1, 2, …
template <class T, int... lanes>
ISA_INLINE Vec<T> iota(std::integer_sequence<int, lanes...>) {
  return Vec<T>(typename Vec<T>::Raw{T(lanes)...});
}
template <class T>
ISA_INLINE Vec<T> iota() {
  return iota<T>(std::make_integer_sequence<int, Vec<T>::size>{});
}

// The lanes combined as a tree, distant ones first: for 4 lanes op(op(v0, v2), op(v1, v3)). op must commute.
template <int distance, class T, class Op>
ISA_INLINE Vec<T> reduce(Vec<T> v, Op op) {
  const Vec<T> half = op(v, exchange<distance>(v));
  if constexpr (distance == 1) {
    return half;
  } else {
    return reduce<distance / 2>(half, op);
  }
}
template <class T>
ISA_INLINE T reduce_add(Vec<T> v) {
  return reduce<Vec<T>::size / 2>(v, [](Vec<T> a, Vec<T> b) { return a + b; })[0];
}
template <class T>
ISA_INLINE T reduce_max(Vec<T> v) {
  return reduce<Vec<T>::size / 2>(v, [](Vec<T> a, Vec<T> b) { return max(a, b); })[0];
}
template <class T>
ISA_INLINE T reduce_min(Vec<T> v) {
  return reduce<Vec<T>::size / 2>(v, [](Vec<T> a, Vec<T> b) { return min(a, b); })[0];
}

// f(i, lanes) for the vectors that cover 0 … n - 1. lanes is AllLanes or, for the last one, a number of
// lanes; f hands it to load and store, and so is compiled once for full vectors and once for the tail:
//   for_each_vec<T>(n, [&](std::int64_t i, auto lanes) {
//     (alpha * Vec<T>::load(x + i, lanes)).store(y + i, lanes);
//   });
template <class T, class F>
ISA_INLINE void for_each_vec(std::int64_t n, F&& f) {
  std::int64_t i = 0;
  for (; i + Vec<T>::size <= n; i += Vec<T>::size) f(i, AllLanes{});
  if (i < n) f(i, static_cast<int>(n - i));
}

// first_lanes<T>(n): true in lanes 0 … n - 1.
template <class T>
ISA_INLINE Mask<T> first_lanes(int n) {
  return bits_as<T>(iota<IntOf<T>>() < Vec<IntOf<T>>(n));
}
template <class T>
ISA_INLINE Mask<T> first_lanes(AllLanes) {
  return ~Mask<T>();
}

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
