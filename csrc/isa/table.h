// Lists of arrays side by side, as an optimizer has them: row r of the table is what belongs to parameter r.
//
// All rows together are cut into pieces of one size, so that a thousand small parameters are as parallel as
// one big one.
#pragma once
#include "isa/elementwise.h"

namespace pullback::ISA_NAMESPACE {
namespace {

inline constexpr int kMaxColumns = 5;         // parameters, gradients and up to three kinds of state
inline constexpr int64_t kRowAlignment = 64;  // elements; rows are cut at multiples, so that vectors stay aligned

struct Table {
  int rows = 0;
  int columns = 0;
  OperandList column[kMaxColumns];
  int64_t* ends = nullptr;  // ends[r] counts the elements of rows 0 … r

  void add(OperandList list) {
    if (list.count == 0) return;  // a kind of state that this call does without
    rows = list.count;
    column[columns++] = list;
  }
  // After the last add. The counts live as long as `scratch`.
  void count(Scratch& scratch) {
    ends = scratch.take<int64_t>(rows);
    int64_t end = 0;
    for (int r = 0; r < rows; ++r) ends[r] = end += column[0][r].size();
  }

  int64_t total() const { return rows ? ends[rows - 1] : 0; }
  int64_t begin(int r) const { return r ? ends[r - 1] : 0; }
  int64_t pieces() const { return (total() + kPiece - 1) / kPiece; }
  bool contiguous(int r) const {
    for (int k = 0; k < columns; ++k)
      if (!column[k][r].contiguous()) return false;
    return true;
  }
  // Where a cut at `at` elements of the table falls in row r.
  int64_t cut(int r, int64_t at) const {
    const int64_t inside = larger(at - begin(r), 0), size = ends[r] - begin(r);
    return smaller((inside + kRowAlignment - 1) / kRowAlignment * kRowAlignment, size);
  }
  // The first r with element < ends[r].
  int row_of(int64_t element) const {
    int low = 0, high = rows - 1;
    while (low < high) {
      const int middle = (low + high) / 2;
      if (element < ends[middle])
        high = middle;
      else
        low = middle + 1;
    }
    return low;
  }
};

// Elements of one row that lie side by side: x<T>(k)[i] is element i of column k.
struct Row {
  int row;
  int64_t piece;
  int64_t n;
  int64_t total;        // elements of the whole table
  const void* context;  // hyperparameters and the like
  void* column[kMaxColumns];

  template <class T>
  PB_INLINE T* x(int k) const {
    return static_cast<T*>(column[k]);
  }
};
using RowFn = void (*)(const Row&);

// Elements [begin, end) of a row where a column is transposed or has gaps: tiles in L1 stand in for it.
static void strided_row(const Table& t, Row row, RowFn f, int64_t begin, int64_t end) {
  Operand operands[kMaxColumns] = {};
  for (int k = 0; k < t.columns; ++k) operands[k] = t.column[k][row.row];
  const Space s = make_space(operands, t.columns - 1, 1);
  alignas(64) char buffer[kMaxColumns][kTile * 8];
  const int64_t step = all_linear(s) ? end - begin : kTile;
  for (int64_t b = begin; b < end; b += step) {
    row.n = smaller(step, end - b);
    for (int k = 0; k < t.columns; ++k) {
      row.column[k] = in_place(s, k, b, row.n);
      if (!row.column[k]) gather(s, k, b, row.n, buffer[k]), row.column[k] = buffer[k];
    }
    f(row);
    for (int k = 0; k < t.columns; ++k)
      if (row.column[k] == buffer[k] && operands[k].role != Role::in) scatter(s, k, b, row.n, buffer[k]);
  }
}

// Runs f over all rows, piece by piece. Only a thread at a time works on a piece, and in the order of its
// rows.
static void for_each_row(const Table& t, RowFn f, const void* context) {
  parallel_for(t.total(), kPiece, [&](int64_t piece_begin, int64_t piece_end) {
    for (int r = t.row_of(piece_begin); r < t.rows && t.begin(r) < piece_end; ++r) {
      const int64_t begin = t.cut(r, piece_begin), end = t.cut(r, piece_end);
      if (begin == end) continue;
      Row row;
      row.row = r;
      row.piece = piece_begin / kPiece;
      row.n = end - begin;
      row.total = t.total();
      row.context = context;
      if (!t.contiguous(r)) {
        strided_row(t, row, f, begin, end);
        continue;
      }
      for (int k = 0; k < t.columns; ++k) {
        const Operand& x = t.column[k][r];
        row.column[k] = x.data<char>() + begin * item_size(x.dtype);
      }
      f(row);
    }
  });
}

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
