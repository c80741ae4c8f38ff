#include "plan/plan.h"

namespace pullback {

const std::vector<Pass>& passes() {
  static const std::vector<Pass> all = {
      {"dead", "calls whose results nobody reads are dropped", drop_dead_calls},
      {"accumulate", "what is added to a gradient is computed where that lies", accumulate, false},
      {"epilogue", "a bias and an activation are folded into the product before them", fold_epilogues},
      {"tile", "elementwise calls in a row run together, a tile in the cache at a time", tile_elementwise},
  };
  return all;
}

}  // namespace pullback
