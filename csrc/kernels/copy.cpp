#include "isa/elementwise.h"
#include "kernels/copy_formulas.h"

namespace pullback::ISA_NAMESPACE {
namespace {

template <class From, class To>
void copy_tile(const Tile& t) {
  const auto* x = t.x<Stored<From>>(0);
  To* y = t.y<To>();
  for_each_element(t.n, [&](int64_t i) {
    if constexpr (std::is_same_v<From, bool>)
      y[i] = static_cast<To>(x[i] != 0);
    else
      y[i] = convert_to<To>(x[i]);
  });
}

template <int size>
void same_tile(const Tile& t) {
  if (t.out[0] != t.in[0]) std::memmove(t.out[0], t.in[0], static_cast<size_t>(t.n * size));
}

// --- transposing ---
//
// Where y's rows are x's columns, a copy row by row would use an element of each cache line it touches. Here it goes by
// blocks: a line of words from each of kDeep rows of x, turned around in L1, becomes pieces of kDeep words of y's rows.

inline constexpr int64_t kWide = 64, kDeep = 16;  // words of a block along x's rows, and along y's

template <class Word>
void turn_block(const Word* x, int64_t x_row, Word* y, int64_t y_row, int64_t wide, int64_t deep) {
  if (wide == kWide && deep == kDeep) {
    for (int64_t i = 0; i < kWide; ++i)
      for (int64_t j = 0; j < kDeep; ++j) y[i * y_row + j] = x[j * x_row + i];
    return;
  }
  for (int64_t i = 0; i < wide; ++i)
    for (int64_t j = 0; j < deep; ++j) y[i * y_row + j] = x[j * x_row + i];
}

// The dimension of s along which x is contiguous while y is along the last; −1 where copying by rows does as well.
int turned_dim(const Space& s) {
  const int inner = s.ndim - 1;
  if (s.ndim < 2 || s.stride[1][inner] != 1 || llabs(s.stride[0][inner]) < kDeep || s.shape[inner] < kDeep) return -1;
  for (int d = 0; d < inner; ++d)
    if (s.stride[0][d] == 1 && s.shape[d] >= kDeep) return d;
  return -1;
}

template <class Word>
void turn(const Space& s, int dim) {
  const int inner = s.ndim - 1;
  const int64_t rows = s.shape[dim], columns = s.shape[inner], blocks = (rows - 1) / kWide + 1;
  const int64_t x_row = s.stride[0][inner], y_row = s.stride[1][dim];
  parallel_for(
      s.total() / rows / columns * blocks, larger(1, kPiece / (kWide * columns)), [&](int64_t begin, int64_t end) {
        for (int64_t b = begin; b < end; ++b) {
          const int64_t i = b % blocks * kWide;
          const Word* x = reinterpret_cast<const Word*>(s.base[0]) + i;
          Word* y = reinterpret_cast<Word*>(s.base[1]) + i * y_row;
          int64_t rest = b / blocks;
          for (int d = inner - 1; d >= 0; --d) {
            if (d == dim) continue;
            x += rest % s.shape[d] * s.stride[0][d], y += rest % s.shape[d] * s.stride[1][d];
            rest /= s.shape[d];
          }
          for (int64_t j = 0; j < columns; j += kDeep)
            turn_block(x + j * x_row, x_row, y + j, y_row, smaller(kWide, rows - i), smaller(kDeep, columns - j));
        }
      });
}

bool transposed(const Call& c) {
  if (!check_shapes(c, 1, 1)) return false;
  const Space s = make_space(c.operands, 1, 1);
  const int dim = s.total() < kWide * kDeep ? -1 : turned_dim(s);
  if (dim < 0) return false;
  switch (s.size[0]) {
    case 8:
      return turn<uint64_t>(s, dim), true;
    case 4:
      return turn<uint32_t>(s, dim), true;
    case 2:
      return turn<uint16_t>(s, dim), true;
    default:
      return turn<uint8_t>(s, dim), true;
  }
}

void copy(const Call& c) {
  if (c[0].dtype == c[1].dtype) {
    if (c[1].size() >= kWide * kDeep && !c[0].contiguous() && transposed(c)) return;
    switch (item_size(c[0].dtype)) {
      case 8:
        return elementwise(c, same_tile<8>, 1);
      case 4:
        return elementwise(c, same_tile<4>, 1);
      case 2:
        return elementwise(c, same_tile<2>, 1);
      default:
        return elementwise(c, same_tile<1>, 1);
    }
  }
  visit_stored(c[0].dtype, [&](auto from) {
    visit_stored(c[1].dtype, [&](auto to) { elementwise(c, copy_tile<decltype(from), decltype(to)>, 1); });
  });
}

template <class T>
void fill_tile(const Tile& t) {
  const T value = convert_to<T>(t.call->real(0));
  T* y = t.y<T>();
  for_each_element(t.n, [&](int64_t i) { y[i] = value; });
}
template <class T>
void fill_integer_tile(const Tile& t) {
  const T value = static_cast<T>(t.call->integer(0));
  T* y = t.y<T>();
  for_each_element(t.n, [&](int64_t i) { y[i] = value; });
}

void fill(const Call& c) {
  visit_stored(c[0].dtype, [&](auto zero) { elementwise(c, fill_tile<decltype(zero)>, 0); });
}
void fill_integer(const Call& c) {
  visit_stored(c[0].dtype, [&](auto zero) { elementwise(c, fill_integer_tile<decltype(zero)>, 0); });
}

void arange(const Call& c) {
  const Operand& y = c[0];
  if (y.ndim != 1) return c.error->set(ErrorCode::bad_shape, 0, 0);
  visit_number(y.dtype, [&](auto zero) {
    using T = decltype(zero);
    using Bits = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;  // integers wrap around
    using Wide = std::conditional_t<is_float<T>, double, Bits>;
    const Wide start = is_float<T> ? static_cast<Wide>(c.real(0)) : static_cast<Wide>(c.integer(0));
    const Wide step = is_float<T> ? static_cast<Wide>(c.real(1)) : static_cast<Wide>(c.integer(1));
    const int64_t stride = y.strides[0];
    parallel_for(y.shape[0], kPiece, [&](int64_t begin, int64_t end) {
      T* out = y.data<T>() + begin * stride;
      const Wide first = static_cast<Wide>(begin);
      // An index of 32 bits becomes a double in one instruction everywhere.
      const auto value = [&](int64_t i) {
        return static_cast<T>(start + (first + static_cast<Wide>(static_cast<int32_t>(i))) * step);
      };
      if (stride == 1)
        for_each_element(end - begin, [&](int64_t i) { out[i] = value(i); });
      else
        for_each_element(end - begin, [&](int64_t i) { out[i * stride] = value(i); });
    });
  });
}

constexpr EntryRow rows[] = {
    {"copy", copy, kTakesHalves},
    {"fill", fill, kTakesHalves},
    {"fill_integer", fill_integer, kTakesHalves},
    {"arange", arange},
};

}  // namespace

extern const Family copy_family;
const Family copy_family = {rows, sizeof(rows) / sizeof(rows[0])};

}  // namespace pullback::ISA_NAMESPACE
