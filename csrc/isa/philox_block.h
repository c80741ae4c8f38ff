// A block of Philox 4x32-10: four words of 32 bits, as plain arithmetic on the CPU and on the GPU.
#pragma once
#include <cstdint>

#include "runtime/record.h"

namespace pullback::ISA_NAMESPACE {
namespace {

inline constexpr int kBlocks = 16;          // of a tile
inline constexpr int kWords = 4 * kBlocks;  // of a tile

struct Philox {
  uint32_t key[2];
  uint64_t offset;
};

inline constexpr uint32_t kPhiloxM0 = 0xD2511F53, kPhiloxM1 = 0xCD9E8D57;  // multipliers of the counter
inline constexpr uint32_t kPhiloxW0 = 0x9E3779B9, kPhiloxW1 = 0xBB67AE85;  // what the key grows by in each round

PB_INLINE void philox_block(const Philox& p, int64_t block, uint32_t (&word)[4]) {
  const uint64_t counter = p.offset + static_cast<uint64_t>(block);
  uint32_t c0 = static_cast<uint32_t>(counter), c1 = static_cast<uint32_t>(counter >> 32), c2 = 0, c3 = 0;
  uint32_t k0 = p.key[0], k1 = p.key[1];
  for (int round = 0; round < 10; ++round) {
    const uint64_t m0 = uint64_t{kPhiloxM0} * c0, m1 = uint64_t{kPhiloxM1} * c2;
    c0 = static_cast<uint32_t>(m1 >> 32) ^ c1 ^ k0;
    c1 = static_cast<uint32_t>(m1);
    c2 = static_cast<uint32_t>(m0 >> 32) ^ c3 ^ k1;
    c3 = static_cast<uint32_t>(m0);
    k0 += kPhiloxW0, k1 += kPhiloxW1;
  }
  word[0] = c0, word[1] = c1, word[2] = c2, word[3] = c3;
}

// How far a call moves the counter on that takes so many words for each of its elements.
PB_INLINE int64_t blocks_of_call(int64_t elements, int words) {
  const uint64_t all = static_cast<uint64_t>(elements) * static_cast<uint64_t>(words);
  return static_cast<int64_t>((all + kWords - 1) / kWords * kBlocks);
}

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
