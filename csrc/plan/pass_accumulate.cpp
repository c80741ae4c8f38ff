#include <algorithm>

#include "plan/match.h"

namespace pullback {
namespace {

bool touches(const Step& s, int32_t buffer) {
  return std::find(s.buffers.begin(), s.buffers.end(), buffer) != s.buffers.end();
}

class Accumulating {
 public:
  explicit Accumulating(Trace& trace) : trace_(trace), spans_(lifetimes(trace)), gone_(trace.steps.size()) {}

  void run() {
    for (size_t j = 0; j < trace_.steps.size(); ++j)
      if (is(trace_.steps[j], "add")) take(j);
    std::vector<Step> left;
    for (size_t i = 0; i < trace_.steps.size(); ++i)
      if (!gone_[i]) left.push_back(std::move(trace_.steps[i]));
    trace_.steps = std::move(left);
  }

 private:
  // The last call before step j that meets a buffer, if no pause lies between; else j.
  size_t before(size_t j, int32_t buffer) const {
    for (size_t i = j; i-- > 0;) {
      if (trace_.steps[i].pause()) return j;
      if (!gone_[i] && touches(trace_.steps[i], buffer)) return i;
    }
    return j;
  }

  // g ← g + x, where x ends: who computes x computes it in g.
  void take(size_t j) {
    const Step& add = trace_.steps[j];
    const int32_t g = add.buffers[kSum];
    const int old = add.buffers[kLeft] == g ? kLeft : kRight, other = kLeft + kRight - old;
    const int32_t x = add.buffers[other];
    const Operand& sum = add.operands[kSum];
    if (add.buffers[old] != g || x == g || !same_view(add.operands[old], sum)) return;
    if (trace_.buffers[x].kind != Buffer::Kind::made || spans_[x].last != static_cast<int64_t>(j)) return;
    const size_t i = before(j, x), last = before(j, g);
    if (i == j || (last != j && last >= i)) return;
    Step& maker = trace_.steps[i];
    const size_t at =
        static_cast<size_t>(std::find(maker.buffers.begin(), maker.buffers.end(), x) - maker.buffers.begin());
    if (at >= maker.operands.size() || maker.operands[at].role != Role::out) return;
    const bool starts = last != j && is_zeroed(last, sum);
    if (!starts && (!is_plain_product(maker) || has_bias(maker))) return;
    if (!move(maker.operands[at], add.operands[other], sum)) return;
    maker.buffers[at] = g;
    if (starts) {
      gone_[last] = true;
    } else {
      maker.operands[at].role = Role::inout;
      maker.scalars[kBeta].kind = Scalar::Kind::real, maker.scalars[kBeta].real_value = 1;
    }
    gone_[j] = true;
  }

  bool is_zeroed(size_t i, const Operand& g) const {
    const Step& s = trace_.steps[i];
    return (is(s, "fill") || is(s, "fill_integer")) && is_zero(s.scalars[0]) && same_view(s.operands[0], g);
  }

  // Makes what was written as x, and read as `read`, an operand that lies where g does.
  static bool move(Operand& x, const Operand& read, const Operand& g) {
    Operand moved = g;
    if (!same_view(x, read) || !same_shape(x, g)) {  // the same elements under another shape
      if (!x.contiguous() || !read.contiguous() || !g.contiguous() || x.offset != read.offset) return false;
      if (x.size() != g.size() || read.size() != g.size()) return false;
      std::copy(x.shape, x.shape + x.ndim, moved.shape);
      std::copy(x.strides, x.strides + x.ndim, moved.strides);
      moved.ndim = x.ndim;
    }
    moved.role = Role::out;
    x = moved;
    return true;
  }

  Trace& trace_;
  std::vector<Span> spans_;  // of before; what is dropped only shortens them
  std::vector<bool> gone_;
};

}  // namespace

// g ← 0, g ← g + x becomes a first write of x in g, and g ← g + a b a product that adds to g.
void accumulate(Trace& trace) { Accumulating(trace).run(); }

}  // namespace pullback
