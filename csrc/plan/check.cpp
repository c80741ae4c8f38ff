#include "plan/check.h"

#include <algorithm>
#include <cstdlib>
#include <stdexcept>

#include "plan/match.h"
#include "runtime/variables.h"

namespace pullback {
namespace {

constexpr const char* kAnotherDtype = " has another dtype than its other operands";

// The bytes of a buffer that an operand can reach: [low, high).
struct Reach {
  int64_t low, high;
};

class Check {
 public:
  Check(const Trace& trace, int64_t limit) : trace_(trace), limit_(limit) {}

  void of_buffers() {
    int64_t total = 0;
    for (const Buffer& b : trace_.buffers) {
      const bool weights = b.kind == Buffer::Kind::given && b.name < 0;
      if (b.bytes < 0 || (!weights && b.bytes > limit_ - total))
        refuse("its memory: expected at most " + std::to_string(limit_) + " bytes (max_bytes)");
      if (!weights) total += b.bytes;
      written_.push_back(b.kind == Buffer::Kind::given || b.kind == Buffer::Kind::filled);
    }
  }

  void of_step(const Step& s) {
    name_ = s.kernel->signature->name;
    of_contract(s);
    std::vector<Reach> reaches;
    for (size_t i = 0; i < s.operands.size(); ++i) {
      reaches.push_back(reach(s.operands[i], s.buffers[i]));
      if (s.reads(i)) of_reading(s.buffers[i]);
    }
    of_cells(s);
    for (size_t i = 0; i < s.operands.size(); ++i)
      if (s.writes(i)) of_writing(s, i, reaches);
    check_operand_shapes(trace_, s);
  }

  void of_result(int32_t buffer, const Operand& o) {
    name_ = "a result";
    reach(o, buffer);
    of_reading(buffer);
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const { throw std::invalid_argument(name_ + ": " + what); }

  // --- the contract ---

  void of_contract(const Step& s) const {
    int operand = 0, scalar = 0;
    Variables variables;
    for (const Param& p : s.kernel->signature->params) {
      if (!p.name) continue;
      if (p.kind != ParamKind::operand) {
        of_scalar(p, s.scalars[scalar++]);
        continue;
      }
      const int count = s.first[operand + 1] - s.first[operand];
      if (p.list ? count < 1 : count != 1 && !(p.optional && count == 0))
        refuse(std::string(p.name) + " expects another number of arrays than " + std::to_string(count));
      for (int i = s.first[operand]; i < s.first[operand + 1]; ++i) of_dtype(p, s.operands[i], variables);
      ++operand;
    }
    if (const Param* p = variables.misplaced()) refuse(std::string(p->name) + kAnotherDtype);
  }

  void of_scalar(const Param& p, const Scalar& x) const {
    if (p.kind != ParamKind::real && x.kind != Scalar::Kind::integer)
      refuse(std::string(p.name) + " expects a constant integer");
  }

  void of_dtype(const Param& p, const Operand& o, Variables& variables) const {
    if (!(p.types.mask >> static_cast<int>(o.dtype) & 1))
      refuse(std::string(p.name) + " does not admit " + dtype_name(o.dtype));
    if (!variables.admit(p, o)) refuse(std::string(p.name) + kAnotherDtype);
  }

  // --- memory ---

  // Of an operand that lies inside its buffer, with sizes and strides whose products are no larger than the limit.
  Reach reach(const Operand& o, int32_t buffer) const {
    if (buffer < 0 || buffer >= static_cast<int32_t>(trace_.buffers.size())) refuse("there is no such buffer");
    const int64_t bytes = trace_.buffers[buffer].bytes, item = item_size(o.dtype);
    int64_t size = item;
    Reach r{o.offset, o.offset};
    if (o.offset < 0 || o.offset > bytes || o.offset % item) refuse("an operand begins outside of its buffer");
    for (int d = 0; d < o.ndim; ++d) {
      int64_t span = 0;
      if (o.shape[d] < 1) refuse("an operand has no elements");
      if (__builtin_mul_overflow(size, o.shape[d], &size) || size > limit_) refuse("an operand is too large");
      if (o.strides[d] > limit_ || o.strides[d] < -limit_ ||
          __builtin_mul_overflow((o.shape[d] - 1) * item, o.strides[d], &span) || std::llabs(span) > bytes)
        refuse("an operand leaves its buffer");
      (span < 0 ? r.low : r.high) += span;
    }
    r.high += item;
    if (r.low < 0 || r.high > bytes) refuse("an operand leaves its buffer");
    return r;
  }

  void of_reading(int32_t buffer) const {
    if (!written_[buffer]) refuse("memory is read before it is written");
  }

  void of_cells(const Step& s) const {
    for (size_t k = 0; k < s.scalars.size(); ++k) {
      const Scalar& x = s.scalars[k];
      if (x.kind <= Scalar::Kind::integer) continue;
      const int32_t buffer = s.buffers[s.operands.size() + k];
      Operand cell{};
      cell.offset = reinterpret_cast<intptr_t>(x.cell);
      cell.dtype = x.kind == Scalar::Kind::cell_f32   ? DType::f32
                   : x.kind == Scalar::Kind::cell_f64 ? DType::f64
                                                      : DType::i64;
      reach(cell, buffer);
      of_reading(buffer);
    }
  }

  // What is written meets no other operand, but for the same view where elements do not depend on their neighbours:
  // indices are checked before they are followed, and must not change in between.
  void of_writing(const Step& s, size_t i, const std::vector<Reach>& reaches) {
    const int32_t b = s.buffers[i];
    const Operand& y = s.operands[i];
    if (trace_.buffers[b].kind == Buffer::Kind::given) refuse("it writes to memory that was given");
    for (int d = 0; d < y.ndim; ++d)
      if (y.shape[d] > 1 && y.strides[d] == 0) refuse("elements of its output share memory");
    for (size_t k = 0; k < s.operands.size(); ++k) {
      if (k == i || s.buffers[k] != b || reaches[k].high <= reaches[i].low || reaches[i].high <= reaches[k].low)
        continue;
      if (!works_in_place(s) || !same_view(y, s.operands[k])) refuse("its output overlaps another operand");
    }
    written_[b] = true;
  }

  const Trace& trace_;
  const int64_t limit_;
  std::vector<bool> written_;
  std::string name_ = "plan";
};

}  // namespace

void check(const Trace& trace, const std::vector<std::pair<int32_t, Operand>>& results, int64_t limit) {
  Check check(trace, limit);
  check.of_buffers();
  for (const Step& s : trace.steps) check.of_step(s);
  for (const auto& [buffer, operand] : results) check.of_result(buffer, operand);
}

}  // namespace pullback
