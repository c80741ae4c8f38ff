// What the optimizers' sources share: parameters, gradients and state, element by element.
#pragma once
#include "isa/math_common.h"
#include "isa/table.h"

namespace pullback::ISA_NAMESPACE {
namespace {

// Bytes ahead of its use that an element is fetched, where the caches cannot hold the parameters. The processor's own
// prefetching leaves much of the memory's rate unused where a step goes through three to five arrays at once: 10M
// parameters on two threads took Adam 4.5-4.9 ms without this and 3.8-4.1 ms with it, RMSprop 3.5 and 2.3 ms.
// Parameters that lie in the other core's cache, as after a training step's products, come later for it: 235k took 104
// and 231 µs.
PB_INLINE int64_t bytes_ahead(const Row& row) {
  constexpr int64_t kAhead = 2048, kFar = 1 << 20;  // elements
  return row.total > kFar ? kAhead : 0;
}

// The elements of an array from i on, while those further on come nearer.
template <class T, class Lanes>
PB_INLINE Vec<T> take(const T* x, int64_t i, Lanes lanes, int64_t ahead) {
  if (ahead) __builtin_prefetch(reinterpret_cast<const char*>(x + i) + ahead, 0, 3);
  return Vec<T>::load(x + i, lanes);
}

// √v of a second moment v, which a large gradient may have made infinite.
template <class T>
PB_INLINE Vec<T> root(Vec<T> v) {
  return sqrt_fast(min_fast(Vec<T>(Layout<T>::largest), v));
}

// The step of the parameters' dtype, unless there are none, or the scalar `found_inf` says that it is to be skipped.
template <int found_inf, void (*of_float)(const Call&), void (*of_double)(const Call&)>
void by_dtype(const Call& c) {
  if (!c.has(0) || c.real(found_inf) != 0) return;
  if (c[0].dtype == DType::f32) return of_float(c);
  of_double(c);
}

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
