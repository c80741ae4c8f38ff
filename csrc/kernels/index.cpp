#include "kernels/index.h"

#include "isa/combine.h"
#include "isa/walk.h"

namespace pullback::ISA_NAMESPACE {
namespace {

inline constexpr int64_t kBatch = 512;           // positions that are worked on together
inline constexpr int64_t kPiece = 16 * 1024;     // elements that one task takes
inline constexpr int64_t kParallel = 32 * 1024;  // elements, below which one thread writes
inline constexpr int64_t kEnough = 64;           // elements of outer dimensions that are worth sharing out
inline constexpr int64_t kWide = 64;             // elements of a row that is worth cutting between threads

// --- where the indices point ---

// An index array, the dimension that it points into, and whether −1 is the last index.
struct Pointer {
  Walk<1> walk;
  const int64_t* index;
  int64_t size, stride;
  bool wrap;
};

Pointer pointer_into(const Operand& x, int d, const Operand& index, bool wrap) {
  return {walk_over(index, 0, index.ndim), index.data<int64_t>(), x.shape[d], x.strides[d], wrap};
}

// places[k] += index[begin + k] · stride. Where an index is out of range, its row's places stay as they are.
void follow(const Pointer& p, int64_t begin, int64_t n, int64_t* places, Error* error) {
  const int64_t step = p.walk.inner(0), size = p.size, stride = p.stride;
  each_row(p.walk, begin, begin + n, [&](const int64_t* at, int64_t length) {
    const int64_t* index = p.index + at[0];
    if (in_range(index, step, length, p.wrap ? -size : 0, size, error))
      for (int64_t k = 0; k < length; ++k) {
        const int64_t i = index[k * step];
        places[k] += (i < 0 ? i + size : i) * stride;
      }
    places += length;
  });
}

// --- what is done there ---

// What belongs to one position: a row of the result and one of the source, over one shape.
using Rest = Walk<2>;

int longest(const Rest& r) {
  int d = 0;
  for (int e = 1; e < r.ndim; ++e)
    if (r.shape[e] > r.shape[d]) d = e;
  return d;
}

// Rows to be moved: row k goes from from + from_at[k] to to + to_at[k], if to_at[k] is in [low, high). The same again
// `times` times, to_step and from_step elements further on each time.
struct Rows {
  char *to, *from;
  int64_t to_at[kBatch], from_at[kBatch];
  int64_t n;
  int64_t low = INT64_MIN, high = INT64_MAX;
  int64_t times = 1, to_step = 0, from_step = 0;
};
using RowsFn = void (*)(const Rest&, const Rows&);

template <class Op, class T>
void move_row(const Rest& r, T* to, const T* from) {
  const int64_t to_stride = r.inner(0), from_stride = r.inner(1);
  each_row(r, 0, r.count, [&](const int64_t* at, int64_t n) {
    T* y = to + at[0];
    const T* x = from + at[1];
    if (to_stride == 1 && from_stride == 1) {
      for (int64_t k = 0; k < n; ++k) y[k] = Op::of(y[k], x[k]);
    } else {
      for (int64_t k = 0; k < n; ++k) y[k * to_stride] = Op::of(y[k * to_stride], x[k * from_stride]);
    }
  });
}

template <class Op, class T>
void move_some(const Rest& r, const Rows& rows, T* to, const T* from) {
  for (int64_t k = 0; k < rows.n; ++k) {
    if (rows.to_at[k] < rows.low || rows.to_at[k] >= rows.high) continue;
    T* y = to + rows.to_at[k];
    const T* x = from + rows.from_at[k];
    if (r.ndim == 0)
      *y = Op::of(*y, *x);
    else
      move_row<Op>(r, y, x);
  }
}

// Without limits: rows of one element, and rows that lie side by side in both arrays.
template <class Op, class T>
void move_elements(const Rows& rows, T* to, const T* from) {
  for (int64_t k = 0; k < rows.n; ++k) to[rows.to_at[k]] = Op::of(to[rows.to_at[k]], from[rows.from_at[k]]);
}
template <class Op, class T>
void move_dense(int64_t n, const Rows& rows, T* to, const T* from) {
  for (int64_t k = 0; k < rows.n; ++k) {
    T* y = to + rows.to_at[k];
    const T* x = from + rows.from_at[k];
    for (int64_t i = 0; i < n; ++i) y[i] = Op::of(y[i], x[i]);
  }
}

template <class Op, class T>
void move_rows(const Rest& r, const Rows& rows) {
  T* to = reinterpret_cast<T*>(rows.to);
  const T* from = reinterpret_cast<const T*>(rows.from);
  const bool limited = rows.low != INT64_MIN;
  for (int64_t t = 0; t < rows.times; ++t, to += rows.to_step, from += rows.from_step) {
    if (!limited && r.ndim == 0)
      move_elements<Op>(rows, to, from);
    else if (!limited && r.ndim == 1 && r.inner(0) == 1 && r.inner(1) == 1)
      move_dense<Op>(r.count, rows, to, from);
    else
      move_some<Op>(r, rows, to, from);
  }
}

RowsFn assign_rows(DType t) {
  switch (item_size(t)) {
    case 8:
      return move_rows<Assign, uint64_t>;
    case 4:
      return move_rows<Assign, uint32_t>;
    case 2:
      return move_rows<Assign, uint16_t>;
    default:
      return move_rows<Assign, uint8_t>;
  }
}

RowsFn add_rows(DType t) {
  RowsFn f = nullptr;
  visit_any(t, [&](auto zero) { f = move_rows<Add, decltype(zero)>; });
  return f;
}

// --- reading ---

// A part of the rest that starts at `begin` along dimension d.
Rest part(const Rest& r, int d, int64_t begin, int64_t end, Rows& rows, int64_t item) {
  if (r.ndim == 0) return r;
  Rest p = r;
  p.shape[d] = end - begin;
  p.count = r.count / r.shape[d] * p.shape[d];
  rows.to += begin * r.strides[0][d] * item;
  rows.from += begin * r.strides[1][d] * item;
  return p;
}

// The dimensions that are not indexed: those that lie outside of the indexed ones in the memory of both arrays, and the
// others, which belong to a position. Walking the outer ones outermost goes through memory from front to back.
struct Around {
  Rest outer, inner;
};

// The longest stride of dimensions [first, last).
int64_t longest_stride(const Operand& x, int first, int last) {
  int64_t most = 0;
  for (int d = first; d < last; ++d)
    if (x.shape[d] > 1) most = larger(most, x.strides[d] < 0 ? -x.strides[d] : x.strides[d]);
  return most;
}

// x has `indexed` dimensions in front that are pointed into, v (what is read from it or written to it) `lead` ones that
// the indices have. Strides of `outer` and `inner` are those of `to`, one of the two, and of the other.
Around around(const Operand& x, int indexed, const Operand& v, int lead, bool into_x) {
  const int64_t most_x = longest_stride(x, 0, indexed), most_v = longest_stride(v, 0, lead);
  const auto outside = [](int64_t stride, int64_t most) { return stride == 0 || stride > most || -stride > most; };
  Around a;
  for (int d = lead; d < v.ndim; ++d) {
    const int64_t in_v = v.strides[d], in_x = x.strides[d - lead + indexed];
    const bool outer = most_x && outside(in_x, most_x) && outside(in_v, most_v);
    (outer ? a.outer : a.inner).add(v.shape[d], {into_x ? in_x : in_v, into_x ? in_v : in_x});
  }
  return a;
}

// Moves rows for elements [begin, end) of the outer dimensions.
void move_outer(const Rest& outer, int64_t begin, int64_t end, char* to, char* from, int item, RowsFn f,
                const Rest& inner, Rows& rows) {
  rows.to_step = outer.inner(0), rows.from_step = outer.inner(1);
  each_row(outer, begin, end, [&](const int64_t* at, int64_t n) {
    rows.to = to + at[0] * item, rows.from = from + at[1] * item, rows.times = n;
    f(inner, rows);
  });
}

struct Reading {
  const Operand &x, &y;
  Pointer pointers[kMaxDims];
  int count;  // of pointers
  Walk<1> to;
  Error* error;

  void places(int64_t begin, Rows& rows) const {
    positions(to, begin, rows.n, rows.to_at);
    for (int64_t k = 0; k < rows.n; ++k) rows.from_at[k] = 0;
    for (int k = 0; k < count; ++k) follow(pointers[k], begin, rows.n, rows.from_at, error);
  }
};

// A task takes some positions, for some elements of the outer dimensions.
void read_around(const Reading& r, const Around& a) {
  const int64_t step = smaller(r.to.count, smaller(kBatch, larger(1, kPiece / a.inner.count)));
  const int64_t group = larger(1, kPiece / (step * a.inner.count));
  const int64_t steps = (r.to.count - 1) / step + 1, groups = (a.outer.count - 1) / group + 1;
  const RowsFn f = assign_rows(r.x.dtype);
  parallel_for(groups * steps, 1, [&](int64_t first, int64_t last) {
    Rows rows;
    for (int64_t task = first; task < last; ++task) {
      const int64_t begin = task % steps * step, at = task / steps * group;
      rows.n = smaller(step, r.to.count - begin);
      r.places(begin, rows);
      move_outer(a.outer, at, smaller(at + group, a.outer.count), r.y.data<char>(), r.x.data<char>(),
                 item_size(r.x.dtype), f, a.inner, rows);
    }
  });
}

// Tasks are cut twice: rows of y, and the longest dimension of a row. Where neighbours of a row lie apart in
// memory, short parts of all rows are read before the next ones, so that a line of the cache is used while it
// is there.
void read_rows(const Reading& r, const Rest& rest) {
  const int d = longest(rest);
  const bool dense = rest.ndim == 0 || (rest.inner(0) == 1 && rest.inner(1) == 1);
  const int64_t length = rest.ndim ? rest.shape[d] : 1;
  const int64_t cut = smaller(length, dense ? larger(1, length * kPiece / rest.count) : kWide);
  const int64_t parts = (length - 1) / cut + 1;
  const int64_t part_count = rest.count / length * cut;
  const int64_t step = smaller(kBatch, larger(1, kPiece / part_count));
  const int64_t steps = (r.to.count - 1) / step + 1;
  const RowsFn f = assign_rows(r.x.dtype);
  const int item = item_size(r.x.dtype);
  parallel_for(parts * steps, larger(1, kPiece / (part_count * step)), [&](int64_t first, int64_t last) {
    Rows rows;
    for (int64_t task = first; task < last; ++task) {
      const int64_t begin = task / parts * step, at = task % parts * cut;
      rows.n = smaller(step, r.to.count - begin);
      rows.to = r.y.data<char>(), rows.from = r.x.data<char>();
      r.places(begin, rows);
      f(part(rest, d, at, smaller(at + cut, length), rows, item), rows);
    }
  });
}

void index(const Call& c) {
  const Operand &x = c[0], &y = c[2];
  const OperandList indices = c.list(1);
  const int lead = indices.count ? indices[0].ndim : 0;
  Reading r{x, y, {}, indices.count, walk_over(y, 0, lead), c.error};
  for (int k = 0; k < indices.count; ++k) r.pointers[k] = pointer_into(x, k, indices[k], c.flag(0));
  const Around a = around(x, indices.count, y, lead, false);
  if (r.to.count == 0 || a.outer.count == 0 || a.inner.count == 0) return;
  for (int k = 0; k < indices.count; ++k)
    if (x.shape[k] == 0) return c.error->set(ErrorCode::index_out_of_range, *r.pointers[k].index, 0);
  if (a.outer.count > 1) return read_around(r, a);
  read_rows(r, a.inner);
}

// --- writing ---

// Writes row k of `from` at to_at[k] for all k in order. Each thread does so for its own part of x: a stretch
// of every row where rows are long, else the rows that begin in a stretch of x's memory.
void write_rows(const Operand& x, const int64_t* to_at, const Operand& values, const Walk<1>& from, const Rest& rest,
                RowsFn f) {
  const int item = item_size(x.dtype);
  const int64_t threads = from.count * rest.count < kParallel ? 1 : num_threads();
  const int d = longest(rest);
  const int64_t length = rest.ndim ? rest.shape[d] : 1;
  const bool by_part = length >= kWide;
  int64_t low = 0, high = 1;  // the extent of x in memory
  for (int e = 0; e < x.ndim; ++e) (x.strides[e] < 0 ? low : high) += (x.shape[e] - 1) * x.strides[e];
  const int64_t extent = by_part ? length : high - low;
  const int64_t grain = ((extent - 1) / threads / 16 + 1) * 16;
  parallel_for(extent, grain, [&](int64_t first, int64_t last) {
    Rows rows;
    rows.to = x.data<char>(), rows.from = values.data<char>();
    const Rest own = by_part ? part(rest, d, first, last, rows, item) : rest;
    if (!by_part) rows.low = low + first, rows.high = low + last;
    for (int64_t begin = 0; begin < from.count; begin += kBatch) {
      rows.n = smaller(kBatch, from.count - begin);
      for (int64_t k = 0; k < rows.n; ++k) rows.to_at[k] = to_at[begin + k];
      positions(from, begin, rows.n, rows.from_at);
      f(own, rows);
    }
  });
}

// The same where there are enough outer elements: these are shared out.
void write_around(const Operand& x, const int64_t* to_at, const Operand& values, const Walk<1>& from, const Around& a,
                  RowsFn f) {
  const int64_t group = larger(1, kPiece / (from.count * a.inner.count));
  parallel_for(a.outer.count, group, [&](int64_t first, int64_t last) {
    Rows rows;
    for (int64_t begin = 0; begin < from.count; begin += kBatch) {
      rows.n = smaller(kBatch, from.count - begin);
      for (int64_t k = 0; k < rows.n; ++k) rows.to_at[k] = to_at[begin + k];
      positions(from, begin, rows.n, rows.from_at);
      move_outer(a.outer, first, last, x.data<char>(), values.data<char>(), item_size(x.dtype), f, a.inner, rows);
    }
  });
}

void index_put(const Call& c) {
  const Operand &x = c[0], &values = c[2];
  const OperandList indices = c.list(1);
  const int lead = indices.count ? indices[0].ndim : 0;
  const Walk<1> from = walk_over(values, 0, lead);
  const Around a = around(x, indices.count, values, lead, true);
  if (from.count == 0 || a.outer.count == 0 || a.inner.count == 0) return;
  Scratch scratch;
  int64_t* to_at = scratch.take<int64_t>(from.count);
  for (int64_t k = 0; k < from.count; ++k) to_at[k] = 0;
  for (int k = 0; k < indices.count; ++k) {
    const Pointer pointer = pointer_into(x, k, indices[k], c.flag(1));
    parallel_for(from.count, kPiece, [&](int64_t first, int64_t last) {
      for (int64_t begin = first; begin < last; begin += kBatch)
        follow(pointer, begin, smaller(kBatch, last - begin), to_at + begin, c.error);
    });
  }
  if (c.error->code != ErrorCode::none) return;
  const RowsFn f = c.flag(0) ? add_rows(x.dtype) : assign_rows(x.dtype);
  if (a.outer.count >= kEnough) return write_around(x, to_at, values, from, a, f);
  Rest rest;
  for (int d = lead; d < values.ndim; ++d)
    rest.add(values.shape[d], {x.strides[d - lead + indices.count], values.strides[d]});
  write_rows(x, to_at, values, from, rest, f);
}

constexpr EntryRow rows[] = {
    {"index", index, kTakesHalves},
    {"index_put", index_put},
};

}  // namespace

extern const Family index_family;
const Family index_family = {rows, sizeof(rows) / sizeof(rows[0])};

}  // namespace pullback::ISA_NAMESPACE
