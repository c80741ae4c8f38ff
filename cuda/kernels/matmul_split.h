// Long sums of few tiles, such as the gradient of a small layer's weights over a large batch: k is cut into pieces,
// each of them a block's. Their sums wait in scratch memory, and a second launch adds them up in the order of the
// pieces.
#pragma once
#include "common/lines.h"
#include "common/scratch.h"
#include "kernels/matmul_call.h"

namespace pullback::cuda {
namespace {

constexpr int64_t kMultiprocessors = 132;  // of an H100: with fewer tiles, some would have nothing to do

struct Split {
  int64_t pieces, length;  // of k
};

// As many pieces as keep all multiprocessors busy, of 1024 terms at least: there a block's own work is longer than what
// its sums cost to write, to read and to launch for.
inline Split split_of(int64_t k, int64_t tiles) {
  constexpr int64_t least = 1024, unit = 256;  // unit: a multiple of slabs, and of what alignment asks for
  const int64_t most = k / least, wanted = tiles > 0 ? kMultiprocessors / tiles : 1;
  const int64_t pieces = wanted < most ? wanted : most;
  if (pieces < 2) return {1, k};
  const int64_t length = ((k - 1) / pieces / unit + 1) * unit;
  return {(k - 1) / length + 1, length};
}

template <class T>
PB_DEVICE Product<T> piece_of(Product<T> p, Split split, int64_t piece) {
  const int64_t begin = piece * split.length, left = p.k - begin;
  p.a.data += begin * p.a.col;
  p.b.data += begin * p.b.row;
  p.k = left < split.length ? left : split.length;
  return p;
}

// c = f(α Σ sums + β c + bias), sums[batch, pieces, m, n]
template <class T, class Sum>
__global__ void finish_split(Product<T> p, Batch batch, int64_t pieces, const Sum* sums) {
  const int64_t size = p.m * p.n;
  for (int64_t i = first(); i < size * batch.count; i += stride()) {
    const int64_t of = i / size, place = i % size, row = place / p.n, col = place % p.n;
    Sum sum = 0;
    for (int64_t piece = 0; piece < pieces; ++piece) sum += sums[(of * pieces + piece) * size + place];
    const Product<T> one = p.one(batch, of);
    *one.c.at(row, col) = T(finished(one, row, col, p.alpha * static_cast<Wide<T>>(sum)));
  }
}

// launch_pieces(pieces of k, where their sums go), which is nullptr for a single piece: then c is written at once.
template <class Sum, class T, class F>
void run_split(const Product<T>& p, const Batch& batch, int64_t tiles, const F& launch_pieces) {
  const Split split = split_of(p.k, tiles);
  if (split.pieces == 1) return launch_pieces(split, static_cast<Sum*>(nullptr));
  Scratch scratch;
  const int64_t size = p.m * p.n * batch.count;
  Sum* sums = scratch.take<Sum>(size * split.pieces);
  launch_pieces(split, sums);
  launch(finish_split<T, Sum>, blocks_for(size), kBlockSize, p, batch, split.pieces, static_cast<const Sum*>(sums));
}

}  // namespace
}  // namespace pullback::cuda
