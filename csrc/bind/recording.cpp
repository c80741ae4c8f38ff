#include "bind/recording.h"

#include <cstring>
#include <new>
#include <string_view>

#include "bind/kernel.h"

namespace pullback::bind {
namespace {

// The recording that this thread writes to, which start() takes a reference to and stop() gives back.
thread_local RecordingObject* active = nullptr;

// Blocks made during recordings that are still alive. Blocks come and go under the GIL.
std::unordered_map<uint64_t, PyObject*> alive;
uint64_t last_serial = 0;

PyObject* refuse(const char* message) {
  PyErr_SetString(PyExc_RuntimeError, message);
  return nullptr;
}

RecordingState& state_of(PyObject* object) { return *reinterpret_cast<RecordingObject*>(object)->state; }

// --- memory ----------------------------------------------------------------------------------------------------------

int32_t made_at(const RecordingState& r, const Memory& m) {
  const auto found = m.serial ? r.made.find(m.serial) : r.made.end();
  return found == r.made.end() ? -1 : found->second;
}

// The number of the buffer that an array lies in; −1 with a Python error set.
int32_t buffer_of(RecordingState& r, PyObject* array) {
  Memory m;
  if (!memory_of(array, m)) return -1;
  const int32_t made = made_at(r, m);
  if (made >= 0) return made;
  const auto [at, is_new] = r.given.try_emplace(m.address, static_cast<int32_t>(r.trace.buffers.size()));
  if (!is_new) return at->second;
  const auto name = r.named.find(m.address);
  Buffer& b = r.trace.buffers.emplace_back();
  b.address = m.address;
  b.bytes = m.bytes;
  if (name != r.named.end()) b.name = name->second;
  return PyList_Append(r.held, m.owner.get()) < 0 ? -1 : at->second;
}

// Memory of ours that is read before a kernel wrote to it was filled by the host: its content is kept, and constant.
void note_read(Buffer& b) {
  if (b.kind != Buffer::Kind::made || b.written) return;
  b.kind = Buffer::Kind::filled;
  b.content.resize(static_cast<size_t>(b.bytes));
  copy_bytes(b.content.data(), b.address, b.bytes);
}

bool is_zero(PyObject* number) {
  return (PyFloat_Check(number) && PyFloat_AS_DOUBLE(number) == 0) ||
         (PyLong_Check(number) && !PyObject_IsTrue(number));
}

// The role that an operand has in this call: what is multiplied by 0 is not read.
Role role_in(const Signature& signature, const Param& param, PyObject* const* arguments) {
  for (int i = 0; param.factor && signature.params[i].name; ++i)
    if (!std::strcmp(signature.params[i].name, param.factor) && is_zero(arguments[i])) return Role::out;
  return param.role;
}

// --- lines -----------------------------------------------------------------------------------------------------------

// The instruction that a frame is at, which costs less to find than its line.
int place_in_code(PyFrameObject* frame) {
#if PY_VERSION_HEX >= 0x030B0000
  return PyFrame_GetLasti(frame);
#else
  return PyFrame_GetLineNumber(frame);
#endif
}

// The innermost line of the program that is not this package's own; −1 where nobody wants to know.
int32_t current_line(RecordingState& r) {
  if (r.package.empty()) return -1;
  PyFrameObject* frame = PyEval_GetFrame();
  Py_XINCREF(frame);
  int32_t line = -1;
  while (frame && line < 0) {
    PyCodeObject* code = PyFrame_GetCode(frame);
    const char* file = PyUnicode_AsUTF8(code->co_filename);
    if (file && std::string_view(file).substr(0, r.package.size()) != r.package) {
      const auto [at, is_new] = r.lines.try_emplace({reinterpret_cast<PyObject*>(code), place_in_code(frame)},
                                                    static_cast<int32_t>(r.trace.lines.size()));
      if (is_new) r.trace.lines.push_back(std::string(file) + ":" + std::to_string(PyFrame_GetLineNumber(frame)));
      line = at->second;
    }
    Py_DECREF(code);
    PyFrameObject* back = PyFrame_GetBack(frame);
    Py_DECREF(frame);
    frame = back;
  }
  Py_XDECREF(frame);
  PyErr_Clear();
  return line;
}

// --- the type --------------------------------------------------------------------------------------------------------

PyObject* make(PyTypeObject* type, PyObject*, PyObject*) {
  auto* self = reinterpret_cast<RecordingObject*>(type->tp_alloc(type, 0));
  if (!self) return nullptr;
  self->state = new (std::nothrow) RecordingState;
  if (self->state && (self->state->held = PyList_New(0))) return reinterpret_cast<PyObject*>(self);
  Py_DECREF(self);
  return PyErr_NoMemory();
}

void free_recording(PyObject* object) {
  auto* self = reinterpret_cast<RecordingObject*>(object);
  if (self->state) {
    Py_XDECREF(self->state->held);
    for (const Result& result : self->state->results) Py_DECREF(result.descr);
  }
  delete self->state;
  PyTypeObject* type = Py_TYPE(object);
  type->tp_free(object);
  Py_DECREF(type);
}

// start(named=(), package=""): arrays whose memory may be another in every call, None for one that is not there; the
// folder of sources that are not the user's.
PyObject* start(PyObject* object, PyObject* arguments) {
  PyObject* named = nullptr;
  const char* package = "";
  if (!PyArg_ParseTuple(arguments, "|O!s:start", &PyList_Type, &named, &package)) return nullptr;
  RecordingState& r = state_of(object);
  if (active) return refuse("start: this thread is recording already");
  if (r.running || !r.trace.steps.empty()) return refuse("start: this recording has been used");
  r.package = package;
  r.trace.steps.reserve(64);
  r.trace.buffers.reserve(128);
  r.made.reserve(128);
  r.given.reserve(64);
  for (Py_ssize_t i = 0; named && i < PyList_GET_SIZE(named); ++i) {
    PyObject* array = PyList_GET_ITEM(named, i);
    if (array == Py_None) continue;
    Memory m;
    if (!is_array(array)) return refuse("start: named expects arrays");
    if (!memory_of(array, m)) return nullptr;
    r.named.emplace(m.address, static_cast<int32_t>(i));
  }
  Py_INCREF(object);
  active = reinterpret_cast<RecordingObject*>(object);
  r.running = true;
  ++recordings_running;
  Py_RETURN_NONE;
}

// outside(array): it is no part of the step, and may lie where a named array was that the step has let go of.
PyObject* outside(PyObject* object, PyObject* array) {
  Memory m;
  if (!memory_of(array, m)) return nullptr;
  state_of(object).named.erase(m.address);
  Py_RETURN_NONE;
}

PyObject* stop(PyObject* object, PyObject*) {
  RecordingState& r = state_of(object);
  if (!r.running) Py_RETURN_NONE;
  if (!active || active != reinterpret_cast<RecordingObject*>(object))
    return refuse("stop: another thread records into it");
  r.running = false;
  --recordings_running;
  active = nullptr;
  Py_DECREF(object);
  Py_RETURN_NONE;
}

// pause(): here control goes back to the caller when the step runs again.
PyObject* pause(PyObject* object, PyObject*) {
  RecordingState& r = state_of(object);
  if (!r.running) return refuse("pause: nothing is being recorded");
  Step step;
  step.line = current_line(r);
  r.trace.steps.push_back(std::move(step));
  Py_RETURN_NONE;
}

PyObject* add_result(PyObject* object, PyObject* array) {
  RecordingState& r = state_of(object);
  if (!is_array(array)) return refuse("add_result: expected an array");
  if (r.settled) return refuse("add_result: the recording is settled");
  const int32_t buffer = made_buffer_of(r, array);
  if (buffer < 0) Py_RETURN_FALSE;
  Result result;
  result.buffer = buffer;
  char* address = nullptr;
  if (!read_layout(array, result, address)) return Py_XDECREF(result.descr), nullptr;
  result.offset = address - r.trace.buffers[buffer].address;
  r.results.push_back(result);
  try {
    note_read(r.trace.buffers[buffer]);
  } catch (...) {
    return raise_current();
  }
  Py_RETURN_TRUE;
}

// settle(): what is still held now was kept by the step. Called once the results have been let go of.
PyObject* settle(PyObject* object, PyObject*) {
  RecordingState& r = state_of(object);
  if (r.running) return refuse("settle: it is being recorded; stop() first");
  if (r.settled) Py_RETURN_NONE;
  for (const Result& result : r.results)
    if (r.trace.buffers[result.buffer].kind == Buffer::Kind::made)
      r.trace.buffers[result.buffer].kind = Buffer::Kind::result;
  for (const auto& [serial, buffer] : r.made) {
    const auto block = alive.find(serial);
    if (block == alive.end()) continue;
    if (r.trace.buffers[buffer].kind == Buffer::Kind::filled && !r.trace.buffers[buffer].written) continue;
    r.trace.buffers[buffer].kind = Buffer::Kind::kept;
  }
  r.settled = true;
  Py_RETURN_NONE;
}

PyObject* line_of(const Trace& trace, int32_t line) {
  if (line < 0) Py_RETURN_NONE;
  return PyUnicode_FromString(trace.lines[line].c_str());
}

// differs(before): None, or (why, line).
PyObject* differs(PyObject* object, PyObject* other) {
  if (!Py_IS_TYPE(other, Py_TYPE(object))) return refuse("differs: expected a Recording");
  const RecordingState& now = state_of(object);
  const auto found = difference(state_of(other).trace, now.trace);
  if (!found) Py_RETURN_NONE;
  return Py_BuildValue("(sN)", found->what.c_str(), line_of(now.trace, found->line));
}

// The names of the named buffers that `wanted` chooses.
template <class F>
PyObject* names_of(const Trace& trace, F&& wanted) {
  PyObject* list = PyList_New(0);
  for (size_t b = 0; list && b < trace.buffers.size(); ++b) {
    if (trace.buffers[b].name < 0 || !wanted(static_cast<int32_t>(b))) continue;
    PyObject* name = PyLong_FromLong(trace.buffers[b].name);
    if (!name || PyList_Append(list, name) < 0) Py_CLEAR(list);
    Py_XDECREF(name);
  }
  return list;
}

PyObject* used_names(PyObject* object, PyObject*) {
  return names_of(state_of(object).trace, [](int32_t) { return true; });
}

PyObject* written_names(PyObject* object, PyObject*) {
  const Trace& trace = state_of(object).trace;
  return names_of(trace, [&](int32_t b) { return is_written(trace, b); });
}

PyObject* names(PyObject* object, PyObject*) {
  RecordingState& r = state_of(object);
  PyObject* list = PyList_New(0);
  for (const Step& s : r.trace.steps) {
    PyObject* name = PyUnicode_FromString(s.kernel ? s.kernel->signature->name : "pause");
    PyList_Append(list, name);
    Py_DECREF(name);
  }
  return list;
}

// devices(): [(number, line), …] of the devices whose arrays are touched, with the first line that does.
PyObject* devices(PyObject* object, PyObject*) {
  const Trace& trace = state_of(object).trace;
  std::map<int, int32_t> lines;
  for (const Step& s : trace.steps)
    if (!s.operands.empty()) lines.try_emplace(s.operands[0].device, s.line);
  PyObject* list = PyList_New(0);
  for (const auto& [device, line] : lines) {
    const Ref row(list ? Py_BuildValue("(iN)", device, line_of(trace, line)) : nullptr);
    if (!row || PyList_Append(list, row.get()) < 0) Py_CLEAR(list);
  }
  return list;
}

PyTypeObject* recording_type = nullptr;

}  // namespace

int32_t made_buffer_of(const RecordingState& r, PyObject* array) {
  Memory m;
  if (memory_of(array, m)) return made_at(r, m);
  PyErr_Clear();
  return -1;
}

PyObject* block_of(uint64_t serial) {
  const auto found = alive.find(serial);
  return found == alive.end() ? nullptr : found->second;
}

RecordingState* recording_of(PyObject* object) {
  if (Py_IS_TYPE(object, recording_type) && state_of(object).settled) return &state_of(object);
  PyErr_SetString(PyExc_TypeError, "Plan: expected a settled Recording");
  return nullptr;
}

bool this_thread_records() { return active != nullptr; }

void note_block(PyObject* object) {
  auto* block = reinterpret_cast<Block*>(object);
  RecordingState& r = *active->state;
  block->serial = ++last_serial;
  alive.emplace(block->serial, object);
  r.made.emplace(block->serial, static_cast<int32_t>(r.trace.buffers.size()));
  Buffer& b = r.trace.buffers.emplace_back();
  b.kind = Buffer::Kind::made;
  b.address = static_cast<char*>(block->data);
  b.bytes = block->bytes;
}

void forget_block(uint64_t serial) { alive.erase(serial); }

bool read_step(const Signature& signature, PyObject* const* arguments, Step& step) {
  RecordingState& r = *active->state;
  std::vector<int32_t> cells;
  step.buffers.reserve(kMaxParams);
  const auto add = [&](PyObject* array, std::vector<int32_t>& to, Role role = Role::in) {
    to.push_back(buffer_of(r, array));
    if (to.back() >= 0 && role != Role::out) note_read(r.trace.buffers[to.back()]);
    return to.back() >= 0;
  };
  for (int i = 0; signature.params[i].name; ++i) {
    const Param& param = signature.params[i];
    if (param.kind != ParamKind::operand) {
      if (PyFloat_Check(arguments[i]) || PyLong_Check(arguments[i]))
        cells.push_back(-1);
      else if (!add(arguments[i], cells))
        return false;
    } else if (param.list) {
      for (Py_ssize_t k = 0; k < PyList_GET_SIZE(arguments[i]); ++k)
        if (!add(PyList_GET_ITEM(arguments[i], k), step.buffers, param.role)) return false;
    } else if (arguments[i] != Py_None || !param.optional) {
      const Role role = role_in(signature, param, arguments);
      if (!add(arguments[i], step.buffers, role)) return false;
      if (role != param.role) step.unread.push_back(static_cast<int32_t>(step.buffers.size()) - 1);
    }
  }
  step.buffers.insert(step.buffers.end(), cells.begin(), cells.end());
  step.line = current_line(r);
  return true;
}

void note_step(Kernel& kernel, const Operand* operands, const int32_t* first, int params, const Scalar* scalars,
               int scalar_count, Step&& step) {
  if (!active) return;
  step.kernel = &kernel;
  step.operands.assign(operands, operands + first[params]);
  for (int32_t i : step.unread) step.operands[i].role = Role::out;
  step.first.assign(first, first + params + 1);
  step.scalars.assign(scalars, scalars + scalar_count);
  Trace& trace = active->state->trace;
  for (size_t i = 0; i < step.operands.size(); ++i) {
    Buffer& b = trace.buffers[step.buffers[i]];
    Operand& o = step.operands[i];
    o.offset += o.buffer - b.address;  // so that the buffer can move
    o.buffer = b.address;
    if (step.writes(i)) b.written = true;
  }
  trace.steps.push_back(std::move(step));
}

int make_recording_type(PyObject* module, const char* name) {
  static PyMethodDef methods[] = {
      {"start", start, METH_VARARGS, "start(named=[], package=''): record this thread's kernel calls from here on."},
      {"outside", outside, METH_O, "An array made meanwhile that is no part of the step."},
      {"stop", stop, METH_NOARGS, "Stop recording."},
      {"pause", pause, METH_NOARGS, "Here control goes back to the caller when the step runs again."},
      {"add_result", add_result, METH_O, "An array that the step hands to its caller; whether the step made it."},
      {"settle", settle, METH_NOARGS, "What is still held now was kept by the step."},
      {"differs", differs, METH_O, "None, or (why, line) where it is not the same step as the other recording."},
      {"used_names", used_names, METH_NOARGS, "Which of the named arrays are touched."},
      {"written_names", written_names, METH_NOARGS, "Which of them are written to."},
      {"names", names, METH_NOARGS, "The kernels called, in order."},
      {"devices", devices, METH_NOARGS, "[(number, line), …] of the devices that are used, and where first."},
      {nullptr, nullptr, 0, nullptr}};
  static PyType_Slot slots[] = {{Py_tp_new, reinterpret_cast<void*>(make)},
                                {Py_tp_dealloc, reinterpret_cast<void*>(free_recording)},
                                {Py_tp_methods, methods},
                                {0, nullptr}};
  static PyType_Spec spec = {name, sizeof(RecordingObject), 0, Py_TPFLAGS_DEFAULT, slots};
  recording_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
  return recording_type ? PyModule_AddObjectRef(module, "Recording", reinterpret_cast<PyObject*>(recording_type)) : -1;
}

}  // namespace pullback::bind
