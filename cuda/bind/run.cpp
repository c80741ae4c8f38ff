#include "bind/run.h"

#include <cstring>
#include <map>
#include <memory>
#include <new>
#include <stdexcept>
#include <utility>
#include <vector>

#include "bind/gpu.h"
#include "bind/kernel.h"
#include "runtime/widen.h"

namespace pullback::cuda {

// families_cuda.def is generated: one FAMILY(stem) for every cuda/kernels/<stem>.cu.
#define FAMILY(stem) extern const Family stem##_family;
#include "families_cuda.def"
#undef FAMILY

namespace {

PyObject *current_stream_of = nullptr, *allocate = nullptr, *over = nullptr;  // from connect()
thread_local const InPlan* in_plan = nullptr;

// An error for each kernel and device: a report needs no room that a launch would have to find, and names its kernel.
std::map<int, Error*>& errors() {
  static std::map<int, Error*> of_device;
  return of_device;
}

using bind::Ref;

Ref checked(PyObject* object) {
  if (!object) throw bind::PythonError();
  return Ref(object);
}

void* as_pointer(PyObject* number) {
  void* p = PyLong_AsVoidPtr(number);
  if (!p && PyErr_Occurred()) throw bind::PythonError();
  return p;
}

Ref allocated(size_t bytes) { return checked(PyObject_CallFunction(allocate, "n", static_cast<Py_ssize_t>(bytes))); }
void* address_of(const Ref& memory) { return as_pointer(checked(PyObject_GetAttrString(memory.get(), "ptr")).get()); }

// By device and stream; never destroyed, as Python ends before this process's statics do.
std::map<std::pair<int, void*>, Ref>& workspaces() {
  static auto& all = *new std::map<std::pair<int, void*>, Ref>;
  return all;
}

// The call that a thread is in.
struct Running {
  const Kernel& kernel;
  int device;
  Error* errors;  // of the device
  void* stream = nullptr;
  std::vector<Ref> scratch = {};  // given back when its launches are made: the pool hands memory on in stream order
};
thread_local Running* running = nullptr;

Error* errors_of(int device) {
  Error*& found = errors()[device];
  if (!found) found = make_errors(static_cast<int>(kernels().size()));
  return found;
}

// "a: float32 [3, 4], …" of every operand, the first few of a list
std::string shapes(const Kernel& kernel, const Operand* operands, const int32_t* first) {
  constexpr int kShown = 3;
  std::string text;
  int parameter = 0;
  for (const Param& p : kernel.signature->params) {
    if (!p.name || p.kind != ParamKind::operand) continue;
    const int begin = first[parameter], end = first[++parameter];
    for (int i = begin; i < end && i < begin + kShown; ++i) {
      text += (text.empty() ? "" : ", ") + std::string(p.name) + ": " + dtype_name(operands[i].dtype) + " [";
      for (int d = 0; d < operands[i].ndim; ++d) text += (d ? ", " : "") + std::to_string(operands[i].shape[d]);
      text += "]";
    }
    if (end > begin + kShown) text += ", …";
  }
  return text;
}

}  // namespace

void fill_table() {
#define FAMILY(stem) &stem##_family,
  const std::vector<const Family*> families{
#include "families_cuda.def"
  };
#undef FAMILY
  fill_entries(families);
}

void connect(PyObject* stream, PyObject* memory, PyObject* array) {
  Py_XSETREF(current_stream_of, Py_NewRef(stream));
  Py_XSETREF(allocate, Py_NewRef(memory));
  Py_XSETREF(over, Py_NewRef(array));
}

void* library_stream() { return as_pointer(checked(PyObject_CallNoArgs(current_stream_of)).get()); }

PyObject* allocate_on(int device, int64_t bytes) {
  try {
    const OnDevice on_device(device);
    return PyObject_CallFunction(allocate, "n", static_cast<Py_ssize_t>(bytes > 0 ? bytes : 1));
  } catch (...) {
    return bind::raise_current();
  }
}

PyObject* make_array(PyObject* owner, PyObject* pointer, PyObject* dtype, PyObject* shape, PyObject* strides,
                     int device) {
  return PyObject_CallFunction(over, "OOOOOi", owner, pointer, dtype, shape, strides, device);
}

// --- plans -----------------------------------------------------------------------------------------------------------

void* PlanScratch::take(size_t bytes) {
  if (next_ == pieces_.size()) pieces_.emplace_back();
  Piece& piece = pieces_[next_++];
  if (!piece.memory || piece.bytes < bytes) {
    if (piece.memory) outgrown_.push_back(std::move(piece.memory));
    piece.memory = allocated(bytes);
    piece.address = address_of(piece.memory);
    piece.bytes = bytes;
  }
  return piece.address;
}

InPlan::InPlan(void* s, PlanScratch& taken) : stream(s), scratch(taken), before_(std::exchange(in_plan, this)) {}
InPlan::~InPlan() { in_plan = before_; }

void check_errors() {
  const Kernel* first = nullptr;
  ErrorCode code = ErrorCode::none;
  std::string words;
  const auto collect = [&](bool checks) {
    for (const auto& [device, of_kernel] : errors())
      for (size_t i = 0; i < kernels().size(); ++i) {
        Error& e = of_kernel[i];
        if (e.code == ErrorCode::none || checks != !std::strcmp(kernels()[i].family, "bounds")) continue;
        if (!first) first = &kernels()[i], code = e.code;
        words += (words.empty() ? "" : "; ") + describe(kernels()[i], e);
        e = Error();
      }
  };
  collect(true);  // what an op refuses comes before what its other kernels made of it
  collect(false);
  if (first) throw_error(*first, code, words);
}

void* stream_of_call() { return running->stream; }
int device_of_call() { return running->device; }

// See common/device.h and common/scratch.h.
Error* device_error(const Call&) { return &running->errors[&running->kernel - kernels().data()]; }
void* device_scratch(size_t bytes) { return scratch_of_call(bytes); }

void refuse_cell() {
  throw std::runtime_error(
      "a number was given as an array in GPU memory, which this kernel needs before it starts; pass item()");
}

void* scratch_of_call(size_t bytes) {
  if (in_plan) return in_plan->scratch.take(bytes);
  running->scratch.push_back(allocated(bytes));
  return address_of(running->scratch.back());
}

void* workspace_of_call(size_t bytes) {
  if (in_plan) return in_plan->scratch.take(bytes);  // a graph may run on any stream
  Ref& held = workspaces()[{running->device, running->stream}];
  if (!held) held = allocated(bytes);
  return address_of(held);
}

void drop_workspaces() { workspaces().clear(); }

std::vector<PyObject*> held_workspaces() {
  std::vector<PyObject*> all;
  for (const auto& [of, memory] : workspaces())
    if (memory) all.push_back(memory.get());
  return all;
}

}  // namespace pullback::cuda

namespace pullback {

const bool runs_without_gil = false;  // it asks Python for the stream

void run(const Kernel& kernel, const Operand* operands, const int32_t* first, const Scalar* scalars) {
  using namespace cuda;
  if (!current_stream_of) throw std::runtime_error("connect() has to be called before kernels are");
  const int count = first[kernel.operand_parameters];
  if (count == 0) return;  // lists of nothing
  Error error;
  try {
    const OnDevice on_device(operands[0].device);
    Running call{kernel, operands[0].device, errors_of(operands[0].device)};
    call.stream = in_plan ? in_plan->stream : library_stream();
    if (in_plan) in_plan->scratch.begin_call();
    struct Nested {
      Running* outer = running;
      ~Nested() { running = outer; }
    } nested;
    running = &call;
    if (kernel.takes_halves || !has_halves(operands, count))
      kernel.entry({operands, first, scalars, &error});
    else
      run_in_float(kernel, operands, count, first, scalars, &error,
                   [](int64_t bytes) { return scratch_of_call(static_cast<size_t>(bytes)); });
  } catch (const std::bad_alloc&) {
    error.code = ErrorCode::out_of_memory;
  } catch (const std::runtime_error& e) {
    throw std::runtime_error(std::string(kernel.signature->name) + ": " + e.what() + " (" +
                             shapes(kernel, operands, first) + ")");
  }
  if (error.code != ErrorCode::none) throw_error(kernel, error.code, describe(kernel, error));
}

}  // namespace pullback
