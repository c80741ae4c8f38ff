#include <algorithm>
#include <cstring>

#include "bind/plan.h"

namespace pullback::bind {
namespace {

// passes: a sequence of names.
bool rewrite(Trace& trace, PyObject* names) {
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(names); ++i) {
    const char* name = PyUnicode_AsUTF8(PySequence_Fast_GET_ITEM(names, i));
    if (!name) return false;
    const auto found =
        std::find_if(passes().begin(), passes().end(), [&](const Pass& pass) { return !std::strcmp(pass.name, name); });
    if (found == passes().end()) {
      PyErr_Format(PyExc_ValueError, "Plan: there is no pass '%s'", name);
      return false;
    }
    found->run(trace);
  }
  return true;
}

// Memory of the plan's own with what the host had filled it with.
char* fill(PlanState& plan, const Buffer& buffer) {
  const Ref block(new_block(buffer.bytes, plan.device));
  if (!block || PyList_Append(plan.held, block.get()) < 0) return nullptr;
  char* address = static_cast<char*>(reinterpret_cast<Block*>(block.get())->data);
  copy_bytes(address, buffer.content.data(), buffer.bytes);
  return address;
}

// Gradients that nobody else holds lend their memory until they are written.
void take_gradients(PlanState& plan, const RecordingState& from, PyObject* arrays) {
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(arrays); ++i) {
    PyObject* array = PyTuple_GET_ITEM(arrays, i);
    const int32_t b = array != Py_None ? made_buffer_of(from, array) : -1;
    plan.gradients.push_back(-1);
    if (b < 0 || plan.trace.buffers[b].kind != Buffer::Kind::kept) continue;
    PyObject* block = whole_block(array);
    if (!block || Py_REFCNT(block) != 1) continue;
    plan.gradients.back() = b;
    plan.trace.buffers[b].lends = true;
  }
}

// Where most of what the step makes finds room in its gradients, these stay where they are, and nothing is copied into
// new memory. Where little does, they move into the arena, and so fill what others leave of it.
void place_or_move(PlanState& plan) {
  constexpr int64_t kPage = 4096, kSmallPart = 8;
  std::vector<Buffer>& buffers = plan.trace.buffers;
  int64_t lent = 0;
  for (Buffer& buffer : buffers) {
    buffer.placed = keeps_results && buffer.kind == Buffer::Kind::result;
    if (buffer.lends) lent += buffer.bytes;
  }
  plan.arena_bytes = place(plan.trace);
  if (plan.arena_bytes <= std::max(kPage, lent / kSmallPart)) {
    std::fill(plan.gradients.begin(), plan.gradients.end(), -1);
    return;
  }
  for (Buffer& buffer : buffers)
    if (buffer.lends) buffer.lends = false, buffer.placed = true;
  plan.arena_bytes = place(plan.trace);
}

// What the plan has to keep alive: given memory, and what the step kept, but for gradients that move.
bool take_held(PlanState& plan, RecordingState& from) {
  plan.held = PyList_GetSlice(from.held, 0, PyList_GET_SIZE(from.held));
  if (!plan.held || PyList_SetSlice(from.held, 0, PyList_GET_SIZE(from.held), nullptr) < 0) return false;
  for (const auto& [serial, b] : from.made) {
    const Buffer& buffer = plan.trace.buffers[b];
    PyObject* block = buffer.kind == Buffer::Kind::kept && !buffer.placed ? block_of(serial) : nullptr;
    if (block && PyList_Append(plan.held, block) < 0) return false;
  }
  return true;
}

// Gives everything its address; `from` are the buffers as they were recorded.
bool settle(PlanState& plan, const std::vector<Buffer>& from) {
  plan.arena = new_block(plan.arena_bytes, plan.device);
  if (!plan.arena || PyList_Append(plan.held, plan.arena) < 0) return false;
  char* base = static_cast<char*>(reinterpret_cast<Block*>(plan.arena)->data);
  for (size_t b = 0; b < plan.trace.buffers.size(); ++b) {
    Buffer& buffer = plan.trace.buffers[b];
    const bool is_used = !plan.uses[b].operands.empty() || !plan.uses[b].cells.empty();
    if (buffer.kind == Buffer::Kind::filled) {
      buffer.address = fill(plan, buffer);
      if (!buffer.address) return false;
    } else if (is_used && (buffer.placed || buffer.kind == Buffer::Kind::made)) {
      buffer.address =
          (buffer.inside < 0 ? base : from[buffer.inside].address) + reinterpret_cast<intptr_t>(buffer.address);
      if (buffer.kind == Buffer::Kind::kept) copy_bytes(buffer.address, from[b].address, buffer.bytes);
    } else {
      continue;
    }
    plan.uses[b].move(buffer.address);
  }
  return true;
}

}  // namespace

bool lay_out(PlanState& plan, RecordingState& from, PyObject* passes, PyObject* gradients) {
  take_gradients(plan, from, gradients);
  if (!rewrite(plan.trace, passes)) return false;
  plan.uses = uses(plan.trace);
  place_or_move(plan);
  return take_held(plan, from) && settle(plan, from.trace.buffers);
}

}  // namespace pullback::bind
