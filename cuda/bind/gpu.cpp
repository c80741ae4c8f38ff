#include "bind/gpu.h"

#include <cuda_runtime_api.h>

#include <new>
#include <stdexcept>

#include "bind/run.h"

namespace pullback::cuda {
namespace {

std::string version(int v) { return std::to_string(v / 1000) + "." + std::to_string(v % 1000 / 10); }

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // so that the next launch does not report it again
  throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(status));
}

}  // namespace

int device_count() {
  int n = 0;
  if (cudaGetDeviceCount(&n) == cudaSuccess) return n;
  cudaGetLastError();
  return 0;
}

std::string unavailable_reason() {
  int n = 0;
  const cudaError_t status = cudaGetDeviceCount(&n);
  if (status == cudaSuccess && n > 0) return "";
  cudaGetLastError();
  const int driver = driver_version();
  if (driver == 0) return "no NVIDIA driver was found";
  if (status == cudaErrorInsufficientDriver)
    return "the NVIDIA driver is too old: it knows CUDA up to " + version(driver) + ", and this build needs " +
           version(runtime_version());
  if (status == cudaSuccess || status == cudaErrorNoDevice) return "the NVIDIA driver found no GPU";
  return std::string("the NVIDIA driver failed: ") + cudaGetErrorString(status);
}

int driver_version() {
  int v = 0;
  return cudaDriverGetVersion(&v) == cudaSuccess ? v : 0;
}

int runtime_version() { return CUDART_VERSION; }

DeviceProperties device_properties(int device) {
  if (device < 0 || device >= device_count()) throw std::out_of_range("there is no GPU " + std::to_string(device));
  cudaDeviceProp p;
  check(cudaGetDeviceProperties(&p, device), "device_properties");
  return {p.name, p.major, p.minor, static_cast<int64_t>(p.totalGlobalMem), p.multiProcessorCount};
}

// PULLBACK_ARCHITECTURES is CMake's list: 80-real is machine code, 90-virtual PTX, and 90 both.
std::vector<std::string> architectures() {
  std::vector<std::string> real, ptx;
  const std::string all = PULLBACK_ARCHITECTURES ",";
  for (size_t at = 0, comma; (comma = all.find(',', at)) != std::string::npos; at = comma + 1) {
    const std::string one = all.substr(at, comma - at), number = one.substr(0, one.find('-'));
    if (one.find("-virtual") == std::string::npos) real.push_back("sm_" + number);
    if (one.find("-real") == std::string::npos) ptx.push_back("compute_" + number);
  }
  real.insert(real.end(), ptx.begin(), ptx.end());
  return real;
}

OnDevice::OnDevice(int device) : device_(device) {
  check(cudaGetDevice(&before_), "the current device");
  if (before_ != device_) check(cudaSetDevice(device_), "the arrays' device");
}
OnDevice::~OnDevice() {
  if (before_ != device_) cudaSetDevice(before_);
}

Error* make_errors(int count) {
  void* memory = nullptr;  // one address for host and device
  check(cudaHostAlloc(&memory, count * sizeof(Error), cudaHostAllocMapped | cudaHostAllocPortable), "memory of errors");
  return new (memory) Error[count];
}

// --- what kernels' host code asks, see common/device.h ---------------------------------------------------------------

cudaStream_t current_stream() { return static_cast<cudaStream_t>(stream_of_call()); }

// An error that stays is one of a kernel before: a launch's own is forgotten when it has been read.
[[noreturn]] void refuse_launch(cudaError_t status, int64_t blocks, int threads) {
  throw std::runtime_error("a launch of " + std::to_string(blocks) + " blocks of " + std::to_string(threads) +
                           " threads failed: " + cudaGetErrorString(status) +
                           (cudaGetLastError() == status ? " (of a kernel before this one)" : ""));
}

}  // namespace pullback::cuda

namespace pullback {

void require_kernel() { cuda::refuse_cell(); }

}  // namespace pullback
