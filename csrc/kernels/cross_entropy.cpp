#include "kernels/cross_entropy.h"

#include "isa/elementwise.h"
#include "isa/lines.h"
#include "isa/math.h"

namespace pullback::ISA_NAMESPACE {
namespace {

// An operand without the class axis, with one of size 1 in its place.
Operand with_axis(const Operand& x, int64_t axis) {
  Operand y = x;
  ++y.ndim;
  for (int d = y.ndim - 1; d > axis; --d) y.shape[d] = x.shape[d - 1], y.strides[d] = x.strides[d - 1];
  y.shape[axis] = 1;
  y.strides[axis] = 0;
  return y;
}

// From such gradients of such lines on, they are written past the caches, which spares memory that they are read first:
// 512 lines of 32000 classes (62 MiB) took 4.8 ms instead of 5.5, and of 50257 (98 MiB) 7.3 instead of 9.5. At 47 MiB
// there is no difference, and lines of 1000 classes take nearly twice as long past the caches.
constexpr int64_t kStreamBytes = int64_t{48} << 20, kStreamLine = int64_t{1} << 13;

// What the loss of each line is computed with. T is the dtype of the logits.
template <class T>
struct Terms {
  const Lines& s;
  const T* weight = nullptr;  // [C], or null
  T weight_sum = 0;           // Σ_k w_k
  T smoothing = 0;            // ε
  T scale = 1;                // g_i, where dy is absent
  int64_t ignore = 0;
  Error* error = nullptr;
  double* losses = nullptr;  // [lines], where they are reduced
  int loss = -1, dy = -1;    // operands of s, where they are not
  bool wants_loss = true, wants_dx = false;

  // The class of a line; −1 where it does not count.
  PB_INLINE int64_t class_of(int operand, int64_t line) const {
    const int64_t target = *s.line<int64_t>(operand, line);
    if (target == ignore) return -1;
    if (target >= 0 && target < s.length) return target;
    error->set(ErrorCode::class_out_of_range, target, s.length);
    return -1;
  }
  PB_INLINE T weight_of(int64_t k) const { return weight ? weight[k] : 1; }
  PB_INLINE T gradient_of(int64_t line) const { return dy < 0 ? scale : *s.line<T>(dy, line); }
  PB_INLINE void put(int64_t line, T value) const {
    if (losses)
      losses[line] = value;
    else
      *s.line<T>(loss, line) = value;
  }
  template <class Line, class Lanes>
  PB_INLINE Vec<T> weights(const Line& line, int64_t k, Lanes lanes) const {
    return weight ? line.shared(weight, k, lanes) : line.masked(Vec<T>(1), lanes, 0);
  }
};

// s = Σ e^(x_k − m); the terms stay in `e`, if it is not null.
template <class T, class Line>
PB_INLINE Vec<T> sum_exp(const Line& line, const T* x, Vec<T> m, T* e, int e_operand) {
  Vec<T> s, of_block;
  const auto block_ends = [&] { s += of_block, of_block = Vec<T>(); };
  const auto e_at = [&](int64_t k, auto lanes) {
    const T* x_k = x + line.at(0, k);
    line.fetch(0, x_k);
    return exp_below(Vec<T>::load(x_k, lanes) - m);
  };
  if (!e) {
    line.each([&](int64_t k, auto lanes) { of_block += line.masked(e_at(k, lanes), lanes, 0); }, block_ends);
    return line.sum(s);
  }
  const auto store = [&](int64_t k, auto lanes) {
    const Vec<T> e_k = e_at(k, lanes);
    e_k.store(e + line.at(e_operand, k), lanes);
    of_block += line.masked(e_k, lanes, 0);
  };
  line.each(store, block_ends);
  return line.sum(s);
}

// Against classes. Operands: x, dx (x again, where it is not wanted), target, and loss or dy.
template <class T>
struct AgainstClass : Terms<T> {
  using Terms<T>::smoothing;

  // The class k of each line, x_k, (1 − ε) w_k and g; all 0 where a line does not count.
  template <int width>
  struct Classes {
    int64_t k[width];
    T x[width] = {}, weight[width] = {}, gradient[width] = {}, counts[width] = {};
    bool any = false;
  };
  template <class Line>
  PB_INLINE Classes<Line::width> classes(const Line& line, const T* x, int64_t first, int64_t n) const {
    Classes<Line::width> c;
    for (int64_t i = 0; i < n; ++i) {
      c.k[i] = this->class_of(2, first + i);
      if (c.k[i] < 0) continue;
      c.any = true;
      c.counts[i] = 1;
      c.weight[i] = (1 - smoothing) * this->weight_of(c.k[i]);
      c.gradient[i] = this->gradient_of(first + i);
      c.x[i] = x[line.at(0, c.k[i], i)];
    }
    return c;
  }

  template <class Line>
  PB_INLINE void operator()(const Line& line, T* const* p, int64_t first, int64_t n) const {
    const T* x = p[0];
    T* dx = this->wants_dx ? p[1] : nullptr;
    const auto c = classes(line, x, first, n);
    if (!c.any) return skip(line, dx, first, n);
    Scratch scratch;
    T* e = dx && line.stream ? scratch.take<T>(line.n) : dx;  // terms on their way to dx, in the caches
    const Vec<T> m = line_max(line, x), s = sum_exp(line, x, m, e, 1), log_s = log_above(s);
    const Vec<T> weight = line.own(c.weight), counts = line.own(c.counts), uniform(smoothing / static_cast<T>(line.n));
    if (this->wants_loss) {
      Vec<T> loss = weight * (log_s - (line.own(c.x) - m));
      if (smoothing > 0) loss += uniform * counts * (log_s * Vec<T>(this->weight_sum) - weighted_sum(line, x, m));
      for (int64_t i = 0; i < n; ++i) this->put(first + i, c.k[i] < 0 ? 0 : loss[static_cast<int>(i)]);
    }
    if (!dx) return;
    const Vec<T> g = line.own(c.gradient), q = weight + uniform * counts * Vec<T>(this->weight_sum);
    const Vec<T> scale = g * q / s, share = g * uniform;
    const Mask<T> count = counts != Vec<T>(0);
    const auto d_at = [&](int64_t k, auto lanes) { return gradient(line, e, k, lanes, scale, share, count); };
    T at_class[Line::width] = {};  // of a row: dx is not read again where it is streamed
    if constexpr (Line::width == 1) at_class[0] = d_at(c.k[0], 1)[0];
    line.put(1, dx, d_at);
    for (int64_t i = 0; i < n; ++i) {
      if (c.k[i] < 0) continue;
      T& d = dx[line.at(1, c.k[i], i)];
      d = (Line::width == 1 ? at_class[i] : d) - c.gradient[i] * c.weight[i];
    }
  }

  // Σ_k w_k (x_k − m)
  template <class Line>
  PB_INLINE Vec<T> weighted_sum(const Line& line, const T* x, Vec<T> m) const {
    Vec<T> total, of_block;
    const auto add = [&](int64_t k, auto lanes) {
      of_block = fma(this->weights(line, k, lanes), Vec<T>::load(x + line.at(0, k), lanes) - m, of_block);
    };
    line.each(add, [&] { total += of_block, of_block = Vec<T>(); });
    return line.sum(total);
  }

  // dx_k = e_k scale − share w_k, 0 in lines that do not count
  template <class Line, class Lanes>
  PB_INLINE Vec<T> gradient(const Line& line, const T* e, int64_t k, Lanes lanes, Vec<T> scale, Vec<T> share,
                            Mask<T> counts) const {
    Vec<T> d = Vec<T>::load(e + line.at(1, k), lanes) * scale;
    if (smoothing > 0) d -= share * this->weights(line, k, lanes);
    return line.where(counts, d);
  }

  template <class Line>
  PB_INLINE void skip(const Line& line, T* dx, int64_t first, int64_t n) const {
    for (int64_t i = 0; this->wants_loss && i < n; ++i) this->put(first + i, 0);
    if (dx) line.put(1, dx, [&](int64_t, auto) { return Vec<T>(0); });
  }
};

// Against probabilities. Operands: x, t, dx (x again, where it is not wanted), and loss or dy.
template <class T>
struct AgainstProbabilities : Terms<T> {
  template <class Line>
  PB_INLINE void operator()(const Line& line, T* const* p, int64_t first, int64_t n) const {
    const T *x = p[0], *t = p[1];
    T* dx = this->wants_dx ? p[2] : nullptr;
    Scratch scratch;
    T* e = dx && line.stream ? scratch.take<T>(line.n) : dx;  // as above
    const Vec<T> m = line_max(line, x), s = sum_exp(line, x, m, e, 2), log_s = log_above(s);
    const Vec<T> keep(1 - this->smoothing), uniform(this->smoothing / static_cast<T>(line.n));
    const auto q_at = [&](int64_t k, auto lanes) {
      return this->weights(line, k, lanes) * fma(keep, Vec<T>::load(t + line.at(1, k), lanes), uniform);
    };
    Vec<T> q, loss, q_block, loss_block;  // Σ q_k, Σ q_k (ln s − (x_k − m)), of all and of a block
    const auto add = [&](int64_t k, auto lanes) {
      const Vec<T> q_k = q_at(k, lanes);
      q_block += q_k;
      const Vec<T> term = q_k * (log_s - (Vec<T>::load(x + line.at(0, k), lanes) - m));
      loss_block += line.masked(term, lanes, 0);
    };
    line.each(add, [&] { q += q_block, loss += loss_block, q_block = loss_block = Vec<T>(); });
    q = line.sum(q), loss = line.sum(loss);
    for (int64_t i = 0; this->wants_loss && i < n; ++i) this->put(first + i, loss[static_cast<int>(i)]);
    if (!dx) return;
    T own[Line::width] = {};
    for (int64_t i = 0; i < n; ++i) own[i] = this->gradient_of(first + i);
    const Vec<T> g = line.own(own), scale = g * q / s;
    line.put(2, dx, [&](int64_t k, auto lanes) {
      return Vec<T>::load(e + line.at(2, k), lanes) * scale - g * q_at(k, lanes);
    });
  }
};

// The table of weights side by side, in scratch memory; null where there is none.
template <class T>
const T* weights_of(const Call& c, int param, Scratch& scratch) {
  if (!c.has(param)) return nullptr;
  const Operand& w = c[param];
  T* table = scratch.take<T>(w.shape[0]);
  copy_line(w.data<T>(), w.strides[0], table, 1, w.shape[0]);
  return table;
}

// Σ_i w_{target_i} over the lines that count, `target` being an operand of s.
template <class T>
double counted_weight(const Terms<T>& terms, int target) {
  double total = 0;
  for (int64_t i = 0; i < terms.s.count; ++i) {
    const int64_t k = *terms.s.template line<int64_t>(target, i);
    if (k != terms.ignore && k >= 0 && k < terms.s.length) total += terms.weight_of(k);
  }
  return total;
}

template <class T>
void put_total(const Operand& loss, const double* losses, int64_t n, double divisor) {
  double total = 0;
  for (int64_t i = 0; i < n; ++i) total += losses[i];
  loss.data<T>()[0] = static_cast<T>(total / divisor);
}

// Parameters x, target, weight, dy, loss, dx of both kernels.
template <class T, template <class> class Against>
void cross_entropy_of(const Call& c, bool probabilities, T smoothing, int64_t ignore, int64_t reduction) {
  const int64_t axis = c.integer(0);
  const bool wants_loss = c.has(4), wants_dx = c.has(5), each = reduction == Reduction::none;
  const Operand& dx = wants_dx ? c[5] : c[0];
  const Operand target = probabilities ? c[1] : with_axis(c[1], axis);
  const Operand own = each && (wants_loss || c.has(3)) ? with_axis(wants_loss ? c[4] : c[3], axis) : target;
  const Operand* const hard[] = {&c[0], &dx, &target, &own};
  const Operand* const soft[] = {&c[0], &target, &dx, &own};
  Lines s = make_lines(probabilities ? soft : hard, 4, axis);
  const int64_t bytes = s.count * s.length * static_cast<int64_t>(sizeof(T));
  const int inputs = probabilities ? 2 : 1;
  s.stream = wants_dx && s.step[inputs] == 1 && s.length >= kStreamLine && bytes >= kStreamBytes;
  Scratch scratch;
  Against<T> a{{s}};
  a.weight = weights_of<T>(c, 2, scratch);
  double weight_sum = 0;
  for (int64_t k = 0; k < s.length; ++k) weight_sum += static_cast<double>(a.weight_of(k));
  a.weight_sum = static_cast<T>(weight_sum);
  a.smoothing = smoothing;
  a.ignore = ignore;
  a.error = c.error;
  a.wants_loss = wants_loss;
  a.wants_dx = wants_dx;
  (c.has(3) ? a.dy : a.loss) = 3;
  double divisor = 1;
  if (reduction == Reduction::mean) divisor = probabilities ? static_cast<double>(s.count) : counted_weight(a, 2);
  a.scale = static_cast<T>(1 / divisor);
  if (!each) a.losses = scratch.take<double>(s.count);
  run_lines<T>(s, a, {inputs, inputs + wants_dx});
  if (!each && wants_loss) put_total<T>(c[4], a.losses, s.count, divisor);
}

void cross_entropy(const Call& c) {
  visit_float(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    cross_entropy_of<T, AgainstClass>(c, false, static_cast<T>(c.real(2)), c.integer(1), c.integer(3));
  });
}
void cross_entropy_soft(const Call& c) {
  visit_float(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    cross_entropy_of<T, AgainstProbabilities>(c, true, static_cast<T>(c.real(1)), 0, c.integer(2));
  });
}

// y = dy dx
template <class T>
void scale_tile(const Tile& t) {
  for_each_vec<T>(t.n, [&](int64_t i, auto lanes) {
    (Vec<T>::load(t.x<T>(0) + i, lanes) * Vec<T>::load(t.x<T>(1) + i, lanes)).store(t.y<T>() + i, lanes);
  });
}
void cross_entropy_scale(const Call& c) {
  visit_float(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    if (c[2].data<T>() == c[0].data<T>() && *c[1].data<T>() == T(1)) return;
    elementwise(c, scale_tile<T>, 2);
  });
}

// --- nll_loss --------------------------------------------------------------------------------------

// ℓ_i = −w_k x_ik, k = target_i
template <class T>
void nll_loss_of(const Call& c) {
  const int64_t axis = c.integer(0), reduction = c.integer(2);
  const Operand target = with_axis(c[1], axis), loss = reduction == Reduction::none ? with_axis(c[3], axis) : target;
  const Operand* const operands[] = {&c[0], &target, &loss};
  const Lines s = make_lines(operands, 3, axis);
  Scratch scratch;
  Terms<T> terms{s};
  terms.weight = weights_of<T>(c, 2, scratch);
  terms.ignore = c.integer(1);
  terms.error = c.error;
  terms.loss = 2;
  if (reduction != Reduction::none) terms.losses = scratch.take<double>(s.count);
  parallel_for(s.count, kLineTask, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t k = terms.class_of(1, i);
      terms.put(i, k < 0 ? 0 : -terms.weight_of(k) * s.line<T>(0, i)[k * s.step[0]]);
    }
  });
  if (reduction != Reduction::none)
    put_total<T>(c[3], terms.losses, s.count, reduction == Reduction::mean ? counted_weight(terms, 1) : 1);
}
void nll_loss(const Call& c) {
  visit_float(c[0].dtype, [&](auto zero) { nll_loss_of<decltype(zero)>(c); });
}

// dx_ik = −g_i w_k [k = target_i]
template <class T>
void nll_loss_backward_of(const Call& c) {
  const int64_t axis = c.integer(0), reduction = c.integer(2);
  const Operand target = with_axis(c[1], axis), dy = reduction == Reduction::none ? with_axis(c[0], axis) : target;
  const Operand* const operands[] = {&c[3], &target, &dy};
  const Lines s = make_lines(operands, 3, axis);
  Scratch scratch;
  Terms<T> terms{s};
  terms.weight = weights_of<T>(c, 2, scratch);
  terms.ignore = c.integer(1);
  terms.error = c.error;
  if (reduction == Reduction::none) terms.dy = 2;
  if (reduction != Reduction::none) terms.scale = *c[0].data<T>();
  if (reduction == Reduction::mean) terms.scale /= static_cast<T>(counted_weight(terms, 1));
  parallel_for(s.count, larger(1, kLineTask / larger(1, s.length)), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      T* dx = s.line<T>(0, i);
      for (int64_t k = 0; k < s.length; ++k) dx[k * s.step[0]] = 0;
      const int64_t k = terms.class_of(1, i);
      if (k >= 0) dx[k * s.step[0]] = -terms.gradient_of(i) * terms.weight_of(k);
    }
  });
}
void nll_loss_backward(const Call& c) {
  visit_float(c[3].dtype, [&](auto zero) { nll_loss_backward_of<decltype(zero)>(c); });
}

constexpr EntryRow rows[] = {
    {"cross_entropy", cross_entropy},
    {"cross_entropy_soft", cross_entropy_soft},
    {"cross_entropy_scale", cross_entropy_scale},
    {"nll_loss", nll_loss},
    {"nll_loss_backward", nll_loss_backward},
};

}  // namespace

extern const Family cross_entropy_family;
const Family cross_entropy_family = {rows, sizeof(rows) / sizeof(rows[0])};

}  // namespace pullback::ISA_NAMESPACE
