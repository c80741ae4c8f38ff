#include "kernels/matmul.h"
#include "plan/match.h"

namespace pullback {
namespace {

std::optional<Activation> activation_of(const Step& s) {
  constexpr std::pair<const char*, Activation> all[] = {
      {"relu", Activation::relu}, {"sigmoid", Activation::sigmoid},     {"tanh", Activation::tanh},
      {"gelu", Activation::gelu}, {"gelu_tanh", Activation::gelu_tanh}, {"silu", Activation::silu}};
  for (const auto& [name, activation] : all)
    if (is(s, name)) return activation;
  return std::nullopt;
}

class Folding {
 public:
  explicit Folding(Trace& trace) : trace_(trace), spans_(lifetimes(trace)) {}

  void run() {
    for (size_t i = 0; i < trace_.steps.size(); ++i)
      while (is_plain_product(trace_.steps[i]) && fold_reader(i)) continue;
    std::vector<Step> left;
    for (Step& s : trace_.steps)
      if (!gone(s)) left.push_back(std::move(s));
    trace_.steps = std::move(left);
  }

 private:
  static bool gone(const Step& s) { return !s.kernel && s.line == kGone; }
  static constexpr int32_t kGone = -2;

  // The next call that touches buffer b after step i.
  size_t next_use(size_t i, int32_t b) const {
    for (size_t j = i + 1; j < trace_.steps.size(); ++j)
      for (int32_t other : trace_.steps[j].buffers)
        if (other == b) return j;
    return trace_.steps.size();
  }

  // What reads the product's sums takes place while they are written, if nobody else sees them.
  bool fold_reader(size_t i) {
    Step& product = trace_.steps[i];
    const int32_t sums = product.buffers[kC];
    const size_t j = next_use(i, sums);
    if (j == trace_.steps.size()) return false;
    Step& reader = trace_.steps[j];
    const bool adds = is(reader, "add");
    if (!adds && !activation_of(reader)) return false;
    const size_t result = reader.operands.size() - 1;
    const int side = adds && reader.buffers[kRight] == sums ? kRight : kLeft;
    const Operand& c = product.operands[kC];
    if (reader.buffers[side] != sums || !same_view(reader.operands[side], c)) return false;
    if (!same_shape(reader.operands[result], c) || !free_to_move(i, j, sums, reader.buffers[result])) return false;
    if (adds && !fold_bias(product, i, j, reader, side == kLeft ? kRight : kLeft)) return false;
    if (!adds) product.scalars[kActivation].integer_value = static_cast<int64_t>(*activation_of(reader));
    move_result(product, reader, result);
    reader = Step();
    reader.line = kGone;
    return true;
  }

  // The result may be written at i instead of j: over the sums, or into memory that is first used at j while the sums
  // end there.
  bool free_to_move(size_t i, size_t j, int32_t sums, int32_t result) const {
    for (size_t k = i + 1; k < j; ++k)
      if (trace_.steps[k].pause() && !gone(trace_.steps[k])) return false;
    if (result == sums) return true;
    if (trace_.buffers[sums].kind != Buffer::Kind::made || spans_[sums].last != static_cast<int64_t>(j)) return false;
    return trace_.buffers[result].kind != Buffer::Kind::given && spans_[result].first == static_cast<int64_t>(j);
  }

  // A term that was there before the product, and that it does not yet have.
  bool fold_bias(Step& product, size_t i, size_t j, Step& reader, int other) {
    const int32_t term = reader.buffers[other];
    if (has_bias(product) || term == reader.buffers[kSum] || term == product.buffers[kC]) return false;
    for (size_t k = i; k < j; ++k)
      for (size_t n = 0; n < trace_.steps[k].operands.size(); ++n)
        if (trace_.steps[k].buffers[n] == term && trace_.steps[k].writes(n)) return false;
    product.operands.push_back(reader.operands[other]);
    product.buffers.insert(product.buffers.begin() + kBias, term);
    product.first[kBias + 1] = kBias + 1;
    return true;
  }

  static void move_result(Step& product, const Step& reader, size_t result) {
    const Role role = product.operands[kC].role;
    product.operands[kC] = reader.operands[result];
    product.operands[kC].role = role;
    product.buffers[kC] = reader.buffers[result];
  }

  Trace& trace_;
  std::vector<Span> spans_;  // of before; what is folded only shortens them
};

}  // namespace

// A bias and an activation take place while a product's tiles are still in registers. matmul computes both to the bit
// as add and the activations' own kernels do.
void fold_epilogues(Trace& trace) { Folding(trace).run(); }

}  // namespace pullback
