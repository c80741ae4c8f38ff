#include "plan/plan.h"

namespace pullback {
namespace {

std::string name(const Step& s) { return s.pause() ? "host code" : s.kernel->signature->name; }

bool same_layout(const Operand& a, const Operand& b) {
  if (a.ndim != b.ndim || a.dtype != b.dtype || a.offset != b.offset) return false;
  for (int d = 0; d < a.ndim; ++d)
    if (a.shape[d] != b.shape[d] || a.strides[d] != b.strides[d]) return false;
  return true;
}

// Bit for bit: −0 and NaN are values like others. Where cells lie is their buffers' business.
bool same_scalar(const Scalar& a, const Scalar& b) {
  if (a.kind != b.kind) return false;
  return a.kind > Scalar::Kind::integer || a.integer_value == b.integer_value;
}

bool same_memory(const Buffer& a, const Buffer& b) {
  if ((a.kind == Buffer::Kind::given) != (b.kind == Buffer::Kind::given)) return false;
  if (a.kind != Buffer::Kind::given) return a.bytes == b.bytes && a.content.size() == b.content.size();
  return a.name >= 0 ? a.name == b.name : b.name < 0 && a.address == b.address;
}

class Comparison {
 public:
  Comparison(const Trace& before, const Trace& now) : before_(before), now_(now) {}

  std::optional<Difference> of_steps(const Step& a, const Step& b) {
    if (a.kernel != b.kernel) return Difference{name(b) + " where " + name(a) + " was called before", b.line};
    if (a.first != b.first || a.scalars.size() != b.scalars.size())
      return Difference{name(b) + " has another number of arguments than before", b.line};
    for (size_t i = 0; i < a.operands.size(); ++i)
      if (!same_layout(a.operands[i], b.operands[i]))
        return Difference{name(b) + " has arrays of other shapes than before", b.line};
    for (size_t i = 0; i < a.scalars.size(); ++i)
      if (!same_scalar(a.scalars[i], b.scalars[i]))
        return Difference{name(b) + " has another number than before: it changes from call to call, and would freeze",
                          b.line};
    for (size_t i = 0; i < a.buffers.size(); ++i)
      if (auto d = of_buffers(a.buffers[i], b.buffers[i], b)) return d;
    return std::nullopt;
  }

 private:
  std::optional<Difference> of_buffers(int32_t a, int32_t b, const Step& s) {
    if (a < 0 && b < 0) return std::nullopt;
    const auto differs = [&](const char* why) { return Difference{name(s) + why, s.line}; };
    if (a != b) return differs(" works on other arrays than before");
    const Buffer &x = before_.buffers[a], &y = now_.buffers[b];
    if (x.content != y.content)
      return differs(" has another number than before: it changes from call to call, and would freeze");
    if (same_memory(x, y)) return std::nullopt;
    if (x.kind != Buffer::Kind::given || y.kind != Buffer::Kind::given || x.name != y.name)
      return differs(" works on other arrays than before");
    if (is_written(now_, b))
      return differs(" writes to an array that is another one in every call; write in place, with copy_()");
    if (x.bytes < 0 || x.bytes != y.bytes || !same_bytes(x.address, y.address, x.bytes))
      return differs(
          " reads an array that is another one in every call: make it an argument of the step, or write to one array "
          "in place, with copy_()");
    return std::nullopt;
  }

  const Trace& before_;
  const Trace& now_;
};

}  // namespace

bool is_written(const Trace& trace, int32_t buffer) {
  for (const Step& s : trace.steps)
    for (size_t i = 0; i < s.operands.size(); ++i)
      if (s.buffers[i] == buffer && s.writes(i)) return true;
  return false;
}

std::optional<Difference> difference(const Trace& before, const Trace& now) {
  Comparison comparison(before, now);
  const size_t n = before.steps.size() < now.steps.size() ? before.steps.size() : now.steps.size();
  for (size_t i = 0; i < n; ++i)
    if (auto d = comparison.of_steps(before.steps[i], now.steps[i])) return d;
  if (before.steps.size() == now.steps.size()) return std::nullopt;
  const Trace& longer = before.steps.size() > n ? before : now;
  return Difference{std::to_string(now.steps.size()) + " calls where there were " +
                        std::to_string(before.steps.size()) + " before, the first of them " + name(longer.steps[n]),
                    &longer == &now ? now.steps[n].line : -1};
}

}  // namespace pullback
