#include "kernels/along.h"

#include "isa/combine.h"
#include "isa/walk.h"

namespace pullback::ISA_NAMESPACE {
namespace {

inline constexpr int64_t kPiece = 16 * 1024;     // elements that one task takes
inline constexpr int64_t kNear = 2 * 1024;       // indices that stay in L1 between check and use
inline constexpr int64_t kParallel = 32 * 1024;  // elements, below which one thread writes

// The dimension that is indexed; a tensor without dimensions has one of size 1.
struct Dim {
  int64_t size, stride;
  Dim(const Operand& x, int64_t d) : size(x.ndim ? x.shape[d] : 1), stride(x.ndim ? x.strides[d] : 0) {}
};

// Whether elements [begin, end) of an index are in range: in one go where they lie side by side.
bool range_holds(const Operand& index, const Walk<1>& w, int64_t begin, int64_t end, int64_t low, int64_t size,
                 Error* error) {
  const int64_t step = w.inner(0);
  bool holds = true;
  each_row(w, begin, end, [&](const int64_t* at, int64_t n) {
    holds = holds && in_range(index.data<int64_t>() + at[0], step, n, low, size, error);
  });
  return holds;
}

// --- gather ---

// y[k] = x[k, index[k]] for one row, whose indices are in range.
template <class Word>
void gather_row(Word* y, int64_t to, const int64_t* index, int64_t step, const Word* x, int64_t from, const Dim& along,
                bool wraps, int64_t n) {
  const int64_t size = along.size, stride = along.stride;
  const auto place = [size, stride](int64_t i) { return (i < 0 ? i + size : i) * stride; };
  if (to == 1 && step == 1 && from == 0 && stride == 1 && !wraps)
    for (int64_t k = 0; k < n; ++k) y[k] = x[index[k]];
  else if (to == 1 && step == 1)
    for (int64_t k = 0; k < n; ++k) y[k] = x[k * from + place(index[k])];
  else
    for (int64_t k = 0; k < n; ++k) y[k * to] = x[k * from + place(index[k * step])];
}

template <class Word>
void gather_words(const Call& c) {
  const Operand &x = c[0], &index = c[1], &y = c[2];
  const int64_t dim = c.integer(0);
  const Dim along(x, dim);
  const int64_t low = c.flag(1) ? -along.size : 0;
  const Walk<1> indices = walk_over(index, 0, index.ndim);
  Walk<3> w;
  for (int d = 0; d < y.ndim; ++d) w.add(y.shape[d], {y.strides[d], index.strides[d], d == dim ? 0 : x.strides[d]});
  const int64_t to = w.inner(0), step = w.inner(1), from = w.inner(2);
  parallel_for(w.count, kPiece, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; b += kNear) {
      const int64_t e = smaller(b + kNear, end);
      if (!range_holds(index, indices, b, e, low, along.size, c.error)) return;
      each_row(w, b, e, [&](const int64_t* at, int64_t n) {
        gather_row(y.data<Word>() + at[0], to, index.data<int64_t>() + at[1], step, x.data<Word>() + at[2], from, along,
                   low < 0, n);
      });
    }
  });
}

void gather(const Call& c) {
  if (c[1].size() == 0) return;
  if (c[0].size() == 0) return c.error->set(ErrorCode::index_out_of_range, *c[1].data<int64_t>(), 0);
  visit_words(c[0].dtype, [&](auto zero) { gather_words<decltype(zero)>(c); });
}

// --- scatter ---

// Elements of index and values that one thread writes, in order: those with an index in [low, high), or all.
struct Part {
  Walk<3> walk;  // x, index, values
  char *x, *index, *values;
  Dim along;
  int64_t low, high;
  bool all = true;
};
using PartFn = void (*)(const Part&);

// All of a part whose index and values are rows.
template <class Op, class T>
void scatter_rows(const Part& p) {
  const int64_t to = p.walk.inner(0), stride = p.along.stride;
  each_row(p.walk, 0, p.walk.count, [&](const int64_t* at, int64_t n) {
    T* x = reinterpret_cast<T*>(p.x) + at[0];
    const int64_t* index = reinterpret_cast<const int64_t*>(p.index) + at[1];
    const T* v = reinterpret_cast<const T*>(p.values) + at[2];
    const auto write = [=](auto place) {
      for (int64_t k = 0; k < n; ++k) {
        T& there = x[place(k)];
        there = Op::of(there, v[k]);
      }
    };
    if (to == 0 && stride == 1)
      write([=](int64_t k) { return index[k]; });
    else
      write([=](int64_t k) { return k * to + index[k] * stride; });
  });
}

template <class Op, class T>
void scatter_part(const Part& p) {
  const int64_t to = p.walk.inner(0), step = p.walk.inner(1), from = p.walk.inner(2);
  if (p.all && step == 1 && from == 1) return scatter_rows<Op, T>(p);
  each_row(p.walk, 0, p.walk.count, [&](const int64_t* at, int64_t n) {
    T* x = reinterpret_cast<T*>(p.x) + at[0];
    const int64_t* index = reinterpret_cast<const int64_t*>(p.index) + at[1];
    const T* v = reinterpret_cast<const T*>(p.values) + at[2];
    for (int64_t k = 0; k < n; ++k) {
      const int64_t i = index[k * step];
      if (i < p.low || i >= p.high) continue;
      T& there = x[k * to + i * p.along.stride];
      there = Op::of(there, v[k * from]);
    }
  });
}

PartFn part_function(DType t, int64_t mode) {
  PartFn f = nullptr;
  visit_any(t, [&](auto zero) {
    using T = decltype(zero);
    constexpr PartFn of_mode[] = {scatter_part<Assign, T>, scatter_part<Add, T>, scatter_part<Multiply, T>,
                                  scatter_part<Min, T>, scatter_part<Max, T>};
    f = of_mode[mode];
  });
  return f;
}

// The whole, or indices [begin, end) of dimension d.
Part make_part(const Call& c, int d, int64_t begin, int64_t end) {
  const Operand &x = c[0], &index = c[1], &values = c[2];
  const int64_t dim = c.integer(0);
  Part p{{}, x.data<char>(), index.data<char>(), values.data<char>(), Dim(x, dim), 0, 0};
  p.high = p.along.size;
  for (int e = 0; e < index.ndim; ++e)
    p.walk.add(e == d ? end - begin : index.shape[e],
               {e == dim ? 0 : x.strides[e], index.strides[e], values.strides[e]});
  if (d < 0) return p;
  const int item = item_size(x.dtype);
  p.x += begin * x.strides[d] * item;
  p.index += begin * index.strides[d] * static_cast<int64_t>(sizeof(int64_t));
  p.values += begin * values.strides[d] * item;
  return p;
}

bool all_in_range(const Call& c) {
  const Operand& index = c[1];
  const Walk<1> w = walk_over(index, 0, index.ndim);
  const int64_t size = Dim(c[0], c.integer(0)).size;
  parallel_for(w.count, kPiece,
               [&](int64_t begin, int64_t end) { range_holds(index, w, begin, end, 0, size, c.error); });
  return c.error->code == ErrorCode::none;
}

// Elements that differ in another dimension than dim never meet, so threads share the largest of these between them;
// where that is small, each takes a range of indices.
void scatter(const Call& c) {
  const Operand& index = c[1];
  const int64_t count = index.size(), threads = count < kParallel ? 1 : num_threads();
  if (count == 0 || !all_in_range(c)) return;
  const PartFn f = part_function(c[0].dtype, c.integer(1));
  int shared = -1;
  for (int d = 0; d < index.ndim; ++d)
    if (d != c.integer(0) && (shared < 0 || index.shape[d] > index.shape[shared])) shared = d;
  if (threads == 1) return f(make_part(c, -1, 0, 0));
  if (shared >= 0 && index.shape[shared] >= 4 * threads) {
    const int64_t n = index.shape[shared];
    parallel_for(n, (n - 1) / threads + 1, [&](int64_t begin, int64_t end) { f(make_part(c, shared, begin, end)); });
    return;
  }
  Part whole = make_part(c, -1, 0, 0);
  parallel_for(whole.along.size, (whole.along.size - 1) / threads + 1, [&](int64_t low, int64_t high) {
    Part own = whole;
    own.low = low, own.high = high, own.all = false;
    f(own);
  });
}

constexpr EntryRow rows[] = {
    {"gather", gather, kTakesHalves},
    {"scatter", scatter},
};

}  // namespace

extern const Family along_family;
const Family along_family = {rows, sizeof(rows) / sizeof(rows[0])};

}  // namespace pullback::ISA_NAMESPACE
