#include "bind/recording.h"

#include <structmember.h>

#include <new>
#include <vector>

#include "bind/kernel.h"
#include "runtime/launch.h"

namespace pullback::bind {
namespace {

struct RecordingObject {
  PyObject_HEAD Recording* calls;
  PyObject* kept;  // the arguments of every call
  bool recording;  // some thread writes to `calls`
  int replays;     // that read them now
};

// The recording that this thread writes to, which start() takes a reference to and stop() gives back.
thread_local RecordingObject* active = nullptr;

PyObject* refuse(const char* message) {
  PyErr_SetString(PyExc_RuntimeError, message);
  return nullptr;
}

PyObject* make(PyTypeObject* type, PyObject*, PyObject*) {
  auto* self = reinterpret_cast<RecordingObject*>(type->tp_alloc(type, 0));
  if (!self) return nullptr;
  self->calls = new (std::nothrow) Recording;
  self->kept = PyList_New(0);
  if (self->calls && self->kept) return reinterpret_cast<PyObject*>(self);
  Py_DECREF(self);
  return PyErr_NoMemory();
}

void free_recording(PyObject* object) {
  auto* self = reinterpret_cast<RecordingObject*>(object);
  delete self->calls;
  Py_XDECREF(self->kept);
  PyTypeObject* type = Py_TYPE(object);
  type->tp_free(object);
  Py_DECREF(type);
}

PyObject* start(PyObject* object, PyObject*) {
  auto* self = reinterpret_cast<RecordingObject*>(object);
  if (active) return refuse("start: this thread is recording already");
  if (self->recording || self->replays) return refuse("start: another thread records into it, or replays it");
  Py_INCREF(object);
  active = self;
  self->recording = true;
  begin_recording(self->calls);
  Py_RETURN_NONE;
}

PyObject* stop(PyObject* object, PyObject*) {
  auto* self = reinterpret_cast<RecordingObject*>(object);
  if (!self->recording) Py_RETURN_NONE;
  if (active != self) return refuse("stop: another thread records into it");
  begin_recording(nullptr);
  self->recording = false;
  active = nullptr;
  Py_DECREF(object);
  Py_RETURN_NONE;
}

PyObject* replay_calls(PyObject* object, PyObject*) {
  auto* self = reinterpret_cast<RecordingObject*>(object);
  if (self->recording) return refuse("replay: it is being recorded; stop() first");
  struct Replay {
    RecordingObject* self;
    PyThreadState* released;
    explicit Replay(RecordingObject* s) : self(s) {
      ++self->replays;
      released = runs_without_gil ? PyEval_SaveThread() : nullptr;
    }
    ~Replay() {
      if (released) PyEval_RestoreThread(released);
      --self->replays;
    }
  };
  try {
    const Replay under_way(self);
    replay(*self->calls);
  } catch (...) {
    return raise_current();
  }
  Py_RETURN_NONE;
}

PyObject* names(PyObject* object, PyObject*) {
  auto* self = reinterpret_cast<RecordingObject*>(object);
  if (self->recording && active != self) return refuse("names: another thread records into it");
  PyObject* list = PyList_New(0);
  for (const Record& r : *self->calls) {
    PyObject* name = PyUnicode_FromString(r.kernel->signature->name);
    PyList_Append(list, name);
    Py_DECREF(name);
  }
  return list;
}

}  // namespace

bool keep_for_recording(PyObject* const* arguments, int count) {
  if (!active) return true;
  for (int i = 0; i < count; ++i) {
    // A list may change after the call: what it holds now is what counts.
    PyObject* kept = PyList_Check(arguments[i]) ? PyList_AsTuple(arguments[i]) : Py_NewRef(arguments[i]);
    const bool failed = !kept || PyList_Append(active->kept, kept) < 0;
    Py_XDECREF(kept);
    if (failed) return false;
  }
  return true;
}

int make_recording_type(PyObject* module, const char* name) {
  static PyMethodDef methods[] = {{"start", start, METH_NOARGS, "Record this thread's kernel calls from here on."},
                                  {"stop", stop, METH_NOARGS, "Stop recording."},
                                  {"replay", replay_calls, METH_NOARGS, "Run the recorded calls again, in order."},
                                  {"names", names, METH_NOARGS, "The kernels called, in order."},
                                  {nullptr, nullptr, 0, nullptr}};
  static PyType_Slot slots[] = {{Py_tp_new, reinterpret_cast<void*>(make)},
                                {Py_tp_dealloc, reinterpret_cast<void*>(free_recording)},
                                {Py_tp_methods, methods},
                                {0, nullptr}};
  static PyType_Spec spec = {name, sizeof(RecordingObject), 0, Py_TPFLAGS_DEFAULT, slots};
  PyObject* type = PyType_FromSpec(&spec);
  return type ? PyModule_AddObject(module, "Recording", type) : -1;
}

}  // namespace pullback::bind
