// A plan as a Python object: a recorded step that runs from one call.
#pragma once
#include <Python.h>

#include "bind/kernel.h"
#include "bind/recording.h"

namespace pullback::bind {

struct DeviceRun;  // what a GPU's plan has besides

struct PlanState {
  Trace trace;
  std::vector<Result> results;
  std::vector<Uses> uses;          // of every buffer
  std::vector<int32_t> gradients;  // buffers of those that moved into the arena, −1 for those that did not
  PyObject* held = nullptr;        // what owns given and kept memory
  PyObject* inputs = nullptr;      // tuple: the arrays that a call's arguments are copied to
  PyObject* versions = nullptr;    // list: counters of what the step changes in place
  PyObject* arena = nullptr;       // the block that made memory lies in
  int64_t arena_bytes = 0;
  size_t at = 0;         // the step that is next
  bool running = false;  // some thread is in it
  int device = 0;        // its number among the GPUs
  std::shared_ptr<DeviceRun> device_run;
  PyObject* made = nullptr;  // list: the blocks of this run's results, by buffer

  ~PlanState() {
    device_run.reset();  // which waits for the last run: it used what is let go of now
    for (PyObject* object : {held, inputs, versions, arena, made}) Py_XDECREF(object);
    for (const Result& result : results) Py_DECREF(result.descr);
  }
};

struct PlanObject {
  PyObject_HEAD PlanState* state;
};
inline PlanState& plan_of(PyObject* object) { return *reinterpret_cast<PlanObject*>(object)->state; }

int make_plan_type(PyObject* module, const char* name);  // -1 with a Python error set

// plan_layout.cpp: rewrites the plan's trace by the passes named, and gives all of its memory a place. False with a
// Python error set. Gradients are arrays that may move into the plan's own memory.
bool lay_out(PlanState& plan, RecordingState& from, PyObject* passes, PyObject* gradients);

// One thread at a time has its turn in a plan; what the others get is a RuntimeError.
struct Turn {
  PlanState& plan;
  bool taken;
  explicit Turn(PlanState& p) : plan(p), taken(!p.running) {
    plan.running = true;
    if (!taken) PyErr_SetString(PyExc_RuntimeError, "Plan: another thread runs it");
  }
  ~Turn() {
    if (taken) plan.running = false;
  }
};
bool load(PlanState& plan, PyObject* arrays);  // the arguments, a tuple of arrays, into the plan's inputs
bool count_changes(PlanState& plan);           // what saved these arrays before notices that they changed

// What the two halves do in their own way: plan_run.cpp, cuda/bind/plan_run.cpp.
bool renew(PlanState& plan);                        // before a run; false with a Python error set
size_t run_from(PlanState& plan, size_t begin);     // to the first pause, or to the end; may throw
void run_alone(PlanState& plan, const Step& step);  // and wait until it is done, for whoever measures that
PyObject* hand_out(PlanState& plan);                // a tuple of this run's results
extern const bool keeps_results;                    // runs write them to the plan's own memory, and hand out copies

// f() without the GIL, where kernels run so; false with a Python error set.
template <class F>
bool without_gil(PlanState& plan, F&& f) {
  try {
    PyThreadState* released = runs_without_gil ? PyEval_SaveThread() : nullptr;
    struct Restore {
      PyThreadState* state;
      ~Restore() {
        if (state) PyEval_RestoreThread(state);
      }
    } restore{released};
    f();
  } catch (...) {
    plan.at = plan.trace.steps.size();
    return raise_current(), false;
  }
  return true;
}

// plan_report.cpp: methods that tell about a plan.
extern PyMethodDef timed_method, memory_method, written_method, calls_method, gradients_method;

}  // namespace pullback::bind
