// How a value joins the one that is there already: of(there, value).
#pragma once
#include "isa/kernel.h"

namespace pullback::ISA_NAMESPACE {
namespace {

struct Assign {
  template <class T>
  PB_INLINE static T of(T, T v) {
    return v;
  }
};
struct Add {
  template <class T>
  PB_INLINE static T of(T x, T v) {
    return static_cast<T>(x + v);
  }
};
struct Multiply {
  template <class T>
  PB_INLINE static T of(T x, T v) {
    return static_cast<T>(x * v);
  }
};
struct Min {  // a NaN wins
  template <class T>
  PB_INLINE static T of(T x, T v) {
    return v < x || v != v ? v : x;
  }
};
struct Max {
  template <class T>
  PB_INLINE static T of(T x, T v) {
    return v > x || v != v ? v : x;
  }
};

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
