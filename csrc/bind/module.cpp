// pullback._cpu: every kernel under its own name, the allocator, and what the library asks about this machine.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdlib>

#include "bind/array.h"
#include "bind/dlpack.h"
#include "bind/kernel.h"
#include "bind/plan.h"
#include "bind/plan_file.h"
#include "bind/recording.h"
#include "runtime/ceiling.h"
#include "runtime/dispatch.h"
#include "runtime/launch.h"
#include "runtime/memory.h"
#include "runtime/threads.h"

namespace py = pybind11;

namespace pullback::bind {
namespace {

PyMethodDef empty_method = {"empty", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(empty)), METH_FASTCALL,
                            "empty(shape, dtype): an uninitialised array, its memory from the caching allocator"};

py::object steal(PyObject* object) {
  if (!object) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(object);
}

void check(int status) {
  if (status < 0) throw py::error_already_set();
}

void set_threads(int n) {
  if (n < 1) throw py::value_error("set_num_threads: expected at least 1, got " + std::to_string(n));
  set_num_threads(n);
}

std::vector<std::string> usable_isas() {
  std::vector<std::string> names;
  for (Isa isa : compiled_isas())
    if (cpu_supports(isa)) names.emplace_back(isa_name(isa));
  return names;
}

py::dict memory_as_dict() {
  const MemoryStats s = memory_stats();
  py::dict d;
  d["in_use"] = s.in_use;
  d["peak"] = s.peak;
  d["cached"] = s.cached;
  d["limit"] = s.limit;
  d["allocations"] = s.hits + s.misses;
  d["hits"] = s.hits;
  d["misses"] = s.misses;
  d["system_calls"] = s.system_calls;
  return d;
}

bool exchange_in_capsule(const py::object& capsule, bool to_bfloat16) {
  const bool exchanged = exchange_bfloat16(capsule.ptr(), to_bfloat16);
  if (PyErr_Occurred()) throw py::error_already_set();
  return exchanged;
}

void choose_isa() {
  const char* forced = std::getenv("PULLBACK_ISA");
  if (forced && *forced) return use_isa(isa_from_name(forced));
  Isa best = Isa::portable;
  for (Isa isa : compiled_isas())
    if (cpu_supports(isa)) best = isa;
  use_isa(best);
}

}  // namespace
}  // namespace pullback::bind

PYBIND11_MODULE(_cpu, m) {
  using namespace pullback;
  using namespace pullback::bind;
  import_numpy();
  try {
    choose_isa();
  } catch (const std::invalid_argument& e) {
    throw py::import_error(std::string("PULLBACK_ISA: ") + e.what());
  }
  check(make_block_type("pullback._cpu.Block"));
  check(make_kernel_type("pullback._cpu.Kernel"));
  check(make_recording_type(m.ptr(), "pullback._cpu.Recording"));
  check(make_plan_type(m.ptr(), "pullback._cpu.Plan"));
  check(add_kernels(m.ptr()));
  m.attr("empty") = steal(PyCFunction_New(&empty_method, nullptr));
  m.def("recording", recording, "Whether this thread's kernel calls are being recorded.");
  m.def("describe_recording", describe_recording, py::arg("recording"),
        "A settled Recording as plain values: (buffers, steps, results).");
  m.def("buffer_content", buffer_content, py::arg("recording"), py::arg("buffer"),
        "The bytes of given memory, or what the host filled it with.");
  m.def("restore_recording", restore_recording, py::arg("buffers"), py::arg("steps"), py::arg("results"),
        py::arg("constants"), py::arg("inputs"), py::arg("max_bytes"),
        "A Recording from such values and the arrays behind them; ValueError where anything does not hold.");
  m.def("signatures", [] { return steal(signatures()); }, "Every kernel's contract: (name, formula, parameters).");
  m.def("launch_counts", [] { return steal(launch_counts()); }, "How often each kernel was launched.");
  m.def("exchange_bfloat16", exchange_in_capsule, py::arg("capsule"), py::arg("to_bfloat16"),
        "Make a DLPack capsule's uint16 bfloat16, or the other way; whether it was the one.");
  m.def("isa", [] { return isa_name(current_isa()); }, "The instruction set in use.");
  m.def("isas", usable_isas, "The instruction sets that this build holds and this CPU has, ascending.");
  m.def(
      "set_isa", [](const std::string& name) { use_isa(isa_from_name(name.c_str())); }, py::arg("name"),
      "Refill the table of kernels for another instruction set.");
  m.def("num_threads", num_threads, "The number of threads that kernels use.");
  m.def("num_threads_reason", num_threads_reason, "Where that number comes from.");
  m.def("set_num_threads", set_threads, py::arg("n"), "Set it; results do not depend on it, to the bit.");
  m.def("parallel_loops", parallel_loops, "How many loops ran on the pool of threads.");
  m.def("cpu_model", cpu_model, "The CPU's name.");
  const py::call_guard<py::gil_scoped_release> no_gil;
  m.def("peak_flops", peak_flops, no_gil, "What this machine allows: FLOP/s of float32 multiply-adds on registers.");
  m.def("triad_bandwidth", triad_bandwidth, py::arg("bytes"), no_gil,
        "Bytes a second of a = b + s c over arrays of that many.");
  m.def("update_bandwidth", update_bandwidth, py::arg("bytes"), no_gil,
        "Bytes a second of a += s c over arrays of that many.");
  m.def("read_bandwidth", read_bandwidth, py::arg("bytes"), no_gil, "Bytes a second of summing an array of that many.");
  m.def("fork_join_seconds", fork_join_seconds, no_gil,
        "The time from handing every thread a task until all are done.");
  m.def("round_trip_seconds", round_trip_seconds, no_gil, "The time of a word to another core and back.");
  m.def("memory_stats", memory_as_dict, "The caching allocator's figures, in bytes and calls.");
  m.def("memory_release", memory_release, "Give cached memory back to the system; its bytes.");
  m.def("memory_reset_peak", memory_reset_peak, "Count the peak from what is in use now.");
  m.def("memory_set_limit", memory_set_limit, py::arg("bytes"), "Bound the memory that the allocator keeps.");
}
