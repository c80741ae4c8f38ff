// What this machine allows: loops that do one thing only, timed. The benchmarks set kernels against them.
#pragma once

#include <cstdint>

namespace pullback {

// The loops of one instruction set; csrc/isa/ceiling.cpp holds them.
struct CeilingLoops {
  // `rounds` rounds of independent multiply-adds on registers, `fmas` of them a round; the result is their sum.
  float (*fma)(int64_t rounds);
  int64_t fmas;
  // a_i = b_i + s c_i; a may be b
  void (*triad)(const float* b, const float* c, float s, float* a, int64_t n);
  // Σ x_i
  float (*read)(const float* x, int64_t n);
};

// All of them use the instruction set and the threads in use, and give the best of many tries.

double peak_flops();  // float32, a multiply-add counting as two

// Bytes a second over arrays of `bytes` in all: triad reads two thirds and writes a third, which the memory fetches
// too, uncounted; update is the triad onto one of its inputs, where nothing is fetched in vain; read only reads. Throws
// std::invalid_argument where `bytes` is too little to give every thread its share.
double triad_bandwidth(int64_t bytes);
double update_bandwidth(int64_t bytes);
double read_bandwidth(int64_t bytes);

double fork_join_seconds();   // one task a thread, each of which waits for the others to have begun
double round_trip_seconds();  // a word to another core and back, which no fork and join is below; 0 for one thread

}  // namespace pullback
