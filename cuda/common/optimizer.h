// What the optimizers' sources share: a step of all parameters in one launch, and what each has of its own.
#pragma once
#include "common/scalar.h"
#include "common/tensors.h"

namespace pullback::cuda {
namespace {

// √v of a second moment v, which a large gradient may have made infinite.
template <class T>
PB_DEVICE T root(T v) {
  return sqrt(min_fast(sizeof(T) == 4 ? T(__FLT_MAX__) : T(__DBL_MAX__), v));
}

// f(T{}) with what the parameters are stored as, if there are any.
template <class F>
void visit_parameters(const Call& c, F&& f) {
  if (c.has(0)) visit_real(c[0].dtype, f);
}

// What a parameter's steps leave in memory: t, how many there were, and Nadam's product of momenta.
struct History {
  float *step = nullptr, *product = nullptr;
};
// The lists of a call where those lie.
struct HistoryLists {
  int step = -1, product = -1;
  History of(const Call& c, int k) const {
    const auto pointer = [&](int list) { return list < 0 ? nullptr : c.list(list)[k].template data<float>(); };
    return {pointer(step), pointer(product)};
  }
};

// A step that leaves everything as it is where `found_inf` is not 0.
template <class Step>
struct Unless {
  Scalar found_inf;
  Step step;

  struct Prepared {
    decltype(step.prepare(History())) change;
    bool skip;
    PB_DEVICE bool idle() const { return skip; }
    template <class... T>
    PB_DEVICE void operator()(T&&... x) const {
      change(static_cast<T&&>(x)...);
    }
  };
  PB_DEVICE Prepared prepare(const History& h) const { return {step.prepare(h), found_inf.real() != 0}; }
};

// step's change to the elements of every parameter.
template <class... T, class Step>
void step_of_parameters(const Call& c, const int (&lists)[sizeof...(T)], HistoryLists history, const Step& step) {
  elementwise_lists<T...>(c, lists, [&](int k) { return history.of(c, k); }, step);
}

struct Histories {
  static constexpr int most = kTableBytes / sizeof(History);
  int count = 0;
  History of[most];
  bool has(const History& own) const {
    for (int k = 0; k < count; ++k)
      if (of[k].step == own.step) return true;
    return false;
  }
};

// t ← t + 1
struct CountStep {
  PB_DEVICE void operator()(const History& h) const { *h.step += 1; }
};

template <class F>
__global__ void advance(Histories histories, Scalar found_inf, F f) {
  if (found_inf.real() != 0) return;
  for (int64_t k = first(); k < histories.count; k += stride()) f(histories.of[k]);
}

// f(history) for every parameter; one that is listed twice has its turns in two launches.
template <class F>
void advance_histories(const Call& c, HistoryLists lists, const Scalar& found_inf, const F& f) {
  Histories h;
  const auto advance_all = [&] { launch(advance<F>, 1, Histories::most, h, found_inf, f); };
  for (int k = 0; k < c.list(lists.step).count; ++k) {
    const History own = lists.of(c, k);
    if (h.count == Histories::most || h.has(own)) {
      advance_all();
      h.count = 0;
    }
    h.of[h.count++] = own;
  }
  if (h.count > 0) advance_all();
}

}  // namespace
}  // namespace pullback::cuda
