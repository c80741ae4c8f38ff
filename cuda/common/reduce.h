// Reductions of one value a thread. The order in which values meet depends on the block's size only, so bits do too.
#pragma once
#include "common/device.h"

namespace pullback::cuda {

struct Sum {
  template <class T>
  PB_DEVICE T operator()(T a, T b) const {
    return a + b;
  }
};
struct Largest {
  template <class T>
  PB_DEVICE T operator()(T a, T b) const {
    return a > b ? a : b;
  }
};

// In every lane of the warp: a tree of five levels, where each level meets its neighbours.
template <class T, class Op>
PB_DEVICE T reduce_warp(T value, Op op) {
  for (int step = kWarpSize / 2; step > 0; step /= 2) value = op(value, shuffle(value, lane() ^ step));
  return value;
}

// In every thread of the block; op(neutral, v) = v. All threads have to come.
template <class T, class Op>
PB_DEVICE T reduce_block(T value, Op op, T neutral) {
  value = reduce_warp(value, op);
  if (threads() == kWarpSize) return value;
  T* of_warp = shared<T, kWarpSize>();
  sync_block();  // an earlier reduction may still be read
  if (lane() == 0) of_warp[warp()] = value;
  sync_block();
  return reduce_warp(lane() < threads() / kWarpSize ? of_warp[lane()] : neutral, op);
}

}  // namespace pullback::cuda
