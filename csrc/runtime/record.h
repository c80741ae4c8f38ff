// What crosses the one door between Python and the kernels: a call as a record of operands and scalars.
// Included by kernel sources, which are compiled once per instruction set: every function here is always inlined.
#pragma once
#include <cstddef>
#include <cstdint>

#if defined(__CUDACC__)
#define PB_INLINE __host__ __device__ __forceinline__
#else
#define PB_INLINE [[gnu::always_inline]] inline
#endif

namespace pullback {

inline constexpr int kMaxDims = 16;
inline constexpr int kMaxParams = 20;

enum class DType : uint8_t { f32, f64, i64, i32, i16, i8, u8, b8, f16, bf16 };
inline constexpr int kDTypes = 10;

PB_INLINE constexpr int item_size(DType t) {
  constexpr int sizes[kDTypes] = {4, 8, 8, 4, 2, 1, 1, 1, 2, 2};
  return sizes[static_cast<int>(t)];
}

enum class Role : uint8_t { in, out, inout };

// One array: where it lies, and how it is laid out. Strides count elements and may be zero or negative.
struct Operand {
  char* buffer;    // start of the allocation that holds it
  int64_t offset;  // bytes from there to element [0, …, 0]
  int32_t ndim;
  DType dtype;
  Role role;
  int16_t device;  // its number among the GPUs; 0 on the CPU
  int64_t shape[kMaxDims];
  int64_t strides[kMaxDims];

  template <class T>
  PB_INLINE T* data() const {
    return reinterpret_cast<T*>(buffer + offset);
  }

  PB_INLINE int64_t size() const {
    int64_t n = 1;
    for (int d = 0; d < ndim; ++d) n *= shape[d];
    return n;
  }

  // Row-major without gaps.
  PB_INLINE bool contiguous() const {
    int64_t expected = 1;
    for (int d = ndim - 1; d >= 0; --d) {
      if (shape[d] != 1 && strides[d] != expected) return size() == 0;
      expected *= shape[d];
    }
    return true;
  }
};

// A cell in GPU memory is read by a kernel, never by the host code that launches it, which require_kernel() refuses.
#if defined(__CUDACC__)
#define PULLBACK_CELLS_ON_DEVICE __host__ __device__
#elif defined(PULLBACK_EMULATED_KERNELS)
#define PULLBACK_CELLS_ON_DEVICE
#endif
#if defined(PULLBACK_CELLS_ON_DEVICE)
PULLBACK_CELLS_ON_DEVICE void require_kernel();
#endif

// A number that steers a kernel: a constant, or a cell in memory that is read when the kernel runs
// (a recorded step replays with what the cell holds then).
struct Scalar {
  enum class Kind : uint8_t { real, integer, cell_f32, cell_f64, cell_i64 } kind;
  union {
    double real_value;
    int64_t integer_value;
    const void* cell;
  };

  PB_INLINE double real() const {
    switch (kind) {
      case Kind::real:
        return real_value;
      case Kind::integer:
        return static_cast<double>(integer_value);
      case Kind::cell_f32:
        return read<float>();
      case Kind::cell_f64:
        return read<double>();
      default:
        return static_cast<double>(read<int64_t>());
    }
  }
  PB_INLINE int64_t integer() const {
    if (kind == Kind::integer) return integer_value;
    if (kind == Kind::cell_i64) return read<int64_t>();
    return static_cast<int64_t>(real());
  }

 private:
  template <class T>
  PB_INLINE T read() const {
#if defined(PULLBACK_CELLS_ON_DEVICE) && !defined(__CUDA_ARCH__)
    require_kernel();
#endif
    return *static_cast<const T*>(cell);
  }
};

// What only the data can tell. A kernel that meets it stays in bounds, sets the word and goes on;
// whoever launched it raises the exception.
enum class ErrorCode : int32_t {
  none,
  index_out_of_range,
  class_out_of_range,
  division_by_zero,
  negative_power,
  out_of_memory,
  bad_shape,  // of the operand parameter `value`
  bad_value
};

struct Error {
  ErrorCode code = ErrorCode::none;
  int64_t value = 0;  // the offending index, label, …
  int64_t bound = 0;  // what it had to stay below

  // The first one wins; several threads may report.
  PB_INLINE void set(ErrorCode what, int64_t offending, int64_t limit) {
    auto* word = reinterpret_cast<int32_t*>(&code);
    int32_t expected = 0;
#if defined(__CUDA_ARCH__)
    const bool is_first = atomicCAS(word, expected, static_cast<int32_t>(what)) == expected;
#else
    const bool is_first = __atomic_compare_exchange_n(word, &expected, static_cast<int32_t>(what), false,
                                                      __ATOMIC_RELAXED, __ATOMIC_RELAXED);
#endif
    if (!is_first) return;
    value = offending;
    bound = limit;
  }
};

// A list of operands that share one parameter (the parameters of an optimizer, the parts of cat).
struct OperandList {
  const Operand* first;
  int count;
  PB_INLINE const Operand& operator[](int i) const { return first[i]; }
};

// The call as a kernel sees it. Operand parameters are numbered in the order of the signature, apart from the
// scalar ones, which have numbers of their own.
struct Call {
  const Operand* operands;
  const int32_t* first;  // parameter i owns operands[first[i]] … operands[first[i + 1] - 1]
  const Scalar* scalars;
  Error* error;

  PB_INLINE const Operand& operator[](int i) const { return operands[first[i]]; }
  PB_INLINE bool has(int i) const { return first[i + 1] > first[i]; }  // an optional parameter may be absent
  PB_INLINE OperandList list(int i) const { return {operands + first[i], first[i + 1] - first[i]}; }
  PB_INLINE double real(int i) const { return scalars[i].real(); }
  PB_INLINE int64_t integer(int i) const { return scalars[i].integer(); }
  PB_INLINE bool flag(int i) const { return scalars[i].integer() != 0; }
};

using Entry = void (*)(const Call&);

}  // namespace pullback
