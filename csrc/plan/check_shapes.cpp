#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "kernels/loss.h"
#include "kernels/matmul.h"
#include "plan/check.h"
#include "plan/match.h"

namespace pullback {
namespace {

// Parameter i of a call, which is there.
const Operand& at(const Step& s, int i) { return s.operands[s.first[i]]; }
bool has(const Step& s, int i) { return s.first[i + 1] > s.first[i]; }
int64_t integer(const Step& s, int i) { return s.scalars[i].integer_value; }

bool same_but_for(const Operand& a, const Operand& b, int64_t axis) {
  for (int d = 0; d < a.ndim; ++d)
    if (d != axis && a.shape[d] != b.shape[d]) return false;
  return a.ndim == b.ndim;
}
bool stretches(const Operand& x, const Operand& y) {
  if (x.ndim > y.ndim) return false;
  for (int d = 0; d < x.ndim; ++d)
    if (x.shape[d] != 1 && x.shape[d] != y.shape[y.ndim - x.ndim + d]) return false;
  return true;
}
bool is_axis(int64_t axis, const Operand& x) { return axis >= 0 && axis < x.ndim; }

// --- rules -----------------------------------------------------------------------------------------------------------

// y_i = f(a_i, b_i, …)
bool elementwise(const Trace&, const Step& s) {
  const Operand& y = s.operands.back();
  for (size_t i = 0; i < s.operands.size(); ++i)
    if (s.writes(i) ? !same_shape(s.operands[i], y) : !stretches(s.operands[i], y)) return false;
  return true;
}

bool is_line(const Trace&, const Step& s) { return at(s, 0).ndim == 1; }

// The kernel checks its shapes itself.
bool any(const Trace&, const Step&) { return true; }

bool matmul(const Trace&, const Step& s) {
  return integer(s, 2) >= 0 && integer(s, 2) <= static_cast<int64_t>(Activation::silu);
}

// Lines along axis, in operands of one shape.
bool lines(const Trace&, const Step& s) {
  for (const Operand& o : s.operands)
    if (!same_shape(o, s.operands[0])) return false;
  return is_axis(integer(s, 0), s.operands[0]);
}

// x in lines along axis; y and index have no longer ones.
bool shorter_lines(const Trace&, const Step& s) {
  const int64_t axis = integer(s, 0);
  const Operand &x = at(s, 0), &y = at(s, 1);
  return is_axis(axis, x) && same_shape(y, at(s, 2)) && same_but_for(x, y, axis) && y.shape[axis] <= x.shape[axis];
}
bool single_lines(const Trace& t, const Step& s) { return shorter_lines(t, s) && at(s, 1).shape[integer(s, 0)] == 1; }
bool kth_of_lines(const Trace& t, const Step& s) {
  return single_lines(t, s) && integer(s, 1) >= 0 && integer(s, 1) < at(s, 0).shape[integer(s, 0)];
}

// x, and outputs of size 1 or x's in each dimension.
bool reduction(const Trace&, const Step& s) {
  const Operand& x = s.operands[0];
  for (size_t i = 1; i < s.operands.size(); ++i) {
    const Operand& y = s.operands[i];
    if (s.reads(i) || y.ndim != x.ndim || !same_shape(y, s.operands[1])) return false;
    for (int d = 0; d < x.ndim; ++d)
      if (y.shape[d] != 1 && y.shape[d] != x.shape[d]) return false;
  }
  return s.operands.size() > 1;
}

bool cat(const Trace&, const Step& s) {
  const int64_t axis = integer(s, 0);
  const Operand& y = at(s, 1);
  if (!is_axis(axis, y)) return false;
  int64_t total = 0;
  for (int32_t i = 0; i < s.first[1]; ++i) {
    Operand part = s.operands[i];
    if (part.ndim == y.ndim - 1) {  // one layer
      std::copy_backward(part.shape + axis, part.shape + part.ndim, part.shape + part.ndim + 1);
      part.shape[axis] = 1;
      ++part.ndim;
    }
    if (!same_but_for(part, y, axis)) return false;
    total += part.shape[axis];
  }
  return total == y.shape[axis];
}

// The bytes of memory that no call writes to; nullptr for other memory.
const char* constant(const Trace& trace, int32_t buffer) {
  const Buffer& b = trace.buffers[buffer];
  return b.kind == Buffer::Kind::given && b.name < 0 ? b.address : nullptr;
}

// Where x's elements lie in y is what `pads` says, which therefore has to be constant.
bool pad(const Trace& trace, const Step& s) {
  enum Mode : int64_t { kConstant, kReflect, kReplicate, kCircular };
  const Operand &x = at(s, 0), &pads = at(s, 1), &y = at(s, 3);
  const int64_t mode = integer(s, 0);
  const char* bytes = constant(trace, s.buffers[1]);
  if (!bytes || mode < kConstant || mode > kCircular || x.ndim < 1 || x.ndim != y.ndim) return false;
  if (pads.ndim != 2 || pads.shape[0] != x.ndim || pads.shape[1] != 2) return false;
  for (int d = 0; d < x.ndim; ++d) {
    const auto* row = reinterpret_cast<const int64_t*>(bytes + pads.offset) + d * pads.strides[0];
    const int64_t left = row[0], right = row[pads.strides[1]], n = x.shape[d], size = y.shape[d];
    const int64_t most = mode == kReflect ? n - 1 : mode == kCircular ? n : size;
    if (left > most || right > most || left < -n || right < -n || left + n + right != size) return false;
  }
  return true;
}

bool triangle(const Trace&, const Step& s) { return at(s, 0).ndim >= 2 && same_shape(at(s, 0), at(s, 1)); }

// y[b…, r…] = x[i₁[b…], i₂[b…], …, r…], or the other way round
bool indexed(const Trace&, const Step& s) {
  const Operand &x = at(s, 0), &y = at(s, 2), &index = at(s, 1);
  const int count = s.first[2] - s.first[1], rest = x.ndim - count;
  if (rest < 0 || y.ndim != index.ndim + rest) return false;
  for (int k = 0; k < count; ++k)
    if (!same_shape(s.operands[s.first[1] + k], index)) return false;
  return std::equal(index.shape, index.shape + index.ndim, y.shape) &&
         std::equal(x.shape + count, x.shape + x.ndim, y.shape + index.ndim);
}

// x[…, index[…, j, …], …] along dim, and y or values of index's shape
bool along(const Trace&, const Step& s) {
  const int64_t dim = integer(s, 0);
  const Operand &x = at(s, 0), &index = at(s, 1);
  if (!is_axis(dim, x) || x.ndim != index.ndim || !same_shape(index, at(s, 2))) return false;
  for (int d = 0; d < x.ndim; ++d)
    if (d != dim && index.shape[d] > x.shape[d]) return false;
  return true;
}
bool scatter(const Trace& t, const Step& s) { return along(t, s) && integer(s, 1) >= 0 && integer(s, 1) <= 4; }

// x without the dimension `axis`
bool is_without_axis(const Operand& y, const Operand& x, int64_t axis) {
  Operand without = x;
  std::copy(x.shape + axis + 1, x.shape + x.ndim, without.shape + axis);
  --without.ndim;
  return same_shape(y, without);
}

// Lines of C classes along the axis, a weight for each class, and numbers of lines where they are not reduced.
struct Classes {
  const Step& s;
  const Operand& x;  // [.., C, ..]
  int64_t axis, reduction;

  bool hold() const { return is_axis(axis, x) && reduction >= Reduction::none && reduction <= Reduction::sum; }
  bool weighted_by(int i) const { return !has(s, i) || (at(s, i).ndim == 1 && at(s, i).shape[0] == x.shape[axis]); }
  bool are_of_lines(int i) const { return is_without_axis(at(s, i), x, axis); }
  bool are_losses(int i) const { return reduction != Reduction::none || are_of_lines(i); }
};

// Both kernels; dy belongs to losses that are not reduced, and to no call that computes them.
bool cross_entropy_of(const Classes& c, bool probabilities) {
  enum { kTarget = 1, kWeight, kDy, kLoss, kDx };
  const Step& s = c.s;
  if (!c.hold() || !c.weighted_by(kWeight) || !(has(s, kLoss) || has(s, kDx))) return false;
  if (probabilities ? !same_shape(at(s, kTarget), c.x) : !c.are_of_lines(kTarget)) return false;
  if (has(s, kDy) && (has(s, kLoss) || c.reduction != Reduction::none || !c.are_of_lines(kDy))) return false;
  return (!has(s, kLoss) || c.are_losses(kLoss)) && (!has(s, kDx) || same_shape(at(s, kDx), c.x));
}
bool cross_entropy(const Trace&, const Step& s) {
  return cross_entropy_of({s, at(s, 0), integer(s, 0), integer(s, 3)}, false);
}
bool cross_entropy_soft(const Trace&, const Step& s) {
  return cross_entropy_of({s, at(s, 0), integer(s, 0), integer(s, 2)}, true);
}

// x or dx, the target, and the losses or their gradients
bool nll_loss_of(const Classes& c, int losses) {
  return c.hold() && c.weighted_by(2) && c.are_of_lines(1) && c.are_losses(losses);
}
bool nll_loss(const Trace&, const Step& s) { return nll_loss_of({s, at(s, 0), integer(s, 0), integer(s, 2)}, 3); }
bool nll_loss_backward(const Trace&, const Step& s) {
  return nll_loss_of({s, at(s, 3), integer(s, 0), integer(s, 2)}, 0);
}

// Numbers that are looked for in lines along the last axis
bool searchsorted(const Trace&, const Step& s) {
  const Operand &sorted = at(s, 0), &x = at(s, 1);
  return x.ndim >= 1 && same_shape(x, at(s, 2)) && same_but_for(sorted, x, x.ndim - 1);
}

struct Rule {
  const char* family;
  const char* kernel;  // nullptr: all others of the family
  bool (*holds)(const Trace&, const Step&);
};
constexpr Rule rules[] = {
    {"copy", "arange", is_line},
    {"activation", nullptr, elementwise},
    {"binary", nullptr, elementwise},
    {"compare", nullptr, elementwise},
    {"copy", nullptr, elementwise},
    {"unary", nullptr, elementwise},
    {"where", nullptr, elementwise},
    {"matmul", nullptr, matmul},
    {"loss", nullptr, any},
    {"bounds", nullptr, any},
    {"softmax", nullptr, lines},
    {"scan", nullptr, lines},
    {"sort", "sort", lines},
    {"sort", "topk", shorter_lines},
    {"sort", "median", single_lines},
    {"sort", "kthvalue", kth_of_lines},
    {"sort", "searchsorted", searchsorted},
    {"reduce", nullptr, reduction},
    {"shape", "cat", cat},
    {"shape", "pad", pad},
    {"shape", nullptr, triangle},
    {"index", nullptr, indexed},
    {"along", "gather", along},
    {"along", "scatter", scatter},
    {"cross_entropy", "cross_entropy", cross_entropy},
    {"cross_entropy", "cross_entropy_soft", cross_entropy_soft},
    {"cross_entropy", "cross_entropy_scale", elementwise},
    {"cross_entropy", "nll_loss", nll_loss},
    {"cross_entropy", "nll_loss_backward", nll_loss_backward},
};

const Rule* rule_of(const Kernel& kernel) {
  for (const Rule& rule : rules)
    if (!std::strcmp(rule.family, kernel.family) && (!rule.kernel || !std::strcmp(rule.kernel, kernel.signature->name)))
      return &rule;
  return nullptr;
}

}  // namespace

void check_operand_shapes(const Trace& trace, const Step& s) {
  const std::string name = s.kernel->signature->name;
  const Rule* rule = rule_of(*s.kernel);
  if (!rule) throw std::invalid_argument("kernel " + name + " cannot be loaded from a file");
  if (!rule->holds(trace, s))
    throw std::invalid_argument(name + ": the shapes or numbers of its operands do not belong together");
}

bool works_in_place(const Step& s) {
  const Rule* rule = rule_of(*s.kernel);
  return rule && rule->holds == elementwise;
}

}  // namespace pullback
