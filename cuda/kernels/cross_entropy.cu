// Cross-entropy line by line. Long lines have a block each, which goes through them in chunks (of up to 16384 floats):
// x is read once, and for the gradient once more what is not in the last chunk, most likely from L2. Short lines, and
// lines whose neighbours are neighbours in memory, have a thread each.
#include "common/chunks.h"
#include "common/pieces.h"
#include "common/scalar.h"
#include "kernels/cross_entropy.h"

namespace pullback::cuda {
namespace {

// --- targets ---------------------------------------------------------------------------------------------------------

// An operand without the class axis, with one of size 1 in its place.
Operand with_axis(const Operand& x, int64_t axis) {
  Operand y = x;
  ++y.ndim;
  for (int d = y.ndim - 1; d > axis; --d) y.shape[d] = x.shape[d - 1], y.strides[d] = x.strides[d - 1];
  y.shape[axis] = 1;
  y.strides[axis] = 0;
  return y;
}

// w_k, 1 where there is no table.
template <class T>
struct Weights {
  Strided<const T> table = {};  // [C]
  PB_DEVICE Computed<T> at(int64_t k) const { return table.p ? table[k] : Computed<T>(1); }
};
template <class T>
Weights<T> weights_of(const Call& c, int param) {
  if (!c.has(param)) return {};
  return {{c[param].data<T>(), c[param].strides[0], Format(c[param].dtype)}};
}

// The class of a line; −1 where it does not count.
struct Classes {
  const int64_t* target;
  int64_t ignore, bound;
  Error* error;
  PB_DEVICE int64_t at(int64_t place, bool reports) const {
    const int64_t k = target[place];
    if (k == ignore) return -1;
    if (k >= 0 && k < bound) return k;
    if (reports) report(error, ErrorCode::class_out_of_range, k, bound);
    return -1;
  }
};

Classes classes_of(const Call& c, int param, int64_t ignore, int64_t bound) {
  return {c[param].data<int64_t>(), ignore, bound, device_error(c)};
}

// q of a line is a point at k, and q_k elsewhere where it is dense.
template <class T>
struct Point {
  int64_t k;
  T weight;
  bool counts;
};

// (1 − ε) w_k [k = target] + ε w_k / C; dense where ε > 0.
template <class T, bool smooth>
struct AgainstClass {
  static constexpr bool dense = smooth;
  Classes classes;
  Weights<T> weights;
  Computed<T> keep, uniform;  // 1 − ε, ε / C
  PB_DEVICE Point<Computed<T>> point(int64_t place, bool reports) const {
    const int64_t k = classes.at(place, reports);
    return {k, k < 0 ? Computed<T>(0) : keep * weights.at(k), k >= 0};
  }
  PB_DEVICE Computed<T> q(int64_t, int64_t, int64_t k) const { return uniform * weights.at(k); }
};

// w_k ((1 − ε) t_k + ε / C)
template <class T>
struct AgainstProbabilities {
  static constexpr bool dense = true;
  const T* target;
  Weights<T> weights;
  Computed<T> keep, uniform;
  Format format;
  PB_DEVICE static Point<Computed<T>> point(int64_t, bool) { return {-1, 0, true}; }
  PB_DEVICE Computed<T> q(int64_t place, int64_t step, int64_t k) const {
    return weights.at(k) * fma(keep, format.read(target[place + k * step]), uniform);
  }
};

// What a sum is divided by: a number of the shape, or one that was counted on the device.
struct Divisor {
  double known = 1;
  const double* counted = nullptr;
  PB_DEVICE double value() const { return counted ? *counted : known; }
};

// --- one line --------------------------------------------------------------------------------------------------------

// Operands of the lines.
enum : int { kX, kDx, kTarget, kOwn, kOperands };

template <class T, class Against>
struct CrossEntropy {
  Against against;
  Lines<kOperands> lines;
  const T* x;
  T* dx = nullptr;           // null where it is not wanted
  T* loss = nullptr;         // of each line, or null
  double* losses = nullptr;  // [lines], of each line where they are reduced, or null
  const T* dy = nullptr;     // of each line, or null
  Divisor divisor = {};      // of their sum
  Format format = {};

  using C = Computed<T>;
  PB_DEVICE C gradient_of(int64_t own) const { return dy ? format.read(dy[own]) : static_cast<C>(1 / divisor.value()); }
  PB_DEVICE void put(int64_t index, int64_t own, C value) const {
    if (loss) format.write(loss[own], value);
    if (losses) losses[index] = static_cast<double>(value);
  }
};

// What a line's terms come to: m, s, Σ q and Σ q x of the dense part, and the point.
template <class T>
struct Line {
  MaxAndSum<T> e;
  T sum_q = 0, sum_qx = 0;
  Point<T> point;
  int64_t target;  // where the line begins there
};

// From the first chunk to the last one, which stays held.
template <class Held, class Team, class T, class Against>
PB_DEVICE void read_line(const CrossEntropy<T, Against>& c, const T* x, int64_t chunks, Held& held,
                         Line<Computed<T>>& line) {
  using C = Computed<T>;
  for (int64_t i = 0; i < chunks; ++i) {
    const Place p = Held::place(c.lines.length, i);
    held.load(x, c.lines.step[kX], p, c.format);
    line.e.take(held.x);
    if constexpr (Against::dense)
      held.each(p, [&](int k, C x_k) {
        const C q = c.against.q(line.target, c.lines.step[kTarget], p.first + k);
        line.sum_q += q;
        line.sum_qx = fma(q, x_k, line.sum_qx);
      });
  }
  line.e.template join<Team>();
  if constexpr (Against::dense) {
    line.sum_q = Team::reduce(line.sum_q, Sum(), C(0));
    line.sum_qx = Team::reduce(line.sum_qx, Sum(), C(0));
  }
}

// dx_k = g (p_k Σ q − q_k), p_k = e^(x_k − m) / s; the chunk that is held comes first.
template <class Held, class T, class Against>
PB_DEVICE void write_line(const CrossEntropy<T, Against>& c, const T* x, int64_t chunks, Held& held,
                          const Line<Computed<T>>& line, T* dx, Computed<T> g) {
  using C = Computed<T>;
  const C m = line.e.m, scale = g * (line.sum_q + line.point.weight) / line.e.s, of_point = g * line.point.weight;
  for (int64_t i = chunks - 1; i >= 0; --i) {
    const Place p = Held::place(c.lines.length, i);
    if (i < chunks - 1) held.load(x, c.lines.step[kX], p, c.format);
    const int64_t to_point = line.point.k - p.first;
    held.store(dx, c.lines.step[kDx], p, c.format, [&](int k, C x_k) {
      C d = exp(x_k - m) * scale;
      if constexpr (Against::dense) d -= g * c.against.q(line.target, c.lines.step[kTarget], p.first + k);
      return k == to_point ? d - of_point : d;
    });
  }
}

// ℓ = −Σ_k q_k ln p_k = (ln s + m) Σ q − Σ q x
template <int n, class Team, class T, class Against>
PB_DEVICE void line_of_cross_entropy(const CrossEntropy<T, Against>& c, int64_t index) {
  using Held = Chunk<T, n, Team>;
  using C = Computed<T>;
  const int64_t chunks = (c.lines.length + Held::size() - 1) / Held::size();
  int64_t place[kOperands];
  c.lines.all_at(index, place);
  const T* x = c.x + place[kX];
  T* dx = c.dx ? c.dx + place[kDx] : nullptr;
  Line<C> line;
  line.target = place[kTarget];
  line.point = c.against.point(line.target, Team::rank() == 0);
  Held held;
  if (!line.point.counts) {
    if (Team::rank() == 0) c.put(index, place[kOwn], 0);
    for (int64_t i = 0; dx && i < chunks; ++i)
      held.store(dx, c.lines.step[kDx], Held::place(c.lines.length, i), c.format, [](int, C) { return C(0); });
    return;
  }
  read_line<Held, Team>(c, x, chunks, held, line);
  if (Team::rank() == 0) {
    const C m = line.e.m, log_s = log(line.e.s);
    C loss = 0;
    if (line.point.k >= 0) loss = line.point.weight * (log_s - (c.format.read(x[line.point.k * c.lines.step[kX]]) - m));
    if (Against::dense) loss += log_s * line.sum_q - (line.sum_qx - m * line.sum_q);
    c.put(index, place[kOwn], loss);
  }
  if (dx) write_line(c, x, chunks, held, line, dx, c.gradient_of(place[kOwn]));
}

template <int n, class Team, class T, class Against>
__global__ void __launch_bounds__(Team::most_threads, 1) each_line(CrossEntropy<T, Against> c) {
  for (int64_t i = Team::index(); i < c.lines.count; i += Team::count()) line_of_cross_entropy<n, Team>(c, i);
}

// Whether lines of operand i are whole packs.
template <int n, class T, int operands>
bool has_packs(const Lines<operands>& lines, int i, const T* p) {
  bool whole = lines.step[i] == 1 && takes_packs<n>(p);
  for (int d = 0; d < lines.ndim; ++d) whole = whole && lines.stride[i][d] % n == 0;
  return whole;
}

template <int n, class Team, class T, class Against>
void launch_blocks(const CrossEntropy<T, Against>& c) {
  launch(each_line<n, Team, T, Against>, blocks_for_lines(c.lines.count), threads_for_chunks<Team>(c.lines.length), c);
}
template <class T, class Against>
void launch_lines(const CrossEntropy<T, Against>& c) {
  constexpr int64_t short_line = 16, many = 1024;
  using C = Computed<T>;
  constexpr int n = 16 / sizeof(T);
  const Lines<kOperands>& lines = c.lines;
  const bool columns = lines.step[kX] != 1 && lines.count >= many;
  if (columns || lines.length <= short_line)
    return launch(each_line<1, Alone<C>, T, Against>, blocks_for(lines.count), kBlockSize, c);
  if (has_packs<n>(lines, kX, c.x) && (c.dx == nullptr || has_packs<n>(lines, kDx, c.dx)))
    return launch_blocks<n, Block<C, n >= 4 && !Against::dense ? 1024 : 512>>(c);  // such that registers suffice
  launch_blocks<1, Block<C, 512>>(c);
}

// --- sums over lines -------------------------------------------------------------------------------------------------

struct SumOfDoubles {
  using State = double;
  static constexpr int pack = 1;
  PB_DEVICE static double start() { return 0; }
  PB_DEVICE static double join(double a, double b) { return a + b; }
  PB_DEVICE static int row(int64_t) { return 0; }
};

// Σ_i w_{target_i} over the lines that count.
template <class T>
struct CountedWeight : SumOfDoubles {
  Classes classes;
  Weights<T> weights;
  Lines<1> lines;
  double* y;
  const CountedWeight& results() const { return *this; }
  PB_DEVICE void take(double& s, int, int64_t i) const {
    const int64_t k = classes.at(lines.at(0, i), false);
    if (k >= 0) s += static_cast<double>(weights.at(k));
  }
  PB_DEVICE void put(double s, int64_t) const { *y = s; }
};

// y = Σ x_i / divisor
template <class T>
struct TotalLoss : SumOfDoubles {
  const double* x;
  Divisor divisor;
  T* y;
  Format format;
  const TotalLoss& results() const { return *this; }
  PB_DEVICE void take(double& s, int, int64_t i) const { s += x[i]; }
  PB_DEVICE void put(double s, int64_t) const { format.write(*y, static_cast<Computed<T>>(s / divisor.value())); }
};

// For the mean over lines that have a class each.
template <class T>
Divisor counted_weight(const Classes& classes, const Weights<T>& weights, const Operand& target, Scratch& scratch) {
  CountedWeight<T> f;
  f.classes = classes;
  f.weights = weights;
  f.y = scratch.take<double>(1);
  const Operand each = with_axis(target, target.ndim);  // every element is a line
  f.lines = make_lines<1>({&each}, target.ndim);
  reduce_in_rows(f, 1, f.lines.count);
  return {1, f.y};
}
template <class T>
void put_total(const double* losses, int64_t n, Divisor divisor, const Operand& loss) {
  TotalLoss<T> f;
  f.x = losses, f.divisor = divisor, f.y = loss.data<T>(), f.format = Format(loss.dtype);
  reduce_in_rows(f, 1, n);
}

// --- the entries -----------------------------------------------------------------------------------------------------

// Parameters x, target, weight, dy, loss, dx of both kernels.
template <class T, class Against>
void cross_entropy_of(const Call& c, const Against& against, const Operand& target, int64_t reduction,
                      Divisor divisor) {
  const int64_t axis = c.integer(0);
  const bool wants_loss = c.has(4), wants_dx = c.has(5), has_dy = c.has(3), each = reduction == Reduction::none;
  const Operand own = each && (wants_loss || has_dy) ? with_axis(wants_loss ? c[4] : c[3], axis) : target;
  const Operand& dx = wants_dx ? c[5] : c[0];
  Scratch scratch;
  CrossEntropy<T, Against> f{against, make_lines<kOperands>({&c[0], &dx, &target, &own}, axis), c[0].data<T>()};
  f.dx = wants_dx ? dx.data<T>() : nullptr;
  f.loss = wants_loss && each ? c[4].data<T>() : nullptr;
  f.losses = wants_loss && !each ? scratch.take<double>(f.lines.count) : nullptr;
  f.dy = has_dy ? c[3].data<T>() : nullptr;
  f.divisor = divisor;
  f.format = Format(c[0].dtype);
  launch_lines(f);
  if (f.losses) put_total<T>(f.losses, f.lines.count, divisor, c[4]);
}

void cross_entropy(const Call& c) {
  visit_real(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    const int64_t axis = c.integer(0), reduction = c.integer(3);
    const Classes classes = classes_of(c, 1, c.integer(1), c[0].shape[axis]);
    const Weights<T> weights = weights_of<T>(c, 2);
    using C = Computed<T>;
    const C smoothing = static_cast<C>(c.real(2)), uniform = smoothing / static_cast<C>(classes.bound);
    const Operand target = with_axis(c[1], axis);
    Scratch scratch;
    Divisor divisor;
    if (reduction == Reduction::mean) divisor = counted_weight(classes, weights, c[1], scratch);
    if (smoothing > 0) {
      const AgainstClass<T, true> against{classes, weights, 1 - smoothing, uniform};
      return cross_entropy_of<T>(c, against, target, reduction, divisor);
    }
    cross_entropy_of<T>(c, AgainstClass<T, false>{classes, weights, 1, 0}, target, reduction, divisor);
  });
}
void cross_entropy_soft(const Call& c) {
  visit_real(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    const int64_t axis = c.integer(0), reduction = c.integer(2), classes = c[0].shape[axis];
    using C = Computed<T>;
    const C smoothing = static_cast<C>(c.real(1));
    const AgainstProbabilities<T> against{c[1].data<T>(), weights_of<T>(c, 2), 1 - smoothing,
                                          smoothing / static_cast<C>(classes), Format(c[1].dtype)};
    Divisor divisor;
    if (reduction == Reduction::mean) divisor.known = static_cast<double>(make_lines<1>(c, axis).count);
    cross_entropy_of<T>(c, against, c[1], reduction, divisor);
  });
}

// y = dy dx
template <class T>
struct Scale {
  T factor;
  bool in_place;
  PB_DEVICE bool idle() const { return in_place && factor == T(1); }
  PB_DEVICE void operator()(T dx, T& y) const { y = dx * factor; }
};
template <class T>
struct PrepareScale {
  const T* dy;
  Format format;
  bool in_place;
  PB_DEVICE Scale<Computed<T>> prepare() const { return {format.read(*dy), in_place}; }
};
void cross_entropy_scale(const Call& c) {
  visit_real(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    const Operand operands[] = {c[0], c[2]};
    Call without_dy = c;
    without_dy.operands = operands;
    elementwise<const T, T>(without_dy,
                            PrepareScale<T>{c[1].data<T>(), Format(c[1].dtype), c[0].data<T>() == c[2].data<T>()});
  });
}

// --- nll_loss --------------------------------------------------------------------------------------------------------

// ℓ_i = −w_k x_ik, k = target_i. Operands of the lines: x, target, loss.
template <class T>
__global__ void nll_of_lines(Lines<3> lines, Classes classes, Weights<T> weights, Format format, const T* x, T* loss,
                             double* losses) {
  using C = Computed<T>;
  for (int64_t i = first(); i < lines.count; i += stride()) {
    const int64_t k = classes.at(lines.at(1, i), true);
    const C value = k < 0 ? C(0) : -weights.at(k) * format.read(x[lines.at(0, i) + k * lines.step[0]]);
    if (loss) format.write(loss[lines.at(2, i)], value);
    if (losses) losses[i] = static_cast<double>(value);
  }
}
void nll_loss(const Call& c) {
  visit_real(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    const int64_t axis = c.integer(0), reduction = c.integer(2);
    const bool each = reduction == Reduction::none;
    const Operand target = with_axis(c[1], axis), loss = each ? with_axis(c[3], axis) : target;
    const Lines<3> lines = make_lines<3>({&c[0], &target, &loss}, axis);
    const Classes classes = classes_of(c, 1, c.integer(1), lines.length);
    const Weights<T> weights = weights_of<T>(c, 2);
    Scratch scratch;
    double* losses = each ? nullptr : scratch.take<double>(lines.count);
    launch(nll_of_lines<T>, blocks_for(lines.count), kBlockSize, lines, classes, weights, Format(c[0].dtype),
           static_cast<const T*>(c[0].data<T>()), each ? c[3].data<T>() : nullptr, losses);
    if (each) return;
    Divisor divisor;
    if (reduction == Reduction::mean) divisor = counted_weight(classes, weights, c[1], scratch);
    put_total<T>(losses, lines.count, divisor, c[3]);
  });
}

template <class C>
struct Zero {
  PB_DEVICE void operator()(C& y) const { y = 0; }
};

// dx_ik = −g_i w_k, k = target_i, where the rest is 0 already. Operands of the lines: dx, target, dy.
template <class T>
__global__ void nll_backward_of_lines(Lines<3> lines, Classes classes, Weights<T> weights, Format format, const T* dy,
                                      Divisor divisor, T* dx) {
  using C = Computed<T>;
  for (int64_t i = first(); i < lines.count; i += stride()) {
    const int64_t k = classes.at(lines.at(1, i), true);
    if (k < 0) continue;
    const C g = format.read(dy[lines.at(2, i)]) / static_cast<C>(divisor.value());
    format.write(dx[lines.at(0, i) + k * lines.step[0]], -g * weights.at(k));
  }
}
void nll_loss_backward(const Call& c) {
  visit_real(c[3].dtype, [&](auto zero) {
    using T = decltype(zero);
    const int64_t axis = c.integer(0), reduction = c.integer(2);
    const Operand target = with_axis(c[1], axis);
    Operand dy = target;  // a single number has no strides
    for (int64_t& step : dy.strides) step = 0;
    if (reduction == Reduction::none) dy = with_axis(c[0], axis);
    const Lines<3> lines = make_lines<3>({&c[3], &target, &dy}, axis);
    const Classes classes = classes_of(c, 1, c.integer(1), lines.length);
    const Weights<T> weights = weights_of<T>(c, 2);
    Scratch scratch;
    Divisor divisor;
    if (reduction == Reduction::mean) divisor = counted_weight(classes, weights, c[1], scratch);
    Call only_dx = c;
    only_dx.operands = &c[3];
    elementwise<T>(only_dx, Zero<Computed<T>>());
    launch(nll_backward_of_lines<T>, blocks_for(lines.count), kBlockSize, lines, classes, weights, Format(c[0].dtype),
           static_cast<const T*>(c[0].data<T>()), divisor, c[3].data<T>());
  });
}

constexpr EntryRow rows[] = {
    {"cross_entropy", cross_entropy, kTakesHalves},
    {"cross_entropy_soft", cross_entropy_soft, kTakesHalves},
    {"cross_entropy_scale", cross_entropy_scale, kTakesHalves},
    {"nll_loss", nll_loss, kTakesHalves},
    {"nll_loss_backward", nll_loss_backward, kTakesHalves},
};

}  // namespace

extern const Family cross_entropy_family;
const Family cross_entropy_family = {rows, sizeof(rows) / sizeof(rows[0])};

}  // namespace pullback::cuda
