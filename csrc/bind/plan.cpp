#include "bind/plan.h"

#include <new>

namespace pullback::bind {

bool load(PlanState& plan, PyObject* arrays) {
  if (!PyTuple_Check(arrays) || PyTuple_GET_SIZE(arrays) != PyTuple_GET_SIZE(plan.inputs)) {
    PyErr_Format(PyExc_TypeError, "Plan: expected a tuple of %zd arrays", PyTuple_GET_SIZE(plan.inputs));
    return false;
  }
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(arrays); ++i) {
    PyObject *from = PyTuple_GET_ITEM(arrays, i), *to = PyTuple_GET_ITEM(plan.inputs, i);
    if (from == to) continue;
    if (!is_array(from)) {
      PyErr_Format(PyExc_TypeError, "Plan: argument %zd expects an array", i);
      return false;
    }
    if (!copy_array(to, from)) return false;
  }
  return true;
}

// What saved these arrays before notices that they changed.
bool count_changes(PlanState& plan) {
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(plan.versions); ++i) {
    PyObject* counter = PyList_GET_ITEM(plan.versions, i);
    PyObject* next = PyLong_FromLongLong(PyLong_AsLongLong(PyList_GET_ITEM(counter, 0)) + 1);
    if (!next || PyList_SetItem(counter, 0, next) < 0) return false;
  }
  return true;
}

namespace {

PyObject* refuse(const char* message) {
  PyErr_SetString(PyExc_RuntimeError, message);
  return nullptr;
}

// --- making ----------------------------------------------------------------------------------------------------------

// Plan(recording, inputs, versions, passes, gradients): gradients are arrays that the plan may move; see gradients().
PyObject* make(PyTypeObject* type, PyObject* arguments, PyObject*) {
  PyObject *recording, *inputs, *versions, *names, *gradients;
  if (!PyArg_ParseTuple(arguments, "OO!O!OO!:Plan", &recording, &PyTuple_Type, &inputs, &PyList_Type, &versions, &names,
                        &PyTuple_Type, &gradients))
    return nullptr;
  RecordingState* from = recording_of(recording);
  PyObject* passes = from ? PySequence_Fast(names, "Plan: passes expects a sequence of names") : nullptr;
  if (!passes) return nullptr;
  auto* self = reinterpret_cast<PlanObject*>(type->tp_alloc(type, 0));
  if (self) self->state = new (std::nothrow) PlanState;
  bool done = self && self->state;
  if (done) {
    PlanState& plan = *self->state;
    plan.trace = from->trace;
    plan.results = from->results;
    for (const Result& result : plan.results) Py_INCREF(result.descr);
    plan.inputs = Py_NewRef(inputs);
    plan.versions = Py_NewRef(versions);
    for (const Step& step : plan.trace.steps)
      if (!step.operands.empty()) plan.device = step.operands[0].device;
    done = lay_out(plan, *from, passes, gradients);
  } else {
    PyErr_NoMemory();
  }
  Py_DECREF(passes);
  if (done) return reinterpret_cast<PyObject*>(self);
  Py_XDECREF(self);
  return nullptr;
}

void free_plan(PyObject* object) {
  delete reinterpret_cast<PlanObject*>(object)->state;
  PyTypeObject* type = Py_TYPE(object);
  type->tp_free(object);
  Py_DECREF(type);
}

// --- running ---------------------------------------------------------------------------------------------------------

// begin(arrays): copy the arguments, and run to the first pause or to the end; whether there is a pause.
PyObject* begin(PyObject* object, PyObject* arrays) {
  PlanState& plan = plan_of(object);
  Turn turn(plan);
  if (!turn.taken) return nullptr;
  if (!renew(plan) || !load(plan, arrays)) return nullptr;
  if (!without_gil(plan, [&] { plan.at = run_from(plan, 0); })) return nullptr;
  return PyBool_FromLong(plan.at < plan.trace.steps.size() || (plan.at && plan.trace.steps[plan.at - 1].pause()));
}

PyObject* resume(PyObject* object, PyObject*) {
  PlanState& plan = plan_of(object);
  Turn turn(plan);
  if (!turn.taken) return nullptr;
  const size_t from = plan.at;
  if (!without_gil(plan, [&] { plan.at = run_from(plan, from); })) return nullptr;
  return PyBool_FromLong(plan.at > from && plan.trace.steps[plan.at - 1].pause());
}

PyObject* finish(PyObject* object, PyObject*) {
  PlanState& plan = plan_of(object);
  return count_changes(plan) ? hand_out(plan) : nullptr;
}

// run(arrays): all of it, where there is no pause.
PyObject* run_all(PyObject* object, PyObject* arrays) {
  PlanState& plan = plan_of(object);
  Turn turn(plan);
  if (!turn.taken) return nullptr;
  if (!renew(plan) || !load(plan, arrays)) return nullptr;
  if (!without_gil(plan, [&] { plan.at = run_from(plan, 0); })) return nullptr;
  if (plan.at < plan.trace.steps.size()) return refuse("Plan: run() met a pause; begin() and resume()");
  return count_changes(plan) ? hand_out(plan) : nullptr;
}

PyObject* pass_list() {
  PyObject* all = PyTuple_New(static_cast<Py_ssize_t>(passes().size()));
  for (size_t i = 0; all && i < passes().size(); ++i)
    PyTuple_SET_ITEM(
        all, static_cast<Py_ssize_t>(i),
        Py_BuildValue("(ssO)", passes()[i].name, passes()[i].what, passes()[i].exact ? Py_True : Py_False));
  return all;
}

}  // namespace

int make_plan_type(PyObject* module, const char* name) {
  static PyMethodDef methods[] = {
      {"run", run_all, METH_O, "run(arrays): copy the arguments and run; the results as new arrays."},
      {"begin", begin, METH_O, "begin(arrays): likewise up to the first pause; whether there is one."},
      {"resume", resume, METH_NOARGS, "Go on to the next pause; whether there is one."},
      {"finish", finish, METH_NOARGS, "The results, after the last pause."},
      timed_method,
      gradients_method,
      calls_method,
      memory_method,
      written_method,
      {nullptr, nullptr, 0, nullptr}};
  static PyType_Slot slots[] = {{Py_tp_new, reinterpret_cast<void*>(make)},
                                {Py_tp_dealloc, reinterpret_cast<void*>(free_plan)},
                                {Py_tp_methods, methods},
                                {0, nullptr}};
  static PyType_Spec spec = {name, sizeof(PlanObject), 0, Py_TPFLAGS_DEFAULT, slots};
  PyObject* type = PyType_FromSpec(&spec);
  if (!type || PyModule_AddObject(module, "Plan", type) < 0) return -1;
  PyObject* all = pass_list();
  return all ? PyModule_AddObject(module, "PASSES", all) : -1;
}

}  // namespace pullback::bind
