#include <algorithm>

#include "plan/plan.h"

namespace pullback {
namespace {

constexpr int64_t kAlignment = 64;

template <class F>
void each_use(const Step& s, F&& f) {
  for (int32_t b : s.buffers)
    if (b >= 0) f(b);
  if (!s.tiles) return;
  for (const Step& call : s.tiles->calls) each_use(call, f);
}

void collect(Step& s, std::vector<Uses>& all) {
  for (size_t i = 0; i < s.operands.size(); ++i)
    if (s.buffers[i] >= 0) all[s.buffers[i]].operands.push_back(&s.operands[i]);
  for (size_t k = 0; k < s.scalars.size(); ++k) {
    const int32_t b = s.buffers[s.operands.size() + k];
    if (b >= 0) all[b].cells.emplace_back(&s.scalars[k], 0);
  }
  if (!s.tiles) return;
  for (Step& call : s.tiles->calls) collect(call, all);
}

}  // namespace

std::vector<Span> lifetimes(const Trace& trace) {
  std::vector<Span> spans(trace.buffers.size());
  for (size_t i = 0; i < trace.steps.size(); ++i)
    each_use(trace.steps[i], [&](int32_t b) {
      spans[b].first = std::min(spans[b].first, static_cast<int64_t>(i));
      spans[b].last = static_cast<int64_t>(i);
    });
  return spans;
}

// The largest first, each at the lowest place where it meets nothing that is alive with it.
int64_t place(Trace& trace) {
  std::vector<Span> spans = lifetimes(trace);
  std::vector<int32_t> order;
  for (size_t b = 0; b < trace.buffers.size(); ++b) {
    const Buffer& buffer = trace.buffers[b];
    if ((buffer.kind == Buffer::Kind::made || buffer.placed) && spans[b].last >= 0)
      order.push_back(static_cast<int32_t>(b));
    if (buffer.placed) spans[b].last = INT64_MAX;
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return trace.buffers[a].bytes > trace.buffers[b].bytes; });
  struct Piece {
    int64_t begin, end;
    Span span;
  };
  std::vector<Piece> placed;  // by where they begin
  int64_t total = 0;
  for (int32_t b : order) {
    const int64_t bytes = (trace.buffers[b].bytes + kAlignment - 1) / kAlignment * kAlignment;
    int64_t at = 0;
    for (const Piece& p : placed) {
      if (p.span.last < spans[b].first || spans[b].last < p.span.first) continue;
      if (at + bytes <= p.begin) break;
      at = std::max(at, p.end);
    }
    const Piece piece{at, at + bytes, spans[b]};
    placed.insert(std::upper_bound(placed.begin(), placed.end(), piece,
                                   [](const Piece& x, const Piece& y) { return x.begin < y.begin; }),
                  piece);
    trace.buffers[b].address = reinterpret_cast<char*>(at);
    total = std::max(total, at + bytes);
  }
  return total;
}

void Uses::move(char* address) const {
  for (Operand* o : operands) o->buffer = address;
  for (const auto& [cell, offset] : cells) cell->cell = address + offset;
}

std::vector<Uses> uses(Trace& trace) {
  std::vector<Uses> all(trace.buffers.size());
  for (Step& s : trace.steps) collect(s, all);
  for (size_t b = 0; b < all.size(); ++b)
    for (auto& [cell, offset] : all[b].cells) offset = static_cast<const char*>(cell->cell) - trace.buffers[b].address;
  return all;
}

}  // namespace pullback
