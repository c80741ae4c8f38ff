#include "common/scatter_entries.h"
#include "kernels/along.h"

namespace pullback::cuda {
namespace {

// The dimension that is indexed; a tensor without dimensions has one of size 1.
Along dimension(const Operand& x, int64_t d, bool wraps) {
  return {x.ndim ? x.shape[d] : 1, x.ndim ? x.strides[d] : 0, wraps};
}

void gather(const Call& c) {
  const Operand &x = c[0], &index = c[1], &y = c[2];
  Operand from = stretched(x, y, 0, y.ndim);
  if (y.ndim > 0) from.strides[c.integer(0)] = 0;
  gather_from(c, {from, index, y}, dimension(x, c.integer(0), c.flag(1)));
}

// Dimensions along which the index does not change belong to what an entry moves, the others make groups of entries.
void scatter(const Call& c) {
  const Operand &x = c[0], &index = c[1], &v = c[2];
  if (index.size() == 0) return;
  const int64_t dim = c.integer(0);
  const auto is_rest = [&](int d) { return d != dim && index.strides[d] == 0; };
  Entries s;
  for (int d = 0; d < index.ndim; ++d) {
    if (is_rest(d)) {
      append_dim(s.rest, index.shape[d], {x.strides[d], v.strides[d]});
    } else {
      s.places.add(d == dim ? x.shape[d] : index.shape[d], x.strides[d]);
    }
  }
  Space<2> pointers;  // x but for what is pointed at, index
  const auto add = [&](int64_t d, int64_t stride) {
    append_dim(pointers, index.shape[d], {s.places.count(stride), index.strides[d]});
    append_dim(s.values, index.shape[d], {v.strides[d]});
  };
  for (int d = 0; d < index.ndim; ++d)
    if (d != dim && !is_rest(d)) add(d, x.strides[d]);
  if (index.ndim > 0) add(dim, 0);
  s.length = index.ndim ? index.shape[dim] : 1, s.count = pointers.size;
  Scratch scratch;
  take_numbers(s, scratch);
  follow_index(c, s.places, pointers, dimension(x, dim, false), index, s.numbers, s.failed);
  write_entries(x, v, s, static_cast<Mode>(c.integer(1)));
}

constexpr EntryRow rows[] = {
    {"gather", gather, kTakesHalves},
    {"scatter", scatter},
};

}  // namespace

extern const Family along_family;
const Family along_family = {rows, sizeof(rows) / sizeof(rows[0])};

}  // namespace pullback::cuda
