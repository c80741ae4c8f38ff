// Products of many rows and columns: tiles of c, and what they read brought near in time.
//
// A task computes a block of c, slab by slab of k, and keeps its sums in the second cache until the last slab. Of b it
// reads panels that it has packed itself or that all threads have packed before the tasks start.
#pragma once
#include "kernels/matmul_product.h"

namespace pullback::ISA_NAMESPACE {
namespace {

// --- the plan: depends on shapes and strides only, so that bits do not depend on the number of threads ---------------

inline constexpr int64_t kDepth = 256;                  // most of a slab of k: its panels of a and b lie in L1
inline constexpr int64_t kFlatDepth = 2048;             // the same where no panel of b is read twice
inline constexpr int64_t kAheadDepth = 1024;            // the same where all is packed ahead, and streams through L1
inline constexpr int64_t kStageDepth = 2048;            // most of k that is packed ahead at a time
inline constexpr int64_t kBlockRows = 560 / kTileRows;  // panels of a in a block: a slab of them stays in L2
inline constexpr int64_t kAheadRows = 140 / kTileRows;  // the same where all is packed ahead
inline constexpr int64_t kBlockColumns = 4;             // most panels of b in a block
inline constexpr int64_t kAheadColumns = 16;            // the same where all is packed ahead
inline constexpr int64_t kNear = 1 << 20;               // bytes of an operand that stays in L2
inline constexpr int64_t kMost = 4096;                  // rows and columns of c at a time, which bounds what is packed

// b is read where it lies; panel by panel by whom it concerns; by all before the tiles start.
enum class Packing { none, by_block, ahead };

struct Plan {
  int64_t row_panels, column_panels;  // rows are cut evenly, columns into panels of `width` and a rest
  int64_t width;
  int64_t slabs, stages;  // of k, cut evenly; of slabs, likewise: what is packed ahead is packed stage by stage
  bool pack_a;
  Packing pack_b;
  int64_t row_blocks, column_blocks;  // of panels, cut evenly: what one task computes
  bool packs_ahead() const { return pack_a || pack_b == Packing::ahead; }
};

template <class T>
Plan make_plan(const Product<T>& p) {
  Plan plan;
  const bool flat = p.m <= kFlatRows;
  plan.width = (flat ? kFlatVecs : kTileVecs) * Vec<T>::size;
  plan.row_panels = parts_of(p.m, kTileRows);
  plan.column_panels = parts_of(p.n, plan.width);
  // Packing pays where a panel is used often. An a that lies in columns, whose elements are far apart, or that the
  // second cache cannot hold, and rows of b that fall into few sets of the cache make it pay sooner.
  constexpr int64_t bytes = sizeof(T);
  plan.pack_a = p.n > (p.a.col == 1 ? 512 : 128);
  const bool crowded = p.b.row * bytes % 2048 == 0;
  const bool large = p.n * p.k * bytes > kNear;
  const bool direct = p.b.col == 1 && (plan.row_panels == 1 || (!large && p.m <= (crowded ? 48 : 140)));
  plan.pack_b = direct ? Packing::none : plan.row_panels <= kBlockRows ? Packing::by_block : Packing::ahead;
  const bool ahead = plan.pack_b == Packing::ahead;
  const int64_t depth = plan.row_panels == 1 ? kFlatDepth : ahead ? kAheadDepth : plan.pack_a ? kDepth : 2 * kDepth;
  plan.slabs = parts_of(p.k, depth);
  plan.stages = plan.packs_ahead() ? parts_of(plan.slabs, larger(1, kStageDepth / depth)) : 1;
  plan.row_blocks = parts_of(plan.row_panels, ahead ? kAheadRows : kBlockRows);
  const int64_t columns = larger(
      1, smaller(ahead ? kAheadColumns : kBlockColumns, plan.row_blocks * plan.column_panels / (large ? 16 : 32)));
  plan.column_blocks = parts_of(plan.column_panels, columns);
  return plan;
}

// --- one product in tiles --------------------------------------------------------------------------------------------

template <class T>
inline constexpr int64_t kTileSize = kTileRows * kTileVecs * Vec<T>::size;

template <class T>
struct Job {
  Product<T> p;
  Plan plan;
  bool far_c;                    // c is larger than what stays in L2
  Even rows, slabs;              // the panels of rows, and the slabs of k
  int64_t first_slab, end_slab;  // the stage
  T* packed_a;                   // of this stage: slab by slab the row panels one after the other
  T* packed_b;                   // likewise the column panels, of width times depth each
  T* sums;                       // between stages: of each block its tiles

  Job(const Product<T>& of)
      : p(of),
        plan(make_plan(of)),
        far_c(of.m * of.n * static_cast<int64_t>(sizeof(T)) > kNear),
        rows(p.m, plan.row_panels),
        slabs(p.k, plan.slabs),
        first_slab(0),
        end_slab(plan.slabs),
        packed_a(nullptr),
        packed_b(nullptr),
        sums(nullptr) {}

  int64_t columns(int64_t panel) const { return smaller(plan.width, p.n - panel * plan.width); }
  int64_t padded(int64_t panel) const { return (columns(panel) + Vec<T>::size - 1) / Vec<T>::size * Vec<T>::size; }
  bool whole(int64_t panel) const { return columns(panel) % Vec<T>::size == 0; }
  int64_t blocks() const { return plan.row_blocks * plan.column_blocks; }
  int64_t tiles_of_block() const {
    return parts_of(plan.row_panels, plan.row_blocks) * parts_of(plan.column_panels, plan.column_blocks);
  }
  T* a_panel(int64_t slab, int64_t panel) const {
    return packed_a + p.m * (slabs.begin(slab) - slabs.begin(first_slab)) + rows.begin(panel) * slabs.size(slab);
  }
  T* b_panel(int64_t slab, int64_t panel) const {
    const int64_t before = slabs.begin(slab) - slabs.begin(first_slab);
    return packed_b + plan.width * (plan.column_panels * before + panel * slabs.size(slab));
  }
};

template <class T>
void pack_a_panel(const Job<T>& job, int64_t slab, int64_t panel) {
  const Matrix<const T> a = job.p.a.from(job.rows.begin(panel), job.slabs.begin(slab));
  const int64_t rows = job.rows.size(panel);
  pack_panel<T>({a.data, a.row, a.col, rows, rows, job.slabs.size(slab)}, job.a_panel(slab, panel));
}

template <class T>
void pack_b_panels(const Job<T>& job, int64_t slab, int64_t begin, int64_t end, T* to) {
  const int64_t j = begin * job.plan.width, columns = smaller(end * job.plan.width, job.p.n) - j;
  const Matrix<const T>& b = job.p.b;
  pack_panels<T>({b.at(job.slabs.begin(slab), j), b.col, b.row, columns, columns, job.slabs.size(slab)}, job.plan.width,
                 to);
}

// A block of c on the way: panels [i_begin, i_end) of rows and [j_begin, j_end) of columns.
template <class T>
struct Block {
  int64_t i_begin, i_end, j_begin, j_end;
  T* sums;   // its tiles, column by column; nullptr where there is one slab
  T* own_b;  // panels of b that this task packs, of one slab
  T* sums_of(int64_t i, int64_t j) const { return sums + ((j - j_begin) * rows() + i - i_begin) * kTileSize<T>; }
  int64_t rows() const { return i_end - i_begin; }
  int64_t columns() const { return j_end - j_begin; }
};

// What was packed ahead and will be needed next, cut into as many parts as there are tiles until then.
template <class T>
struct Ahead {
  const T* next = nullptr;
  const T* end = nullptr;
  int64_t lines = 0;  // in a part

  void plan(const T* begin, int64_t size, int64_t parts) {
    next = begin, end = begin + size, lines = (size + parts * kLine<T> - 1) / (parts * kLine<T>);
  }
  void hand_to(Tile<T>& tile) {
    if (next >= end) return;
    tile.ahead = next, tile.ahead_lines = smaller(lines, tile.k);
    next += lines * kLine<T>;
  }
};

// What is written at the end of a tile is asked for at its start, where it lies beyond the second cache.
template <class T>
PB_INLINE void fetch_to_write(Matrix<T> c, int64_t rows, int64_t columns) {
  if (c.col != 1) return;
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; j += kLine<T>) __builtin_prefetch(c.at(i, j), 1);
}

// One tile of c and the terms of one slab; b is the panel's part of b.
template <class T>
void run_tile(const Job<T>& job, const Block<T>& block, int64_t slab, int64_t i, int64_t j, Tile<T>& tile) {
  const Product<T>& p = job.p;
  const int64_t i0 = job.rows.begin(i), j0 = j * job.plan.width;
  const int64_t rows = job.rows.size(i), columns = job.columns(j), padded = job.padded(j);
  const bool in_place = p.c.col == 1 && job.whole(j) && p.finish.keeps_sums();
  const bool first = slab == 0, last = slab + 1 == job.plan.slabs;
  alignas(64) T local[kTileSize<T>];
  T* const sums = first && last ? nullptr : block.sums_of(i, j);
  tile.a = job.plan.pack_a ? job.a_panel(slab, i) : p.a.at(i0, job.slabs.begin(slab));
  tile.a_row = job.plan.pack_a ? 1 : p.a.row;
  tile.a_col = job.plan.pack_a ? rows : p.a.col;
  tile.sums = first ? nullptr : sums;
  tile.out = last ? local : sums;
  tile.sums_row = tile.out_row = padded;
  if (in_place && first && p.finish.beta == T(1)) tile.sums = p.c.at(i0, j0), tile.sums_row = p.c.row;
  if (in_place && last) tile.out = p.c.at(i0, j0), tile.out_row = p.c.row;
  if (last && job.far_c) fetch_to_write(p.c.from(i0, j0), rows, columns);
  tile_function<T>(static_cast<int>(rows), static_cast<int>(padded / Vec<T>::size))(tile);
  if (!last || in_place) return;
  finish_tile<T>(p.finish, {local, padded, 1}, rows, columns, p.c.from(i0, j0), p.bias.from(i0, j0));
}

// Panel j of b, where it lies or as this task packs it.
template <class T>
Matrix<const T> b_of_panel(const Job<T>& job, const Block<T>& block, int64_t slab, int64_t j) {
  const int64_t padded = job.padded(j);
  if (job.plan.pack_b == Packing::ahead) return {job.b_panel(slab, j), padded, 1};
  if (job.plan.pack_b == Packing::none && job.whole(j)) return job.p.b.from(job.slabs.begin(slab), j * job.plan.width);
  if (job.plan.pack_b == Packing::by_block)
    return {block.own_b + (j - block.j_begin) * job.plan.width * job.slabs.size(slab), padded, 1};
  pack_b_panels(job, slab, j, j + 1, block.own_b);
  return {block.own_b, padded, 1};
}

// The tiles of one block, with the terms of one slab. On the way the next panel of b is brought near, and the panels of
// a for the next slab.
template <class T>
void run_slab(const Job<T>& job, const Block<T>& block, int64_t slab) {
  const Plan& plan = job.plan;
  const bool last = slab + 1 == job.end_slab;
  const int64_t rows = block.rows();
  if (plan.pack_b == Packing::by_block) pack_b_panels(job, slab, block.j_begin, block.j_end, block.own_b);
  Ahead<T> of_a, of_b;
  if (plan.pack_a && !last) {
    const T* const begin = job.a_panel(slab + 1, block.i_begin);
    of_a.plan(begin, job.a_panel(slab + 1, block.i_end) - begin, larger(1, rows / 2) * block.columns());
  }
  for (int64_t j = block.j_begin; j < block.j_end; ++j) {
    if (plan.pack_b == Packing::ahead) {
      if (j + 1 < block.j_end) {
        of_b.plan(job.b_panel(slab, j + 1), plan.width * job.slabs.size(slab), (rows + 1) / 2);
      } else if (!last) {
        of_b.plan(job.b_panel(slab + 1, block.j_begin), plan.width * job.slabs.size(slab + 1), (rows + 1) / 2);
      }
    }
    const Matrix<const T> b = b_of_panel(job, block, slab, j);
    for (int64_t i = block.i_begin; i < block.i_end; ++i) {
      Tile<T> tile{};
      tile.k = job.slabs.size(slab);
      tile.b = b.data, tile.b_row = b.row;
      ((i - block.i_begin) % 2 ? of_a : of_b).hand_to(tile);
      run_tile(job, block, slab, i, j, tile);
    }
  }
}

// One block, with the terms of one stage.
template <class T>
void run_block(const Job<T>& job, int64_t index) {
  const Plan& plan = job.plan;
  const int64_t row_block = index % plan.row_blocks, column_block = index / plan.row_blocks;
  Block<T> block{};
  block.i_begin = cut(plan.row_panels, plan.row_blocks, row_block);
  block.i_end = cut(plan.row_panels, plan.row_blocks, row_block + 1);
  block.j_begin = cut(plan.column_panels, plan.column_blocks, column_block);
  block.j_end = cut(plan.column_panels, plan.column_blocks, column_block + 1);
  Scratch scratch;
  if (plan.stages > 1) {
    block.sums = job.sums + index * job.tiles_of_block() * kTileSize<T>;
  } else if (plan.slabs > 1) {
    block.sums = scratch.take<T>(block.rows() * block.columns() * kTileSize<T>);
  }
  if (plan.pack_b == Packing::by_block) {
    block.own_b = scratch.take<T>(block.columns() * plan.width * job.slabs.most());
  } else if (plan.pack_b == Packing::none && !job.whole(block.j_end - 1)) {
    block.own_b = scratch.take<T>(plan.width * job.slabs.most());
  }
  for (int64_t slab = job.first_slab; slab < job.end_slab; ++slab) run_slab(job, block, slab);
}

// Everything of a stage that several tasks need. Each piece is a part of a and the same part of b: so the threads that
// later read a part of b find it in their own cache.
template <class T>
void pack_stage(const Job<T>& job) {
  const Plan& plan = job.plan;
  const int64_t a_panels = plan.pack_a ? plan.row_panels : 0;
  const int64_t b_panels = plan.pack_b == Packing::ahead ? plan.column_panels : 0;
  const int64_t pieces = b_panels ? larger(8, parts_of(b_panels, kBlockColumns)) : smaller(a_panels, 32);
  parallel_for(pieces, 1, [&](int64_t begin, int64_t end) {
    for (int64_t piece = begin; piece < end; ++piece) {
      const int64_t i_end = cut(a_panels, pieces, piece + 1);
      for (int64_t i = cut(a_panels, pieces, piece); i < i_end; ++i) {
        for (int64_t slab = job.first_slab; slab < job.end_slab; ++slab) pack_a_panel(job, slab, i);
      }
      const int64_t j = cut(b_panels, pieces, piece), j_end = cut(b_panels, pieces, piece + 1);
      for (int64_t slab = job.first_slab; slab < job.end_slab && j < j_end; ++slab) {
        pack_b_panels(job, slab, j, j_end, job.b_panel(slab, j));
      }
    }
  });
}

template <class T>
void run_stages(Job<T>& job) {
  const Plan& plan = job.plan;
  const int64_t depth = smaller(job.p.k, job.slabs.most() * parts_of(plan.slabs, plan.stages));
  Scratch scratch;
  if (plan.stages > 1) job.sums = scratch.take<T>(job.blocks() * job.tiles_of_block() * kTileSize<T>);
  if (plan.pack_a) job.packed_a = scratch.take<T>(job.p.m * depth);
  if (plan.pack_b == Packing::ahead) job.packed_b = scratch.take<T>(plan.column_panels * plan.width * depth);
  for (int64_t stage = 0; stage < plan.stages; ++stage) {
    job.first_slab = cut(plan.slabs, plan.stages, stage);
    job.end_slab = cut(plan.slabs, plan.stages, stage + 1);
    pack_stage(job);
    parallel_for(job.blocks(), pieces_at_a_time(job.p, job.blocks() * plan.stages), [&](int64_t begin, int64_t end) {
      for (int64_t block = begin; block < end; ++block) run_block(job, block);
    });
  }
}

template <class T>
void run_large(const Product<T>& p) {
  const int64_t row_parts = parts_of(p.m, kMost), column_parts = parts_of(p.n, kMost);
  for (int64_t part = 0; part < row_parts * column_parts; ++part) {
    const int64_t row_part = part % row_parts, column_part = part / row_parts;
    const int64_t i = cut(p.m, row_parts, row_part), j = cut(p.n, column_parts, column_part);
    const int64_t m = cut(p.m, row_parts, row_part + 1) - i, n = cut(p.n, column_parts, column_part + 1) - j;
    Job<T> job({m, n, p.k, p.a.from(i, 0), p.b.from(0, j), p.c.from(i, j), p.bias.from(i, j), p.finish});
    run_stages(job);
  }
}

template <class T>
void run_tiles(const Batch<T>& all) {
  const Job<T> job(all.first);
  const int64_t count = all.count(), blocks = job.blocks();
  if (job.plan.packs_ahead()) {
    for (int64_t i = 0; i < count; ++i) run_large(all[i]);
    return;
  }
  parallel_for(count * blocks, pieces_at_a_time(job.p, blocks), [&](int64_t begin, int64_t end) {
    Job<T> own = job;
    for (int64_t block = begin; block < end; ++block) {
      own.p = all[block / blocks];
      run_block(own, block % blocks);
    }
  });
}

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
