// Random numbers from Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011), a function
// of a counter and a key: which number an element gets depends on its position only, not on who computes it.
//
// state is [seed, offset]: the key, and the counter of the call's first block. A block is four words of 32 bits; 16
// blocks make a tile of 64 words, word w of block b being word 16w + b of the tile. An element takes one word, or two
// (16 apart) where it needs 64 bits; elements are counted in the order of y's memory. A kernel moves the offset on by
// the tiles it used, so that a call that is replayed continues the stream.
#pragma once
#include "runtime/signature.h"

namespace pullback {

inline constexpr Types kState{bit(DType::i64), 0};
inline constexpr Types kDraws{bit(DType::i64), 0};

inline constexpr Signature random_signatures[] = {
    {"random_bits", "y_i = the i-th word", {inout("state", kState), out("y", {bit(DType::i32), 0})}},
    {"uniform",
     "y = low + (high − low) u < high, u = k 2⁻²⁴ from one word, k 2⁻⁵³ from two for double, k 2⁻¹¹ for float16, k 2⁻⁸ "
     "for bfloat16",
     {inout("state", kState), out("y", kFloat), real("low"), real("high")}},
    {"normal",
     "y = mean + std z, z = √(−2 ln u₁) (cos 2πu₂, sin 2πu₂) (Box and Muller), from neighbouring words of a block",
     {inout("state", kState), out("y", kFloat), real("mean"), real("std")}},
    {"exponential", "y = −ln u / rate", {inout("state", kState), out("y", kFloat), real("rate")}},
    {"randint",
     "y = low + ⌊(high − low) u⌋, u = k 2⁻⁶⁴ from two words",
     {inout("state", kState), out("y", kAny), integer("low"), integer("high")}},
    {"bernoulli",
     "y = 1 where u < p, else 0; a p outside of [0, 1] is an error",
     {inout("state", kState), in("p", kFloat), out("y", kOther)}},
    {"permutation",
     "y = the numbers below n in the order of their keys, equal ones as they are. Key i is a signed number of 64 bits: "
     "word i, and below it word m + i, m being n rounded up to tiles. Only where keys are equal some of the n! orders "
     "are more probable: that is n² 2⁻⁶⁵ away from the uniform distribution, 10⁻¹⁰ for 60,000",
     {inout("state", kState), out("y", kNumber)}},
    {"multinomial",
     "y[r, s] = draw s from row r of weights. With replacement: the first i where Σ_(k≤i) weights > u Σ weights; "
     "without: the places of the smallest −ln(u_i) / weights_i, in order",
     {inout("state", kState), in("weights", kFloat), out("y", kDraws), flag("replacement")}},
    {"dropout",
     "mask = u ≥ p;  y = mask x / (1 − p), 0 for p = 1",
     {inout("state", kState), in("x", kFloat), out("y", kFloat), out("mask", kBool), real("p")}},
    {"dropout_backward",
     "dx = mask dy / (1 − p), 0 for p = 1",
     {in("dy", kFloat), in("mask", kBool), out("dx", kFloat), real("p")}},
};

}  // namespace pullback
