#include "common/optimizer.h"

namespace pullback::cuda {
namespace {

PB_INLINE double power(double base, double exponent) { return pow(base, exponent); }
PB_INLINE double square_root(double x) { return sqrt(x); }

}  // namespace
}  // namespace pullback::cuda

#include "kernels/optimizer_adaptive_formulas.h"

namespace pullback::cuda {
namespace {

// The scalars of a call, to be read on the device: a rate may lie in a cell of memory.
template <int count>
struct Scalars {
  Scalar scalar[count];
  explicit Scalars(const Call& c) {
    for (int i = 0; i < count; ++i) scalar[i] = c.scalars[i];
  }
  PB_DEVICE double real(int i) const { return scalar[i].real(); }
  PB_DEVICE bool flag(int i) const { return scalar[i].integer() != 0; }
};

// One element of a parameter with one kind of state, or with two.
template <class T, class Step>
struct Move {
  Step step;
  PB_DEVICE void operator()(T p, T g, T s, T& p_to, T& s_to) const {
    T state[] = {s};
    step(p, g, state);
    p_to = p, s_to = state[0];
  }
  PB_DEVICE void operator()(T p, T g, T s, T u, T& p_to, T& s_to, T& u_to) const {
    T state[] = {s, u};
    step(p, g, state);
    p_to = p, s_to = state[0], u_to = state[1];
  }
};

template <class T, class Step, int count>
struct PrepareStep {
  Scalars<count> scalars;
  PB_DEVICE Move<T, Step> prepare(const History& h) const {
    return {Step::prepare(scalars, static_cast<double>(*h.step))};
  }
};
template <class T, int count>
struct PrepareNadam {
  Scalars<count> scalars;
  PB_DEVICE Move<T, Nadam<T>> prepare(const History& h) const {
    return {Nadam<T>::prepare(scalars, static_cast<double>(*h.step), static_cast<double>(*h.product))};
  }
};

template <template <class> class Step, int count, class T>
void step_of(const Call& c) {
  using C = Computed<T>;
  constexpr int states = Step<C>::states;
  constexpr HistoryLists history{.step = 2 + states};
  advance_histories(c, history, c.scalars[count], CountStep());
  const Unless<PrepareStep<C, Step<C>, count>> step{c.scalars[count], {Scalars<count>(c)}};
  if constexpr (states == 1) {
    step_of_parameters<const T, const T, const T, T, T>(c, {0, 1, 2, 0, 2}, history, step);
  } else {
    step_of_parameters<const T, const T, const T, const T, T, T, T>(c, {0, 1, 2, 3, 0, 2, 3}, history, step);
  }
}

// t ← t + 1;  P ← P μ(t)
template <int count>
struct AdvanceNadam {
  Scalars<count> c;
  PB_DEVICE void operator()(const History& h) const {
    *h.step += 1;
    *h.product *= static_cast<float>(nadam_momentum(c.real(1), c.real(5), static_cast<double>(*h.step)));
  }
};

template <class T>
void nadam_of(const Call& c) {
  constexpr int count = 8;
  constexpr HistoryLists history{.step = 5, .product = 4};
  const Scalars<count> scalars(c);
  advance_histories(c, history, c.scalars[count], AdvanceNadam<count>{scalars});
  step_of_parameters<const T, const T, const T, const T, T, T, T>(
      c, {0, 1, 2, 3, 0, 2, 3}, history, Unless<PrepareNadam<Computed<T>, count>>{c.scalars[count], {scalars}});
}

template <template <class> class Step, int count>
void step(const Call& c) {
  visit_parameters(c, [&](auto zero) { step_of<Step, count, decltype(zero)>(c); });
}
void nadam(const Call& c) {
  visit_parameters(c, [&](auto zero) { nadam_of<decltype(zero)>(c); });
}

constexpr EntryRow rows[] = {
    {"adagrad", step<Adagrad, 5>, kTakesHalves}, {"adadelta", step<Adadelta, 5>, kTakesHalves},
    {"adamax", step<Adamax, 6>, kTakesHalves},   {"nadam", nadam, kTakesHalves},
    {"radam", step<Radam, 7>, kTakesHalves},
};

}  // namespace

extern const Family optimizer_adaptive_family;
const Family optimizer_adaptive_family = {rows, sizeof(rows) / sizeof(rows[0])};

}  // namespace pullback::cuda
