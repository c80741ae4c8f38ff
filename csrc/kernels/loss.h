// Losses of the differences d = x − y, elementwise and then, by `reduction`, each (0), their mean (1) or their sum (2).
//
// Each is even in d: so the gradient of y is −dx, and dx of the loss with x and y exchanged. `scale` is what the
// reduction multiplies dy with, 1/n for the mean; dy broadcasts.
#pragma once
#include "runtime/signature.h"

namespace pullback {

struct Reduction {
  enum : int64_t { none, mean, sum };
};

template <class... Scalars>
constexpr Signature difference_loss(const char* name, const char* formula, Scalars... scalars) {
  return {name, formula, {in("x", kFloat), in("y", kFloat), out("loss", kFloat), integer("reduction"), scalars...}};
}
template <class... Scalars>
constexpr Signature difference_loss_backward(const char* name, const char* formula, Scalars... scalars) {
  return {name,
          formula,
          {in("dloss", kFloat), in("x", kFloat), in("y", kFloat), out("dx", kFloat), optional(out("dy", kFloat)),
           real("scale"), scalars...}};
}

inline constexpr Signature loss_signatures[] = {
    difference_loss("mse_loss", "loss = reduce d²"),
    difference_loss("l1_loss", "loss = reduce |d|"),
    difference_loss("smooth_l1_loss", "loss = reduce d² / 2 beta where |d| < beta, else |d| − beta/2", real("beta")),
    difference_loss("huber_loss", "loss = reduce d² / 2 where |d| < delta, else delta (|d| − delta/2)", real("delta")),
    difference_loss_backward("mse_loss_backward", "dx = scale dloss 2d, dy = −dx"),
    difference_loss_backward("l1_loss_backward", "dx = scale dloss sign d, dy = −dx; sign 0 = 0"),
    difference_loss_backward("smooth_l1_loss_backward", "dx = scale dloss min(max(d, −beta), beta) / beta, dy = −dx",
                             real("beta")),
    difference_loss_backward("huber_loss_backward", "dx = scale dloss min(max(d, −delta), delta), dy = −dx",
                             real("delta")),
};

}  // namespace pullback
