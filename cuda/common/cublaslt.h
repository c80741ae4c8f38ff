// Matrix products by cuBLASLt, which is opened at run time: nothing here needs it to build or to import.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "runtime/record.h"

namespace pullback::cuda {

// D = f(alpha op(A) op(B) + beta D + bias), all matrices column by column as the library has them: op(A) is [m, k],
// op(B) [k, n], D [m, n], bias [m].
struct LibraryProduct {
  enum class Epilogue : uint8_t { none, relu, gelu };  // f: v, max(0, v), v/2 (1 + tanh(√(2/π) (v + 0.044715 v³)))

  DType dtype;    // of A and B
  DType dtype_d;  // of D and bias: the same, or float32 where that is a half
  int64_t m, n, k;
  bool transpose_a, transpose_b;
  int64_t lda, ldb, ldd;  // from a column in memory to the next
  int64_t batch;
  int64_t stride_a, stride_b, stride_d;  // from a product of the batch to the next
  const void *a, *b;
  void* d;
  const void* bias;  // nullptr for none
  double alpha, beta;
  Epilogue epilogue;
};

// False where every product would be refused.
bool library_is_used();

// In the order of the current stream. False where the library is absent or does not take such a product: then nothing
// was written.
bool multiply_by_library(const LibraryProduct& p);

namespace cublaslt {

// Opens the library, or takes the copy that the process has already. Throws std::runtime_error.
void load(const char* path);
bool loaded();
std::string path();
int64_t version();  // 131000 for 13.10.0

// The product's descriptors made by the library, and what it says that they hold. Needs no device.
std::vector<std::pair<std::string, int64_t>> descriptors(const LibraryProduct& p);

enum class Outcome { done, unsupported };
// `workspace` hands out kWorkspace bytes that no other stream uses, where an algorithm wants any. Throws
// std::runtime_error where the library fails.
inline constexpr size_t kWorkspace = 32 << 20;
Outcome multiply(const LibraryProduct& p, int device, void* stream, void* (*workspace)(size_t bytes));

}  // namespace cublaslt
}  // namespace pullback::cuda
