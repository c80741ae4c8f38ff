#include "kernels/softmax.h"

#include "isa/lines.h"
#include "isa/math.h"

namespace pullback::ISA_NAMESPACE {
namespace {

// y_k = e^(x_k − m) / s,  s = Σ e^(x_k − m)
template <class T>
struct Softmax {
  template <class Line>
  PB_INLINE void operator()(const Line& line, T* const* p, int64_t, int64_t) const {
    const T* x = p[0];
    T* y = p[1];
    const Vec<T> m = line_max(line, x);
    Vec<T> s, of_block;
    const auto add = [&](int64_t k, auto lanes) {
      const T* from = x + line.at(0, k);
      line.fetch(0, from);
      const Vec<T> e = exp_below(Vec<T>::load(from, lanes) - m);
      e.store(y + line.at(1, k), lanes);
      of_block += line.masked(e, lanes, 0);
    };
    line.each(add, [&] { s += of_block, of_block = Vec<T>(); });
    const Vec<T> scale = Vec<T>(1) / line.sum(s);
    line.each([&](int64_t k, auto lanes) {
      T* at = y + line.at(1, k);
      (Vec<T>::load(at, lanes) * scale).store(at, lanes);
    });
  }
};

// y_k = (x_k − m) − ln s
template <class T>
struct LogSoftmax {
  template <class Line>
  PB_INLINE void operator()(const Line& line, T* const* p, int64_t, int64_t) const {
    const T* x = p[0];
    const Vec<T> m = line_max(line, x);
    Vec<T> s, of_block;
    const auto add = [&](int64_t k, auto lanes) {
      const T* from = x + line.at(0, k);
      line.fetch(0, from);
      of_block += line.masked(exp_below(Vec<T>::load(from, lanes) - m), lanes, 0);
    };
    line.each(add, [&] { s += of_block, of_block = Vec<T>(); });
    const Vec<T> log_s = log_above(line.sum(s));
    line.each([&](int64_t k, auto lanes) {
      (Vec<T>::load(x + line.at(0, k), lanes) - m - log_s).store(p[1] + line.at(1, k), lanes);
    });
  }
};

// dx_k = y_k (dy_k − Σ dy y)
template <class T>
struct SoftmaxBackward {
  template <class Line>
  PB_INLINE void operator()(const Line& line, T* const* p, int64_t, int64_t) const {
    const T *dy = p[0], *y = p[1];
    Vec<T> dot, of_block;
    const auto add = [&](int64_t k, auto lanes) {
      of_block = fma(Vec<T>::load(dy + line.at(0, k), lanes), Vec<T>::load(y + line.at(1, k), lanes), of_block);
    };
    line.each(add, [&] { dot += of_block, of_block = Vec<T>(); });
    dot = line.sum(dot);
    line.each([&](int64_t k, auto lanes) {
      const T *dy_k = dy + line.at(0, k), *y_k = y + line.at(1, k);
      line.fetch(0, dy_k), line.fetch(1, y_k);
      (Vec<T>::load(y_k, lanes) * (Vec<T>::load(dy_k, lanes) - dot)).store(p[2] + line.at(2, k), lanes);
    });
  }
};

// dx_k = dy_k − e^(y_k) Σ dy
template <class T>
struct LogSoftmaxBackward {
  template <class Line>
  PB_INLINE void operator()(const Line& line, T* const* p, int64_t, int64_t) const {
    const T *dy = p[0], *y = p[1];
    Vec<T> sum, of_block;
    const auto add = [&](int64_t k, auto lanes) { of_block += Vec<T>::load(dy + line.at(0, k), lanes); };
    line.each(add, [&] { sum += of_block, of_block = Vec<T>(); });
    sum = line.sum(sum);
    line.each([&](int64_t k, auto lanes) {
      const T* dy_k = dy + line.at(0, k);
      line.fetch(0, dy_k);
      const Vec<T> p_k = exp(Vec<T>::load(y + line.at(1, k), lanes));
      (Vec<T>::load(dy_k, lanes) - p_k * sum).store(p[2] + line.at(2, k), lanes);
    });
  }
};

template <template <class> class A, int inputs>
void along_axis(const Call& c) {
  const Lines s = make_lines(c, inputs + 1, c.integer(0));
  visit_float(c[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    run_lines<T>(s, A<T>{}, {inputs, inputs + 1});
  });
}

constexpr EntryRow rows[] = {
    {"softmax", along_axis<Softmax, 1>},
    {"log_softmax", along_axis<LogSoftmax, 1>},
    {"softmax_backward", along_axis<SoftmaxBackward, 2>},
    {"log_softmax_backward", along_axis<LogSoftmaxBackward, 2>},
};

}  // namespace

extern const Family softmax_family;
const Family softmax_family = {rows, sizeof(rows) / sizeof(rows[0])};

}  // namespace pullback::ISA_NAMESPACE
