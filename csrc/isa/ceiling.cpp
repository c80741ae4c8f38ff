#include "runtime/ceiling.h"

#include "isa/kernel.h"

namespace pullback::ISA_NAMESPACE {

extern const CeilingLoops ceiling_loops;

namespace {

// Two units of a latency of four or five cycles need ten chains to stay busy; fourteen fit every register file.
constexpr int kChains = 14;

float fma_loop(int64_t rounds) {
  // |x| < 1, so that the chains stay finite; what they hold at the start is what a compiler cannot know.
  Vec<float> x = 0.5f + 1e-9f * static_cast<float>(rounds), y = 1 / (1 + static_cast<float>(rounds));
  Vec<float> a[kChains];
  for (int i = 0; i < kChains; ++i) a[i] = y * Vec<float>(static_cast<float>(i));
  for (int64_t k = 0; k < rounds; ++k) {
    for (int i = 0; i < kChains; ++i) a[i] = fma(a[i], x, y);
  }
  float sum = 0;
  for (int i = 0; i < kChains; ++i)
    for (int lane = 0; lane < Vec<float>::size; ++lane) sum += a[i][lane];
  return sum;
}

void triad_loop(const float* b, const float* c, float s, float* a, int64_t n) {
  constexpr int w = Vec<float>::size;
  int64_t i = 0;
  for (; i + w <= n; i += w) fma(Vec<float>(s), Vec<float>::load(c + i), Vec<float>::load(b + i)).store(a + i);
  for (; i < n; ++i) a[i] = b[i] + s * c[i];
}

float read_loop(const float* x, int64_t n) {
  constexpr int w = Vec<float>::size, chains = 8;
  Vec<float> sums[chains];
  int64_t i = 0;
  for (; i + chains * w <= n; i += chains * w) {
    for (int k = 0; k < chains; ++k) sums[k] += Vec<float>::load(x + i + k * w);
  }
  float sum = 0;
  for (; i < n; ++i) sum += x[i];
  for (int k = 0; k < chains; ++k)
    for (int lane = 0; lane < w; ++lane) sum += sums[k][lane];
  return sum;
}

}  // namespace

const CeilingLoops ceiling_loops = {fma_loop, kChains * Vec<float>::size, triad_loop, read_loop};

}  // namespace pullback::ISA_NAMESPACE
