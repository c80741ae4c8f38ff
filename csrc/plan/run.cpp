#include "plan/plan.h"
#include "runtime/scratch.h"
#include "runtime/threads.h"

namespace pullback {
namespace {

// The rows that a call takes next. `local` is the tile's own memory.
void move_to(const Tiles& tiles, size_t call, int64_t row, int64_t rows, char* const* local,
             std::vector<Operand>& operands) {
  const Step& s = tiles.calls[call];
  for (size_t i = 0; i < operands.size(); ++i) {
    const int32_t how = tiles.moves[call][i];
    if (how == Tiles::kWhole) continue;
    Operand& o = operands[i];
    o.shape[0] = rows;
    if (how == Tiles::kMoves)
      o.offset = s.operands[i].offset + row * o.strides[0] * item_size(o.dtype);
    else
      o.buffer = local[how], o.offset = 0;
  }
}

void run_piece(const Tiles& tiles, int64_t begin, int64_t end) {
  Scratch scratch;
  std::vector<char*> local;
  for (int64_t bytes : tiles.local) local.push_back(scratch.take<char>(bytes * tiles.rows));
  std::vector<std::vector<Operand>> operands;
  for (const Step& s : tiles.calls) operands.push_back(s.operands);
  for (int64_t row = begin; row < end; row += tiles.rows) {
    const int64_t rows = end - row < tiles.rows ? end - row : tiles.rows;
    for (size_t k = 0; k < tiles.calls.size(); ++k) {
      const Step& s = tiles.calls[k];
      move_to(tiles, k, row, rows, local.data(), operands[k]);
      run(*s.kernel, operands[k].data(), s.first.data(), s.scalars.data());
    }
  }
}

}  // namespace

void run(const Step& s) {
  if (!s.tiles) return run(*s.kernel, s.operands.data(), s.first.data(), s.scalars.data());
  const Tiles& tiles = *s.tiles;
  parallel_for(tiles.extent, tiles.piece, [&](int64_t begin, int64_t end) { run_piece(tiles, begin, end); });
}

size_t run(const Trace& trace, size_t begin) {
  for (size_t i = begin; i < trace.steps.size(); ++i) {
    if (trace.steps[i].pause()) return i + 1;
    run(trace.steps[i]);
  }
  return trace.steps.size();
}

}  // namespace pullback
