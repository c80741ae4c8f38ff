// What the module asks of the machine's GPUs: by CUDA's runtime in gpu.cpp, of the emulation in gpu_emulated.cpp.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/record.h"

namespace pullback::cuda {

struct DeviceProperties {
  std::string name;
  int major, minor;  // compute capability
  int64_t total_memory;
  int multi_processor_count;
};

// None of these throws where there is no driver: then there are no devices, and a reason.
int device_count();
std::string unavailable_reason();  // empty where there is a device
int driver_version();              // the newest CUDA that the driver knows, 1000 major + 10 minor; 0 without a driver
int runtime_version();             // the CUDA that this module was built with

DeviceProperties device_properties(int device);  // throws std::out_of_range
std::vector<std::string> architectures();        // that kernels were compiled for: sm_80, …, compute_90 for PTX

// Makes a GPU the calling thread's while it lives.
class OnDevice {
 public:
  explicit OnDevice(int device);
  ~OnDevice();
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;

 private:
  int before_, device_;
};

// `count` errors, all none, that the current device writes to and the host reads; never freed.
Error* make_errors(int count);

}  // namespace pullback::cuda
