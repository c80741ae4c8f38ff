#include <chrono>
#include <string>

#include "bind/numpy.h"
#include "bind/plan.h"

namespace pullback::bind {
namespace {

std::string label(const Step& s) {
  if (s.kernel) return s.kernel->signature->name;
  if (!s.tiles) return "pause";
  std::string all;
  for (const Step& call : s.tiles->calls) all.append(all.empty() ? "" : " + ").append(label(call));
  return all;
}

std::string shapes(const Step& s) {
  const Step& call = s.tiles ? s.tiles->calls.back() : s;
  std::string all;
  for (const Operand& o : call.operands) {
    all.append(all.empty() ? "[" : ", [");
    for (int d = 0; d < o.ndim; ++d) all.append(d ? ", " : "").append(std::to_string(o.shape[d]));
    all.append("]");
  }
  return all;
}

PyObject* row(const Trace& trace, const Step& s, double begin, double seconds) {
  const char* line = s.line < 0 ? nullptr : trace.lines[s.line].c_str();
  return Py_BuildValue("(sszdd)", label(s).c_str(), shapes(s).c_str(), line, begin, seconds);
}

// timed(arrays): [(kernels, shapes of the last, line, begin, seconds), …] of one run.
PyObject* timed(PyObject* object, PyObject* arrays) {
  PlanState& plan = plan_of(object);
  Turn turn(plan);
  if (!turn.taken) return nullptr;
  if (!renew(plan) || !load(plan, arrays)) return nullptr;
  std::vector<double> times{0.0};
  using Clock = std::chrono::steady_clock;
  const auto measure = [&] {
    const auto start = Clock::now();
    for (const Step& s : plan.trace.steps) {
      if (!s.pause()) run_alone(plan, s);
      times.push_back(std::chrono::duration<double>(Clock::now() - start).count());
    }
  };
  if (!without_gil(plan, measure) || !count_changes(plan)) return nullptr;
  Py_CLEAR(plan.made);
  PyObject* rows = PyList_New(0);
  for (size_t i = 0; rows && i < plan.trace.steps.size(); ++i) {
    PyObject* made = row(plan.trace, plan.trace.steps[i], times[i], times[i + 1] - times[i]);
    if (!made || PyList_Append(rows, made) < 0) Py_CLEAR(rows);
    Py_XDECREF(made);
  }
  return rows;
}

// memory(): {kind: bytes}
PyObject* memory(PyObject* object, PyObject*) {
  const PlanState& plan = plan_of(object);
  long long kept = 0, result = 0;
  for (const Buffer& b : plan.trace.buffers) {
    if (b.kind == Buffer::Kind::kept && !b.placed) kept += b.bytes;
    if (b.kind == Buffer::Kind::result) result += b.bytes;
  }
  return Py_BuildValue("{s:L,s:L,s:L}", "made", static_cast<long long>(plan.arena_bytes), "kept", kept, "result",
                       result);
}

// Bytes over a buffer's memory.
PyObject* bytes_over(const PlanState& plan, const Buffer& buffer) {
  const Ref descr(reinterpret_cast<PyObject*>(PyArray_DescrFromType(NPY_UBYTE)));
  return array_over(plan.held, buffer.address, {descr.get(), {buffer.bytes}, {1}}, plan.device);
}

// written(): arrays of bytes over the given and the kept memory that the step writes to, in two lists.
PyObject* written(PyObject* object, PyObject*) {
  const PlanState& plan = plan_of(object);
  std::vector<bool> is_written(plan.trace.buffers.size());
  const auto mark = [&](const Step& s) {
    for (size_t i = 0; i < s.operands.size(); ++i)
      if (s.buffers[i] >= 0 && s.writes(i)) is_written[s.buffers[i]] = true;
  };
  for (const Step& s : plan.trace.steps) {
    mark(s);
    if (!s.tiles) continue;
    for (const Step& call : s.tiles->calls) mark(call);
  }
  PyObject* lists[] = {PyList_New(0), PyList_New(0)};
  for (size_t b = 0; b < is_written.size(); ++b) {
    const Buffer& buffer = plan.trace.buffers[b];
    const bool kept = buffer.kind == Buffer::Kind::kept;
    if (!is_written[b] || buffer.bytes <= 0 || (!kept && buffer.kind != Buffer::Kind::given)) continue;
    PyObject* array = bytes_over(plan, buffer);
    if (array) PyList_Append(lists[kept], array);
    Py_XDECREF(array);
  }
  return Py_BuildValue("(NN)", lists[0], lists[1]);
}

// gradients(): the arrays of those that moved, None for the others.
PyObject* gradients(PyObject* object, PyObject* arrays) {
  PlanState& plan = plan_of(object);
  PyObject* all = PyList_New(0);
  for (size_t i = 0; all && i < plan.gradients.size(); ++i) {
    PyObject* like = PyTuple_GET_ITEM(arrays, static_cast<Py_ssize_t>(i));
    PyObject* array = Py_None;
    if (plan.gradients[i] < 0) {
      Py_INCREF(array);
    } else {
      Layout layout;
      char *address = plan.trace.buffers[plan.gradients[i]].address, *before = nullptr;
      array = read_layout(like, layout, before) ? array_over(plan.arena, address, layout, plan.device) : nullptr;
      Py_XDECREF(layout.descr);
    }
    if (!array || PyList_Append(all, array) < 0) Py_CLEAR(all);
    Py_XDECREF(array);
  }
  return all;
}

PyObject* calls(PyObject* object, PyObject*) { return PyLong_FromSize_t(plan_of(object).trace.steps.size()); }

}  // namespace

PyMethodDef timed_method = {"timed", timed, METH_O,
                            "timed(arrays): [(kernels, shapes, line, begin, seconds), …] of one run."};
PyMethodDef memory_method = {"memory", memory, METH_NOARGS, "Bytes of memory, by where it comes from."};
PyMethodDef written_method = {"written", written, METH_NOARGS,
                              "The memory from before the step, and that kept by it, that it writes to."};
PyMethodDef gradients_method = {"gradients", gradients, METH_O,
                                "gradients(arrays): where those that the plan was given lie now; None: there."};
PyMethodDef calls_method = {"calls", calls, METH_NOARGS, "How many launches a run is."};

}  // namespace pullback::bind
