#include "common/elementwise.h"
#include "common/scalar.h"
#include "kernels/where.h"

namespace pullback::cuda {
namespace {

template <class Word>
struct Where {
  PB_DEVICE void operator()(bool condition, Word a, Word b, Word& y) const { y = condition ? a : b; }
};
void where(const Call& c) {
  visit_words(c[1].dtype, [&](auto word) {
    using Word = decltype(word);
    elementwise<const bool, const Word, const Word, Word>(c, Where<Word>());
  });
}

template <class T>
struct WhereBackward {
  bool chosen;
  PB_DEVICE void operator()(T dy, bool condition, T& dx) const { dx = condition == chosen ? dy : T(0); }
};
void where_backward(const Call& c) {
  visit_real(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    elementwise<const T, const bool, T>(c, WhereBackward<Computed<T>>{c.flag(0)});
  });
}

template <class T>
struct Clamp {
  T low, high;
  PB_DEVICE void operator()(T x, T& y) const { y = min(max(x, low), high); }
};
void clamp(const Call& c) {
  visit_real(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    using C = Computed<T>;
    elementwise<const T, T>(c, Clamp<C>{C(c.real(0)), C(c.real(1))});
  });
}

template <class T>
struct ClampBackward {
  T low, high;
  PB_DEVICE void operator()(T dy, T x, T& dx) const { dx = x >= low && x <= high ? dy : T(0); }
};
void clamp_backward(const Call& c) {
  visit_real(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    using C = Computed<T>;
    elementwise<const T, const T, T>(c, ClampBackward<C>{C(c.real(0)), C(c.real(1))});
  });
}

template <class T>
struct ClampBetween {
  PB_DEVICE void operator()(T x, T low, T high, T& y) const { y = min(max(x, low), high); }
};
void clamp_between(const Call& c) {
  visit_real_number(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    elementwise<const T, const T, const T, T>(c, ClampBetween<Computed<T>>());
  });
}

template <class T>
struct ClampBetweenBackward {
  PB_DEVICE void operator()(T dy, T x, T low, T high, T& dx, T& dlow, T& dhigh) const {
    dx = x >= low && x <= high ? dy : T(0);
    dlow = x < low && low < high ? dy : T(0);
    dhigh = x > high || low > high ? dy : T(0);
  }
};
void clamp_between_backward(const Call& c) {
  visit_real(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    elementwise<const T, const T, const T, const T, T, T, T>(c, ClampBetweenBackward<Computed<T>>());
  });
}

// From the end that is nearer, so that weight = 1 gives b.
template <class T>
struct Lerp {
  PB_DEVICE void operator()(T a, T b, T weight, T& y) const {
    const T step = b - a;
    y = abs(weight) < T(0.5) ? fma(weight, step, a) : fma(weight - T(1), step, b);
  }
};
void lerp(const Call& c) {
  visit_real(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    const Lerp<Computed<T>> f;
    if constexpr (is_any_half<T>)
      if (c[2].dtype == DType::f32) return elementwise<const T, const T, const float, T>(c, f);
    elementwise<const T, const T, const T, T>(c, f);
  });
}

template <class T>
struct LerpBackward {
  PB_DEVICE void operator()(T dy, T weight, T& da, T& db) const {
    da = dy * (T(1) - weight);
    db = dy * weight;
  }
};
void lerp_backward(const Call& c) {
  visit_real(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    const LerpBackward<Computed<T>> f;
    if constexpr (is_any_half<T>)
      if (c[1].dtype == DType::f32) return elementwise<const T, const float, T, T>(c, f);
    elementwise<const T, const T, T, T>(c, f);
  });
}

template <class T>
struct LerpBackwardWeight {
  PB_DEVICE void operator()(T dy, T a, T b, T& dweight) const { dweight = dy * (b - a); }
};
void lerp_backward_weight(const Call& c) {
  visit_real(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    elementwise<const T, const T, const T, T>(c, LerpBackwardWeight<Computed<T>>());
  });
}

template <class T>
struct Addcmul {
  T value;
  PB_DEVICE void operator()(T x, T a, T b, T& y) const {
    if constexpr (is_float<T>) {
      y = fma(value * a, b, x);
    } else {
      using U = uint64_t;  // wraps where T would overflow
      y = static_cast<T>(U(x) + U(value) * U(a) * U(b));
    }
  }
};
void addcmul(const Call& c) {
  visit_real_number(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    using C = Computed<T>;
    elementwise<const T, const T, const T, T>(c, Addcmul<C>{static_cast<C>(c.real(0))});
  });
}

template <class T>
struct AddcmulBackward {
  T value;
  PB_DEVICE void operator()(T dy, T other, T& dfactor) const { dfactor = value * dy * other; }
};
void addcmul_backward(const Call& c) {
  visit_real(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    using C = Computed<T>;
    elementwise<const T, const T, T>(c, AddcmulBackward<C>{C(c.real(0))});
  });
}

template <class T>
struct Addcdiv {
  T value;
  PB_DEVICE void operator()(T x, T a, T b, T& y) const { y = x + value * a / b; }
};
void addcdiv(const Call& c) {
  visit_real(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    using C = Computed<T>;
    elementwise<const T, const T, const T, T>(c, Addcdiv<C>{C(c.real(0))});
  });
}

template <class T>
struct AddcdivBackward {
  T value;
  PB_DEVICE void operator()(T dy, T a, T b, T& da, T& db) const {
    const T quotient = value * dy / b;
    da = quotient;
    db = -quotient * a / b;
  }
};
void addcdiv_backward(const Call& c) {
  visit_real(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    using C = Computed<T>;
    elementwise<const T, const T, const T, T, T>(c, AddcdivBackward<C>{C(c.real(0))});
  });
}

template <class T>
struct NanToNum {
  T nan, posinf, neginf;
  PB_DEVICE void operator()(T x, T& y) const {
    const T inf = T(__builtin_inf());
    y = x != x ? nan : x == inf ? posinf : x == -inf ? neginf : x;
  }
};
void nan_to_num(const Call& c) {
  visit_real(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    using C = Computed<T>;
    elementwise<const T, T>(c, NanToNum<C>{C(c.real(0)), C(c.real(1)), C(c.real(2))});
  });
}

template <class T>
struct NanToNumBackward {
  PB_DEVICE void operator()(T dy, T x, T& dx) const { dx = abs(x) < T(__builtin_inf()) ? dy : T(0); }
};
void nan_to_num_backward(const Call& c) {
  visit_real(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    elementwise<const T, const T, T>(c, NanToNumBackward<Computed<T>>());
  });
}

constexpr EntryRow rows[] = {
    {"where", where, kTakesHalves},
    {"where_backward", where_backward, kTakesHalves},
    {"clamp", clamp, kTakesHalves},
    {"clamp_backward", clamp_backward, kTakesHalves},
    {"clamp_between", clamp_between, kTakesHalves},
    {"clamp_between_backward", clamp_between_backward, kTakesHalves},
    {"lerp", lerp, kTakesHalves},
    {"lerp_backward", lerp_backward, kTakesHalves},
    {"lerp_backward_weight", lerp_backward_weight, kTakesHalves},
    {"addcmul", addcmul, kTakesHalves},
    {"addcmul_backward", addcmul_backward, kTakesHalves},
    {"addcdiv", addcdiv, kTakesHalves},
    {"addcdiv_backward", addcdiv_backward, kTakesHalves},
    {"nan_to_num", nan_to_num, kTakesHalves},
    {"nan_to_num_backward", nan_to_num_backward, kTakesHalves},
};

}  // namespace

extern const Family where_family;
const Family where_family = {rows, sizeof(rows) / sizeof(rows[0])};

}  // namespace pullback::cuda
