// What the module asks of the machine's GPUs: by CUDA's runtime in gpu.cpp, of the emulation in gpu_emulated.cpp.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
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

// Bytes of any memory to any, once the device has done what it was given; and in the order of a stream.
void copy_waiting(void* to, const void* from, int64_t bytes);
void copy_in_order(void* to, const void* from, int64_t bytes, void* stream);

// A point in the work of a stream of the current device: none until record().
class Event {
 public:
  Event() = default;
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void record(void* stream);
  void delay(void* stream);  // what this stream is given later comes after the point
  void wait();

 private:
  void* event_ = nullptr;
};

// Work on a stream that was captured, to be given to a stream again as a whole.
class Graph {
 public:
  virtual ~Graph() = default;
  virtual void launch(void* stream) = 0;
};
// What `work` does on the stream that it is handed, which does not run now.
std::unique_ptr<Graph> capture(const std::function<void(void* stream)>& work);

}  // namespace pullback::cuda
