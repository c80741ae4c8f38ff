#include "common/select.h"
#include "common/sorting.h"
#include "kernels/sort_formulas.h"

namespace pullback::cuda {
namespace {

// Lines of x, y and index; only x is read as what it is.
struct Operands {
  Lines<3> lines;
  const char* x;
  char* y;
  int64_t* index;
  DType type;
  int width;  // bytes of an element
};
Operands operands_of(const Call& c) {
  return {make_lines<3>(c, c.integer(0)), c[0].data<char>(), c[1].data<char>(),
          c[2].data<int64_t>(),           c[0].dtype,        item_size(c[0].dtype)};
}

template <class K, class T>
PB_DEVICE K key_at(const char* x, int64_t place) {
  if constexpr (sizeof(T) > sizeof(K)) {
    return 0;  // such elements have wider keys
  } else {
    return key_of<K>(reinterpret_cast<const T*>(x)[place]);
  }
}

template <class K>
struct Elements {
  Operands o;
  bool descending;  // ascending in −1 − key
  PB_DEVICE int64_t row(int64_t line) const { return o.lines.at(0, line); }
  PB_DEVICE K key(int64_t place) const {
    switch (o.type) {
      case DType::f32:
        return key_at<K, float>(o.x, place);
      case DType::f64:
        return key_at<K, double>(o.x, place);
      case DType::i64:
        return key_at<K, int64_t>(o.x, place);
      case DType::i32:
        return key_at<K, int32_t>(o.x, place);
      case DType::i16:
        return key_at<K, int16_t>(o.x, place);
      case DType::i8:
        return key_at<K, int8_t>(o.x, place);
      case DType::u8:
        return key_at<K, uint8_t>(o.x, place);
      default:
        return key_at<K, uint8_t>(o.x, place) != 0;
    }
  }
  PB_DEVICE Item<K> item(int64_t row, int64_t k) const {
    const K own = key(row + k * o.lines.step[0]);
    return Item<K>::make(descending ? ~own : own, k);
  }
};

template <class Word>
PB_DEVICE void copy_word(const char* x, int64_t from, char* y, int64_t to) {
  reinterpret_cast<Word*>(y)[to] = reinterpret_cast<const Word*>(x)[from];
}

// y_k = x[index_k] and index_k, of the items at places begin, …, begin + count − 1.
template <class K>
struct Results {
  Operands o;
  int64_t begin, count;
  PB_DEVICE void put(int64_t line, int64_t place, Item<K> item) const {
    const int64_t k = place - begin;
    if (k < 0 || k >= count) return;
    int64_t at[3];
    o.lines.all_at(line, at);
    const int64_t index = item.index(), from = at[0] + index * o.lines.step[0], to = at[1] + k * o.lines.step[1];
    switch (o.width) {
      case 8:
        copy_word<uint64_t>(o.x, from, o.y, to);
        break;
      case 4:
        copy_word<uint32_t>(o.x, from, o.y, to);
        break;
      case 2:
        copy_word<uint16_t>(o.x, from, o.y, to);
        break;
      default:
        copy_word<uint8_t>(o.x, from, o.y, to);
    }
    o.index[at[2] + k * o.lines.step[2]] = index;
  }
};

// Calls f(K{}) with the type of the keys: 32 bits, unless the elements or their number need more.
template <class F>
void visit_key(const Operands& o, F&& f) {
  if (o.width == 8 || o.lines.length >= UINT32_MAX) return f(int64_t{});
  f(int32_t{});
}

// What stands at places begin, …, begin + count − 1 of every line in order.
void sort_places(const Call& c, int64_t begin, int64_t count, bool descending) {
  const Operands o = operands_of(c);
  visit_key(o, [&](auto zero) {
    using K = decltype(zero);
    sort_lines<K>(Elements<K>{o, descending}, o.lines.count, o.lines.length, begin + count,
                  Results<K>{o, begin, count});
  });
}
int64_t length_of(const Operand& x, int64_t axis) { return x.ndim ? x.shape[axis < 0 ? axis + x.ndim : axis] : 1; }

void sort(const Call& c) { sort_places(c, 0, length_of(c[0], c.integer(0)), c.flag(1)); }
void topk(const Call& c) { sort_places(c, 0, length_of(c[1], c.integer(0)), c.flag(1)); }

// --- one place of a line ---------------------------------------------------------------------------------------------

// Of elements of four bytes, selecting reads 4 bytes each in every pass, some 20 in all, and short lines again from the
// caches; sorting 2ᵖ tiles moves 12 + 16 p. But what one block has under way is a hundredth of what the memory could
// give, and sorting has blocks for all of it: from few lines it is selected only where that takes less than the
// launches of a sort, some 10 µs. What one block can sort is read once. Nobody asks for places of bool.
bool worth_selecting(const Operands& o) {
  constexpr int64_t many = 16, short_line = 8 * kTileItems;
  const int64_t length = o.lines.length;
  if (length <= kTileItems || length > INT32_MAX || o.type == DType::b8) return false;
  return o.lines.count >= many || length <= short_line;
}

template <class T>
struct Codes {
  using Key = std::conditional_t<sizeof(T) == 8, int64_t, int32_t>;
  using Code = std::make_unsigned_t<Key>;
  static constexpr int bits = 8 * sizeof(T);
  static constexpr Code least = std::is_unsigned_v<T> ? 0 : ~Code{0} << (bits - 1);  // of all keys
  Lines<3> lines;
  const T* x;
  PB_DEVICE const T* row(int64_t line) const { return x + lines.at(0, line); }
  PB_DEVICE Code code(const T* row, int64_t k) const {
    return static_cast<Code>(key_of<Key>(row[k * lines.step[0]])) - least;
  }
};
struct Selected {
  Results<int32_t> results;
  PB_DEVICE void put(int64_t line, int64_t index) const { results.put(line, 0, Item<int32_t>::make(0, index)); }
};
void select(const Call& c, const Operands& o, const Place& place) {
  visit_number(o.type, [&](auto zero) {
    using T = decltype(zero);
    select_places(Codes<T>{o.lines, c[0].data<T>()}, o.lines.count, o.lines.length, place,
                  Selected{Results<int32_t>{o, 0, 1}});
  });
}

void kthvalue(const Call& c) {
  const Operands o = operands_of(c);
  if (worth_selecting(o)) return select(c, o, Place{c.integer(1), false, false, false});
  sort_places(c, c.integer(1), 1, false);
}

// The line's n items are sorted: NaN are the last of them, if there are any.
template <class K>
__global__ void pick_median(ItemsOfLines<K> sorted, K nan, bool has_nan, bool skip, int64_t lines, Results<K> results) {
  for (int64_t line = first(); line < lines; line += stride()) {
    const Item<K>* item = sorted.row(line);
    int64_t numbers = sorted.length;
    if (has_nan && item[numbers - 1].key_of_it() == nan) {
      int64_t low = 0;  // |{k: key_k < nan}|
      while (low < numbers) {
        const int64_t middle = (low + numbers) / 2;
        if (item[middle].key_of_it() < nan) {
          low = middle + 1;
        } else {
          numbers = middle;
        }
      }
    }
    const int64_t lower = numbers > 0 ? (numbers - 1) / 2 : 0;
    results.put(line, 0, item[numbers == sorted.length || skip ? lower : numbers]);
  }
}
void median(const Call& c) {
  const Operands o = operands_of(c);
  const int64_t lines = o.lines.count, n = o.lines.length;
  if (lines == 0 || n == 0) return;
  const bool is_float = o.type == DType::f32 || o.type == DType::f64, skip = c.flag(1);
  if (worth_selecting(o)) return select(c, o, Place{0, true, is_float, skip});
  visit_key(o, [&](auto zero) {
    using K = decltype(zero);
    const K nan = o.type == DType::f64 ? static_cast<K>(kLargest<int64_t>) : static_cast<K>(kLargest<int32_t>);
    Scratch scratch;
    const ItemsOfLines<K> sorted{scratch.take<Item<K>>(lines * n), n};
    sort_lines<K>(Elements<K>{o, false}, lines, n, n, sorted);
    launch(pick_median<K>, blocks_for(lines), kBlockSize, sorted, nan, is_float, skip, lines, Results<K>{o, 0, 1});
  });
}

// The lines of x have m elements each.
template <class T>
__global__ void search_lines(Lines<3> lines, int64_t m, bool right, const T* s, const T* x, int64_t* index) {
  for (int64_t i = first(); i < lines.count * m; i += stride()) {
    const int64_t j = i % m;
    int64_t at[3];
    lines.all_at(i / m, at);
    const T v = x[at[1] + j * lines.step[1]];
    index[at[2] + j * lines.step[2]] = search(s + at[0], lines.step[0], lines.length, v, right);
  }
}
void searchsorted(const Call& c) {
  const int axis = c[0].ndim - 1;
  const int64_t m = c[1].shape[axis];
  const Lines<3> lines = make_lines<3>(c, axis);
  visit_any(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    launch(search_lines<T>, blocks_for(lines.count * m), kBlockSize, lines, m, c.flag(0),
           static_cast<const T*>(c[0].data<T>()), static_cast<const T*>(c[1].data<T>()), c[2].data<int64_t>());
  });
}

constexpr EntryRow rows[] = {
    {"sort", sort}, {"topk", topk}, {"kthvalue", kthvalue}, {"median", median}, {"searchsorted", searchsorted},
};

}  // namespace

extern const Family sort_family;
const Family sort_family = {rows, sizeof(rows) / sizeof(rows[0])};

}  // namespace pullback::cuda
