// The losses of loss.h and their derivatives. V is a vector on the CPU, one number on the GPU: both sources include
// this after the functions that the table at the end names.
#pragma once
#include "kernels/loss.h"

namespace pullback::ISA_NAMESPACE {
namespace {

// Each struct is one loss with its scalar: f(d) is the loss, slope(d) its derivative. f(0) = 0.
template <class T>
struct Mse {
  using V = Vec<T>;
  PB_INLINE explicit Mse(const Call&) {}
  PB_INLINE V f(V d) const { return d * d; }
  PB_INLINE V slope(V d) const { return d + d; }
};

template <class T>
struct L1 {
  using V = Vec<T>;
  PB_INLINE explicit L1(const Call&) {}
  PB_INLINE V f(V d) const { return abs(d); }
  PB_INLINE V slope(V d) const { return select((d > V(0)) | (d < V(0)), copysign(V(1), d), d); }  // NaN where d is
};

template <class T>
struct SmoothL1 {
  using V = Vec<T>;
  T beta;
  PB_INLINE explicit SmoothL1(const Call& c) : beta(T(c.real(1))) {}
  PB_INLINE V f(V d) const { return select(abs(d) < V(beta), V(0.5) * d * d / V(beta), abs(d) - V(beta / 2)); }
  PB_INLINE V slope(V d) const { return clamp(d, -beta, beta) / V(beta); }
};

template <class T>
struct Huber {
  using V = Vec<T>;
  T delta;
  PB_INLINE explicit Huber(const Call& c) : delta(T(c.real(1))) {}
  PB_INLINE V f(V d) const { return select(abs(d) < V(delta), V(0.5) * d * d, V(delta) * (abs(d) - V(delta / 2))); }
  PB_INLINE V slope(V d) const { return clamp(d, -delta, delta); }
};

constexpr EntryRow rows[] = {
    {"mse_loss", forward<Mse>, kHalves},
    {"l1_loss", forward<L1>, kHalves},
    {"smooth_l1_loss", forward<SmoothL1>, kHalves},
    {"huber_loss", forward<Huber>, kHalves},
    {"mse_loss_backward", backward<Mse>, kHalves},
    {"l1_loss_backward", backward<L1>, kHalves},
    {"smooth_l1_loss_backward", backward<SmoothL1>, kHalves},
    {"huber_loss_backward", backward<Huber>, kHalves},
};

}  // namespace

extern const Family loss_family;
const Family loss_family = {rows, sizeof(rows) / sizeof(rows[0])};

}  // namespace pullback::ISA_NAMESPACE
