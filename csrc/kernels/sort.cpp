#include "isa/lines.h"
#include "kernels/sort_formulas.h"

namespace pullback::ISA_NAMESPACE {
namespace {

inline constexpr int64_t kTaskElements = 1 << 13;
inline constexpr int64_t kPiece = 1 << 16;               // of a long line: what one thread sorts at a time
inline constexpr int64_t kBlock = 256;                   // keys that are read together
inline constexpr int64_t kShort = 2 * ISA_VECTOR_BYTES;  // up to here, counting beats distributing
inline constexpr int64_t kFew = 16;                      // first items that are found one by one
inline constexpr int64_t kDigits = 256;

// --- items: keys and where they stood -------------------------------------------------------------

// One line of x, and the direction in which its keys ascend.
struct Line {
  const char* x;
  int64_t step, length;
  DType type;
  bool descending;
};

template <class K, class T>
void read_keys_of(const T* x, int64_t step, int64_t n, K flip, K* key) {
  if (step == 1) {
    for (int64_t i = 0; i < n; ++i) key[i] = key_of<K>(x[i]) ^ flip;
  } else {
    for (int64_t i = 0; i < n; ++i) key[i] = key_of<K>(x[i * step]) ^ flip;
  }
}

// The keys of elements begin, …, begin + n - 1; descending is ascending in −1 − key.
template <class K>
[[gnu::noinline]] void read_keys(const Line& line, int64_t begin, int64_t n, K* key) {
  visit_any(line.type, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (sizeof(T) <= sizeof(K))
      read_keys_of<K>(reinterpret_cast<const T*>(line.x) + begin * line.step, line.step, n, K(line.descending ? -1 : 0),
                      key);
  });
}

template <class K>
struct Item {
  K key;
  std::make_unsigned_t<K> index;
};

// a_k = (key of x_k, k), for the whole line
template <class K>
void read_items(const Line& line, Item<K>* a) {
  K key[kBlock];
  for (int64_t b = 0; b < line.length; b += kBlock) {
    const int64_t n = smaller(kBlock, line.length - b);
    read_keys(line, b, n, key);
    for (int64_t i = 0; i < n; ++i) a[b + i] = {key[i], static_cast<std::make_unsigned_t<K>>(b + i)};
  }
}

// Calls f(K{}) with the type of the keys: 32 bits, unless the elements or their number need more.
template <class F>
PB_INLINE void visit_key(DType t, int64_t length, F&& f) {
  if (item_size(t) == 8 || length > UINT32_MAX) return f(int64_t{});
  f(int32_t{});
}

// --- sorting items -------------------------------------------------------------------------------

// Each item goes to its rank: rank_i = |{j: key_j < key_i}| + |{j < i: key_j = key_i}|
template <class K>
void sort_short(const Item<K>* a, Item<K>* b, int64_t n) {
  using V = Vec<K>;
  const int vectors = static_cast<int>((n - 1) / V::size + 1);
  K lanes[kShort + V::size];
  V key[kShort / V::size];
  for (int64_t i = 0; i < vectors * V::size; ++i) lanes[i] = i < n ? a[i].key : kLargest<K>;
  for (int v = 0; v < vectors; ++v) key[v] = V::load(lanes + v * V::size);
  for (int64_t i = 0; i < n; ++i) {
    const int own = static_cast<int>(i / V::size);
    const V x(lanes[i]);
    const auto before = first_lanes<K>(static_cast<int>(i % V::size));
    typename V::Raw rank = ((key[own] < x) | ((key[own] == x) & before)).raw;
    for (int v = 0; v < own; ++v) rank += (key[v] <= x).raw;
    for (int v = own + 1; v < vectors; ++v) rank += (key[v] < x).raw;
    b[-reduce_add(V(rank))] = a[i];
  }
}

template <class K>
PB_INLINE int digit(K key, int shift) {
  const int sign = shift == 8 * (sizeof(K) - 1) ? 128 : 0;
  return (static_cast<int>(key >> shift) & 255) ^ sign;
}

// One pass of a radix sort, from a to b: by the eight bits from `shift` on, equals in order. Each piece counts its
// digits, hears where its items of each digit start, and puts them there.
template <class K>
[[gnu::noinline]] void distribute(const Item<K>* a, Item<K>* b, int64_t n, int shift) {
  const int64_t pieces = (n - 1) / kPiece + 1;
  Scratch scratch;
  int64_t* counts = scratch.take<int64_t>(pieces * kDigits);  // [pieces, kDigits]
  parallel_for(pieces, 1, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      int64_t* count = counts + p * kDigits;
      for (int d = 0; d < kDigits; ++d) count[d] = 0;
      const int64_t stop = smaller(n, (p + 1) * kPiece);
      for (int64_t i = p * kPiece; i < stop; ++i) ++count[digit(a[i].key, shift)];
    }
  });
  int64_t start = 0;
  for (int d = 0; d < kDigits; ++d)
    for (int64_t p = 0; p < pieces; ++p) {
      const int64_t count = counts[p * kDigits + d];
      counts[p * kDigits + d] = start;
      start += count;
    }
  parallel_for(pieces, 1, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      int64_t* at = counts + p * kDigits;
      const int64_t stop = smaller(n, (p + 1) * kPiece);
      for (int64_t i = p * kPiece; i < stop; ++i) b[at[digit(a[i].key, shift)]++] = a[i];
    }
  });
}

// The bits in which keys differ.
template <class K>
K varying_bits(const Item<K>* a, int64_t n) {
  K bits = 0;
  for (int64_t i = 1; i < n; ++i) bits |= a[i].key ^ a[0].key;
  return bits;
}

// Sorts n ≥ 1 items, equals in order. Both arrays are written to; the result is one of them.
template <class K>
Item<K>* sort_items(Item<K>* a, Item<K>* b, int64_t n) {
  if (n <= kShort) return sort_short(a, b, n), b;
  const K varying = varying_bits(a, n);
  for (int shift = 0; shift < static_cast<int>(8 * sizeof(K)); shift += 8) {
    if ((varying >> shift & 255) == 0) continue;
    distribute(a, b, n, shift);
    Item<K>* sorted = b;
    b = a, a = sorted;
  }
  return a;
}

// --- lines ---------------------------------------------------------------------------------------

// Calls f(T{}) with an integer as wide as the dtype: enough to move elements.
template <class F>
PB_INLINE void visit_width(DType t, F&& f) {
  switch (item_size(t)) {
    case 8:
      return f(uint64_t{});
    case 4:
      return f(uint32_t{});
    case 2:
      return f(uint16_t{});
    default:
      return f(uint8_t{});
  }
}

// Writes y_k = x[index_k] and index_k for the n items.
template <class K>
[[gnu::noinline]] void write_items(const Lines& s, int64_t line, DType type, const Item<K>* item, int64_t n) {
  const int64_t x_at = s.other.offset(0, line), y_at = s.other.offset(1, line);
  visit_width(type, [&](auto zero) {
    using T = decltype(zero);
    const T* x = reinterpret_cast<const T*>(s.data[0]) + x_at;
    T* y = reinterpret_cast<T*>(s.data[1]) + y_at;
    for (int64_t k = 0; k < n; ++k) y[k * s.step[1]] = x[static_cast<int64_t>(item[k].index) * s.step[0]];
  });
  int64_t* index = s.line<int64_t>(2, line);
  for (int64_t k = 0; k < n; ++k) index[k * s.step[2]] = static_cast<int64_t>(item[k].index);
}

Line line_of(const Lines& s, int64_t index, DType type, bool descending) {
  return {s.data[0] + s.other.offset(0, index) * item_size(type), s.step[0], s.length, type, descending};
}

// f(index) for every line.
template <class F>
PB_INLINE void for_each_line(const Lines& s, F&& f) {
  if (s.length == 0) return;
  parallel_for(s.count, larger(1, kTaskElements / s.length), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) f(i);
  });
}

void sort(const Call& c) {
  const Lines s = make_lines(c, 3, c.integer(0));
  visit_key(c[0].dtype, s.length, [&](auto zero) {
    using K = decltype(zero);
    const auto sort_line = [&](int64_t index) {
      Scratch scratch;
      Item<K>*a = scratch.take<Item<K>>(s.length), *b = scratch.take<Item<K>>(s.length);
      read_items(line_of(s, index, c[0].dtype, c.flag(1)), a);
      write_items(s, index, c[0].dtype, sort_items(a, b, s.length), s.length);
    };
    if (s.length <= kPiece) return for_each_line(s, sort_line);
    for (int64_t i = 0; i < s.count; ++i) sort_line(i);  // all threads work on one line
  });
}

// The first k of n ≤ kShort items, in order: a pass for each over (key, index) as one number.
void select_first(const Item<int32_t>* a, Item<int32_t>* b, int64_t n, int64_t k) {
  int64_t number[kShort], least = INT64_MIN;
  for (int64_t i = 0; i < n; ++i) number[i] = static_cast<int64_t>(a[i].key) * (int64_t{1} << 32) + a[i].index;
  for (int64_t j = 0; j < k; ++j) {
    int64_t next = INT64_MAX;
    for (int64_t i = 0; i < n; ++i) {
      const int64_t candidate = number[i] >= least ? number[i] : INT64_MAX;
      next = candidate < next ? candidate : next;
    }
    b[j] = {static_cast<int32_t>(next >> 32), static_cast<uint32_t>(next)};
    least = next + 1;
  }
}

// n items of which the first k are sorted; both arrays are written to, the result is one of them.
template <class K>
Item<K>* first_items(Item<K>* a, Item<K>* b, int64_t n, int64_t k) {
  if constexpr (sizeof(K) == sizeof(int32_t))
    if (k <= kFew && n <= kShort) return select_first(a, b, n, k), b;
  return sort_items(a, b, n);
}

// The items that sorting would put first, sorted: those that may be among the first k wait in a buffer; whenever it is
// full they are sorted and cut to k, and from then on only what comes before the k-th is let in.
template <class K>
void topk_line(const Lines& s, int64_t index, const Line& line, int64_t k) {
  Scratch scratch;
  const int64_t room = smaller(line.length, larger(2 * k, kShort));
  Item<K>*a = scratch.take<Item<K>>(room), *b = scratch.take<Item<K>>(room);
  int64_t have = 0;
  bool bounded = false;
  K key[kBlock], bound = kLargest<K>;
  for (int64_t begin = 0; begin < line.length; begin += kBlock) {
    const int64_t n = smaller(kBlock, line.length - begin);
    read_keys(line, begin, n, key);
    K any = 0;
    for (int64_t i = 0; i < n; ++i) any |= key[i] < bound;
    if (bounded && !any) continue;
    const int64_t free = bounded ? 0 : smaller(n, room - have);
    for (int64_t i = 0; i < free; ++i) a[have + i] = {key[i], static_cast<std::make_unsigned_t<K>>(begin + i)};
    have += free;
    for (int64_t i = free; i < n; ++i) {
      if (bounded && key[i] >= bound) continue;
      if (have == room) {
        Item<K>* sorted = first_items(a, b, have, k);
        if (sorted == b) b = a, a = sorted;
        have = k, bounded = true, bound = a[k - 1].key;
        if (key[i] >= bound) continue;
      }
      a[have++] = {key[i], static_cast<std::make_unsigned_t<K>>(begin + i)};
    }
  }
  write_items(s, index, line.type, first_items(a, b, have, k), k);
}
void topk(const Call& c) {
  const int64_t axis = c.integer(0), k = c[1].shape[axis];
  if (k == 0) return;
  const Lines s = make_lines(c, 3, axis);
  visit_key(c[0].dtype, s.length, [&](auto zero) {
    for_each_line(s, [&](int64_t i) { topk_line<decltype(zero)>(s, i, line_of(s, i, c[0].dtype, c.flag(1)), k); });
  });
}

// The item that sorting would put at k: byte by byte, from the highest on, those stay that share its byte.
template <class K>
Item<K> select_item(Item<K>* a, int64_t n, int64_t k) {
  const K varying = varying_bits(a, n);
  for (int shift = 8 * (sizeof(K) - 1); shift >= 0 && n > 1; shift -= 8) {
    if ((varying >> shift & 255) == 0) continue;
    int64_t count[kDigits] = {};
    for (int64_t i = 0; i < n; ++i) ++count[digit(a[i].key, shift)];
    int d = 0;
    for (; k >= count[d]; ++d) k -= count[d];
    int64_t left = 0;
    for (int64_t i = 0; left < count[d]; ++i) {  // without a branch that the data decides
      a[left] = a[i];
      left += digit(a[i].key, shift) == d;
    }
    n = left;
  }
  return a[k];
}

// y = what stands at place(items), of every line
template <class Place>
PB_INLINE void select(const Call& c, Place&& place) {
  const Lines s = make_lines(c, 3, c.integer(0));
  visit_key(c[0].dtype, s.length, [&](auto zero) {
    using K = decltype(zero);
    for_each_line(s, [&](int64_t i) {
      Scratch scratch;
      Item<K>* a = scratch.take<Item<K>>(s.length);
      read_items(line_of(s, i, c[0].dtype, false), a);
      const Item<K> found = select_item(a, s.length, place(a, s.length));
      write_items(s, i, c[0].dtype, &found, 1);
    });
  });
}

void kthvalue(const Call& c) {
  select(c, [&](const auto*, int64_t) { return c.integer(1); });
}

void median(const Call& c) {
  const bool has_nan = c[0].dtype == DType::f32 || c[0].dtype == DType::f64, skip = c.flag(1);
  const bool wide = c[0].dtype == DType::f64;
  select(c, [&](const auto* a, int64_t n) {
    int64_t numbers = n;
    const int64_t nan = wide ? kLargest<int64_t> : kLargest<int32_t>;
    for (int64_t i = 0; has_nan && i < n; ++i) numbers -= a[i].key == nan;
    return numbers == n || skip ? larger(0, numbers - 1) / 2 : numbers;
  });
}

// --- searching -----------------------------------------------------------------------------------

// The elements begin, …, end - 1 of all lines of x, which have m each.
template <class T>
[[gnu::noinline]] void search_range(const Lines& s, int64_t m, int64_t begin, int64_t end, bool right) {
  for (int64_t at = begin, stop; at < end; at = stop) {
    const int64_t line = at / m, first = at % m, n = smaller(m - first, end - at);
    stop = at + n;
    const T *sorted = s.line<T>(0, line), *x = s.line<T>(1, line) + first * s.step[1];
    int64_t* index = s.line<int64_t>(2, line) + first * s.step[2];
    for (int64_t j = 0; j < n; ++j) index[j * s.step[2]] = search(sorted, s.step[0], s.length, x[j * s.step[1]], right);
  }
}
void searchsorted(const Call& c) {
  const int axis = c[0].ndim - 1;
  const int64_t m = c[1].shape[axis];
  const bool right = c.flag(0);
  const Lines s = make_lines(c, 3, axis);
  visit_any(c[0].dtype, [&](auto zero) {
    parallel_for(s.count * m, kTaskElements,
                 [&](int64_t begin, int64_t end) { search_range<decltype(zero)>(s, m, begin, end, right); });
  });
}

constexpr EntryRow rows[] = {
    {"sort", sort}, {"topk", topk}, {"kthvalue", kthvalue}, {"median", median}, {"searchsorted", searchsorted},
};

}  // namespace

extern const Family sort_family;
const Family sort_family = {rows, sizeof(rows) / sizeof(rows[0])};

}  // namespace pullback::ISA_NAMESPACE
