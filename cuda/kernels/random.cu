// Random numbers: a thread makes a block of Philox, whose words go to elements 16 apart, so that 16 neighbours write
// neighbours. The call's part of the stream is claimed on the device, as the generator's state lies there.
#include "common/elementwise.h"
#include "common/reduce.h"
#include "common/scalar.h"
#include "common/scratch.h"
#include "common/sorting.h"
#include "isa/philox_block.h"
#include "isa/trig_table.h"

namespace pullback::cuda {
namespace {

// --- mathematics of one number, as on the CPU ------------------------------------------------------------------------

template <class To, class From>
PB_INLINE To convert(From x) {
  return static_cast<To>(x);
}

enum class Series : uint8_t { sine, cosine };

// c[0] + z (c[1] + z (c[2] + …))
template <Series series, class T, int i = 0>
PB_DEVICE T trig_polynomial(T z) {
  constexpr int n = sizeof(TrigTable<T>::sine) / sizeof(T);
  constexpr T c = series == Series::sine ? TrigTable<T>::sine[i] : TrigTable<T>::cosine[i];
  if constexpr (i == n - 1) {
    return c;
  } else {
    return fma(trig_polynomial<series, T, i + 1>(z), z, c);
  }
}

// sin (r + q π/2): sin r, cos r, −sin r, −cos r for q = 0, 1, 2, 3
template <class T, class Int>
PB_INLINE T sin_of_angle(T r, Int quadrant) {
  const T z = r * r;
  const T sine = fma(r * z, trig_polynomial<Series::sine>(z), r);
  const T cosine = fma(z * z, trig_polynomial<Series::cosine>(z), fma(z, T(-0.5), T(1)));
  const T y = quadrant & 1 ? cosine : sine;
  return quadrant & 2 ? -y : y;
}

}  // namespace
}  // namespace pullback::cuda

#include "kernels/random_formulas.h"
#include "kernels/sort_formulas.h"

namespace pullback::cuda {
namespace {

// --- who gets which words --------------------------------------------------------------------------------------------

__global__ void claim_blocks(int64_t* state, int64_t blocks, Philox* stream) {
  if (thread() != 0) return;
  const auto seed = static_cast<uint64_t>(state[0]);
  *stream = {{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)},
             static_cast<uint64_t>(fetch_add(state + 1, blocks))};
}

// The part of the stream that a call uses, whose words nobody else gets: `words` for each of `elements`.
const Philox* claim(const Operand& state, int64_t elements, int words, Scratch& scratch) {
  Philox* stream = scratch.take<Philox>(1);
  launch(claim_blocks, 1, kWarpSize, state.data<int64_t>(), blocks_of_call(elements, words), stream);
  return stream;
}

// What the elements that share a block draw, k[i] going to the i-th of them.
struct OneWord {
  static constexpr int elements = 4;
  using Number = uint32_t;
  PB_DEVICE void draw(const uint32_t (&word)[4], uint32_t (&k)[4]) const {
    for (int i = 0; i < 4; ++i) k[i] = word[i];
  }
};
struct TwoWords {
  static constexpr int elements = 2;
  using Number = uint64_t;
  PB_DEVICE void draw(const uint32_t (&word)[4], uint64_t (&k)[2]) const {
    for (int i = 0; i < 2; ++i) k[i] = word[2 * i] | static_cast<uint64_t>(word[2 * i + 1]) << 32;
  }
};
template <class T>
using WordsOf = std::conditional_t<sizeof(T) == 8, TwoWords, OneWord>;

// The word of an element that takes one.
PB_DEVICE uint32_t word_at(const Philox& stream, int64_t element) {
  uint32_t word[4];
  philox_block(stream, element / kWords * kBlocks + element % kBlocks, word);
  const int of_block = static_cast<int>(element % kWords / kBlocks);
  const uint32_t even = of_block < 2 ? word[0] : word[2], odd = of_block < 2 ? word[1] : word[3];
  return of_block % 2 ? odd : even;
}

// The 64 bits of an element that takes two words.
PB_DEVICE uint64_t wide_at(const Philox& stream, int64_t element) {
  uint32_t word[4];
  philox_block(stream, element / 32 * kBlocks + element % kBlocks, word);
  const int half = static_cast<int>(element % 32 / kBlocks);
  return (half ? word[2] : word[0]) | static_cast<uint64_t>(half ? word[3] : word[1]) << 32;
}

template <class F, int... operand, class... T>
PB_DEVICE void drawn_element(const Space<sizeof...(T)>& s, const F& f, typename F::Number k, int64_t i,
                             std::integer_sequence<int, operand...>, T*... p) {
  if (s.linear) return f(k, p[i]...);
  f(k, p[s.at(operand, i)]...);
}

template <class F, class... T>
__global__ void draw_elements(Space<sizeof...(T)> s, const Philox* stream, F f, T*... p) {
  constexpr int n = F::elements;
  const Philox philox = *stream;
  const int64_t blocks = blocks_of_call(s.size, 4 / n);
  for (int64_t b = first(); b < blocks; b += stride()) {
    uint32_t word[4];
    philox_block(philox, b, word);
    typename F::Number k[n];
    f.draw(word, k);
    PB_UNROLL
    for (int e = 0; e < n; ++e) {
      const int64_t i = (b / kBlocks * n + e) * kBlocks + b % kBlocks;
      if (i < s.size) drawn_element(s, f, k[e], i, std::make_integer_sequence<int, sizeof...(T)>(), p...);
    }
  }
}

// f, which takes a number first, as OnElements.
template <class F, class... T>
struct DrawnOnElements : F {
  Format format;
  PB_DEVICE void operator()(typename F::Number k, T&... element) const {
    const F& f = *this;
    const auto of_number = [&](auto&... x) { f(k, x...); };
    OnElements<decltype(of_number), T...>{of_number, format}(element...);
  }
};

// f(number, inputs…, outputs…) for every element of the operands after the state.
template <class... T, class F>
void for_each_drawn(const Call& c, F f) {
  constexpr int operands = sizeof...(T), inputs = (0 + ... + (std::is_const_v<T> ? 1 : 0));
  const Space<operands> s = make_space<operands>(&c[1], inputs);
  if (s.size == 0) return;
  Scratch scratch;
  const Philox* stream = claim(c[0], s.size, 4 / F::elements, scratch);
  int i = 1;
  const auto next = [&](auto* zero) { return c[i++].template data<std::remove_pointer_t<decltype(zero)>>(); };
  std::tuple<T*...> pointers{next(static_cast<T*>(nullptr))...};
  const int64_t blocks = blocks_for(s.size, F::elements);
  std::apply(
      [&](auto*... p) {
        if constexpr ((is_any_half<T> || ...)) {
          using G = DrawnOnElements<F, T...>;
          launch(draw_elements<G, T...>, blocks, kBlockSize, s, stream, G{f, Format(c[1].dtype)}, p...);
        } else {
          launch(draw_elements<F, T...>, blocks, kBlockSize, s, stream, f, p...);
        }
      },
      pointers);
}

// --- elementwise -----------------------------------------------------------------------------------------------------

struct Bits : OneWord {
  PB_DEVICE void operator()(uint32_t k, uint32_t& y) const { y = k; }
};
void random_bits(const Call& c) { for_each_drawn<uint32_t>(c, Bits()); }

template <class T>
struct Uniform : WordsOf<T> {
  double low, high;
  PB_DEVICE void operator()(typename WordsOf<T>::Number k, T& y) const { y = uniform_of<T>(low, high, k); }
};
void uniform(const Call& c) {
  visit_uniform(c[1].dtype, [&](auto zero) {
    using T = decltype(zero);
    for_each_drawn<T>(c, Uniform<T>{{}, c.real(0), c.real(1)});
  });
}

// y = mean + std z, the z of neighbouring numbers of a block belonging together
template <class T>
struct NormalNumber {
  static constexpr int elements = WordsOf<T>::elements;
  using Number = T;
  T mean, std;
  PB_DEVICE void draw(const uint32_t (&word)[4], T (&z)[elements]) const {
    using Int = typename Numbers<T>::Int;
    typename WordsOf<T>::Number k[elements];
    WordsOf<T>().draw(word, k);
    for (int i = 0; i < elements; i += 2) {
      const auto pair = box_muller<T>(static_cast<Int>(k[i]), static_cast<Int>(k[i + 1]));
      z[i] = pair.first, z[i + 1] = pair.second;
    }
  }
  PB_DEVICE void operator()(T z, T& y) const { y = mean + std * z; }
};
void normal(const Call& c) {
  visit_real(c[1].dtype, [&](auto zero) {
    using T = decltype(zero);
    using C = Computed<T>;
    for_each_drawn<T>(c, NormalNumber<C>{static_cast<C>(c.real(0)), static_cast<C>(c.real(1))});
  });
}

// y = −ln u / rate
template <class T>
struct Exponential : WordsOf<T> {
  T scale;
  PB_DEVICE void operator()(typename WordsOf<T>::Number k, T& y) const {
    y = scale * -log(Numbers<T>::positive_unit(static_cast<typename Numbers<T>::Int>(k)));
  }
};
void exponential(const Call& c) {
  visit_real(c[1].dtype, [&](auto zero) {
    using T = decltype(zero);
    using C = Computed<T>;
    for_each_drawn<T>(c, Exponential<C>{{}, static_cast<C>(1 / c.real(0))});
  });
}

template <class T>
struct RandomInteger : TwoWords {
  uint64_t low, width;
  PB_DEVICE void operator()(uint64_t k, T& y) const { y = static_cast<T>(static_cast<int64_t>(low + below(width, k))); }
};
void randint(const Call& c) {
  const auto low = static_cast<uint64_t>(c.integer(0)), width = static_cast<uint64_t>(c.integer(1)) - low;
  visit_any(c[1].dtype, [&](auto zero) {
    using T = decltype(zero);
    for_each_drawn<T>(c, RandomInteger<T>{{}, low, width});
  });
}

template <class T, class Y>
struct Bernoulli : OneWord {
  Error* error;
  PB_DEVICE void operator()(uint32_t k, T p, Y& y) const {
    if (!(p >= 0 && p <= 1)) report(error, ErrorCode::bad_value, p == p ? static_cast<int64_t>(p) : INT64_MIN, 1);
    y = static_cast<Y>(happens(k, static_cast<double>(p)));
  }
};
void bernoulli(const Call& c) {
  visit_float(c[1].dtype, [&](auto zero) {
    visit_any(c[2].dtype, [&](auto one) {
      using T = decltype(zero);
      using Y = decltype(one);
      for_each_drawn<const T, Y>(c, Bernoulli<T, Y>{{}, device_error(c)});
    });
  });
}

template <class T>
struct Dropout : OneWord {
  T scale;
  uint32_t least;
  PB_DEVICE void operator()(uint32_t k, T x, T& y, bool& mask) const {
    mask = k >= least && scale != 0;
    y = mask ? x * scale : T(0);
  }
};
void dropout(const Call& c) {
  visit_real(c[1].dtype, [&](auto zero) {
    using T = decltype(zero);
    using C = Computed<T>;
    const double p = c.real(0);
    for_each_drawn<const T, T, bool>(c, Dropout<C>{{}, static_cast<C>(keep_scale(p)), first_kept(p)});
  });
}

template <class T>
struct DropoutBackward {
  T scale;
  PB_DEVICE void operator()(T dy, bool mask, T& dx) const { dx = mask ? dy * scale : T(0); }
};
void dropout_backward(const Call& c) {
  visit_real(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    using C = Computed<T>;
    elementwise<const T, const bool, T>(c, DropoutBackward<C>{static_cast<C>(keep_scale(c.real(0)))});
  });
}

// --- permutation -----------------------------------------------------------------------------------------------------

struct RandomKeys {
  const Philox* stream;
  int64_t tiles;
  PB_DEVICE int64_t row(int64_t) const { return 0; }
  PB_DEVICE Item<int64_t> item(int64_t, int64_t i) const {
    const uint64_t high = word_at(*stream, i), low = word_at(*stream, tiles * kWords + i);
    return Item<int64_t>::make(static_cast<int64_t>(high << 32 | low), i);
  }
};
struct Order {
  int64_t* y;
  int64_t step;
  PB_DEVICE void put(int64_t, int64_t place, Item<int64_t> item) const { y[place * step] = item.index(); }
};

template <class T>
__global__ void convert_indices(int64_t n, const int64_t* index, T* y, int64_t step) {
  for (int64_t i = first(); i < n; i += stride()) y[i * step] = static_cast<T>(index[i]);
}
void permutation(const Call& c) {
  const int64_t n = c[1].size(), step = c[1].ndim ? c[1].strides[0] : 1;
  if (n == 0) return;
  Scratch scratch;
  const int64_t tiles = key_tiles(n);
  const RandomKeys keys{claim(c[0], 2 * tiles, kWords, scratch), tiles};
  if (c[1].dtype == DType::i64) return sort_lines<int64_t>(keys, 1, n, n, Order{c[1].data<int64_t>(), step});
  int64_t* index = scratch.take<int64_t>(n);
  sort_lines<int64_t>(keys, 1, n, n, Order{index, 1});
  visit_number(c[1].dtype, [&](auto zero) {
    using T = decltype(zero);
    launch(convert_indices<T>, blocks_for(n), kBlockSize, n, static_cast<const int64_t*>(index), c[1].data<T>(), step);
  });
}

// --- multinomial -----------------------------------------------------------------------------------------------------

struct Table {  // weights [rows, n] and y [rows, draws]
  int64_t rows, n, draws, row_step, step, y_row_step, y_step;
};

// Whether the weights of each row are finite and ≥ 0, and enough of them > 0; if not, that is reported.
template <class T>
__global__ void check_rows(Table t, int64_t needed, const T* weights, bool* valid, Error* error) {
  for (int64_t row = block(); row < t.rows; row += blocks()) {
    int64_t positive = 0, wrong = 0;
    for (int64_t i = thread(); i < t.n; i += threads()) {
      const T w = weights[row * t.row_step + i * t.step];
      wrong += !(w >= 0 && w < T(__builtin_inf()));
      positive += w > 0;
    }
    positive = reduce_block(positive, Sum(), int64_t{0});
    wrong = reduce_block(wrong, Sum(), int64_t{0});
    if (thread() != 0) continue;
    valid[row] = wrong == 0 && positive >= needed;
    if (!valid[row]) report(error, ErrorCode::bad_value, wrong ? -1 : positive, t.draws);
  }
}

// −ln(u_i) / weights_i: exponential waiting times, whose order is that of drawing one after the other.
template <class T>
struct WaitingTimes {
  Table t;
  const T* weights;
  const Philox* stream;
  PB_DEVICE int64_t row(int64_t line) const { return line; }
  PB_DEVICE Item<int64_t> item(int64_t row, int64_t i) const {
    const double w = static_cast<double>(weights[row * t.row_step + i * t.step]);
    const double time = w > 0 ? -log(inner_unit(wide_at(*stream, row * t.n + i))) / w : __builtin_inf();
    return Item<int64_t>::make(key_of<int64_t>(time), i);
  }
};
struct Chosen {
  Table t;
  const bool* valid;
  int64_t* y;
  PB_DEVICE void put(int64_t row, int64_t s, Item<int64_t> item) const {
    if (s < t.draws) y[row * t.y_row_step + s * t.y_step] = valid[row] ? item.index() : 0;
  }
};

// sums_i = Σ_(k≤i) weights, in double; a thread adds up neighbours, and what comes before them.
template <class T>
__global__ void sum_rows(Table t, const T* weights, double* sums) {
  double* before = shared<double, kBlockSize>();
  for (int64_t row = block(); row < t.rows; row += blocks()) {
    const T* w = weights + row * t.row_step;
    const int64_t each = (t.n + threads() - 1) / threads(), begin = thread() * each;
    const int64_t end = begin + each < t.n ? begin + each : t.n;
    double own = 0;
    for (int64_t i = begin; i < end; ++i) own += static_cast<double>(w[i * t.step]);
    sync_block();  // the row before this one may still be read
    before[thread()] = own;
    sync_block();
    if (thread() == 0) {
      double sum = 0;
      for (int k = 0; k < threads(); ++k) {
        const double next = sum + before[k];
        before[k] = sum, sum = next;
      }
    }
    sync_block();
    own = 0;
    for (int64_t i = begin; i < end; ++i)
      sums[row * t.n + i] = before[thread()] + (own += static_cast<double>(w[i * t.step]));
  }
}

// The first i with sums_i > u Σ weights, but no later one than the last that has a weight.
__global__ void draw_by_sums(Table t, const Philox* stream, const double* sums, const bool* valid, int64_t* y) {
  for (int64_t at = first(); at < t.rows * t.draws; at += stride()) {
    const int64_t row = at / t.draws, s = at % t.draws;
    const double *sum = sums + row * t.n, all = sum[t.n - 1];
    const double target = inner_unit(wide_at(*stream, at)) * all;
    int64_t low = 0, high = t.n - 1;
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      sum[middle] > target || sum[middle] >= all ? high = middle : low = middle + 1;
    }
    y[row * t.y_row_step + s * t.y_step] = valid[row] ? low : 0;
  }
}

template <class T>
void multinomial_of(const Call& c) {
  const Operand &w = c[1], &y = c[2];
  const Table t{w.shape[0], w.shape[1], y.shape[1], w.strides[0], w.strides[1], y.strides[0], y.strides[1]};
  const bool replacement = c.flag(0);
  if (t.rows == 0 || t.n == 0) return;
  const T* weights = w.data<T>();
  Scratch scratch;
  const Philox* stream = claim(c[0], t.rows * (replacement ? t.draws : t.n), 2, scratch);
  bool* valid = scratch.take<bool>(t.rows);
  const int64_t blocks = blocks_for_lines(t.rows);
  launch(check_rows<T>, blocks, kBlockSize, t, replacement ? int64_t{1} : t.draws, weights, valid, device_error(c));
  if (!replacement)
    return sort_lines<int64_t>(WaitingTimes<T>{t, weights, stream}, t.rows, t.n, t.draws,
                               Chosen{t, valid, y.data<int64_t>()});
  double* sums = scratch.take<double>(t.rows * t.n);
  launch(sum_rows<T>, blocks, kBlockSize, t, weights, sums);
  launch(draw_by_sums, blocks_for(t.rows * t.draws), kBlockSize, t, stream, static_cast<const double*>(sums),
         static_cast<const bool*>(valid), y.data<int64_t>());
}
void multinomial(const Call& c) {
  visit_float(c[1].dtype, [&](auto zero) { multinomial_of<decltype(zero)>(c); });
}

constexpr EntryRow rows[] = {
    {"random_bits", random_bits},
    {"uniform", uniform, kTakesHalves},
    {"normal", normal, kTakesHalves},
    {"exponential", exponential, kTakesHalves},
    {"randint", randint},
    {"bernoulli", bernoulli},
    {"permutation", permutation},
    {"multinomial", multinomial},
    {"dropout", dropout, kTakesHalves},
    {"dropout_backward", dropout_backward, kTakesHalves},
};

}  // namespace

extern const Family random_family;
const Family random_family = {rows, sizeof(rows) / sizeof(rows[0])};

}  // namespace pullback::cuda
