#include "kernels/where.h"

#include "isa/elementwise.h"

namespace pullback::ISA_NAMESPACE {
namespace {

template <class Word>
void where_tile(const Tile& t) {
  const uint8_t* condition = t.x<uint8_t>(0);
  const Word *a = t.x<Word>(1), *b = t.x<Word>(2);
  Word* y = t.y<Word>();
  for_each_element(t.n, [&](int64_t i) {
    const Word mask = static_cast<Word>(-Word(condition[i] != 0));  // a branch would keep the loop scalar
    y[i] = static_cast<Word>(b[i] ^ ((a[i] ^ b[i]) & mask));
  });
}

void where(const Call& c) {
  visit_words(c[1].dtype, [&](auto zero) { elementwise(c, where_tile<decltype(zero)>, 3); });
}

template <class T>
void where_backward_tile(const Tile& t) {
  const T* dy = t.x<T>(0);
  const auto* condition = t.x<Stored<bool>>(1);
  T* dx = t.y<T>();
  const bool chosen = t.call->flag(0);
  for_each_element(t.n, [&](int64_t i) {
    const T g = dy[i];
    dx[i] = (condition[i] != 0) == chosen ? g : T(0);
  });
}

void where_backward(const Call& c) {
  visit_float(c[0].dtype, [&](auto zero) { elementwise(c, where_backward_tile<decltype(zero)>, 2); });
}

template <class T>
void clamp_tile(const Tile& t) {
  const T* x = t.x<T>(0);
  T* y = t.y<T>();
  const Vec<T> low = T(t.call->real(0)), high = T(t.call->real(1));
  for_each_vec<T>(t.n,
                  [&](int64_t i, auto lanes) { min(max(Vec<T>::load(x + i, lanes), low), high).store(y + i, lanes); });
}

void clamp(const Call& c) {
  visit_float(c[0].dtype, [&](auto zero) { elementwise(c, clamp_tile<decltype(zero)>, 1); });
}

template <class T>
void clamp_backward_tile(const Tile& t) {
  const T *dy = t.x<T>(0), *x = t.x<T>(1);
  T* dx = t.y<T>();
  const Vec<T> low = T(t.call->real(0)), high = T(t.call->real(1));
  for_each_vec<T>(t.n, [&](int64_t i, auto lanes) {
    const auto v = Vec<T>::load(x + i, lanes);
    select((v >= low) & (v <= high), Vec<T>::load(dy + i, lanes), Vec<T>(0)).store(dx + i, lanes);
  });
}

void clamp_backward(const Call& c) {
  visit_float(c[0].dtype, [&](auto zero) { elementwise(c, clamp_backward_tile<decltype(zero)>, 2); });
}

template <class T>
void clamp_between_tile(const Tile& t) {
  const T *x = t.x<T>(0), *low = t.x<T>(1), *high = t.x<T>(2);
  T* y = t.y<T>();
  if constexpr (is_float<T>) {
    for_each_vec<T>(t.n, [&](int64_t i, auto lanes) {
      const auto v = max(Vec<T>::load(x + i, lanes), Vec<T>::load(low + i, lanes));
      min(v, Vec<T>::load(high + i, lanes)).store(y + i, lanes);
    });
  } else {
    for_each_element(t.n, [&](int64_t i) {
      const T l = low[i], h = high[i], v = x[i] < l ? l : x[i];
      y[i] = v > h ? h : v;
    });
  }
}

void clamp_between(const Call& c) {
  visit_number(c[0].dtype, [&](auto zero) { elementwise(c, clamp_between_tile<decltype(zero)>, 3); });
}

template <class T>
void clamp_between_backward_tile(const Tile& t) {
  const T *dy = t.x<T>(0), *x = t.x<T>(1), *low = t.x<T>(2), *high = t.x<T>(3);
  T *dx = t.y<T>(0), *dlow = t.y<T>(1), *dhigh = t.y<T>(2);
  for_each_vec<T>(t.n, [&](int64_t i, auto lanes) {
    const auto g = Vec<T>::load(dy + i, lanes), v = Vec<T>::load(x + i, lanes), zero = Vec<T>(0);
    const auto l = Vec<T>::load(low + i, lanes), h = Vec<T>::load(high + i, lanes);
    select((v >= l) & (v <= h), g, zero).store(dx + i, lanes);
    select((v < l) & (l < h), g, zero).store(dlow + i, lanes);
    select((v > h) | (l > h), g, zero).store(dhigh + i, lanes);
  });
}

void clamp_between_backward(const Call& c) {
  visit_float(c[0].dtype, [&](auto zero) { elementwise(c, clamp_between_backward_tile<decltype(zero)>, 4, 3); });
}

// From the end that is nearer, so that weight = 1 gives b.
template <class T>
void lerp_tile(const Tile& t) {
  const T *a = t.x<T>(0), *b = t.x<T>(1), *weight = t.x<T>(2);
  T* y = t.y<T>();
  for_each_vec<T>(t.n, [&](int64_t i, auto lanes) {
    const auto from = Vec<T>::load(a + i, lanes), to = Vec<T>::load(b + i, lanes), w = Vec<T>::load(weight + i, lanes);
    const auto step = to - from;
    select(abs(w) < Vec<T>(T(0.5)), fma(w, step, from), fma(w - Vec<T>(1), step, to)).store(y + i, lanes);
  });
}

void lerp(const Call& c) {
  visit_float(c[0].dtype, [&](auto zero) { elementwise(c, lerp_tile<decltype(zero)>, 3); });
}

template <class T>
void lerp_backward_tile(const Tile& t) {
  const T *dy = t.x<T>(0), *weight = t.x<T>(1);
  T *da = t.y<T>(0), *db = t.y<T>(1);
  for_each_vec<T>(t.n, [&](int64_t i, auto lanes) {
    const auto g = Vec<T>::load(dy + i, lanes), w = Vec<T>::load(weight + i, lanes);
    (g * (Vec<T>(1) - w)).store(da + i, lanes);
    (g * w).store(db + i, lanes);
  });
}

void lerp_backward(const Call& c) {
  visit_float(c[0].dtype, [&](auto zero) { elementwise(c, lerp_backward_tile<decltype(zero)>, 2, 2); });
}

template <class T>
void lerp_backward_weight_tile(const Tile& t) {
  const T *dy = t.x<T>(0), *a = t.x<T>(1), *b = t.x<T>(2);
  T* dweight = t.y<T>();
  for_each_vec<T>(t.n, [&](int64_t i, auto lanes) {
    (Vec<T>::load(dy + i, lanes) * (Vec<T>::load(b + i, lanes) - Vec<T>::load(a + i, lanes))).store(dweight + i, lanes);
  });
}

void lerp_backward_weight(const Call& c) {
  visit_float(c[0].dtype, [&](auto zero) { elementwise(c, lerp_backward_weight_tile<decltype(zero)>, 3); });
}

template <class T>
void addcmul_tile(const Tile& t) {
  const T *x = t.x<T>(0), *a = t.x<T>(1), *b = t.x<T>(2), value = static_cast<T>(t.call->real(0));
  T* y = t.y<T>();
  if constexpr (is_float<T>) {
    for_each_vec<T>(t.n, [&](int64_t i, auto lanes) {
      const auto scaled = Vec<T>(value) * Vec<T>::load(a + i, lanes);
      fma(scaled, Vec<T>::load(b + i, lanes), Vec<T>::load(x + i, lanes)).store(y + i, lanes);
    });
  } else {
    using U = uint64_t;  // wraps where T would overflow
    for_each_element(t.n, [&](int64_t i) { y[i] = static_cast<T>(U(x[i]) + U(value) * U(a[i]) * U(b[i])); });
  }
}

void addcmul(const Call& c) {
  visit_number(c[0].dtype, [&](auto zero) { elementwise(c, addcmul_tile<decltype(zero)>, 3); });
}

template <class T>
void addcmul_backward_tile(const Tile& t) {
  const T *dy = t.x<T>(0), *other = t.x<T>(1);
  T* dfactor = t.y<T>();
  const Vec<T> value = T(t.call->real(0));
  for_each_vec<T>(t.n, [&](int64_t i, auto lanes) {
    (value * Vec<T>::load(dy + i, lanes) * Vec<T>::load(other + i, lanes)).store(dfactor + i, lanes);
  });
}

void addcmul_backward(const Call& c) {
  visit_float(c[0].dtype, [&](auto zero) { elementwise(c, addcmul_backward_tile<decltype(zero)>, 2); });
}

template <class T>
void addcdiv_tile(const Tile& t) {
  const T *x = t.x<T>(0), *a = t.x<T>(1), *b = t.x<T>(2);
  T* y = t.y<T>();
  const Vec<T> value = T(t.call->real(0));
  for_each_vec<T>(t.n, [&](int64_t i, auto lanes) {
    const auto term = value * Vec<T>::load(a + i, lanes) / Vec<T>::load(b + i, lanes);
    (Vec<T>::load(x + i, lanes) + term).store(y + i, lanes);
  });
}

void addcdiv(const Call& c) {
  visit_float(c[0].dtype, [&](auto zero) { elementwise(c, addcdiv_tile<decltype(zero)>, 3); });
}

template <class T>
void addcdiv_backward_tile(const Tile& t) {
  const T *dy = t.x<T>(0), *a = t.x<T>(1), *b = t.x<T>(2);
  T *da = t.y<T>(0), *db = t.y<T>(1);
  const Vec<T> value = T(t.call->real(0));
  for_each_vec<T>(t.n, [&](int64_t i, auto lanes) {
    const auto divisor = Vec<T>::load(b + i, lanes), quotient = value * Vec<T>::load(dy + i, lanes) / divisor;
    quotient.store(da + i, lanes);
    (-quotient * Vec<T>::load(a + i, lanes) / divisor).store(db + i, lanes);
  });
}

void addcdiv_backward(const Call& c) {
  visit_float(c[0].dtype, [&](auto zero) { elementwise(c, addcdiv_backward_tile<decltype(zero)>, 3, 2); });
}

template <class T>
void nan_to_num_tile(const Tile& t) {
  const T* x = t.x<T>(0);
  T* y = t.y<T>();
  const Vec<T> nan = T(t.call->real(0)), posinf = T(t.call->real(1)), neginf = T(t.call->real(2));
  const Vec<T> inf = T(__builtin_inf());
  for_each_vec<T>(t.n, [&](int64_t i, auto lanes) {
    const auto v = Vec<T>::load(x + i, lanes);
    select(isnan(v), nan, select(v == inf, posinf, select(v == -inf, neginf, v))).store(y + i, lanes);
  });
}

void nan_to_num(const Call& c) {
  visit_float(c[0].dtype, [&](auto zero) { elementwise(c, nan_to_num_tile<decltype(zero)>, 1); });
}

template <class T>
void nan_to_num_backward_tile(const Tile& t) {
  const T *dy = t.x<T>(0), *x = t.x<T>(1);
  T* dx = t.y<T>();
  const Vec<T> inf = T(__builtin_inf());
  for_each_vec<T>(t.n, [&](int64_t i, auto lanes) {
    const auto finite = abs(Vec<T>::load(x + i, lanes)) < inf;
    select(finite, Vec<T>::load(dy + i, lanes), Vec<T>(0)).store(dx + i, lanes);
  });
}

void nan_to_num_backward(const Call& c) {
  visit_float(c[0].dtype, [&](auto zero) { elementwise(c, nan_to_num_backward_tile<decltype(zero)>, 2); });
}

constexpr EntryRow rows[] = {
    {"where", where, kTakesHalves},
    {"where_backward", where_backward},
    {"clamp", clamp},
    {"clamp_backward", clamp_backward},
    {"clamp_between", clamp_between},
    {"clamp_between_backward", clamp_between_backward},
    {"lerp", lerp},
    {"lerp_backward", lerp_backward},
    {"lerp_backward_weight", lerp_backward_weight},
    {"addcmul", addcmul},
    {"addcmul_backward", addcmul_backward},
    {"addcdiv", addcdiv},
    {"addcdiv_backward", addcdiv_backward},
    {"nan_to_num", nan_to_num},
    {"nan_to_num_backward", nan_to_num_backward},
};

}  // namespace

extern const Family where_family;
const Family where_family = {rows, sizeof(rows) / sizeof(rows[0])};

}  // namespace pullback::ISA_NAMESPACE
