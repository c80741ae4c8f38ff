// Running a plan on the CPU.
#include <cstring>

#include "bind/array.h"
#include "bind/numpy.h"
#include "bind/plan.h"

namespace pullback::bind {

const bool keeps_results = false;

size_t run_from(PlanState& plan, size_t begin) { return run(plan.trace, begin); }

void run_alone(PlanState&, const Step& step) { run(step); }

// New memory for what this run hands out; and what the host had filled, if kernels write there, as it was.
bool renew(PlanState& plan) {
  Py_XSETREF(plan.made, PyList_New(0));
  if (!plan.made) return false;
  for (const Buffer& buffer : plan.trace.buffers)
    if (buffer.kind == Buffer::Kind::filled && buffer.written)
      std::memcpy(buffer.address, buffer.content.data(), buffer.content.size());
  for (size_t b = 0; b < plan.trace.buffers.size(); ++b) {
    Buffer& buffer = plan.trace.buffers[b];
    if (buffer.kind != Buffer::Kind::result) continue;
    PyObject* block = new_block(buffer.bytes);
    const bool failed = !block || PyList_Append(plan.made, block) < 0;
    Py_XDECREF(block);
    if (failed) return false;
    buffer.address = static_cast<char*>(reinterpret_cast<Block*>(block)->data);
    plan.uses[b].move(buffer.address);
  }
  return true;
}

namespace {

PyObject* array_of(PlanState& plan, const Result& result) {
  const Buffer& buffer = plan.trace.buffers[result.buffer];
  auto* descr = reinterpret_cast<PyArray_Descr*>(Py_NewRef(result.descr));
  PyObject* array = PyArray_NewFromDescr(
      &PyArray_Type, descr, static_cast<int>(result.shape.size()),
      reinterpret_cast<const npy_intp*>(result.shape.data()), reinterpret_cast<const npy_intp*>(result.strides.data()),
      buffer.address + result.offset, NPY_ARRAY_WRITEABLE | NPY_ARRAY_ALIGNED, nullptr);
  if (!array) return nullptr;
  if (buffer.kind != Buffer::Kind::result) {  // kept by the step: the caller gets a copy
    PyObject* copy = PyArray_NewCopy(as_array(array), NPY_KEEPORDER);
    Py_DECREF(array);
    return copy;
  }
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(plan.made); ++i) {
    PyObject* block = PyList_GET_ITEM(plan.made, i);
    if (reinterpret_cast<Block*>(block)->data == buffer.address)
      PyArray_SetBaseObject(as_array(array), Py_NewRef(block));
  }
  PyArray_UpdateFlags(as_array(array), NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_F_CONTIGUOUS | NPY_ARRAY_ALIGNED);
  return array;
}

}  // namespace

PyObject* hand_out(PlanState& plan) {
  PyObject* all = PyTuple_New(static_cast<Py_ssize_t>(plan.results.size()));
  for (size_t i = 0; all && i < plan.results.size(); ++i) {
    PyObject* array = array_of(plan, plan.results[i]);
    if (!array)
      Py_CLEAR(all);
    else
      PyTuple_SET_ITEM(all, static_cast<Py_ssize_t>(i), array);
  }
  Py_CLEAR(plan.made);
  return all;
}

}  // namespace pullback::bind
