// Elementwise kernels: y_i = f(a_i, b_i, …) over operands that broadcast and have any strides.
//
// A kernel is written as a *tile*: a loop over n contiguous elements. The driver below walks the iteration space, hands
// contiguous stretches to the tile as they are, and gathers everything else (transposed, strided, broadcast) into tiles
// that stay in L1. So one loop per operation and dtype is compiled, and it is always the vectorized one.
#pragma once
#include <cstring>

#include "isa/kernel.h"

namespace pullback::ISA_NAMESPACE {
namespace {

inline constexpr bool kHalves = false;        // whether elementwise kernels read float16 and bfloat16 themselves
inline constexpr int kMaxElementwise = 8;     // operands
inline constexpr int64_t kTile = 512;         // elements, of at most 8 bytes: eight operands fill 32 KiB
inline constexpr int64_t kLongRow = 64;       // elements that are worth a tile of their own
inline constexpr int64_t kPiece = 16 * 1024;  // elements that one task takes

struct Tile {
  const void* in[kMaxElementwise];
  void* out[kMaxElementwise];
  int64_t n;
  const Call* call;  // for scalars

  template <class T>
  PB_INLINE const T* x(int i) const {
    return static_cast<const T*>(in[i]);
  }
  template <class T>
  PB_INLINE T* y(int i = 0) const {
    return static_cast<T*>(out[i]);
  }
};
using TileFn = void (*)(const Tile&);

// f(i) for i = 0 … n - 1 in any order, for loops that the compiler turns into vectors: n is a copy, since a store of
// bytes could alias t.n, and an output lies over an input entirely or not at all, which the pragma says.
template <class F>
PB_INLINE void for_each_element(int64_t n, F&& f) {
#if defined(__clang__)
#pragma clang loop vectorize(assume_safety)
#else
#pragma GCC ivdep
#endif
  for (int64_t i = 0; i < n; ++i) f(i);
}

// The common iteration space: the output's shape, neighbouring dimensions merged where every operand allows it.
struct Space {
  int ndim = 0;
  int64_t shape[kMaxDims];
  int operands = 0;
  int inputs = 0;
  char* base[kMaxElementwise];
  int size[kMaxElementwise];                  // bytes of an element
  int64_t stride[kMaxElementwise][kMaxDims];  // elements; 0 along broadcast dimensions
  bool linear[kMaxElementwise];               // element i lies at base + i
  bool constant[kMaxElementwise];             // an input, and every element is the one at base

  int64_t total() const {
    int64_t n = 1;
    for (int d = 0; d < ndim; ++d) n *= shape[d];
    return n;
  }
};

// Dimension d+1 continues dimension d for every operand.
static bool mergeable(const Space& s, int d) {
  for (int i = 0; i < s.operands; ++i)
    if (s.stride[i][d] != s.stride[i][d + 1] * s.shape[d + 1]) return false;
  return true;
}

static void drop_dim(Space& s, int d) {
  for (int e = d; e + 1 < s.ndim; ++e) {
    s.shape[e] = s.shape[e + 1];
    for (int i = 0; i < s.operands; ++i) s.stride[i][e] = s.stride[i][e + 1];
  }
  --s.ndim;
}

static void swap_dims(Space& s, int d, int e) {
  const int64_t n = s.shape[d];
  s.shape[d] = s.shape[e], s.shape[e] = n;
  for (int i = 0; i < s.operands; ++i) {
    const int64_t t = s.stride[i][d];
    s.stride[i][d] = s.stride[i][e], s.stride[i][e] = t;
  }
}

// Walk in the order of the output's memory, so that a transposed or channels-last result is written straight through.
static void order_dims(Space& s) {
  const int64_t* key = s.stride[s.operands - 1];
  for (int d = 1; d < s.ndim; ++d)
    for (int e = d; e > 0 && llabs(key[e - 1]) < llabs(key[e]); --e) swap_dims(s, e - 1, e);
}

static Space make_space(const Operand* operands, int inputs, int outputs) {
  Space s;
  s.operands = inputs + outputs;
  s.inputs = inputs;
  const Operand& y = operands[inputs];
  s.ndim = y.ndim;
  for (int d = 0; d < y.ndim; ++d) s.shape[d] = y.shape[d];
  for (int i = 0; i < s.operands; ++i) {
    const Operand& x = operands[i];
    s.base[i] = x.data<char>();
    s.size[i] = item_size(x.dtype);
    const int lead = y.ndim - x.ndim;  // missing leading dimensions broadcast
    for (int d = 0; d < y.ndim; ++d)
      s.stride[i][d] = d < lead || (x.shape[d - lead] == 1 && y.shape[d] != 1) ? 0 : x.strides[d - lead];
  }
  for (int d = s.ndim - 1; d >= 0; --d)
    if (s.shape[d] == 1) drop_dim(s, d);
  order_dims(s);
  for (int d = s.ndim - 2; d >= 0; --d)
    if (mergeable(s, d)) {
      s.shape[d + 1] *= s.shape[d];
      drop_dim(s, d);
    }
  for (int i = 0; i < s.operands; ++i) {
    s.linear[i] = s.ndim == 0 || (s.ndim == 1 && s.stride[i][0] == 1);
    s.constant[i] = s.ndim > 0 && i < inputs;
    for (int d = 0; d < s.ndim; ++d) s.constant[i] = s.constant[i] && s.stride[i][d] == 0;
  }
  return s;
}

template <class Word>
static void copy_strided(const char* from, int64_t from_stride, char* to, int64_t to_stride, int64_t n) {
  auto* x = reinterpret_cast<const Word*>(from);
  auto* y = reinterpret_cast<Word*>(to);
  if (from_stride == 0 && to_stride == 1) {  // broadcast, in vectors
    const Word value = *x;
    for (int64_t i = 0; i < n; ++i) y[i] = value;
    return;
  }
  if (from_stride == -1 && to_stride == 1) {  // reversed, likewise
    for (int64_t i = 0; i < n; ++i) y[i] = x[-i];
    return;
  }
  for (int64_t i = 0; i < n; ++i) y[i * to_stride] = x[i * from_stride];
}

static void copy_row(int size, const char* from, int64_t from_stride, char* to, int64_t to_stride, int64_t n) {
  if (from_stride == 1 && to_stride == 1) {
    std::memcpy(to, from, static_cast<size_t>(n * size));
    return;
  }
  switch (size) {
    case 8:
      return copy_strided<uint64_t>(from, from_stride, to, to_stride, n);
    case 4:
      return copy_strided<uint32_t>(from, from_stride, to, to_stride, n);
    case 2:
      return copy_strided<uint16_t>(from, from_stride, to, to_stride, n);
    default:
      return copy_strided<uint8_t>(from, from_stride, to, to_stride, n);
  }
}

// Visits elements [begin, begin + n) of operand i row by row: row(pointer, stride, position in the range, length).
template <class Row>
static void walk(const Space& s, int i, int64_t begin, int64_t n, Row&& row) {
  const int inner = s.ndim - 1;
  int64_t index[kMaxDims], rest = begin, element = 0;
  for (int d = inner; d >= 0; --d) {
    index[d] = rest % s.shape[d];
    rest /= s.shape[d];
    element += index[d] * s.stride[i][d];
  }
  for (int64_t done = 0; done < n;) {
    const int64_t length = smaller(s.shape[inner] - index[inner], n - done);
    row(s.base[i] + element * s.size[i], s.stride[i][inner], done, length);
    done += length;
    element += length * s.stride[i][inner];
    index[inner] += length;
    for (int d = inner; d > 0 && index[d] == s.shape[d]; --d) {  // carry
      element += s.stride[i][d - 1] - index[d] * s.stride[i][d];
      index[d] = 0;
      ++index[d - 1];
    }
  }
}

static void gather(const Space& s, int i, int64_t begin, int64_t n, char* tile) {
  walk(s, i, begin, n, [&](const char* from, int64_t stride, int64_t at, int64_t length) {
    copy_row(s.size[i], from, stride, tile + at * s.size[i], 1, length);
  });
}

static void scatter(const Space& s, int i, int64_t begin, int64_t n, const char* tile) {
  walk(s, i, begin, n, [&](char* to, int64_t stride, int64_t at, int64_t length) {
    copy_row(s.size[i], tile + at * s.size[i], 1, to, stride, length);
  });
}

// Where elements [begin, begin + n) of operand i lie side by side already, their address; else null.
static char* in_place(const Space& s, int i, int64_t begin, int64_t n) {
  if (s.linear[i]) return s.base[i] + begin * s.size[i];
  const int inner = s.ndim - 1;
  if (s.stride[i][inner] != 1 || begin % s.shape[inner] + n > s.shape[inner]) return nullptr;
  char* address = nullptr;
  walk(s, i, begin, n, [&](char* row, int64_t, int64_t, int64_t) { address = row; });
  return address;
}

static bool all_linear(const Space& s) {
  for (int i = 0; i < s.operands; ++i)
    if (!s.linear[i]) return false;
  return true;
}

// A piece of a space in tiles: [begin, end) of its elements, and room to gather operands in.
struct Piece {
  const Space& s;
  TileFn tile;
  const Call& call;
  int64_t begin, end;
  int64_t step;  // elements of a tile, as many as fit of the widest operand
  alignas(64) char buffer[kMaxElementwise][kTile * 8];

  Piece(const Space& space, TileFn f, const Call& c, int64_t from, int64_t to)
      : s(space), tile(f), call(c), begin(from), end(to) {
    int largest = 1;
    for (int i = 0; i < s.operands; ++i) largest = s.size[i] > largest ? s.size[i] : largest;
    step = kTile * 8 / largest;
  }
  void run(Tile& t, int64_t n) const {
    t.n = n;
    t.call = &call;
    tile(t);
  }
};

// Every operand lies side by side.
static void run_linear(const Space& s, TileFn tile, const Call& call, int64_t begin, int64_t end) {
  Tile t;
  for (int i = 0; i < s.operands; ++i) {
    char* x = s.base[i] + begin * s.size[i];
    if (i < s.inputs)
      t.in[i] = x;
    else
      t.out[i - s.inputs] = x;
  }
  t.n = end - begin;
  t.call = &call;
  tile(t);
}

// Short rows: a tile takes several, or parts of two.
static void run_short_rows(Piece& p) {
  const Space& s = p.s;
  for (int i = 0; i < s.inputs; ++i)
    if (s.constant[i]) copy_row(s.size[i], s.base[i], 0, p.buffer[i], 1, smaller(p.step, p.end - p.begin));
  Tile t;
  for (int64_t b = p.begin; b < p.end; b += p.step) {
    const int64_t n = smaller(p.step, p.end - b);
    for (int i = 0; i < s.inputs; ++i) {
      t.in[i] = s.constant[i] ? p.buffer[i] : in_place(s, i, b, n);
      if (!t.in[i]) gather(s, i, b, n, p.buffer[i]), t.in[i] = p.buffer[i];
    }
    for (int i = s.inputs; i < s.operands; ++i) {
      void* there = in_place(s, i, b, n);
      t.out[i - s.inputs] = there ? there : p.buffer[i];
    }
    p.run(t, n);
    for (int i = s.inputs; i < s.operands; ++i)
      if (t.out[i - s.inputs] == p.buffer[i]) scatter(s, i, b, n, p.buffer[i]);
  }
}

// Long rows: contiguous operands are used where they lie, and one that is constant along the row is spread out, once
// for several tiles.
struct LongRows {
  Piece& p;
  const Space& s = p.s;
  const int inner = s.ndim - 1;
  int64_t step = p.end - p.begin;
  char* at[kMaxElementwise];              // the element that is next
  const char* spread[kMaxElementwise]{};  // the constant that fills the buffer
  int64_t spread_n[kMaxElementwise]{};    // how many times

  explicit LongRows(Piece& piece) : p(piece) {
    for (int i = 0; i < s.operands; ++i)
      if (s.stride[i][inner] != 1) step = smaller(step, s.stride[i][inner] || s.constant[i] ? p.step : kTile);
  }
  const char* input(int i, int64_t n) {
    const int64_t stride = s.stride[i][inner];
    if (stride == 1) return at[i];
    if (stride != 0 || spread[i] != at[i] || spread_n[i] < n) {
      copy_row(s.size[i], at[i], stride, p.buffer[i], 1, n);
      spread[i] = stride ? nullptr : at[i], spread_n[i] = n;
    }
    return p.buffer[i];
  }
  void run_tile(int64_t n) {
    Tile t;
    for (int i = 0; i < s.inputs; ++i) t.in[i] = input(i, n);
    for (int i = s.inputs; i < s.operands; ++i) t.out[i - s.inputs] = s.stride[i][inner] == 1 ? at[i] : p.buffer[i];
    p.run(t, n);
    for (int i = s.inputs; i < s.operands; ++i)
      if (s.stride[i][inner] != 1) copy_row(s.size[i], p.buffer[i], 1, at[i], s.stride[i][inner], n);
    for (int i = 0; i < s.operands; ++i) at[i] += n * s.stride[i][inner] * s.size[i];
  }
  void run() {
    int64_t index[kMaxDims], rest = p.begin;
    for (int i = 0; i < s.operands; ++i) at[i] = s.base[i];
    for (int d = inner; d >= 0; --d) {
      index[d] = rest % s.shape[d];
      rest /= s.shape[d];
      for (int i = 0; i < s.operands; ++i) at[i] += index[d] * s.stride[i][d] * s.size[i];
    }
    for (int64_t b = p.begin; b < p.end;) {
      const int64_t n = smaller(step, smaller(s.shape[inner] - index[inner], p.end - b));
      run_tile(n);
      b += n;
      index[inner] += n;
      for (int d = inner; d > 0 && index[d] == s.shape[d]; --d) {  // carry
        for (int i = 0; i < s.operands; ++i) at[i] += (s.stride[i][d - 1] - index[d] * s.stride[i][d]) * s.size[i];
        index[d] = 0;
        ++index[d - 1];
      }
    }
  }
};

static void run_piece(const Space& s, TileFn tile, const Call& call, int64_t begin, int64_t end) {
  if (all_linear(s)) return run_linear(s, tile, call, begin, end);
  Piece p(s, tile, call, begin, end);
  if (s.shape[s.ndim - 1] < kLongRow) return run_short_rows(p);
  LongRows(p).run();
}

// Runs `tile` over the space of call[0] … call[inputs + outputs - 1]; inputs first, and outputs of one shape.
[[maybe_unused]] static void elementwise(const Call& call, TileFn tile, int inputs, int outputs = 1) {
  if (!check_shapes(call, inputs, outputs)) return;
  const Space s = make_space(call.operands, inputs, outputs);
  const int64_t total = s.total();
  if (total == 0) return;
  parallel_for(total, kPiece, [&](int64_t begin, int64_t end) { run_piece(s, tile, call, begin, end); });
}

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
