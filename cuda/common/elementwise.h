// Elementwise kernels: y_i = f(a_i, b_i, …) over operands that broadcast and have any strides.
//
// A kernel is written as a functor on elements, inputs first and outputs by reference after them. Where all operands
// lie side by side a thread takes 16 bytes of the widest at a time; elsewhere each element is found by its index.
#pragma once
#include <algorithm>
#include <cstdlib>
#include <initializer_list>
#include <tuple>
#include <type_traits>
#include <utility>

#include "common/halves.h"

namespace pullback::cuda {

// The common iteration space: the first output's shape, neighbouring dimensions merged where every operand allows it.
template <int operands>
struct Space {
  int ndim = 0;
  int64_t size = 1;
  int64_t shape[kMaxDims];
  int64_t stride[operands][kMaxDims];  // elements; 0 along broadcast dimensions
  bool linear = true;                  // element i of every operand lies at its start + i

  PB_DEVICE int64_t at(int operand, int64_t index) const { return places(index).at[operand]; }

  // Where element `index` of each operand lies.
  struct Places {
    int64_t at[operands];
  };
  PB_DEVICE Places places(int64_t index) const {
    return size <= UINT32_MAX ? places_by(static_cast<uint32_t>(index)) : places_by(static_cast<uint64_t>(index));
  }

 private:
  // A division of 64 bits takes a GPU several times as long as one of 32.
  template <class Index>
  PB_DEVICE Places places_by(Index index) const {
    Places p = {};
    PB_ROLLED
    for (int d = ndim - 1; d >= 0; --d) {
      const Index left = d > 0 ? index / static_cast<Index>(shape[d]) : 0;
      const auto k = static_cast<int64_t>(index - left * static_cast<Index>(shape[d]));
      PB_UNROLL
      for (int i = 0; i < operands; ++i) p.at[i] += k * stride[i][d];
      index = left;
    }
    return p;
  }
};

// Dimension d of y, inside or merged with the one before it in `s`.
template <int operands>
void append_dim(Space<operands>& s, int64_t size, const int64_t (&stride)[operands]) {
  s.size *= size;
  if (size == 1) return;
  const int last = s.ndim - 1;
  bool continues = s.ndim > 0;
  for (int i = 0; i < operands; ++i) continues = continues && s.stride[i][last] == size * stride[i];
  if (!continues) s.shape[s.ndim++] = 1;
  s.shape[s.ndim - 1] *= size;
  for (int i = 0; i < operands; ++i) s.stride[i][s.ndim - 1] = stride[i];
}

// Neighbouring threads take neighbours in the first output's memory, so that a transposed result is written in whole
// lines too.
template <int operands>
Space<operands> make_space(const Operand* x, int inputs) {
  const Operand& y = x[inputs];
  int dims[kMaxDims];
  for (int d = 0; d < y.ndim; ++d) {
    int e = d;
    for (; e > 0 && llabs(y.strides[dims[e - 1]]) < llabs(y.strides[d]); --e) dims[e] = dims[e - 1];
    dims[e] = d;
  }
  Space<operands> s;
  for (int k = 0; k < y.ndim; ++k) {
    int64_t stride[operands];
    for (int i = 0; i < operands; ++i) {
      const int d = dims[k] - (y.ndim - x[i].ndim);  // missing leading dimensions broadcast
      stride[i] = d < 0 || (x[i].shape[d] == 1 && y.shape[dims[k]] != 1) ? 0 : x[i].strides[d];
    }
    append_dim(s, y.shape[dims[k]], stride);
  }
  for (int i = 0; i < operands; ++i) s.linear = s.linear && (s.ndim == 0 || (s.ndim == 1 && s.stride[i][0] == 1));
  return s;
}

// The shape that some operands share, in row-major order.
template <class... Operands>
Space<1 + sizeof...(Operands)> row_major_space(const Operand& x, const Operands&... others) {
  Space<1 + sizeof...(Operands)> s;
  for (int d = 0; d < x.ndim; ++d) append_dim(s, x.shape[d], {x.strides[d], others.strides[d]...});
  return s;
}

// The elements that a thread takes at a time, aligned as one.
template <class T, int n>
struct alignas(n * sizeof(T) <= 16 ? n * sizeof(T) : 16) Pack {
  T element[n];
};

// So many that a thread takes 16 bytes of the widest.
template <class... T>
inline constexpr int kPack = 16 / std::max({static_cast<int>(sizeof(T))...});

template <class T, int n>
using PackOf = Pack<std::remove_const_t<T>, n>;

template <int n, class T>
bool takes_packs(const T* p) {
  return reinterpret_cast<uintptr_t>(p) % alignof(Pack<T, n>) == 0;
}

// Element i: its value where it is a bool that is read, as any byte that is not 0 is true; else the element itself.
template <class T>
PB_DEVICE decltype(auto) element(T* p, int64_t i) {
  if constexpr (std::is_same_v<T, const bool>) {
    return reinterpret_cast<const uint8_t*>(p)[i] != 0;
  } else {
    return (p[i]);
  }
}

// What is const is read, the rest written.
template <int n, class T>
PB_DEVICE PackOf<T, n> load_pack(T* p, int64_t i) {
  PackOf<T, n> pack = {};
  if constexpr (std::is_same_v<T, const bool>) {
    const auto bytes = load_pack<n>(reinterpret_cast<const uint8_t*>(p), i);
    for (int k = 0; k < n; ++k) pack.element[k] = bytes.element[k] != 0;
  } else if constexpr (std::is_const_v<T>) {
    pack = reinterpret_cast<const PackOf<T, n>*>(p)[i];
  }
  return pack;
}
template <int n, class T>
PB_DEVICE void store_pack(T* p, int64_t i, const PackOf<T, n>& pack) {
  if constexpr (!std::is_const_v<T>) reinterpret_cast<PackOf<T, n>*>(p)[i] = pack;
}
template <int n, class F, class... T>
PB_DEVICE void run_packs(const F& f, int64_t i, PackOf<T, n>... pack, T*... p) {
  for (int k = 0; k < n; ++k) f(pack.element[k]...);
  (store_pack<n>(p, i, pack), ...);
}

// What a functor wants to work out once a thread, not once an element.
template <class F>
PB_DEVICE auto prepared(const F& f) {
  if constexpr (requires { f.prepare(); }) {
    return f.prepare();
  } else {
    return f;
  }
}

// Whether it has nothing to do, where the data can tell.
template <class F>
PB_DEVICE bool is_idle(const F& f) {
  if constexpr (requires { f.idle(); }) {
    return f.idle();
  } else {
    return false;
  }
}

template <int n, class F, class... T>
__global__ void linear_elements(int64_t size, F functor, T*... p) {
  const auto f = prepared(functor);
  if (is_idle(f)) return;
  const int64_t packs = size / n;
  for (int64_t i = first(); i < packs; i += stride())
    run_packs<n, decltype(f), T...>(f, i, load_pack<n>(p, i)..., p...);
  for (int64_t i = packs * n + first(); i < size; i += stride()) f(element(p, i)...);
}

template <class F, int... operand, class... T>
PB_DEVICE void strided_element(const Space<sizeof...(T)>& s, const F& f, int64_t i,
                               std::integer_sequence<int, operand...>, T*... p) {
  const auto places = s.places(i);
  f(element(p, places.at[operand])...);
}

template <class F, class... T>
__global__ void strided_elements(Space<sizeof...(T)> s, F functor, T*... p) {
  const auto f = prepared(functor);
  if (is_idle(f)) return;
  for (int64_t i = first(); i < s.size; i += stride())
    strided_element(s, f, i, std::make_integer_sequence<int, sizeof...(T)>(), p...);
}

template <class F, class... T>
void launch_elements(const Space<sizeof...(T)>& s, F f, T*... p) {
  constexpr int n = kPack<T...>;
  if (s.linear && (takes_packs<n>(p) && ...))
    return launch(linear_elements<n, F, T...>, blocks_for(s.size, n), kBlockSize, s.size, f, p...);
  launch(strided_elements<F, T...>, blocks_for(s.size), kBlockSize, s, f, p...);
}

// Of the halves among the operands, which are of one kind.
template <class... T>
Format format_of(const Call& call) {
  Format format;
  int i = 0;
  ((is_any_half<T> ? void(format = Format(call.operands[i++].dtype)) : void(++i)), ...);
  return format;
}

// Where some operands begin, as pointers to their elements.
template <class... T>
std::tuple<T*...> starts_of(const Operand* x) {
  int i = 0;
  const auto next = [&](auto* zero) { return x[i++].template data<std::remove_pointer_t<decltype(zero)>>(); };
  return {next(static_cast<T*>(nullptr))...};  // in braces: from left to right
}

// f(inputs…, outputs…) for every element; T… are the operands' types in the order of the contract, inputs const. Of
// halves, f sees floats.
template <class... T, class F>
void elementwise(const Call& call, F f) {
  constexpr int operands = sizeof...(T), inputs = (0 + ... + (std::is_const_v<T> ? 1 : 0));
  if (!check_shapes(call, inputs, operands - inputs)) return;
  const Space<operands> s = make_space<operands>(call.operands, inputs);
  if (s.size == 0) return;
  std::apply(
      [&](auto*... p) {
        if constexpr ((is_any_half<T> || ...)) {
          launch_elements(s, OnElements<F, T...>{f, format_of<T...>(call)}, p...);
        } else {
          launch_elements(s, f, p...);
        }
      },
      starts_of<T...>(call.operands));
}

}  // namespace pullback::cuda
