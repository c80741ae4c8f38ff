#include "common/halves.h"
#include "common/lines.h"
#include "common/reduce.h"
#include "kernels/softmax.h"

namespace pullback::cuda {
namespace {

// Each struct computes one line of n numbers, in type C.

// m = max x; what is NaN does not count here, but makes the sum of exponentials NaN.
template <class X, class C = Computed<X>>
PB_DEVICE C line_max(int64_t n, const Strided<X>& x) {
  C m = -C(__builtin_inf());
  for (int64_t k = thread(); k < n; k += threads()) m = Largest()(m, x[k]);
  return reduce_block(m, Largest(), -C(__builtin_inf()));
}

// s = Σ e^(x_k − m)
template <class X, class C = Computed<X>>
PB_DEVICE C line_sum_exp(int64_t n, const Strided<X>& x, C m) {
  C s = 0;
  for (int64_t k = thread(); k < n; k += threads()) s += exp(x[k] - m);
  return reduce_block(s, Sum(), C(0));
}

// y_k = e^(x_k − m) / s
struct Softmax {
  template <class T, class C = Computed<T>>
  PB_DEVICE void operator()(int64_t n, Strided<const T> x, Strided<T> y) const {
    const C m = line_max(n, x), scale = C(1) / line_sum_exp(n, x, m);
    for (int64_t k = thread(); k < n; k += threads()) y.put(k, exp(x[k] - m) * scale);
  }
};

// y_k = (x_k − m) − ln s
struct LogSoftmax {
  template <class T, class C = Computed<T>>
  PB_DEVICE void operator()(int64_t n, Strided<const T> x, Strided<T> y) const {
    const C m = line_max(n, x), log_s = log(line_sum_exp(n, x, m));
    for (int64_t k = thread(); k < n; k += threads()) y.put(k, x[k] - m - log_s);
  }
};

// dx_k = y_k (dy_k − Σ dy y)
struct SoftmaxBackward {
  template <class T, class C = Computed<T>>
  PB_DEVICE void operator()(int64_t n, Strided<const T> dy, Strided<const T> y, Strided<T> dx) const {
    C dot = 0;
    for (int64_t k = thread(); k < n; k += threads()) dot = fma(dy[k], y[k], dot);
    dot = reduce_block(dot, Sum(), C(0));
    for (int64_t k = thread(); k < n; k += threads()) dx.put(k, y[k] * (dy[k] - dot));
  }
};

// dx_k = dy_k − e^(y_k) Σ dy
struct LogSoftmaxBackward {
  template <class T, class C = Computed<T>>
  PB_DEVICE void operator()(int64_t n, Strided<const T> dy, Strided<const T> y, Strided<T> dx) const {
    C sum = 0;
    for (int64_t k = thread(); k < n; k += threads()) sum += dy[k];
    sum = reduce_block(sum, Sum(), C(0));
    for (int64_t k = thread(); k < n; k += threads()) dx.put(k, dy[k] - exp(y[k]) * sum);
  }
};

template <class F, class T>
__global__ void each_line(Lines<2> lines, Format format, F f, const T* x, T* y) {
  for (int64_t i = block(); i < lines.count; i += blocks())
    f.template operator()<T>(lines.length, {x + lines.at(0, i), lines.step[0], format},
                             {y + lines.at(1, i), lines.step[1], format});
}
template <class F, class T>
__global__ void each_line_backward(Lines<3> lines, Format format, F f, const T* dy, const T* y, T* dx) {
  for (int64_t i = block(); i < lines.count; i += blocks())
    f.template operator()<T>(lines.length, {dy + lines.at(0, i), lines.step[0], format},
                             {y + lines.at(1, i), lines.step[1], format}, {dx + lines.at(2, i), lines.step[2], format});
}

template <class F>
void forward(const Call& c) {
  const Lines<2> lines = make_lines<2>(c, c.integer(0));
  visit_real(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    launch(each_line<F, T>, blocks_for_lines(lines.count), threads_for_line(lines.length), lines, Format(c[0].dtype),
           F(), c[0].data<T>(), c[1].data<T>());
  });
}
template <class F>
void backward(const Call& c) {
  const Lines<3> lines = make_lines<3>(c, c.integer(0));
  visit_real(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    launch(each_line_backward<F, T>, blocks_for_lines(lines.count), threads_for_line(lines.length), lines,
           Format(c[0].dtype), F(), c[0].data<T>(), c[1].data<T>(), c[2].data<T>());
  });
}

constexpr EntryRow rows[] = {
    {"softmax", forward<Softmax>, kTakesHalves},
    {"log_softmax", forward<LogSoftmax>, kTakesHalves},
    {"softmax_backward", backward<SoftmaxBackward>, kTakesHalves},
    {"log_softmax_backward", backward<LogSoftmaxBackward>, kTakesHalves},
};

}  // namespace

extern const Family softmax_family;
const Family softmax_family = {rows, sizeof(rows) / sizeof(rows[0])};

}  // namespace pullback::cuda
