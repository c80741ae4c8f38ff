#include "plan/match.h"

namespace pullback {
namespace {

constexpr int64_t kTileElements = 4096;        // of each operand: a few of them fit into the first level of cache
constexpr int64_t kPieceElements = 16 * 1024;  // that one task takes
constexpr int64_t kFewElements = 2 * kPieceElements;  // which stay in the cache anyway

// Families all of whose kernels compute each element from the elements at its place.
bool is_elementwise(const Step& s) {
  if (!s.kernel || !std::strcmp(s.kernel->signature->name, "arange")) return false;
  for (const char* family : {"activation", "binary", "compare", "copy", "unary", "where"})
    if (!std::strcmp(s.kernel->family, family)) return true;
  return false;
}

const Operand& output(const Step& s) { return s.operands.back(); }

// As one line of elements, where it is one; a single element stays what it is.
bool flatten(Operand& o, int64_t size) {
  if (o.size() == 1) return o.ndim = 0, size > 1;
  if (o.size() != size || !o.contiguous()) return false;
  o.ndim = 1, o.shape[0] = size, o.strides[0] = 1;
  return true;
}

class Group {
 public:
  explicit Group(const Trace& trace) : trace_(trace) {}

  size_t size() const { return calls_.size(); }

  // Whether the call takes the same rows as those before it, and touches what they write at the same places only.
  bool add(const Step& s) {
    if (s.operands.empty() || output(s).size() < kFewElements || !is_elementwise(s)) return false;
    if (!calls_.empty() && !same_shape(output(s), output(calls_[0]))) return false;
    for (const Step& other : calls_)
      if (!fits(other, s) || writes_a_cell_of(other, s) || writes_a_cell_of(s, other)) return false;
    if (!fits(s, s) || writes_a_cell_of(s, s)) return false;
    calls_.push_back(s);
    return true;
  }

  bool worthwhile() const { return calls_.size() > 1; }

  Step step(const std::vector<Span>& spans, int64_t begin) {
    auto tiles = std::make_shared<Tiles>();
    tiles->calls = calls_;
    flatten_all(*tiles);
    const Operand& y = output(tiles->calls[0]);
    const int64_t width = y.size() / y.shape[0];
    tiles->extent = y.shape[0];
    tiles->rows = std::clamp<int64_t>(kTileElements / width, 1, tiles->extent);
    tiles->piece = std::max<int64_t>(kPieceElements / width / tiles->rows, 1) * tiles->rows;
    const int64_t end = begin + static_cast<int64_t>(calls_.size()) - 1;
    for (Step& s : tiles->calls) tiles->moves.push_back(moves(*tiles, s, spans, begin, end));
    Step made;
    made.line = calls_[0].line;
    made.tiles = std::move(tiles);
    return made;
  }

 private:
  // Two calls meet in memory that one of them writes only where both look at it in the same way.
  bool fits(const Step& a, const Step& b) const {
    for (size_t i = 0; i < a.operands.size(); ++i)
      for (size_t k = 0; k < b.operands.size(); ++k) {
        if ((!a.writes(i) && !b.writes(k)) || !meet(a.buffers[i], b.buffers[k])) continue;
        if (a.buffers[i] != b.buffers[k] || !same_view(a.operands[i], b.operands[k])) return false;
      }
    return true;
  }

  // Arrays from before the step may overlap though none is a view of the other.
  bool meet(int32_t x, int32_t y) const {
    const Buffer &a = trace_.buffers[x], &b = trace_.buffers[y];
    if (x == y || a.kind != Buffer::Kind::given || b.kind != Buffer::Kind::given) return x == y;
    const bool apart =
        a.bytes >= 0 && b.bytes >= 0 && (a.address + a.bytes <= b.address || b.address + b.bytes <= a.address);
    return !apart;
  }

  // Whether one call writes to memory that the other reads a number from: all of one has to be done before.
  static bool writes_a_cell_of(const Step& writer, const Step& reader) {
    for (size_t k = reader.operands.size(); k < reader.buffers.size(); ++k)
      for (size_t i = 0; i < writer.operands.size(); ++i)
        if (reader.buffers[k] >= 0 && writer.buffers[i] == reader.buffers[k] && writer.writes(i)) return true;
    return false;
  }

  static void flatten_all(Tiles& tiles) {
    std::vector<Step> flat = tiles.calls;
    const int64_t size = output(flat[0]).size();
    for (Step& s : flat)
      for (Operand& o : s.operands)
        if (!flatten(o, size)) return;
    tiles.calls = std::move(flat);
  }

  // How each operand of a call moves with the rows.
  std::vector<int32_t> moves(Tiles& tiles, Step& s, const std::vector<Span>& spans, int64_t begin, int64_t end) {
    std::vector<int32_t> all;
    const Operand y = output(s);
    for (size_t i = 0; i < s.operands.size(); ++i) {
      const Operand& o = s.operands[i];
      const int32_t b = s.buffers[i];
      if (o.ndim < y.ndim || o.shape[0] != y.shape[0]) {
        all.push_back(Tiles::kWhole);
      } else if (is_local(b, o, spans, begin, end)) {
        all.push_back(local(tiles, b, o));
        s.buffers[i] = -1;
      } else {
        all.push_back(Tiles::kMoves);
      }
    }
    return all;
  }

  bool is_local(int32_t b, const Operand& o, const std::vector<Span>& spans, int64_t begin, int64_t end) const {
    return trace_.buffers[b].kind == Buffer::Kind::made && spans[b].first >= begin && spans[b].last <= end &&
           o.offset == 0 && o.contiguous() && is_whole(b, o);
  }
  // All of the group sees the buffer as this operand does.
  bool is_whole(int32_t b, const Operand& o) const {
    for (const Step& s : calls_)
      for (size_t i = 0; i < s.buffers.size(); ++i)
        if (s.buffers[i] == b && (i >= s.operands.size() || s.operands[i].size() != o.size())) return false;
    return true;
  }
  int32_t local(Tiles& tiles, int32_t b, const Operand& o) {
    const auto found = std::find(locals_.begin(), locals_.end(), b);
    if (found != locals_.end()) return static_cast<int32_t>(found - locals_.begin());
    locals_.push_back(b);
    tiles.local.push_back(o.size() / o.shape[0] * item_size(o.dtype));
    return static_cast<int32_t>(locals_.size()) - 1;
  }

  const Trace& trace_;
  std::vector<Step> calls_;
  std::vector<int32_t> locals_;
};

}  // namespace

// Neighbours only: a call that is not elementwise ends a group.
void tile_elementwise(Trace& trace) {
  const std::vector<Span> spans = lifetimes(trace);
  std::vector<Step> steps;
  for (size_t i = 0; i < trace.steps.size();) {
    Group group(trace);
    while (i + group.size() < trace.steps.size() && group.add(trace.steps[i + group.size()])) continue;
    if (group.worthwhile()) {
      steps.push_back(group.step(spans, static_cast<int64_t>(i)));
      i += group.size();
      continue;
    }
    const size_t n = std::max<size_t>(group.size(), 1);
    for (size_t k = 0; k < n; ++k) steps.push_back(std::move(trace.steps[i + k]));
    i += n;
  }
  trace.steps = std::move(steps);
}

}  // namespace pullback
