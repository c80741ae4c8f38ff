// What products on tensor cores are made of, from sm_80 on: 8×8 matrices from shared memory into the registers of a
// warp, the product of such fragments, and copies into shared memory that go on beside the threads. The emulation does
// the same with loops, after the lanes of the warp have shown one another their registers.
#pragma once
#include "common/device.h"
#include "runtime/half.h"

namespace pullback::cuda {
namespace {

// Eight neighbours: what one copy moves, and a row of a matrix in shared memory.
struct alignas(16) Chunk {
  uint16_t bits[8];
};

#if defined(__CUDACC__)

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
#error "products of float16 and bfloat16 need compute capability 8.0: CMAKE_CUDA_ARCHITECTURES from 80 on"
#endif

PB_DEVICE unsigned shared_address(const void* p) { return static_cast<unsigned>(__cvta_generic_to_shared(p)); }

// A chunk, or zeros where there is none at `from`. Both addresses are multiples of 16 bytes.
PB_DEVICE void copy_async(Chunk* to, const void* from, bool is_there) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from),
               "r"(is_there ? 16 : 0)
               : "memory");
}
// The copies since the last one are a group.
PB_DEVICE void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Until this thread's copies are there, but for those of the newest `left` groups.
template <int left>
PB_DEVICE void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(left) : "memory");
}

// Four 8×8 matrices: lane l gives the address of row l % 8 of matrix l / 8, and gets of matrix i, in r[i], the elements
// (l / 4, 2 (l % 4)) and the one to its right; of the transposes where `transposed`.
template <bool transposed>
PB_DEVICE void load_matrices(uint32_t (&r)[4], const Chunk* row) {
  if constexpr (transposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
  }
}

// d += a b, a [16, 16], b [16, 8], d [16, 8], all of the warp. Lane l holds, with g = l / 4, t = l % 4 and an element
// with its right, or in b its lower, neighbour in one register:
//   a[0] = a(g, 2t), a[1] = a(g + 8, 2t), a[2] = a(g, 2t + 8), a[3] = a(g + 8, 2t + 8)
//   b[0] = b(2t, g), b[1] = b(2t + 8, g)
//   d[0], d[1] = d(g, 2t), d(g, 2t + 1), d[2], d[3] = d(g + 8, 2t), d(g + 8, 2t + 1)
template <class T>
PB_DEVICE void mma(float (&d)[4], const uint32_t (&a)[4], const uint32_t* b) {
  if constexpr (std::is_same_v<T, Half>) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
        "%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  } else {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, "
        "%2, "
        "%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  }
}

#else

PB_DEVICE void copy_async(Chunk* to, const void* from, bool is_there, emulate::Site site = emulate::Site::current()) {
  emulate::check_alignment(to, sizeof(Chunk), site);
  emulate::check_alignment(from, sizeof(Chunk), site);
  emulate::begin_copy({to, is_there ? from : nullptr});
}
PB_DEVICE void commit_copies() { emulate::commit_copies(); }
template <int left>
PB_DEVICE void wait_copies() {
  for (emulate::Copy copy; emulate::next_copy(left, copy);)
    *static_cast<Chunk*>(copy.to) = copy.from != nullptr ? *static_cast<const Chunk*>(copy.from) : Chunk{};
}

template <bool transposed>
PB_DEVICE void load_matrices(uint32_t (&r)[4], const Chunk* row, emulate::Site site = emulate::Site::current()) {
  emulate::check_alignment(row, sizeof(Chunk), site);
  const auto mine = reinterpret_cast<uint64_t>(row);
  emulate::hand_in(&mine, 1, site);
  const auto element = [](int matrix, int i, int j) -> uint32_t {
    return reinterpret_cast<const Chunk*>(*emulate::handed_in(8 * matrix + i))->bits[j];
  };
  const int g = lane() / 4, t = lane() % 4;
  for (int i = 0; i < 4; ++i)
    r[i] = transposed ? element(i, 2 * t, g) | element(i, 2 * t + 1, g) << 16
                      : element(i, g, 2 * t) | element(i, g, 2 * t + 1) << 16;
}

// The lower and the upper element of a register.
template <class T>
PB_DEVICE float element_of(uint64_t registers, int i) {
  T x;
  x.bits = static_cast<uint16_t>(registers >> 16 * i);
  return x;
}

template <class T>
PB_DEVICE void mma(float (&d)[4], const uint32_t (&a)[4], const uint32_t* b,
                   emulate::Site site = emulate::Site::current()) {
  const auto pair = [](uint32_t low, uint32_t high) { return low | static_cast<uint64_t>(high) << 32; };
  const uint64_t mine[] = {pair(a[0], a[2]), pair(a[1], a[3]), pair(b[0], b[1])};
  emulate::hand_in(mine, 3, site);
  const int g = lane() / 4, t = lane() % 4;
  // Of 16 terms, those that lane 4 row + t has are 2t, 2t + 1, 2t + 8 and 2t + 9.
  const auto read = [](float (&terms)[16], int row, int word) {
    for (int k = 0; k < 16; ++k)
      terms[k] = element_of<T>(emulate::handed_in(4 * row + k % 8 / 2)[word], k / 8 * 2 + k % 2);
  };
  float rows[2][16], columns[2][16];
  for (int i = 0; i < 2; ++i) read(rows[i], g, i), read(columns[i], 2 * t + i, 2);
  for (int i = 0; i < 4; ++i)
    for (int k = 0; k < 16; ++k) d[i] += rows[i / 2][k] * columns[i % 2][k];  // a product of halves is exact
}

#endif

}  // namespace
}  // namespace pullback::cuda
