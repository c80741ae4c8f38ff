#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>
#include <utility>

#include "bind/gpu.h"
#include "bind/run.h"
#include "common/cublaslt.h"
#include "common/emulate.h"

namespace pullback::cuda {
namespace {

constexpr int kDevices = 2;  // the same host twice, so that a mixture of devices can be tried

bool stands_in = false;
int64_t products = 0;

// What cuBLASLt would compute: D = f(alpha op(A) op(B) + beta D + bias), column by column.
template <class T>
void multiply(const LibraryProduct& p) {
  const auto* bias = static_cast<const T*>(p.bias);
  for (int64_t i = 0; i < p.batch; ++i) {
    const T *a = static_cast<const T*>(p.a) + i * p.stride_a, *b = static_cast<const T*>(p.b) + i * p.stride_b;
    T* d = static_cast<T*>(p.d) + i * p.stride_d;
    for (int64_t col = 0; col < p.n; ++col)
      for (int64_t row = 0; row < p.m; ++row) {
        double sum = 0;
        for (int64_t k = 0; k < p.k; ++k)
          sum += static_cast<double>(a[p.transpose_a ? k + row * p.lda : row + k * p.lda]) *
                 static_cast<double>(b[p.transpose_b ? col + k * p.ldb : k + col * p.ldb]);
        T& out = d[row + col * p.ldd];
        const double added =
            (p.beta != 0 ? p.beta * static_cast<double>(out) : 0) + (bias ? static_cast<double>(bias[row]) : 0);
        const T v = static_cast<T>(p.alpha * sum + added);
        out = p.relu && v < 0 ? T(0) : v;
      }
  }
}

}  // namespace

void use_library(bool use) { stands_in = use; }
int64_t library_products() { return products; }

bool multiply_by_library(const LibraryProduct& p) {
  if (!stands_in) return false;
  ++products;
  void* workspace = workspace_of_call(cublaslt::kWorkspace);
  emulate::in_order([p, workspace] {
    std::memset(workspace, 0xFF, 256);  // an algorithm may leave anything there
    p.dtype == DType::f32 ? multiply<float>(p) : multiply<double>(p);
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

// --- captured steps: there is one stream, whose work is done when it is given
// ------------------------------------------

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
