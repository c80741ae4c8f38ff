#include <cstdlib>
#include <new>
#include <stdexcept>

#include "bind/gpu.h"
#include "bind/run.h"
#include "common/emulate.h"

namespace pullback::cuda {
namespace {

constexpr int kDevices = 2;  // the same host twice, so that a mixture of devices can be tried

}  // namespace

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

}  // namespace pullback::cuda

namespace pullback {

void require_kernel() {
  if (!emulate::inside_kernel()) cuda::refuse_cell();
}

}  // namespace pullback
