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

// --- captured steps --------------------------------------------------------------------------------------------------

void copy_waiting(void* to, const void* from, int64_t bytes) {
  if (bytes <= 0) return;
  cudaPointerAttributes of_to, of_from;
  check(cudaPointerGetAttributes(&of_to, to), "a copy of memory");
  check(cudaPointerGetAttributes(&of_from, from), "a copy of memory");
  const OnDevice on_device(of_to.type == cudaMemoryTypeDevice ? of_to.device : of_from.device);
  check(cudaDeviceSynchronize(), "a copy of memory");  // also of streams that do not wait for one another
  check(cudaMemcpy(to, from, static_cast<size_t>(bytes), cudaMemcpyDefault), "a copy of memory");
  check(cudaDeviceSynchronize(), "a copy of memory");  // from ordinary memory it may still be under way
}

void copy_in_order(void* to, const void* from, int64_t bytes, void* stream) {
  if (bytes <= 0) return;
  check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToDevice,
                        static_cast<cudaStream_t>(stream)),
        "a copy of memory");
}

Event::~Event() {
  if (event_) cudaEventDestroy(static_cast<cudaEvent_t>(event_));
}

void Event::record(void* stream) {
  if (!event_) {
    cudaEvent_t made;
    check(cudaEventCreateWithFlags(&made, cudaEventDisableTiming), "an event");
    event_ = made;
  }
  check(cudaEventRecord(static_cast<cudaEvent_t>(event_), static_cast<cudaStream_t>(stream)), "an event");
}

void Event::delay(void* stream) {
  if (event_)
    check(cudaStreamWaitEvent(static_cast<cudaStream_t>(stream), static_cast<cudaEvent_t>(event_), 0), "an event");
}

void Event::wait() {
  if (event_) cudaEventSynchronize(static_cast<cudaEvent_t>(event_));
}

namespace {

class CapturedGraph : public Graph {
 public:
  explicit CapturedGraph(cudaGraph_t graph) {
    const cudaError_t status = cudaGraphInstantiateWithFlags(&executable_, graph, 0);
    cudaGraphDestroy(graph);
    check(status, "a graph of launches");
  }
  ~CapturedGraph() override {
    if (executable_) cudaGraphExecDestroy(executable_);
  }
  void launch(void* stream) override {
    check(cudaGraphLaunch(executable_, static_cast<cudaStream_t>(stream)), "a graph's launch");
  }

 private:
  cudaGraphExec_t executable_ = nullptr;
};

// A stream of its own, which waits for no other: the default one cannot be captured.
struct SideStream {
  cudaStream_t stream = nullptr;
  SideStream() { check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "a stream"); }
  ~SideStream() { cudaStreamDestroy(stream); }
};

}  // namespace

// Relaxed: cuBLASLt may load what it lacks meanwhile, and other threads go on with streams of their own.
std::unique_ptr<Graph> capture(const std::function<void(void* stream)>& work) {
  const SideStream side;
  cudaGraph_t graph = nullptr;
  check(cudaStreamBeginCapture(side.stream, cudaStreamCaptureModeRelaxed), "a captured stream");
  try {
    work(side.stream);
  } catch (...) {
    cudaStreamEndCapture(side.stream, &graph);
    if (graph) cudaGraphDestroy(graph);
    cudaGetLastError();
    throw;
  }
  check(cudaStreamEndCapture(side.stream, &graph), "a captured stream");
  return std::make_unique<CapturedGraph>(graph);
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
