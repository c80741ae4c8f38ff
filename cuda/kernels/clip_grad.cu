#include "common/elementwise.h"
#include "common/lines.h"
#include "common/reduce.h"
#include "common/scratch.h"
#include "common/tensors.h"
#include "kernels/clip_grad_formulas.h"

namespace pullback::cuda {
namespace {

inline constexpr int64_t kNormPiece = 16 * 1024;  // elements of a tensor that a block takes at a time

// --- the norm --------------------------------------------------------------------------------------------------------

template <class Kind>
struct JoinNorms {
  PB_DEVICE double operator()(double a, double b) const { return Kind::join(a, b); }
};

// What the block makes of what its threads have, into part[piece].
template <class Kind>
PB_DEVICE void put_piece(double own, double* part, int64_t piece) {
  own = reduce_block(own, JoinNorms<Kind>(), Kind::start);
  if (thread() == 0) part[piece] = own;
}

// One more term for each element.
template <class Kind>
struct TakeTerm {
  double p;
  double& own;
  PB_DEVICE void operator()(double x) const { own = Kind::join(own, Kind::term(x, p)); }
};

template <class Kind, class Table, class T>
__global__ void norm_pieces(Table tensors, Format format, double p, double* part) {
  for (int64_t i = block(); i < tensors.pieces(); i += blocks()) {
    const auto piece = tensors.find(i);
    double own = Kind::start;
    piece_elements<T>(OnElements<TakeTerm<Kind>, T>{{p, own}, format}, tensors, piece, std::integer_sequence<int, 0>());
    put_piece<Kind>(own, part, i);
  }
}
template <class Kind, class T>
__global__ void norm_strided(Space<1> space, Format format, const T* x, int64_t pieces, double p, double* part) {
  for (int64_t piece = block(); piece < pieces; piece += blocks()) {
    const int64_t begin = piece * kNormPiece, end = begin + kNormPiece;
    double own = Kind::start;
    const TakeTerm<Kind> take{p, own};
    for (int64_t i = begin + thread(); i < end && i < space.size; i += threads())
      take(static_cast<double>(format.read(x[space.at(0, i)])));
    put_piece<Kind>(own, part, piece);
  }
}

// y = the norm from its pieces, by one block.
template <class Kind, class T>
__global__ void finish_norm(int64_t pieces, Format format, double p, const double* part, T* y) {
  double own = Kind::start;
  for (int64_t i = thread(); i < pieces; i += threads()) own = Kind::join(own, part[i]);
  own = reduce_block(own, JoinNorms<Kind>(), Kind::start);
  if (thread() == 0) format.write(*y, static_cast<Computed<T>>(Kind::finish(own, p)));
}

template <class Kind, class T>
void norm(const OperandList& list, double p, const Operand& y) {
  using Table = Tensors<kNormPiece, Nothing, const T>;
  const Format format(y.dtype);
  int64_t pieces = 0;
  for (int r = 0; r < list.count; ++r) pieces += Table::pieces_of(list[r].size());
  Scratch scratch;
  double *part = scratch.take<double>(pieces), *next = part;
  const auto gather = [&](int k, Operand* x, Nothing) {
    *x = list[k];
    return true;
  };
  const auto side_by_side = [&](const Table& tensors) {
    launch(norm_pieces<Kind, Table, const T>, blocks_for_lines(tensors.pieces()), kBlockSize, tensors, format, p, next);
    next += tensors.pieces();
  };
  const auto strided = [&](const Space<1>& space, const Operand* x, Nothing) {
    const int64_t n = Table::pieces_of(space.size);
    launch(norm_strided<Kind, T>, blocks_for_lines(n), kBlockSize, space, format, x->data<const T>(), n, p, next);
    next += n;
  };
  each_tensor<Table, 0>(list.count, gather, side_by_side, strided);
  launch(finish_norm<Kind, T>, 1, kBlockSize, pieces, format, p, static_cast<const double*>(part), y.data<T>());
}
void total_norm(const Call& c) {
  const OperandList list = c.list(0);
  int64_t elements = 0;
  for (int r = 0; r < list.count; ++r) elements += list[r].size();
  visit_real(c[1].dtype, [&](auto zero) {
    using T = decltype(zero);
    visit_norm(c.real(0), elements, [&](auto kind) { norm<decltype(kind), T>(list, c.real(0), c[1]); });
  });
}

// --- scaling ---------------------------------------------------------------------------------------------------------

// x ← x factor
template <class T>
struct Scale {
  T factor;
  PB_DEVICE bool idle() const { return factor == 1; }
  PB_DEVICE void operator()(T x, T& to) const { to = x * factor; }
};
template <class T>
struct PrepareScale {
  Scalar factor;
  PB_DEVICE Scale<T> prepare(Nothing) const { return {static_cast<T>(factor.real())}; }
};

void scale_list(const Call& c) {
  if (!c.has(0)) return;
  visit_real(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    elementwise_lists<const T, T>(c, {0, 0}, [](int) { return Nothing(); }, PrepareScale<Computed<T>>{c.scalars[0]});
  });
}

constexpr EntryRow rows[] = {
    {"total_norm", total_norm, kTakesHalves},
    {"scale_list", scale_list, kTakesHalves},
};

}  // namespace

extern const Family clip_grad_family;
const Family clip_grad_family = {rows, sizeof(rows) / sizeof(rows[0])};

}  // namespace pullback::cuda
