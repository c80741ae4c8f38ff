// pullback._cuda: every kernel that has a CUDA half under its own name, for arrays in GPU memory. And, from the same
// sources, pullback._cuda_emulated: the kernels as C++ on the host, for arrays that say they were in GPU memory.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "bind/gpu.h"
#include "bind/kernel.h"
#include "bind/plan.h"
#include "bind/read.h"
#include "bind/run.h"
#include "common/cublaslt.h"
#if defined(PULLBACK_EMULATED_KERNELS)
#include "common/emulate.h"
#endif

namespace nb = nanobind;

namespace pullback::cuda {
namespace {

nb::object steal(PyObject* object) {
  if (!object) nb::raise_python_error();
  return nb::steal(object);
}

void check(int status) {
  if (status < 0) nb::raise_python_error();
}

void raise_errors() {
  try {
    check_errors();
  } catch (...) {
    bind::raise_current();
    nb::raise_python_error();
  }
}

std::vector<std::string> kernel_names() {
  std::vector<std::string> names;
  for (const Kernel& k : kernels())
    if (k.entry) names.emplace_back(k.signature->name);
  return names;
}

nb::dict properties_as_dict(int device) {
  const DeviceProperties p = device_properties(device);
  nb::dict d;
  d["name"] = p.name;
  d["major"] = p.major;
  d["minor"] = p.minor;
  d["total_memory"] = p.total_memory;
  d["multi_processor_count"] = p.multi_processor_count;
  return d;
}

std::string load_cublaslt(const std::string& path) {
  cublaslt::load(path.c_str());
  return cublaslt::path();
}

nb::list workspaces_as_list() {
  nb::list all;
  for (PyObject* memory : held_workspaces()) all.append(nb::borrow(memory));
  return all;
}

DType dtype_named(const std::string& name) {
  for (int t = 0; t < kDTypes; ++t)
    if (dtype_name(static_cast<DType>(t)) == name) return static_cast<DType>(t);
  throw nb::value_error(("there is no dtype " + name).c_str());
}

nb::dict cublaslt_descriptors(int64_t m, int64_t n, int64_t k, bool transpose_a, bool transpose_b, int64_t batch,
                              bool bias, const std::string& epilogue, const std::string& dtype,
                              const std::string& dtype_d) {
  using Epilogue = LibraryProduct::Epilogue;
  LibraryProduct p = {};
  p.dtype = dtype_named(dtype), p.dtype_d = dtype_named(dtype_d);
  p.m = m, p.n = n, p.k = k, p.transpose_a = transpose_a, p.transpose_b = transpose_b, p.batch = batch;
  p.lda = transpose_a ? k : m, p.ldb = transpose_b ? n : k, p.ldd = m;
  p.stride_a = m * k, p.stride_b = k * n, p.stride_d = m * n;
  p.bias = bias ? &p : nullptr;
  p.epilogue = epilogue == "relu" ? Epilogue::relu : epilogue == "gelu" ? Epilogue::gelu : Epilogue::none;
  nb::dict d;
  for (const auto& [name, value] : cublaslt::descriptors(p)) d[name.c_str()] = value;
  return d;
}

#if defined(PULLBACK_EMULATED_KERNELS)
void set_thread_order(const std::string& order, uint64_t seed) {
  if (order == "forward") return emulate::set_order(emulate::Order::forward);
  if (order == "reversed") return emulate::set_order(emulate::Order::reversed);
  if (order == "shuffled") return emulate::set_order(emulate::Order::shuffled, seed);
  throw nb::value_error(("set_thread_order: expected forward, reversed or shuffled, got '" + order + "'").c_str());
}
#endif

void define(nb::module_& m, const char* kernel_type, const char* block_type, const char* recording_type,
            const char* plan_type) {
  bind::import_numpy();
  fill_table();
  check(bind::make_kernel_type(kernel_type));
  check(bind::make_block_type(block_type));
  check(bind::make_recording_type(m.ptr(), recording_type));
  check(bind::make_plan_type(m.ptr(), plan_type));
  check(bind::add_kernels(m.ptr()));
  m.def(
      "signatures", [] { return steal(bind::signatures()); }, "Every kernel's contract: (name, formula, parameters).");
  m.def("launch_counts", [] { return steal(bind::launch_counts()); }, "How often each kernel was launched.");
  m.def("kernel_names", kernel_names, "The kernels that have a CUDA half; the others raise NotImplementedError.");
  m.def(
      "connect",
      [](nb::callable stream, nb::callable memory, nb::callable over) {
        connect(stream.ptr(), memory.ptr(), over.ptr());
      },
      nb::arg("current_stream"), nb::arg("allocate"), nb::arg("over"),
      "Where kernels run and take memory from: current_stream() -> int, allocate(bytes) -> an object with .ptr, "
      "over(owner, pointer, dtype, shape, strides, device) -> an array in memory that owner keeps alive.");
  m.def(
      "empty",
      [](nb::tuple shape, nb::object dtype, int device) { return steal(empty(shape.ptr(), dtype.ptr(), device)); },
      nb::arg("shape"), nb::arg("dtype"), nb::arg("device"),
      "An uninitialised array whose memory is known to the recording of this thread, if there is one.");
  m.def("recording", bind::recording, "Whether this thread's kernel calls are being recorded.");
  m.def("check_errors", raise_errors,
        "Raise what kernels have reported since the last check; the device has to have finished them.");
  m.def("device_count", device_count, "The GPUs that this build can use.");
  m.def("unavailable_reason", unavailable_reason, "Why there is none; empty where there is one.");
  m.def("driver_version", driver_version, "The newest CUDA that the driver knows, 13000 for 13.0; 0 without a driver.");
  m.def("runtime_version", runtime_version, "The CUDA that this module was built with.");
  m.def("architectures", architectures, "What kernels were compiled for: sm_80, … and compute_90 for PTX.");
  m.def("device_properties", properties_as_dict, nb::arg("device"),
        "A GPU's name, compute capability (major, minor), memory and multiprocessors.");
  m.def("load_cublaslt", load_cublaslt, nb::arg("path"),
        "Open cuBLASLt, or take the copy that the process has already; its path. Raises RuntimeError.");
  m.def("cublaslt_version", cublaslt::version, "131000 for 13.10.0; 0 where it has not been opened.");
  m.def("cublaslt_descriptors", cublaslt_descriptors, nb::arg("m"), nb::arg("n"), nb::arg("k"), nb::arg("transpose_a"),
        nb::arg("transpose_b"), nb::arg("batch"), nb::arg("bias"), nb::arg("epilogue"), nb::arg("dtype"),
        nb::arg("dtype_d"), "What cuBLASLt says of the descriptors that it makes for a product; needs no device.");
  m.def("cublaslt_products", library_products, "How many products have gone there.");
  m.def("workspaces", workspaces_as_list,
        "cuBLASLt's memory, an object for each device and stream that it has run on.");
  m.def("drop_workspaces", drop_workspaces, "Let go of it; the next product on a stream asks for it anew.");
  m.def("use_cublaslt", use_library, nb::arg("use"), "Whether products of matrices go to it where they can.");
#if defined(PULLBACK_EMULATED_KERNELS)
  m.def("set_thread_order", set_thread_order, nb::arg("order"), nb::arg("seed") = 0,
        "In which order the threads of a block take their turns: forward, reversed or shuffled.");
#endif
}

}  // namespace
}  // namespace pullback::cuda

#if defined(PULLBACK_EMULATED_KERNELS)
NB_MODULE(_cuda_emulated, m) {
  pullback::cuda::define(m, "pullback._cuda_emulated.Kernel", "pullback._cuda_emulated.Block",
                         "pullback._cuda_emulated.Recording", "pullback._cuda_emulated.Plan");
}
#else
NB_MODULE(_cuda, m) {
  pullback::cuda::define(m, "pullback._cuda.Kernel", "pullback._cuda.Block", "pullback._cuda.Recording",
                         "pullback._cuda.Plan");
}
#endif
