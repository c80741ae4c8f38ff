#include <algorithm>

#include "plan/plan.h"

namespace pullback {
namespace {

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

namespace {

// Bytes [begin, end) of a piece of memory, and when somebody lies there.
struct Place {
  int64_t begin, end;
  Span span;
};

// What lies in one piece of memory, by where it begins.
class Piece {
 public:
  // Where the lowest gap begins that is free all the time.
  int64_t lowest(int64_t bytes, Span span) const {
    int64_t at = 0;
    for (const Place& p : places_) {
      if (p.span.last < span.first || span.last < p.span.first) continue;
      if (at + bytes <= p.begin) break;
      at = std::max(at, p.end);
    }
    return at;
  }
  void add(const Place& place) {
    const auto lower = [](const Place& x, const Place& y) { return x.begin < y.begin; };
    places_.insert(std::upper_bound(places_.begin(), places_.end(), place, lower), place);
  }

 private:
  std::vector<Place> places_;
};

// Memory that is there anyway: [0, bytes) is free until somebody writes to it.
struct Lender {
  int32_t buffer;
  int64_t bytes;
  int64_t until;
  Piece piece;
};

}  // namespace

// The largest first, each at the lowest place where it meets nothing that is alive with it: in the memory that is lent
// and written to the soonest, else in the arena.
int64_t place(Trace& trace) {
  std::vector<Span> spans = lifetimes(trace);
  std::vector<int32_t> order;
  std::vector<Lender> lenders;
  for (size_t b = 0; b < trace.buffers.size(); ++b) {
    const Buffer& buffer = trace.buffers[b];
    const auto number = static_cast<int32_t>(b);
    if (spans[b].last < 0) continue;
    if (buffer.lends) lenders.push_back({number, buffer.bytes / alignment * alignment, spans[b].first, {}});
    if (buffer.kind == Buffer::Kind::made || buffer.placed) order.push_back(number);
    if (buffer.placed) spans[b].last = INT64_MAX;
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return trace.buffers[a].bytes > trace.buffers[b].bytes; });
  std::stable_sort(lenders.begin(), lenders.end(), [](const Lender& a, const Lender& b) { return a.until < b.until; });
  Piece arena;
  int64_t total = 0;
  for (int32_t b : order) {
    Buffer& buffer = trace.buffers[b];
    const Span span = spans[b];
    const int64_t bytes = (buffer.bytes + alignment - 1) / alignment * alignment;
    const auto lender = std::find_if(lenders.begin(), lenders.end(), [&](const Lender& l) {
      return span.last < l.until && l.piece.lowest(bytes, span) + bytes <= l.bytes;
    });
    Piece& piece = lender == lenders.end() ? arena : lender->piece;
    const int64_t at = piece.lowest(bytes, span);
    piece.add({at, at + bytes, span});
    buffer.address = reinterpret_cast<char*>(at);
    buffer.inside = lender == lenders.end() ? -1 : lender->buffer;
    if (buffer.inside < 0) total = std::max(total, at + bytes);
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
