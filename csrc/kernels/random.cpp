#include "isa/math.h"
#include "isa/philox.h"
#include "kernels/random_formulas.h"
#include "kernels/random_permutation.h"

namespace pullback::ISA_NAMESPACE {
namespace {

template <class T>
inline constexpr int words_of = sizeof(T) == 8 ? 2 : 1;

void random_bits_batch(const Batch& b) { __builtin_memcpy(b.tile.out[0], b.words, static_cast<size_t>(b.tile.n * 4)); }
void random_bits(const Call& c) { for_each_batch(c, random_bits_batch, 1, 0, 1, 1); }

// --- uniform ---

// What element i draws.
template <class T>
PB_INLINE auto drawn(const uint32_t* words, int64_t i) {
  if constexpr (words_of<T> == 2)
    return wide(words, i);
  else
    return words[i];
}

template <class T>
void uniform_batch(const Batch& b) {
  const double low = b.tile.call->real(0), high = b.tile.call->real(1);
  T* y = b.tile.y<T>();
  for (int64_t i = 0; i < b.tile.n; ++i) y[i] = uniform_of<T>(low, high, drawn<T>(b.words, i));
}
void uniform(const Call& c) {
  visit_uniform(c[1].dtype, [&](auto zero) {
    using T = decltype(zero);
    for_each_batch(c, uniform_batch<T>, 1, 0, 1, words_of<T>);
  });
}

// --- normal and exponential: on whole tiles, as functions of vectors ---

// A tile's numbers.
inline constexpr int of_tile(float) { return kWords; }
inline constexpr int of_tile(double) { return kWords / 2; }
inline void load_numbers(const uint32_t* words, int32_t* numbers) { __builtin_memcpy(numbers, words, kWords * 4); }
inline void load_numbers(const uint32_t* words, int64_t* numbers) {
  for (int i = 0; i < of_tile(double{}); ++i) numbers[i] = static_cast<int64_t>(wide(words, i));
}

// −ln u
template <class T>
void exponential_tile(const IntOf<T>* numbers, T* y) {
  for (int i = 0; i < of_tile(T{}); i += Vec<T>::size)
    (Vec<T>(0) - log(Numbers<T>::positive_unit(Vec<IntOf<T>>::load(numbers + i)))).store(y + i);
}
template <class T>
void normal_tile(const IntOf<T>* numbers, T* y) {
  for (int half = 0; half < of_tile(T{}); half += 2 * kBlocks)
    for (int i = half; i < half + kBlocks; i += Vec<T>::size) {
      using Int = Vec<IntOf<T>>;
      const auto z = box_muller<T>(Int::load(numbers + i), Int::load(numbers + i + kBlocks));
      z.first.store(y + i);
      z.second.store(y + i + kBlocks);
    }
}

// y = shift + scale f(numbers)
template <class T, void (*f)(const IntOf<T>*, T*)>
void tiles(const Batch& b, T shift, T scale) {
  alignas(64) IntOf<T> numbers[kWords];
  alignas(64) T z[kWords];
  constexpr int step = of_tile(T{});
  for (int64_t at = 0; at < b.tile.n; at += step) {
    load_numbers(b.words + at * words_of<T>, numbers);
    f(numbers, z);
    T* y = b.tile.y<T>() + at;
    for_each_vec<T>(smaller(step, b.tile.n - at), [&](int64_t i, auto lanes) {
      (Vec<T>(shift) + Vec<T>(scale) * Vec<T>::load(z + i)).store(y + i, lanes);
    });
  }
}

template <class T>
void normal_batch(const Batch& b) {
  tiles<T, normal_tile<T>>(b, static_cast<T>(b.tile.call->real(0)), static_cast<T>(b.tile.call->real(1)));
}
template <class T>
void exponential_batch(const Batch& b) {
  tiles<T, exponential_tile<T>>(b, 0, static_cast<T>(1 / b.tile.call->real(0)));
}
void normal(const Call& c) {
  visit_float(c[1].dtype, [&](auto zero) {
    using T = decltype(zero);
    for_each_batch(c, normal_batch<T>, 1, 0, 1, words_of<T>);
  });
}
void exponential(const Call& c) {
  visit_float(c[1].dtype, [&](auto zero) {
    using T = decltype(zero);
    for_each_batch(c, exponential_batch<T>, 1, 0, 1, words_of<T>);
  });
}

// --- integers ---

template <class T>
void randint_batch(const Batch& b) {
  const uint64_t low = static_cast<uint64_t>(b.tile.call->integer(0));
  const uint64_t width = static_cast<uint64_t>(b.tile.call->integer(1)) - low;
  T* y = b.tile.y<T>();
  for (int64_t i = 0; i < b.tile.n; ++i)
    y[i] = static_cast<T>(static_cast<int64_t>(low + below(width, wide(b.words, i))));
}
void randint(const Call& c) {
  visit_any(c[1].dtype, [&](auto zero) { for_each_batch(c, randint_batch<decltype(zero)>, 1, 0, 1, 2); });
}

template <class T>
void permute(const Operand& state, const Operand& y) {
  const int64_t n = y.size(), tiles = key_tiles(n);
  const int index_bits = n > 1 ? 64 - __builtin_clzll(static_cast<uint64_t>(n - 1)) : 0;
  const Permutation<T> order{claim(state, 2 * tiles, kWords), tiles, (int64_t{1} << index_bits) - 1,
                             y.ndim ? y.strides[0] : 1};
  Scratch scratch;
  int64_t *a = scratch.take<int64_t>(tiles * kWords), *b = scratch.take<int64_t>(n);
  parallel_for(n, kItemsPiece, [&](int64_t begin, int64_t end) { order.draw(begin, end, a); });
  order.write_sorted(a, b, n, 64, y.data<T>());
}
void permutation(const Call& c) {
  visit_number(c[1].dtype, [&](auto zero) { permute<decltype(zero)>(c[0], c[1]); });
}

// --- bernoulli and dropout ---

template <class T, class Y>
void bernoulli_batch(const Batch& b) {
  const T* p = b.tile.x<T>(0);
  Y* y = b.tile.y<Y>();
  for (int64_t i = 0; i < b.tile.n; ++i) {
    if (!(p[i] >= 0 && p[i] <= 1))
      b.tile.call->error->set(ErrorCode::bad_value, p[i] == p[i] ? static_cast<int64_t>(p[i]) : INT64_MIN, 1);
    y[i] = static_cast<Y>(happens(b.words[i], static_cast<double>(p[i])));
  }
}
void bernoulli(const Call& c) {
  visit_float(c[1].dtype, [&](auto zero) {
    visit_any(c[2].dtype,
              [&](auto one) { for_each_batch(c, bernoulli_batch<decltype(zero), decltype(one)>, 1, 1, 1, 1); });
  });
}

template <class T>
void dropout_batch(const Batch& b) {
  const double p = b.tile.call->real(0);
  const T scale = static_cast<T>(keep_scale(p));
  const uint32_t least = first_kept(p);
  const T* x = b.tile.x<T>(0);
  T* y = b.tile.y<T>(0);
  bool* mask = b.tile.y<bool>(1);
  for (int64_t i = 0; i < b.tile.n; ++i) {
    const bool kept = b.words[i] >= least && scale != 0;
    mask[i] = kept;
    y[i] = kept ? x[i] * scale : T(0);
  }
}
void dropout(const Call& c) {
  visit_float(c[1].dtype, [&](auto zero) { for_each_batch(c, dropout_batch<decltype(zero)>, 1, 1, 2, 1); });
}

template <class T>
void dropout_backward_tile(const Tile& t) {
  const T scale = static_cast<T>(keep_scale(t.call->real(0)));
  const T* dy = t.x<T>(0);
  const auto* mask = t.x<Stored<bool>>(1);
  T* dx = t.y<T>();
  for_each_element(t.n, [&](int64_t i) {
    const T g = dy[i] * scale;  // in any case: a branch would keep the loop scalar
    dx[i] = mask[i] != 0 ? g : T(0);
  });
}
void dropout_backward(const Call& c) {
  visit_float(c[0].dtype, [&](auto zero) { elementwise(c, dropout_backward_tile<decltype(zero)>, 2); });
}

// --- multinomial ---

// The numbers of a stream one by one, in any order; fast where neighbours follow each other.
struct Draws {
  Philox philox;
  int64_t tile = -1;
  alignas(64) uint32_t words[kWords] = {0};

  double at(int64_t element) {
    if (element / 32 != tile) philox_tile(philox, tile = element / 32, words);
    return inner_unit(wide(words, element % 32));
  }
};

struct Choice {
  const Operand &weights, &y;  // [rows, n], [rows, draws]
  int64_t row, n, draws;

  template <class T>
  PB_INLINE double weight(int64_t i) const {
    return static_cast<double>(weights.data<T>()[row * weights.strides[0] + i * weights.strides[1]]);
  }
  PB_INLINE int64_t& chosen(int64_t s) const { return y.data<int64_t>()[row * y.strides[0] + s * y.strides[1]]; }
};

// The first i with sums_i > u Σ weights
template <class T>
void draw_with_replacement(const Choice& c, Draws& random, double* sums) {
  double sum = 0;
  int64_t last = 0;  // that has a weight: what a product that was rounded up falls to
  for (int64_t i = 0; i < c.n; ++i) {
    const double w = c.weight<T>(i);
    sums[i] = sum += w;
    if (w > 0) last = i;
  }
  for (int64_t s = 0; s < c.draws; ++s) {
    const double target = random.at(c.row * c.draws + s) * sum;
    int64_t low = 0, high = last;
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      if (sums[middle] > target)
        high = middle;
      else
        low = middle + 1;
    }
    c.chosen(s) = low;
  }
}

// Restores the heap (its smallest key at 0) below i.
void sift_down(const double* keys, int64_t* heap, int64_t n, int64_t i) {
  for (int64_t child; (child = 2 * i + 1) < n; i = child) {
    if (child + 1 < n && keys[heap[child + 1]] < keys[heap[child]]) ++child;
    if (keys[heap[i]] <= keys[heap[child]]) return;
    const int64_t t = heap[i];
    heap[i] = heap[child], heap[child] = t;
  }
}

// The smallest of −ln(u_i) / weights_i: exponential waiting times, whose order is that of drawing one after the other.
template <class T>
void draw_without_replacement(const Choice& c, Draws& random, double* keys, int64_t* heap) {
  int64_t n = 0;
  for (int64_t i = 0; i < c.n; ++i) {
    keys[i] = -__builtin_log(random.at(c.row * c.n + i)) / c.weight<T>(i);
    if (c.weight<T>(i) > 0) heap[n++] = i;
  }
  for (int64_t i = n / 2 - 1; i >= 0; --i) sift_down(keys, heap, n, i);
  for (int64_t s = 0; s < c.draws; ++s) {
    c.chosen(s) = heap[0];
    heap[0] = heap[--n];
    sift_down(keys, heap, n, 0);
  }
}

// Weights are finite and ≥ 0, and enough of them > 0; if not, the row is filled with 0.
template <class T>
bool drawable(const Choice& c, bool replacement, Error* error) {
  int64_t positive = 0;
  bool valid = true;
  for (int64_t i = 0; i < c.n; ++i) {
    const double w = c.weight<T>(i);
    valid = valid && w >= 0 && w < __builtin_inf();
    positive += w > 0;
  }
  if (valid && positive >= (replacement ? 1 : c.draws)) return true;
  error->set(ErrorCode::bad_value, valid ? positive : -1, c.draws);
  for (int64_t s = 0; s < c.draws; ++s) c.chosen(s) = 0;
  return false;
}

template <class T>
void multinomial_of(const Call& c) {
  const Operand &weights = c[1], &y = c[2];
  const int64_t n = weights.shape[1], draws = y.shape[1];
  const bool replacement = c.flag(0);
  const Philox philox = claim(c[0], weights.shape[0] * (replacement ? draws : n), 2);
  parallel_for(weights.shape[0], larger(1, kPiece / (n + draws)), [&](int64_t begin, int64_t end) {
    Scratch scratch;
    double* keys = scratch.take<double>(n);
    int64_t* heap = scratch.take<int64_t>(n);
    Draws random{philox};
    for (int64_t row = begin; row < end; ++row) {
      const Choice choice{weights, y, row, n, draws};
      if (!drawable<T>(choice, replacement, c.error)) continue;
      if (replacement)
        draw_with_replacement<T>(choice, random, keys);
      else
        draw_without_replacement<T>(choice, random, keys, heap);
    }
  });
}
void multinomial(const Call& c) {
  visit_float(c[1].dtype, [&](auto zero) { multinomial_of<decltype(zero)>(c); });
}

constexpr EntryRow rows[] = {
    {"random_bits", random_bits}, {"uniform", uniform, kTakesHalves},
    {"normal", normal},           {"exponential", exponential},
    {"randint", randint},         {"bernoulli", bernoulli},
    {"permutation", permutation}, {"multinomial", multinomial},
    {"dropout", dropout},         {"dropout_backward", dropout_backward},
};

}  // namespace

extern const Family random_family;
const Family random_family = {rows, sizeof(rows) / sizeof(rows[0])};

}  // namespace pullback::ISA_NAMESPACE
