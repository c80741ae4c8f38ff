#include "plan/plan.h"

namespace pullback {

// From the end: a call is wanted where it writes to memory that outlives the step or that a wanted call reads later,
// and where it writes nothing, which is what checks do.
void drop_dead_calls(Trace& trace) {
  std::vector<bool> wanted(trace.buffers.size());
  for (size_t b = 0; b < wanted.size(); ++b) wanted[b] = trace.buffers[b].kind != Buffer::Kind::made;
  std::vector<Step> kept;
  for (size_t i = trace.steps.size(); i-- > 0;) {
    Step& s = trace.steps[i];
    bool writes = false, useful = false;
    for (size_t k = 0; k < s.operands.size(); ++k)
      if (s.writes(k)) writes = true, useful = useful || wanted[s.buffers[k]];
    if (writes && !useful) continue;
    for (size_t k = 0; k < s.buffers.size(); ++k)
      if (s.buffers[k] >= 0 && (k >= s.operands.size() || s.reads(k))) wanted[s.buffers[k]] = true;
    kept.push_back(std::move(s));
  }
  trace.steps.assign(std::make_move_iterator(kept.rbegin()), std::make_move_iterator(kept.rend()));
}

}  // namespace pullback
