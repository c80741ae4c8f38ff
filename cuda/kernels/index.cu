#include "common/scatter.h"
#include "kernels/index.h"

namespace pullback::cuda {
namespace {

// Dimension k of x, which indices[k] points into.
Along dimension(const Operand& x, int k, bool wraps) { return {x.shape[k], x.strides[k], wraps}; }

Numbering number_places(const Operand& x, int indices) {
  Numbering places;
  for (int k = 0; k < indices; ++k) places.add(x.shape[k], x.strides[k]);
  return places;
}

// numbers[e] of all entries, which have the shape of the indices.
void follow_indices(const Call& c, const Numbering& places, bool wraps, int64_t* numbers, int* failed) {
  const OperandList indices = c.list(1);
  for (int k = 0; k < indices.count; ++k) {
    Space<2> pointers;
    for (int d = 0; d < indices[k].ndim; ++d) append_dim(pointers, indices[k].shape[d], {0, indices[k].strides[d]});
    follow_index(c, places, pointers, dimension(c[0], k, wraps), indices[k], numbers, failed);
  }
}

// One index is followed where its elements are read; of several, numbers are made first, which are an index too.
void index(const Call& c) {
  const OperandList indices = c.list(1);
  const Operand &x = c[0], &y = c[2];
  if (y.size() == 0) return;
  const int lead = indices.count ? indices[0].ndim : 0;
  const bool wraps = c.flag(0);
  Operand from = stretched(x, y, lead, y.ndim, indices.count);
  if (indices.count == 1) return gather_from(c, {from, stretched(indices[0], y, 0, lead), y}, dimension(x, 0, wraps));
  const Numbering places = number_places(x, indices.count);
  Operand numbers = x;
  numbers.ndim = lead, numbers.dtype = DType::i64, numbers.offset = 0;
  int64_t count = 1;
  for (int d = lead - 1; d >= 0; --d) {
    numbers.strides[d] = count;
    count *= y.shape[d];
  }
  Scratch scratch;
  numbers.buffer = scratch.take<char>(count * static_cast<int64_t>(sizeof(int64_t)));
  start_numbers(places, count, numbers.data<int64_t>());
  follow_indices(c, places, wraps, numbers.data<int64_t>(), nullptr);
  from.offset += places.low * item_size(x.dtype);
  gather_from(c, {from, stretched(numbers, y, 0, lead), y}, {places.range(), places.unit, false});
}

void index_put(const Call& c) {
  const OperandList indices = c.list(1);
  const Operand &x = c[0], &v = c[2];
  if (v.size() == 0) return;
  const int lead = indices.count ? indices[0].ndim : 0;
  Entries s;
  s.places = number_places(x, indices.count);
  for (int d = 0; d < lead; ++d) append_dim(s.values, v.shape[d], {v.strides[d]});
  for (int d = lead; d < v.ndim; ++d)
    append_dim(s.rest, v.shape[d], {x.strides[d - lead + indices.count], v.strides[d]});
  s.length = s.count = s.values.size;
  Scratch scratch;
  take_numbers(s, scratch);
  follow_indices(c, s.places, c.flag(1), s.numbers, s.failed);
  write_entries(x, v, s, c.flag(0) ? Mode::add : Mode::assign);
}

constexpr EntryRow rows[] = {
    {"index", index, kTakesHalves},
    {"index_put", index_put},
};

}  // namespace

extern const Family index_family;
const Family index_family = {rows, sizeof(rows) / sizeof(rows[0])};

}  // namespace pullback::cuda
