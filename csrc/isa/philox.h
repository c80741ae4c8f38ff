// Philox 4x32-10, and the driver of kernels that give every element words of its own.
#pragma once
#include "isa/elementwise.h"
#include "isa/philox_block.h"

namespace pullback::ISA_NAMESPACE {
namespace {

inline constexpr int64_t kBatchWords = 8 * kWords;  // made at a time
static_assert(kBatchWords == kTile && kPiece % kTile == 0);

// The part of the stream that a call uses, whose words nobody else gets: `words` for each of `elements`.
static Philox claim(const Operand& state, int64_t elements, int words) {
  int64_t* s = state.data<int64_t>();
  const int64_t offset = __atomic_fetch_add(s + 1, blocks_of_call(elements, words), __ATOMIC_RELAXED);
  const auto seed = static_cast<uint64_t>(s[0]);
  return {{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)}, static_cast<uint64_t>(offset)};
}

// The low and the high halves of a m, for every 32-bit lane of a.
struct Product {
  Vec<int64_t> low, high;
};
PB_INLINE Product multiply(Vec<int64_t> a, uint32_t m) {
  const Vec<int64_t> factor(int64_t{m}), right(int64_t{0xffffffff});
  const Vec<int64_t> even(native::multiply_low(a.raw, factor.raw)),
      odd(native::multiply_low((a >> 32).raw, factor.raw));
  return {(even & right) | (odd << 32), ((even >> 32) & right) | (odd & ~right)};
}

// The 64 words of a tile, aligned to 8 bytes: word w of block b at 16w + b. Registers hold words of neighbouring
// blocks.
static void philox_tile(const Philox& p, int64_t tile, uint32_t* words) {
  constexpr int lanes = 2 * Vec<int64_t>::size;
  alignas(64) uint32_t low[kBlocks], high[kBlocks];
  for (int b = 0; b < kBlocks; ++b) {
    const uint64_t counter = p.offset + static_cast<uint64_t>(tile * kBlocks + b);
    low[b] = static_cast<uint32_t>(counter);
    high[b] = static_cast<uint32_t>(counter >> 32);
  }
  for (int b = 0; b < kBlocks; b += lanes) {
    auto c0 = Vec<int64_t>::load(reinterpret_cast<const int64_t*>(low + b));
    auto c1 = Vec<int64_t>::load(reinterpret_cast<const int64_t*>(high + b));
    Vec<int64_t> c2, c3;
    uint64_t k0 = p.key[0], k1 = p.key[1];
    for (int round = 0; round < 10; ++round) {
      const Product m0 = multiply(c0, kPhiloxM0), m1 = multiply(c2, kPhiloxM1);
      c0 = m1.high ^ c1 ^ Vec<int64_t>(static_cast<int64_t>(k0 << 32 | k0));
      c1 = m1.low;
      c2 = m0.high ^ c3 ^ Vec<int64_t>(static_cast<int64_t>(k1 << 32 | k1));
      c3 = m0.low;
      k0 = static_cast<uint32_t>(k0 + kPhiloxW0), k1 = static_cast<uint32_t>(k1 + kPhiloxW1);
    }
    c0.store(reinterpret_cast<int64_t*>(words + b));
    c1.store(reinterpret_cast<int64_t*>(words + kBlocks + b));
    c2.store(reinterpret_cast<int64_t*>(words + 2 * kBlocks + b));
    c3.store(reinterpret_cast<int64_t*>(words + 3 * kBlocks + b));
  }
}

// Words of kBatchWords at a time, from a tile on.
static void philox_batch(const Philox& p, int64_t tile, uint32_t* words) {
  for (int t = 0; t < kBatchWords / kWords; ++t) philox_tile(p, tile + t, words + t * kWords);
}

// 64 bits for each of 32 elements of a tile: words 16 apart, the low one first.
PB_INLINE uint64_t wide(const uint32_t* words, int64_t element) {
  const uint32_t* low = words + element / 32 * 64 + element % 32 / 16 * 32 + element % 16;
  return low[0] | static_cast<uint64_t>(low[16]) << 32;
}

// A batch of kTile elements (kTile / 2 where each takes two words) with its words, of which the first n exist.
struct Batch {
  Tile tile;
  const uint32_t* words;
};
using BatchFn = void (*)(const Batch&);

// Runs f over the operands from call[first] on. Unlike `elementwise`, it keeps batches whole, so that each begins at a
// tile.
[[maybe_unused]] static void for_each_batch(const Call& call, BatchFn f, int first, int inputs, int outputs,
                                            int words_per_element) {
  const Space s = make_space(call.operands + first, inputs, outputs);
  const int64_t total = s.total(), step = kTile / words_per_element;
  const Philox p = claim(call[0], total, words_per_element);
  parallel_for(total, kPiece, [&](int64_t begin, int64_t end) {
    alignas(64) char buffer[kMaxElementwise][kTile * 8];
    alignas(64) uint32_t words[kBatchWords];
    for (int64_t at = begin; at < end; at += step) {
      Batch b;
      b.words = words;
      b.tile.call = &call;
      b.tile.n = smaller(step, end - at);
      philox_batch(p, at * words_per_element / kWords, words);
      for (int i = 0; i < inputs; ++i) {
        b.tile.in[i] = in_place(s, i, at, b.tile.n);
        if (!b.tile.in[i]) gather(s, i, at, b.tile.n, buffer[i]), b.tile.in[i] = buffer[i];
      }
      for (int i = inputs; i < inputs + outputs; ++i) {
        void* there = in_place(s, i, at, b.tile.n);
        b.tile.out[i - inputs] = there ? there : buffer[i];
      }
      f(b);
      for (int i = inputs; i < inputs + outputs; ++i)
        if (b.tile.out[i - inputs] == buffer[i]) scatter(s, i, at, b.tile.n, buffer[i]);
    }
  });
}

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
