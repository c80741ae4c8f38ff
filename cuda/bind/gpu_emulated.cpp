#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>
#include <numbers>
#include <stdexcept>
#include <utility>

#include "bind/gpu.h"
#include "bind/run.h"
#include "common/cublaslt.h"
#include "common/emulate.h"
#include "runtime/half.h"

namespace pullback::cuda {
namespace {

constexpr int kDevices = 2;  // the same host twice, so that a mixture of devices can be tried

bool stands_in = false;
int64_t products = 0;

double apply(LibraryProduct::Epilogue f, double v) {
  using Epilogue = LibraryProduct::Epilogue;
  if (f == Epilogue::relu) return std::max(v, 0.0);
  if (f == Epilogue::gelu) return v / 2 * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (v + 0.044715 * v * v * v)));
  return v;
}

// What cuBLASLt would compute: D = f(alpha op(A) op(B) + beta D + bias), column by column, rounded once.
template <class T, class D>
void multiply(const LibraryProduct& p) {
  const auto* bias = static_cast<const D*>(p.bias);
  for (int64_t i = 0; i < p.batch; ++i) {
    const T *a = static_cast<const T*>(p.a) + i * p.stride_a, *b = static_cast<const T*>(p.b) + i * p.stride_b;
    D* d = static_cast<D*>(p.d) + i * p.stride_d;
    for (int64_t col = 0; col < p.n; ++col)
      for (int64_t row = 0; row < p.m; ++row) {
        double sum = 0;
        for (int64_t k = 0; k < p.k; ++k)
          sum += static_cast<double>(a[p.transpose_a ? k + row * p.lda : row + k * p.lda]) *
                 static_cast<double>(b[p.transpose_b ? col + k * p.ldb : k + col * p.ldb]);
        D& out = d[row + col * p.ldd];
        const double added =
            (p.beta != 0 ? p.beta * static_cast<double>(out) : 0) + (bias ? static_cast<double>(bias[row]) : 0);
        out = D(apply(p.epilogue, p.alpha * sum + added));
      }
  }
}

template <class T>
void multiply_halves(const LibraryProduct& p) {
  p.dtype_d == DType::f32 ? multiply<T, float>(p) : multiply<T, T>(p);
}

void multiply(const LibraryProduct& p) {
  switch (p.dtype) {
    case DType::f16:
      return multiply_halves<Half>(p);
    case DType::bf16:
      return multiply_halves<BFloat16>(p);
    case DType::f32:
      return multiply<float, float>(p);
    default:
      return multiply<double, double>(p);
  }
}

}  // namespace

void use_library(bool use) { stands_in = use; }
int64_t library_products() { return products; }

bool library_is_used() { return stands_in; }

bool multiply_by_library(const LibraryProduct& p) {
  if (!stands_in) return false;
  ++products;
  void* workspace = workspace_of_call(cublaslt::kWorkspace);
  emulate::in_order([p, workspace] {
    std::memset(workspace, 0xFF, 256);  // an algorithm may leave anything there
    multiply(p);
  });
  return true;
}

int device_count() { return kDevices; }
std::string unavailable_reason() { return ""; }
int driver_version() { return 0; }
int runtime_version() { return 0; }

DeviceProperties device_properties(int device) {
  if (device < 0 || device >= kDevices) throw std::out_of_range("there is no GPU " + std::to_string(device));
  return {"emulated on the host", 0, 0, 0, 1};
}

std::vector<std::string> architectures() { return {"emulated"}; }

OnDevice::OnDevice(int device) : before_(device), device_(device) {
  if (device < 0 || device >= kDevices) throw std::runtime_error("there is no GPU " + std::to_string(device));
}
OnDevice::~OnDevice() = default;

Error* make_errors(int count) { return new Error[count]; }

// --- captured steps: there is one stream, whose work is done when it is given ----------------------------------------

void copy_waiting(void* to, const void* from, int64_t bytes) {
  if (bytes > 0) std::memcpy(to, from, static_cast<size_t>(bytes));
}

void copy_in_order(void* to, const void* from, int64_t bytes, void*) {
  emulate::in_order([=] { copy_waiting(to, from, bytes); });
}

Event::~Event() = default;
void Event::record(void*) {}
void Event::delay(void*) {}
void Event::wait() {}

namespace {

class CapturedGraph : public Graph {
 public:
  explicit CapturedGraph(emulate::Work work) : work_(std::move(work)) {}
  void launch(void*) override {
    for (const auto& work : work_) work();
  }

 private:
  emulate::Work work_;
};

}  // namespace

std::unique_ptr<Graph> capture(const std::function<void(void* stream)>& work) {
  emulate::Work captured;
  struct Capturing {
    emulate::Work* before;
    ~Capturing() { emulate::capture(before); }
  } capturing{emulate::capture(&captured)};
  work(nullptr);
  return std::make_unique<CapturedGraph>(std::move(captured));
}

}  // namespace pullback::cuda

namespace pullback {

void require_kernel() {
  if (!emulate::inside_kernel()) cuda::refuse_cell();
}

}  // namespace pullback
