// Elements of a dtype that a kernel is told when it runs: one kernel for all integers, and for conversions that are
// rare, where one for each would take several times as long to compile. Floats are read through their own type.
//
// What reads any of them takes a pointer P, an X*, a HalfPointer or an AnyPointer: read_as<T>(p + k, i),
// load_as<T, n>(p, i).
#pragma once
#include "common/elementwise.h"

namespace pullback::cuda {

struct AnyPointer {
  char* data = nullptr;
  DType dtype = DType::b8;
  int32_t size = 1;  // of an element, in bytes

  AnyPointer() = default;
  explicit AnyPointer(const Operand& x) : data(x.data<char>()), dtype(x.dtype), size(item_size(x.dtype)) {}
  PB_INLINE AnyPointer(char* data, DType dtype, int32_t size) : data(data), dtype(dtype), size(size) {}
  PB_INLINE AnyPointer operator+(int64_t elements) const { return {data + elements * size, dtype, size}; }

  // f(elements) with a pointer of their type.
  template <class F>
  PB_DEVICE auto visit(const F& f) const {
    switch (dtype) {
      case DType::f32:
        return f(reinterpret_cast<float*>(data));
      case DType::f64:
        return f(reinterpret_cast<double*>(data));
      case DType::i64:
        return f(reinterpret_cast<int64_t*>(data));
      case DType::i32:
        return f(reinterpret_cast<int32_t*>(data));
      case DType::i16:
        return f(reinterpret_cast<int16_t*>(data));
      case DType::i8:
        return f(reinterpret_cast<int8_t*>(data));
      case DType::u8:
        return f(reinterpret_cast<uint8_t*>(data));
      case DType::f16:
        return f(reinterpret_cast<Half*>(data));
      case DType::bf16:
        return f(reinterpret_cast<BFloat16*>(data));
      default:
        return f(reinterpret_cast<bool*>(data));
    }
  }
};

// Halves of either kind.
struct HalfPointer {
  const AnyHalf* data = nullptr;
  Format format = {};

  HalfPointer() = default;
  explicit HalfPointer(const Operand& x) : data(x.data<AnyHalf>()), format(x.dtype) {}
  PB_DEVICE HalfPointer(const AnyHalf* data, Format format) : data(data), format(format) {}
  PB_DEVICE HalfPointer operator+(int64_t elements) const { return {data + elements, format}; }
};

// Element i as a T.
template <class T, class X>
PB_DEVICE T read_as(const X* p, int64_t i) {
  return static_cast<T>(element(p, i));
}
template <class T>
PB_DEVICE T read_as(AnyPointer p, int64_t i) {
  return p.visit([i](const auto* x) { return static_cast<T>(element(x, i)); });
}

template <class T>
PB_DEVICE T read_as(HalfPointer p, int64_t i) {
  return static_cast<T>(p.format.read(p.data[i]));
}

// Elements i n, …, i n + n − 1 as T.
template <class T, int n, class X>
PB_DEVICE Pack<T, n> load_as(const X* p, int64_t i) {
  const auto from = load_pack<n>(p, i);
  Pack<T, n> pack;
  for (int e = 0; e < n; ++e) pack.element[e] = static_cast<T>(from.element[e]);
  return pack;
}
template <class T, int n>
PB_DEVICE Pack<T, n> load_as(AnyPointer p, int64_t i) {
  return p.visit([i](const auto* x) { return load_as<T, n>(x, i); });
}
template <class T, int n>
PB_DEVICE Pack<T, n> load_as(HalfPointer p, int64_t i) {
  const auto from = load_pack<n>(p.data, i);
  Pack<T, n> pack;
  for (int e = 0; e < n; ++e) pack.element[e] = static_cast<T>(p.format.read(from.element[e]));
  return pack;
}
template <int n>
bool takes_packs(const HalfPointer& p) {
  return takes_packs<n>(p.data);
}
template <int n>
bool takes_packs(const AnyPointer& p) {
  const int bytes = n * p.size;
  return reinterpret_cast<uintptr_t>(p.data) % (bytes < 16 ? bytes : 16) == 0;
}

// Element i ← value
template <class T, class X>
PB_DEVICE void write(X* p, int64_t i, T value) {
  p[i] = static_cast<X>(value);
}
template <class T>
PB_DEVICE void write(AnyPointer p, int64_t i, T value) {
  p.visit([=](auto* y) { write(y, i, value); });
}

PB_DEVICE bool is_nonzero(AnyPointer p, int64_t i) {
  return p.visit([i](const auto* x) { return element(x, i) != 0; });
}

// y_to ← x_from, of one dtype
PB_DEVICE void move(AnyPointer y, int64_t to, AnyPointer x, int64_t from) {
  const auto move_word = [=](auto* words) { words[to] = reinterpret_cast<decltype(words)>(x.data)[from]; };
  switch (y.size) {
    case 8:
      return move_word(reinterpret_cast<uint64_t*>(y.data));
    case 4:
      return move_word(reinterpret_cast<uint32_t*>(y.data));
    case 2:
      return move_word(reinterpret_cast<uint16_t*>(y.data));
    default:
      return move_word(reinterpret_cast<uint8_t*>(y.data));
  }
}

// The same kind of pointer to another operand of that dtype.
template <class P>
P pointer_to(const Operand& x) {
  if constexpr (std::is_same_v<P, AnyPointer>) {
    return AnyPointer(x);
  } else {
    return x.data<std::remove_pointer_t<P>>();
  }
}

// f(x's elements, T{}) with the T that they are computed in: floats in their own type, integers in int64.
template <class F>
void visit_computed(const Operand& x, F&& f) {
  if (x.dtype == DType::f32) return f(x.data<float>(), float{});
  if (x.dtype == DType::f64) return f(x.data<double>(), double{});
  f(AnyPointer(x), int64_t{});
}

}  // namespace pullback::cuda
