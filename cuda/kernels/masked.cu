// What a mask chooses has its number from a scan over the mask: s_k = the number of elements up to k that are chosen.
#include "common/any_pointer.h"
#include "common/elementwise.h"
#include "common/reduce.h"
#include "common/scan.h"
#include "kernels/masked.h"

namespace pullback::cuda {
namespace {

// --- counting --------------------------------------------------------------------------------------------------------

// y += the number of x_i ≠ 0
__global__ void count_elements(Space<1> s, AnyPointer x, int64_t* y) {
  int64_t n = 0;
  for (int64_t i = first(); i < s.size; i += stride()) n += is_nonzero(x, s.at(0, i));
  n = reduce_block(n, Sum(), int64_t{0});
  if (thread() == 0) fetch_add(y, n);
}
void count_nonzero_all(const Call& c) {
  int64_t* y = c[1].data<int64_t>();
  fill_scratch(y, 1, int64_t{0});
  const Space<1> s = row_major_space(c[0]);
  launch(count_elements, blocks_for(s.size, kEach), kBlockSize, s, AnyPointer(c[0]), y);
}

// --- numbering -------------------------------------------------------------------------------------------------------

// One line, all of x: t_k = 1 where element k is chosen. Numbers above `most` have no place.
struct Chosen {
  using State = int64_t;
  int64_t most;
  PB_DEVICE State start() const { return 0; }
  PB_DEVICE State join(State a, State b) const { return a + b; }
  PB_DEVICE int64_t line(int64_t) const { return 0; }
};

// y[s − 1, d] = coordinate d of element k, where it is not 0
struct Nonzero : Chosen {
  Space<1> s;
  AnyPointer x;
  int64_t* y;
  int64_t row, column;  // strides of y
  int ndim;
  int64_t shape[kMaxDims];
  PB_DEVICE State term(int64_t, int64_t k) const { return is_nonzero(x, s.at(0, k)); }
  PB_DEVICE void put(int64_t line, int64_t k, State number) const {
    if (term(line, k) == 0 || number > most) return;
    int64_t* to = y + (number - 1) * row;
    PB_ROLLED
    for (int d = ndim - 1; d >= 0; --d) {
      to[d * column] = k % shape[d];
      k /= shape[d];
    }
  }
};
void nonzero(const Call& c) {
  const Operand &x = c[0], &y = c[1];
  Nonzero f{{y.shape[0]}, row_major_space(x), AnyPointer(x), y.data<int64_t>(), y.strides[0], y.strides[1], x.ndim, {}};
  for (int d = 0; d < x.ndim; ++d) f.shape[d] = x.shape[d];
  scan_in_blocks(f, 1, f.s.size);
}

// y[s − 1] = x_k, where the mask holds
struct Select : Chosen {
  Space<2> s;
  AnyPointer x;
  const uint8_t* mask;
  AnyPointer y;
  int64_t step;  // of y
  PB_DEVICE State term(int64_t, int64_t k) const { return mask[s.at(1, k)] != 0; }
  PB_DEVICE void put(int64_t line, int64_t k, State number) const {
    if (term(line, k) != 0 && number <= most) move(y, (number - 1) * step, x, s.at(0, k));
  }
};
void masked_select(const Call& c) {
  const Select f{{c[2].shape[0]}, row_major_space(c[0], c[1]), AnyPointer(c[0]), c[1].data<uint8_t>(), AnyPointer(c[2]),
                 c[2].strides[0]};
  scan_in_blocks(f, 1, f.s.size);
}

// y_k = values[s − 1] where the mask holds, else x_k
struct MaskedScatter : Chosen {
  Space<3> s;
  AnyPointer x;
  const uint8_t* mask;
  AnyPointer values, y;
  int64_t step;  // of values
  PB_DEVICE State term(int64_t, int64_t k) const { return mask[s.at(1, k)] != 0; }
  PB_DEVICE void put(int64_t line, int64_t k, State number) const {
    const bool chosen = term(line, k) != 0 && number <= most;
    const auto places = s.places(k);
    move(y, places.at[2], chosen ? values : x, chosen ? (number - 1) * step : places.at[0]);
  }
};
void masked_scatter(const Call& c) {
  const MaskedScatter f{{c[2].shape[0]},  row_major_space(c[0], c[1], c[3]),
                        AnyPointer(c[0]), c[1].data<uint8_t>(),
                        AnyPointer(c[2]), AnyPointer(c[3]),
                        c[2].strides[0]};
  scan_in_blocks(f, 1, f.s.size);
}

constexpr EntryRow rows[] = {
    {"count_nonzero_all", count_nonzero_all, kTakesHalves},
    {"masked_scatter", masked_scatter, kTakesHalves},
    {"masked_select", masked_select, kTakesHalves},
    {"nonzero", nonzero, kTakesHalves},
};

}  // namespace

extern const Family masked_family;
const Family masked_family = {rows, sizeof(rows) / sizeof(rows[0])};

}  // namespace pullback::cuda
