#include "bind/plan_file.h"

#include <pybind11/numpy.h>

#include <cstring>
#include <stdexcept>
#include <string>

#include "bind/array.h"
#include "bind/dtype.h"
#include "bind/numpy.h"
#include "bind/recording.h"
#include "plan/check.h"

namespace py = pybind11;

namespace pullback::bind {
namespace {

RecordingState& state_of(const py::object& recording) {
  RecordingState* state = recording_of(recording.ptr());
  if (!state) throw py::error_already_set();
  return *state;
}

py::object steal(PyObject* object) {
  if (!object) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(object);
}

// --- writing ---------------------------------------------------------------------------------------------------------

const char* kind_name(const Buffer& b) {
  constexpr const char* names[] = {"given", "made", "kept", "result", "filled"};
  return names[static_cast<int>(b.kind)];
}

py::list numbers(const int64_t* values, size_t n) {
  py::list list;
  for (size_t i = 0; i < n; ++i) list.append(values[i]);
  return list;
}

py::list row(const Operand& o, int32_t buffer) {
  const auto n = static_cast<size_t>(o.ndim);
  py::list list;
  list.append(buffer);
  list.append(o.offset);
  list.append(dtype_name(o.dtype));
  list.append(numbers(o.shape, n));
  list.append(numbers(o.strides, n));
  return list;
}

py::list row(const Trace& trace, const Scalar& x, int32_t buffer) {
  py::list list;
  if (x.kind == Scalar::Kind::real) {
    list.append("real");
    list.append(x.real_value);
  } else if (x.kind == Scalar::Kind::integer) {
    list.append("integer");
    list.append(x.integer_value);
  } else {
    constexpr const char* names[] = {"float32", "float64", "int64"};
    list.append(names[static_cast<int>(x.kind) - static_cast<int>(Scalar::Kind::cell_f32)]);
    list.append(buffer);
    list.append(static_cast<const char*>(x.cell) - trace.buffers[buffer].address);
  }
  return list;
}

py::tuple row(const Trace& trace, const Step& s) {
  const py::object line = s.line < 0 ? py::object(py::none()) : py::str(trace.lines[s.line]);
  if (s.pause()) return py::make_tuple(py::none(), py::list(), py::list(), line);
  py::list operands, scalars;
  for (size_t p = 0; p + 1 < s.first.size(); ++p) {
    py::list of_param;
    for (int32_t i = s.first[p]; i < s.first[p + 1]; ++i) of_param.append(row(s.operands[i], s.buffers[i]));
    operands.append(of_param);
  }
  for (size_t k = 0; k < s.scalars.size(); ++k)
    scalars.append(row(trace, s.scalars[k], s.buffers[s.operands.size() + k]));
  return py::make_tuple(s.kernel->signature->name, operands, scalars, line);
}

Operand operand_of(const Result& r) {
  const auto* descr = reinterpret_cast<PyArray_Descr*>(r.descr);
  Operand o{};
  o.offset = r.offset;
  o.ndim = static_cast<int32_t>(r.shape.size());
  dtype_of(descr->type_num, PyDataType_ELSIZE(descr), o.dtype);
  for (int d = 0; d < o.ndim; ++d) o.shape[d] = r.shape[d], o.strides[d] = r.strides[d] / item_size(o.dtype);
  return o;
}

// --- reading ---------------------------------------------------------------------------------------------------------

[[noreturn]] void refuse(const char* what) { throw std::invalid_argument(std::string("expected ") + what); }

int64_t number(py::handle value, int64_t low = INT64_MIN, int64_t high = INT64_MAX) {
  int overflow = 0;
  const int64_t n = PyLong_CheckExact(value.ptr()) ? PyLong_AsLongLongAndOverflow(value.ptr(), &overflow) : 0;
  if (!PyLong_CheckExact(value.ptr()) || overflow || n < low || n > high) refuse("an integer in its range");
  return n;
}

std::string text(py::handle value) {
  const char* found = PyUnicode_Check(value.ptr()) ? PyUnicode_AsUTF8(value.ptr()) : nullptr;
  PyErr_Clear();
  if (!found) refuse("a string");
  return found;
}

// A list, of n items unless n is negative.
py::list list_of(py::handle value, int64_t n = -1) {
  if (!PyList_Check(value.ptr())) refuse("a list");
  const auto list = py::reinterpret_borrow<py::list>(value);
  if (n >= 0 && static_cast<int64_t>(list.size()) != n) refuse("a list of another length");
  return list;
}

DType dtype_named(const std::string& name) {
  for (int t = 0; t < kDTypes; ++t)
    if (name == dtype_name(static_cast<DType>(t))) return static_cast<DType>(t);
  refuse("a dtype");
}

struct Reader {
  RecordingState& r;

  void read_buffers(const py::list& rows, const py::list& constants, const py::list& inputs) {
    size_t constant = 0, input = 0;
    for (const py::handle item : rows) {
      const py::list fields = list_of(item, 2);
      const std::string kind = text(fields[0]);
      Buffer& b = r.trace.buffers.emplace_back();
      b.bytes = number(fields[1], 0);
      if (kind == "made") {
        b.kind = Buffer::Kind::made;
      } else if (kind == "result") {
        b.kind = Buffer::Kind::result;
      } else if (kind == "input") {
        b.name = static_cast<int32_t>(input);
        b.address = bytes_of(inputs, input++, b.bytes);
      } else if (kind == "constant" || kind == "filled") {
        b.address = bytes_of(constants, constant++, b.bytes);
        if (kind == "filled") fill(b);
      } else {
        refuse("a kind of buffer");
      }
    }
    if (constant != constants.size() || input != inputs.size()) refuse("a buffer for each array");
  }

  void read_step(py::handle item) {
    const py::list fields = list_of(item, 3);
    Step& s = r.trace.steps.emplace_back();
    s.kernel = kernel_named(text(fields[0]));
    read_operands(s, list_of(fields[1]));
    const py::list scalars = list_of(fields[2]);
    size_t expected = 0;
    for (const Param& p : s.kernel->signature->params) expected += p.name && p.kind != ParamKind::operand;
    if (scalars.size() != expected) refuse("another number of scalars");
    for (const py::handle scalar : scalars) read_scalar(s, list_of(scalar));
    set_roles(s);
  }

  void read_result(py::handle item, std::vector<std::pair<int32_t, Operand>>& all) {
    const auto [buffer, o] = read_operand(item);
    all.emplace_back(buffer, o);
    const py::object descr = py::dtype(dtype_name(o.dtype));
    Result result{{descr.inc_ref().ptr(), {}, {}}, buffer, o.offset};
    r.results.push_back(result);
    for (int d = 0; d < o.ndim; ++d) {
      r.results.back().shape.push_back(o.shape[d]);
      r.results.back().strides.push_back(
          static_cast<int64_t>(static_cast<uint64_t>(o.strides[d]) * static_cast<uint64_t>(item_size(o.dtype))));
    }
  }

 private:
  // The memory of array number i, which the recording holds from here on.
  char* bytes_of(const py::list& arrays, size_t i, int64_t bytes) {
    if (i >= arrays.size()) refuse("an array for each buffer");
    PyObject* array = PyList_GET_ITEM(arrays.ptr(), static_cast<Py_ssize_t>(i));
    if (!PyArray_Check(array) || !PyArray_ISCARRAY(as_array(array)) || PyArray_NBYTES(as_array(array)) != bytes)
      refuse("as many bytes as an array has");
    if (reinterpret_cast<uintptr_t>(PyArray_BYTES(as_array(array))) % sizeof(int64_t)) refuse("aligned memory");
    if (PyList_Append(r.held, array) < 0) throw py::error_already_set();
    return PyArray_BYTES(as_array(array));
  }

  static void fill(Buffer& b) {
    b.kind = Buffer::Kind::filled;
    b.written = true;
    b.content.assign(b.address, b.address + b.bytes);
    b.address = nullptr;
  }

  static Kernel* kernel_named(const std::string& name) {
    for (Kernel& kernel : kernels())
      if (name == kernel.signature->name && kernel.entry) return &kernel;
    throw std::invalid_argument("there is no kernel '" + name + "'");
  }

  static std::pair<int32_t, Operand> read_operand(py::handle item) {
    const py::list fields = list_of(item, 5);
    const py::list shape = list_of(fields[3]), strides = list_of(fields[4], static_cast<int64_t>(shape.size()));
    if (shape.size() > kMaxDims) refuse("fewer dimensions");
    Operand o{};
    o.offset = number(fields[1]);
    o.dtype = dtype_named(text(fields[2]));
    o.ndim = static_cast<int32_t>(shape.size());
    for (size_t d = 0; d < shape.size(); ++d) o.shape[d] = number(shape[d]), o.strides[d] = number(strides[d]);
    return {static_cast<int32_t>(number(fields[0], 0, INT32_MAX)), o};
  }

  void read_operands(Step& s, const py::list& params) const {
    size_t expected = 0;
    for (const Param& p : s.kernel->signature->params) expected += p.name && p.kind == ParamKind::operand;
    if (params.size() != expected) refuse("another number of operands");
    s.first.push_back(0);
    for (const py::handle param : params) {
      for (const py::handle item : list_of(param)) {
        const auto [buffer, operand] = read_operand(item);
        if (buffer >= static_cast<int32_t>(r.trace.buffers.size())) refuse("the number of a buffer");
        s.operands.push_back(operand);
        s.operands.back().buffer = r.trace.buffers[buffer].address;
        s.buffers.push_back(buffer);
      }
      s.first.push_back(static_cast<int32_t>(s.operands.size()));
    }
  }

  // A cell's address is its offset until all is checked.
  void read_scalar(Step& s, const py::list& fields) const {
    Scalar& x = s.scalars.emplace_back();
    const std::string kind = text(list_of(fields, fields.size() == 3 ? 3 : 2)[0]);
    s.buffers.push_back(-1);
    if (kind == "real" && fields.size() == 2 && PyFloat_CheckExact(fields[1].ptr())) {
      x.kind = Scalar::Kind::real;
      x.real_value = PyFloat_AS_DOUBLE(fields[1].ptr());
    } else if (kind == "integer" && fields.size() == 2) {
      x.kind = Scalar::Kind::integer;
      x.integer_value = number(fields[1]);
    } else if (fields.size() == 3) {
      const DType t = dtype_named(kind);
      if (t > DType::i64) refuse("a cell of float32, float64 or int64");
      x.kind = t == DType::f32   ? Scalar::Kind::cell_f32
               : t == DType::f64 ? Scalar::Kind::cell_f64
                                 : Scalar::Kind::cell_i64;
      s.buffers.back() = static_cast<int32_t>(number(fields[1], 0, INT32_MAX));
      x.cell = reinterpret_cast<const void*>(number(fields[2], 0));
    } else {
      refuse("a number or a cell");
    }
  }

  // As the contract says; what is multiplied by a constant 0 is not read.
  static void set_roles(Step& s) {
    int operand = 0;
    for (const Param& p : s.kernel->signature->params) {
      if (!p.name || p.kind != ParamKind::operand) continue;
      for (int32_t i = s.first[operand]; i < s.first[operand + 1]; ++i) {
        s.operands[i].role = p.role;
        if (!p.factor || !is_zero(s, p.factor)) continue;
        s.operands[i].role = Role::out;
        s.unread.push_back(i);
      }
      ++operand;
    }
  }

  static bool is_zero(const Step& s, const char* factor) {
    int scalar = 0;
    for (const Param& p : s.kernel->signature->params) {
      if (!p.name || p.kind == ParamKind::operand) continue;
      const Scalar& x = s.scalars[scalar++];
      if (!std::strcmp(p.name, factor)) return x.kind <= Scalar::Kind::integer && x.real() == 0;
    }
    return false;
  }
};

// Cells were offsets so far.
void set_cells(Trace& trace) {
  for (Step& s : trace.steps)
    for (size_t k = 0; k < s.scalars.size(); ++k)
      if (s.scalars[k].kind > Scalar::Kind::integer)
        s.scalars[k].cell =
            trace.buffers[s.buffers[s.operands.size() + k]].address + reinterpret_cast<intptr_t>(s.scalars[k].cell);
}

}  // namespace

py::tuple describe_recording(py::object recording) {
  const RecordingState& r = state_of(recording);
  py::list buffers, steps, results;
  for (const Buffer& b : r.trace.buffers) buffers.append(py::make_tuple(kind_name(b), b.bytes, b.name, b.written));
  for (const Step& s : r.trace.steps) steps.append(row(r.trace, s));
  for (const Result& result : r.results) results.append(row(operand_of(result), result.buffer));
  return py::make_tuple(buffers, steps, results);
}

py::object buffer_content(py::object recording, int32_t buffer) {
  const Buffer& b = state_of(recording).trace.buffers.at(static_cast<size_t>(buffer));
  const char* from = b.kind == Buffer::Kind::filled ? b.content.data() : b.address;
  npy_intp bytes = b.bytes;
  if (b.kind != Buffer::Kind::given && b.kind != Buffer::Kind::filled) throw py::value_error("expected given memory");
  if (bytes < 0) throw py::value_error("an array that is not one piece of memory");
  py::object array = steal(PyArray_SimpleNew(1, &bytes, NPY_UBYTE));
  std::memcpy(PyArray_BYTES(as_array(array.ptr())), from, static_cast<size_t>(bytes));
  return array;
}

py::object restore_recording(py::list buffers, py::list steps, py::list results, py::list constants, py::list inputs,
                             int64_t max_bytes) {
  py::object recording = py::module_::import("pullback._cpu").attr("Recording")();
  RecordingState& r = *reinterpret_cast<RecordingObject*>(recording.ptr())->state;
  Reader reader{r};
  reader.read_buffers(buffers, constants, inputs);
  for (const py::handle item : steps) reader.read_step(item);
  std::vector<std::pair<int32_t, Operand>> handed_out;
  for (const py::handle item : results) reader.read_result(item, handed_out);
  check(r.trace, handed_out, max_bytes);
  set_cells(r.trace);
  r.settled = true;
  return recording;
}

}  // namespace pullback::bind
