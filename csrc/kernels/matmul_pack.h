// Rearranging matrices into the order in which the tiles of matmul_micro.h read them.
#pragma once
#include "kernels/matmul_micro.h"

namespace pullback::ISA_NAMESPACE {
namespace {

// Lanes of a, and of b from Vec<T>::size on.
template <class T, int... lanes>
PB_INLINE Vec<T> shuffle(Vec<T> a, Vec<T> b, std::integer_sequence<int, lanes...>) {
#if defined(__clang__)
  return Vec<T>(__builtin_shufflevector(a.raw, b.raw, lanes...));
#else
  using Int = IntOf<T>;
  return Vec<T>(__builtin_shuffle(a.raw, b.raw, typename RawOf<Int>::type{lanes...}));
#endif
}

// Blocks of `distance` lanes: lane l of the first result is a[l] in even blocks and b[l − distance] in odd ones, of the
// second a[l + distance] and b[l].
template <int distance, class T, int... l>
PB_INLINE void swap_blocks(Vec<T>& a, Vec<T>& b, std::integer_sequence<int, l...>) {
  constexpr int size = sizeof...(l);
  const Vec<T> even = shuffle(a, b, std::integer_sequence<int, (l & distance ? size + l - distance : l)...>{});
  b = shuffle(a, b, std::integer_sequence<int, (l & distance ? size + l : l + distance)...>{});
  a = even;
}

// v = vᵀ: the four quarters of the matrix are exchanged, then those of each quarter, and so on.
template <int distance, class T>
PB_INLINE void transpose(Vec<T> (&v)[Vec<T>::size]) {
  constexpr int size = Vec<T>::size;
  unroll<size>([&](auto i) {
    if constexpr ((i & distance) == 0) {
      swap_blocks<distance>(v[i], v[i + distance], std::make_integer_sequence<int, size>{});
    }
  });
  if constexpr (distance > 1) transpose<distance / 2>(v);
}

// y [columns, rows] = xᵀ for at most one vector of rows and columns. Rows of y are written whole where `spill` allows
// it, with zeros after the last element.
template <class T>
void transpose_block(const T* x, int64_t x_row, int rows, int columns, T* y, int64_t y_row, bool spill) {
  constexpr int size = Vec<T>::size;
  Vec<T> v[size];
  if (rows == size && columns == size) {
    unroll<size>([&](auto i) { v[i] = Vec<T>::load(x + i * x_row); });
  } else {
    unroll<size>([&](auto i) {
      if (i < rows) v[i] = Vec<T>::load(x + i * x_row, columns);
    });
  }
  transpose<size / 2>(v);
  unroll<size>([&](auto i) {
    if (i >= columns) return;
    if (spill || rows == size) {
      v[i].store(y + i * y_row);
    } else {
      v[i].store(y + i * y_row, rows);
    }
  });
}

// Panel [depth, width] of x [count, depth]: y_kl = x_lk. The width is the count, or the count rounded up to whole
// vectors, with zeros in the columns that x lacks.
template <class T>
struct Panel {
  const T* x;
  int64_t along;  // stride of x from one l to the next
  int64_t deep;   // from one k to the next
  int64_t count, width, depth;
};

// n elements, and zeros up to the next whole vector where there is room for them.
template <class T>
PB_INLINE void copy_row(const T* x, int64_t n, T* y, bool padded) {
  for_each_vec<T>(n, [&](int64_t l, auto lanes) {
    const Vec<T> v = Vec<T>::load(x + l, lanes);
    if (padded) {
      v.store(y + l);
    } else {
      v.store(y + l, lanes);
    }
  });
}

// Rows of so many whole vectors.
template <class T, int vecs>
void pack_vectors(const Panel<T>& p, T* y) {
  const T* x = p.x;
  for (int64_t k = 0; k < p.depth; ++k, x += p.deep, y += vecs * Vec<T>::size) {
    unroll<vecs>([&](auto v) { Vec<T>::load(x + v * Vec<T>::size).store(y + v * Vec<T>::size); });
  }
}

template <class T>
void pack_rows(const Panel<T>& p, T* y) {
  if (p.count == kTileVecs * Vec<T>::size) return pack_vectors<T, kTileVecs>(p, y);
  const bool padded = p.width % Vec<T>::size == 0;
  int64_t k = 0;
  if (p.width <= Vec<T>::size) {  // what a whole vector has too much is then overwritten by the next rows
    for (; (p.depth - k) * p.width >= Vec<T>::size; ++k) Vec<T>::load(p.x + k * p.deep, p.count).store(y + k * p.width);
  }
  for (; k < p.depth; ++k) copy_row(p.x + k * p.deep, p.count, y + k * p.width, padded);
}

template <class T>
void pack_columns(const Panel<T>& p, T* y) {
  constexpr int64_t size = Vec<T>::size;
  const bool narrow = p.width <= size;  // zeros past a row's end are then overwritten by the next rows
  for (int64_t k = 0; k < p.depth; k += size) {
    const int depth = static_cast<int>(smaller(size, p.depth - k));
    for (int64_t l = 0; l < p.width; l += size) {
      const int count = static_cast<int>(larger(0, smaller(size, p.count - l)));
      const bool spill = p.width - l >= size || (narrow && (p.depth - k - depth + 1) * p.width >= size);
      transpose_block(p.x + l * p.along + k * p.deep, p.along, count, depth, y + k * p.width + l, p.width, spill);
    }
  }
}

template <class T>
void pack_any(const Panel<T>& p, T* y) {
  for (int64_t k = 0; k < p.depth; ++k, y += p.width) {
    for (int64_t l = 0; l < p.count; ++l) y[l] = p.x[l * p.along + k * p.deep];
    for (int64_t l = p.count; l < p.width; ++l) y[l] = 0;
  }
}

template <class T>
void pack_panel(const Panel<T>& p, T* y) {
  if (p.along == 1) return pack_rows(p, y);
  if (p.deep == 1) return pack_columns(p, y);
  pack_any(p, y);
}

inline constexpr int64_t kRowsAtOnce = 8;  // so many rows of each panel in turn: lines are written in sequence

// Panels of one width, the last one narrower, one after the other. Of long rows a few are read to their end before the
// next few.
template <class T>
void pack_panels(const Panel<T>& all, int64_t width, T* y) {
  constexpr int64_t size = Vec<T>::size;
  const auto for_each_panel = [&](auto&& f) {
    for (int64_t l = 0; l < all.count; l += width) {
      const int64_t count = smaller(width, all.count - l);
      f(l, count, (count + size - 1) / size * size);
    }
  };
  if (all.along != 1) {
    return for_each_panel([&](int64_t l, int64_t count, int64_t padded) {
      pack_panel<T>({all.x + l * all.along, all.along, all.deep, count, padded, all.depth}, y + l * all.depth);
    });
  }
  for (int64_t k = 0; k < all.depth; k += kRowsAtOnce) {
    const int64_t depth = smaller(kRowsAtOnce, all.depth - k);
    for_each_panel([&](int64_t l, int64_t count, int64_t padded) {
      pack_rows<T>({all.x + k * all.deep + l, 1, all.deep, count, padded, depth}, y + l * all.depth + k * padded);
    });
  }
}

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
