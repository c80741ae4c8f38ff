// Numbers stored in 16 bits, and computed with as floats. Whether they are float16 or bfloat16 the call says, not their
// type, so that one compiled kernel serves both.
#pragma once
#include "common/device.h"

namespace pullback::cuda {

inline constexpr bool kHalves = kTakesHalves;  // of the rows that both halves of the library share

struct AnyHalf {
  uint16_t bits;
  PB_DEVICE float from_bfloat16() const { return float_of(static_cast<uint32_t>(bits) << 16); }
};

template <class T>
inline constexpr bool is_any_half = std::is_same_v<std::remove_const_t<T>, AnyHalf>;

// What a kernel computes in where elements are stored as T.
template <class T>
using Computed = std::conditional_t<is_any_half<T>, float, std::remove_const_t<T>>;

// How elements become numbers and numbers elements; all but halves are what they are.
struct Format {
  bool is_bfloat16 = false;

  Format() = default;
  explicit Format(DType t) : is_bfloat16(t == DType::bf16) {}

  template <class T>
  PB_DEVICE Computed<T> read(const T& x) const {
    if constexpr (is_any_half<T>) {
      return is_bfloat16 ? x.from_bfloat16() : Half::widen(x.bits);
    } else {
      return x;
    }
  }
  // What is const stays as it is.
  template <class T>
  PB_DEVICE void write(T& place, const Computed<T>& x) const {
    if constexpr (is_any_half<T> && !std::is_const_v<T>) {
      place.bits = is_bfloat16 ? BFloat16::round(x) : Half::round(x);
    } else if constexpr (!std::is_const_v<T>) {
      place = x;
    }
  }
};

// Numbers that lie `step` elements apart.
template <class T>
struct Strided {
  T* p;
  int64_t step;
  Format format;
  PB_DEVICE Computed<T> operator[](int64_t k) const { return format.read(p[k * step]); }
  PB_DEVICE void put(int64_t k, Computed<T> x) const { format.write(p[k * step], x); }
};

// f, a functor on numbers, as one on elements of the types T…, those that it reads const.
template <class F, class... T>
struct OnElements {
  F f;
  Format format;

  PB_DEVICE void operator()(T&... element) const { run(given<T>(element)..., element...); }
  PB_DEVICE void run(Computed<T>... x, T&... element) const {
    f(x...);
    (format.write(element, x), ...);
  }
  // What is only written is not read before: it may hold bits that are no bool.
  template <class U>
  PB_DEVICE Computed<U> given(const U& element) const {
    return std::is_const_v<U> ? format.read(element) : Computed<U>{};
  }

  PB_DEVICE auto prepare() const
    requires requires(const F& g) { g.prepare(); }
  {
    return OnElements<decltype(f.prepare()), T...>{f.prepare(), format};
  }
  PB_DEVICE bool idle() const
    requires requires(const F& g) { g.idle(); }
  {
    return f.idle();
  }
};

// --- on the host -----------------------------------------------------------------------------------------------------

inline bool is_half_type(DType t) { return t == DType::f16 || t == DType::bf16; }

// As the functions of runtime/operands.h, with AnyHalf for the halves.
template <class F>
void visit_real(DType t, F&& f) {
  if (is_half_type(t)) return f(AnyHalf{});
  visit_float(t, f);
}
template <class F>
void visit_real_number(DType t, F&& f) {
  if (is_half_type(t)) return f(AnyHalf{});
  visit_number(t, f);
}
template <class F>
void visit_real_any(DType t, F&& f) {
  if (is_half_type(t)) return f(AnyHalf{});
  visit_any(t, f);
}

}  // namespace pullback::cuda
