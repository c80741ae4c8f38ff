// One launch works on as many tensors as its parameters have room for: pieces of all of them, side by side.
#include "common/elementwise.h"
#include "common/lines.h"
#include "common/reduce.h"
#include "common/scratch.h"
#include "kernels/clip_grad_formulas.h"

namespace pullback::cuda {
namespace {

inline constexpr int64_t kPiece = 16 * 1024;  // elements of a tensor that a block takes at a time
inline constexpr int kMostTensors = 128;      // of a launch: 3 of the 4 KiB that parameters may take

int64_t pieces_of(int64_t elements) { return (elements + kPiece - 1) / kPiece; }

// Tensors without gaps, in any order of dimensions.
template <class T>
struct Tensors {
  int count = 0;
  T* start[kMostTensors];
  int64_t size[kMostTensors];
  int64_t end[kMostTensors];  // of a tensor's pieces, counted from the first one's

  int64_t pieces() const { return count ? end[count - 1] : 0; }
  void add(T* p, int64_t elements) {
    end[count] = pieces() + pieces_of(elements);
    start[count] = p;
    size[count++] = elements;
  }
  // The first tensor whose pieces end after `piece`.
  PB_DEVICE int tensor_of(int64_t piece) const {
    int low = 0, high = count - 1;
    while (low < high) {
      const int middle = (low + high) / 2;
      piece < end[middle] ? high = middle : low = middle + 1;
    }
    return low;
  }
  PB_DEVICE int64_t begin_of(int tensor, int64_t piece) const {
    return (piece - (tensor ? end[tensor - 1] : 0)) * kPiece;
  }
};

PB_DEVICE int64_t end_of_piece(int64_t begin, int64_t size) { return begin + kPiece < size ? begin + kPiece : size; }

// Calls side_by_side(tensors) for the tensors without gaps, as many as fit at a time, and strided(operand, space) for
// each of the others.
template <class T, class F, class G>
void each_tensor(const OperandList& list, F&& side_by_side, G&& strided) {
  Tensors<T> tensors;
  for (int r = 0; r < list.count; ++r) {
    const Space<1> space = make_space<1>(&list[r], 0);
    if (space.size == 0) continue;
    if (!space.linear) {
      strided(list[r], space);
      continue;
    }
    tensors.add(list[r].template data<T>(), space.size);
    if (tensors.count < kMostTensors) continue;
    side_by_side(tensors);
    tensors.count = 0;
  }
  if (tensors.count > 0) side_by_side(tensors);
}

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

template <class Kind, class T>
__global__ void norm_pieces(Tensors<T> tensors, Format format, int64_t pieces, double p, double* part) {
  constexpr int n = 16 / sizeof(T);
  for (int64_t piece = block(); piece < pieces; piece += blocks()) {
    const int r = tensors.tensor_of(piece);
    const T* x = tensors.start[r];
    int64_t begin = tensors.begin_of(r, piece);
    const int64_t end = end_of_piece(begin, tensors.size[r]);
    double own = Kind::start;
    if (reinterpret_cast<uintptr_t>(x) % 16 == 0) {
      for (int64_t i = begin / n + thread(); i < end / n; i += threads()) {
        const auto x_i = load_pack<n>(x, i);
        for (int e = 0; e < n; ++e)
          own = Kind::join(own, Kind::term(static_cast<double>(format.read(x_i.element[e])), p));
      }
      begin = end / n * n;
    }
    for (int64_t i = begin + thread(); i < end; i += threads())
      own = Kind::join(own, Kind::term(static_cast<double>(format.read(x[i])), p));
    put_piece<Kind>(own, part, piece);
  }
}
template <class Kind, class T>
__global__ void norm_strided(Space<1> space, Format format, const T* x, int64_t pieces, double p, double* part) {
  for (int64_t piece = block(); piece < pieces; piece += blocks()) {
    const int64_t begin = piece * kPiece, end = end_of_piece(begin, space.size);
    double own = Kind::start;
    for (int64_t i = begin + thread(); i < end; i += threads())
      own = Kind::join(own, Kind::term(static_cast<double>(format.read(x[space.at(0, i)])), p));
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
  const Format format(y.dtype);
  int64_t pieces = 0;
  for (int r = 0; r < list.count; ++r) pieces += pieces_of(list[r].size());
  Scratch scratch;
  double *part = scratch.take<double>(pieces), *next = part;
  each_tensor<T>(
      list,
      [&](const Tensors<T>& tensors) {
        const int64_t n = tensors.pieces();
        launch(norm_pieces<Kind, T>, blocks_for_lines(n), kBlockSize, tensors, format, n, p, next);
        next += n;
      },
      [&](const Operand& x, const Space<1>& space) {
        const int64_t n = pieces_of(space.size);
        launch(norm_strided<Kind, T>, blocks_for_lines(n), kBlockSize, space, format,
               static_cast<const T*>(x.data<T>()), n, p, next);
        next += n;
      });
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

template <class T>
__global__ void scale_pieces(Tensors<T> tensors, Format format, int64_t pieces, Scalar scalar) {
  constexpr int n = 16 / sizeof(T);
  const auto factor = static_cast<Computed<T>>(scalar.real());
  if (factor == 1) return;
  for (int64_t piece = block(); piece < pieces; piece += blocks()) {
    const int r = tensors.tensor_of(piece);
    T* x = tensors.start[r];
    int64_t begin = tensors.begin_of(r, piece);
    const int64_t end = end_of_piece(begin, tensors.size[r]);
    if (reinterpret_cast<uintptr_t>(x) % 16 == 0) {
      for (int64_t i = begin / n + thread(); i < end / n; i += threads()) {
        auto x_i = load_pack<n>(static_cast<const T*>(x), i);
        for (T& element : x_i.element) format.write(element, format.read(element) * factor);
        store_pack<n>(x, i, x_i);
      }
      begin = end / n * n;
    }
    for (int64_t i = begin + thread(); i < end; i += threads()) format.write(x[i], format.read(x[i]) * factor);
  }
}
template <class T>
__global__ void scale_strided(Space<1> space, Format format, T* x, Scalar scalar) {
  const auto factor = static_cast<Computed<T>>(scalar.real());
  if (factor == 1) return;
  for (int64_t i = first(); i < space.size; i += stride()) {
    T& element = x[space.at(0, i)];
    format.write(element, format.read(element) * factor);
  }
}

void scale_list(const Call& c) {
  if (!c.has(0)) return;
  visit_real(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    const Format format(c[0].dtype);
    each_tensor<T>(
        c.list(0),
        [&](const Tensors<T>& tensors) {
          const int64_t n = tensors.pieces();
          launch(scale_pieces<T>, blocks_for_lines(n), kBlockSize, tensors, format, n, c.scalars[0]);
        },
        [&](const Operand& x, const Space<1>& space) {
          launch(scale_strided<T>, blocks_for(space.size), kBlockSize, space, format, x.data<T>(), c.scalars[0]);
        });
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
