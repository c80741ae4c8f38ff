// Sorting of integers that all differ: a block sorts what it can hold, then runs are merged, pair by pair. An element
// finds its place by counting the smaller ones in the other run.
#pragma once
#include "common/scratch.h"

namespace pullback::cuda {
namespace {

inline constexpr int kSortedKeys = 4 * kBlockSize;  // by a block

// How many of n sorted keys are smaller than `key`.
PB_DEVICE int64_t count_below(const int64_t* keys, int64_t n, int64_t key) {
  int64_t low = 0;
  while (low < n) {
    const int64_t middle = (low + n) / 2;
    keys[middle] < key ? low = middle + 1 : n = middle;
  }
  return low;
}

// Where keys[i] comes to stand when its run is merged with the other of the pair; `run` is how long runs are, but for
// the end of all n keys.
PB_DEVICE int64_t merged_place(const int64_t* keys, int64_t n, int64_t run, int64_t i) {
  const int64_t own = i / run * run, other = own ^ run;
  const int64_t left = n - other, length = left < 0 ? 0 : left < run ? left : run;
  return (own < other ? i : i - run) + count_below(keys + other, length, keys[i]);
}

__global__ void sort_within_blocks(int64_t n, const int64_t* from, int64_t* to) {
  int64_t* keys = shared<int64_t, kSortedKeys, 0>();
  int64_t* merged = shared<int64_t, kSortedKeys, 1>();
  for (int64_t begin = block() * kSortedKeys; begin < n; begin += blocks() * kSortedKeys) {
    const int64_t length = n - begin < kSortedKeys ? n - begin : kSortedKeys;
    for (int64_t i = thread(); i < length; i += threads()) keys[i] = from[begin + i];
    sync_block();
    for (int64_t run = 1; run < length; run *= 2) {
      for (int64_t i = thread(); i < length; i += threads()) merged[merged_place(keys, length, run, i)] = keys[i];
      sync_block();
      int64_t* spent = keys;
      keys = merged, merged = spent;
    }
    for (int64_t i = thread(); i < length; i += threads()) to[begin + i] = keys[i];
    sync_block();
  }
}

__global__ void merge_runs(int64_t n, int64_t run, const int64_t* from, int64_t* to) {
  for (int64_t i = first(); i < n; i += stride()) to[merged_place(from, n, run, i)] = from[i];
}

// The keys in order; they may come to lie in either array, both of which are written.
int64_t* sort_keys(int64_t n, int64_t* keys, int64_t* others) {
  launch(sort_within_blocks, blocks_for(n, kSortedKeys / kBlockSize), kBlockSize, n, static_cast<const int64_t*>(keys),
         others);
  for (int64_t run = kSortedKeys; run < n; run *= 2) {
    int64_t* sorted = others;
    others = keys, keys = sorted;
    launch(merge_runs, blocks_for(n), kBlockSize, n, run, static_cast<const int64_t*>(keys), others);
  }
  return others;
}

}  // namespace
}  // namespace pullback::cuda
