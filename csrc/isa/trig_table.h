// Polynomials of sine and cosine, for the vectors of the CPU and for the GPU.
#pragma once

namespace pullback::ISA_NAMESPACE {
namespace {

// In z = r², |r| <= π/4 and a little more: (sin r - r) / r³ and (cos r - 1 + r²/2) / r⁴.
template <class T>
struct TrigTable;
template <>
struct TrigTable<float> {
  static constexpr float sine[] = {-0x1.555542p-3f, 0x1.1105f4p-7f, -0x1.98d3bap-13f};
  static constexpr float cosine[] = {0x1.555548p-5f, -0x1.6c0ae2p-10f, 0x1.99886ep-16f};
};
template <>
struct TrigTable<double> {
  static constexpr double sine[] = {-0x1.5555555555544p-3, 0x1.111111110f092p-7,   -0x1.a01a019b0ceb6p-13,
                                    0x1.71de34913dc69p-19, -0x1.ae5daf7a37e53p-26, 0x1.5d5d99ce30fccp-33};
  static constexpr double cosine[] = {0x1.5555555555548p-5,   -0x1.6c16c16c1492fp-10, 0x1.a01a019bdb012p-16,
                                      -0x1.27e4f76b0ec98p-22, 0x1.1ee97e0d9883ap-29,  -0x1.8f750a1297f29p-37};
};

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
