#include "common/lines.h"
#include "common/reduce.h"
#include "kernels/softmax.h"

namespace pullback::cuda {
namespace {

// Each struct computes one line: f(n, pointers, steps), every pointer at the line's first element.

// m = max x; what is NaN does not count here, but makes the sum of exponentials NaN.
template <class T>
PB_DEVICE T line_max(int64_t n, const T* x, int64_t step) {
  T m = -T(__builtin_inf());
  for (int64_t k = thread(); k < n; k += threads()) m = Largest()(m, x[k * step]);
  return reduce_block(m, Largest(), -T(__builtin_inf()));
}

// s = Σ e^(x_k − m)
template <class T>
PB_DEVICE T line_sum_exp(int64_t n, const T* x, int64_t step, T m) {
  T s = 0;
  for (int64_t k = thread(); k < n; k += threads()) s += exp(x[k * step] - m);
  return reduce_block(s, Sum(), T(0));
}

// y_k = e^(x_k − m) / s
template <class T>
struct Softmax {
  PB_DEVICE void operator()(int64_t n, const int64_t* step, const T* x, T* y) const {
    const T m = line_max(n, x, step[0]), scale = T(1) / line_sum_exp(n, x, step[0], m);
    for (int64_t k = thread(); k < n; k += threads()) y[k * step[1]] = exp(x[k * step[0]] - m) * scale;
  }
};

// y_k = (x_k − m) − ln s
template <class T>
struct LogSoftmax {
  PB_DEVICE void operator()(int64_t n, const int64_t* step, const T* x, T* y) const {
    const T m = line_max(n, x, step[0]), log_s = log(line_sum_exp(n, x, step[0], m));
    for (int64_t k = thread(); k < n; k += threads()) y[k * step[1]] = x[k * step[0]] - m - log_s;
  }
};

// dx_k = y_k (dy_k − Σ dy y)
template <class T>
struct SoftmaxBackward {
  PB_DEVICE void operator()(int64_t n, const int64_t* step, const T* dy, const T* y, T* dx) const {
    T dot = 0;
    for (int64_t k = thread(); k < n; k += threads()) dot = fma(dy[k * step[0]], y[k * step[1]], dot);
    dot = reduce_block(dot, Sum(), T(0));
    for (int64_t k = thread(); k < n; k += threads()) dx[k * step[2]] = y[k * step[1]] * (dy[k * step[0]] - dot);
  }
};

// dx_k = dy_k − e^(y_k) Σ dy
template <class T>
struct LogSoftmaxBackward {
  PB_DEVICE void operator()(int64_t n, const int64_t* step, const T* dy, const T* y, T* dx) const {
    T sum = 0;
    for (int64_t k = thread(); k < n; k += threads()) sum += dy[k * step[0]];
    sum = reduce_block(sum, Sum(), T(0));
    for (int64_t k = thread(); k < n; k += threads()) dx[k * step[2]] = dy[k * step[0]] - exp(y[k * step[1]]) * sum;
  }
};

template <class F, class T>
__global__ void each_line(Lines<2> lines, F f, const T* x, T* y) {
  for (int64_t i = block(); i < lines.count; i += blocks())
    f(lines.length, lines.step, x + lines.at(0, i), y + lines.at(1, i));
}
template <class F, class T>
__global__ void each_line_backward(Lines<3> lines, F f, const T* dy, const T* y, T* dx) {
  for (int64_t i = block(); i < lines.count; i += blocks())
    f(lines.length, lines.step, dy + lines.at(0, i), y + lines.at(1, i), dx + lines.at(2, i));
}

template <template <class> class F>
void forward(const Call& c) {
  const Lines<2> lines = make_lines<2>(c, c.integer(0));
  visit_float(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    launch(each_line<F<T>, T>, blocks_for_lines(lines.count), threads_for_line(lines.length), lines, F<T>(),
           c[0].data<T>(), c[1].data<T>());
  });
}
template <template <class> class F>
void backward(const Call& c) {
  const Lines<3> lines = make_lines<3>(c, c.integer(0));
  visit_float(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    launch(each_line_backward<F<T>, T>, blocks_for_lines(lines.count), threads_for_line(lines.length), lines, F<T>(),
           c[0].data<T>(), c[1].data<T>(), c[2].data<T>());
  });
}

constexpr EntryRow rows[] = {
    {"softmax", forward<Softmax>},
    {"log_softmax", forward<LogSoftmax>},
    {"softmax_backward", backward<SoftmaxBackward>},
    {"log_softmax_backward", backward<LogSoftmaxBackward>},
};

}  // namespace

extern const Family softmax_family;
const Family softmax_family = {rows, sizeof(rows) / sizeof(rows[0])};

}  // namespace pullback::cuda
