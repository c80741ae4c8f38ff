// Running a plan on a GPU: launch by launch the first time, which also finds the scratch memory that it takes; from the
// second on as graphs, one from each pause to the next.
#include <map>

#include "bind/gpu.h"
#include "bind/plan.h"
#include "bind/run.h"

namespace pullback {

// A product's epilogue and its bias may come from another algorithm of cuBLASLt than its plain sums: not to the bit.
const std::vector<Pass>& passes() {
  static const std::vector<Pass> all = {{"dead", "calls whose results nobody reads are dropped", drop_dead_calls}};
  return all;
}

}  // namespace pullback

namespace pullback::bind {

const bool keeps_results = true;

// What a plan has on its GPU.
struct DeviceRun {
  cuda::PlanScratch scratch;
  std::vector<std::unique_ptr<cuda::Graph>> graphs;     // from the first step or a pause to the next pause
  std::vector<std::pair<const Buffer*, Ref>> pristine;  // what the host had filled, before kernels write there
  cuda::Event done;                                     // of the last run, on this stream
  void* stream = nullptr;
  bool warm = false;  // it ran once

  ~DeviceRun() { done.wait(); }
};

namespace {

char* data_of(const Ref& block) { return static_cast<char*>(reinterpret_cast<Block*>(block.get())->data); }

bool keep_pristine(PlanState& plan, DeviceRun& run) {
  for (const Buffer& buffer : plan.trace.buffers) {
    if (buffer.kind != Buffer::Kind::filled || !buffer.written) continue;
    Ref block(new_block(buffer.bytes, plan.device));
    if (!block) return false;
    copy_bytes(data_of(block), buffer.content.data(), buffer.bytes);
    run.pristine.emplace_back(&buffer, std::move(block));
  }
  return true;
}

void run_steps(PlanState& plan, size_t begin, size_t end, void* stream) {
  const cuda::InPlan in_plan(stream, plan.device_run->scratch);
  for (size_t i = begin; i < end; ++i) {
    const Step& s = plan.trace.steps[i];
    run(*s.kernel, s.operands.data(), s.first.data(), s.scalars.data());
  }
}

size_t pauses_before(const PlanState& plan, size_t end) {
  size_t n = 0;
  for (size_t i = 0; i < end; ++i) n += plan.trace.steps[i].pause();
  return n;
}

// A copy of a buffer as this run left it.
Ref copy_of(PlanState& plan, int32_t b, void* stream) {
  const Buffer& buffer = plan.trace.buffers[b];
  Ref block(new_block(buffer.bytes, plan.device));
  const bool is_used = !plan.uses[b].operands.empty() || !plan.uses[b].cells.empty();
  if (block && (is_used || buffer.kind != Buffer::Kind::result))
    cuda::copy_in_order(data_of(block), buffer.address, buffer.bytes, stream);
  return block;
}

}  // namespace

// After the last run, which may have been on another stream; with what the host had filled as it was.
bool renew(PlanState& plan) {
  try {
    const cuda::OnDevice on_device(plan.device);
    if (!plan.device_run) {
      plan.device_run = std::make_shared<DeviceRun>();
      if (!keep_pristine(plan, *plan.device_run)) return false;
    }
    DeviceRun& run = *plan.device_run;
    void* stream = cuda::library_stream();
    if (stream != run.stream) run.done.delay(stream);
    run.stream = stream;
    for (const auto& [buffer, block] : run.pristine)
      cuda::copy_in_order(buffer->address, data_of(block), buffer->bytes, stream);
  } catch (...) {
    return raise_current(), false;
  }
  return true;
}

size_t run_from(PlanState& plan, size_t begin) {
  const cuda::OnDevice on_device(plan.device);
  DeviceRun& run = *plan.device_run;
  size_t end = begin;
  while (end < plan.trace.steps.size() && !plan.trace.steps[end].pause()) ++end;
  if (begin == end || !run.warm) {
    run_steps(plan, begin, end, run.stream);
  } else {
    const size_t number = pauses_before(plan, begin);
    if (number >= run.graphs.size()) run.graphs.resize(number + 1);
    auto& graph = run.graphs[number];
    if (!graph) graph = cuda::capture([&](void* stream) { run_steps(plan, begin, end, stream); });
    graph->launch(run.stream);
  }
  run.done.record(run.stream);
  run.warm = run.warm || end == plan.trace.steps.size();
  return end < plan.trace.steps.size() ? end + 1 : end;
}

void run_alone(PlanState& plan, const Step& step) {
  const cuda::OnDevice on_device(plan.device);
  const size_t at = static_cast<size_t>(&step - plan.trace.steps.data());
  run_steps(plan, at, at + 1, plan.device_run->stream);
  plan.device_run->done.record(plan.device_run->stream);
  plan.device_run->done.wait();
}

PyObject* hand_out(PlanState& plan) {
  Ref all(PyTuple_New(static_cast<Py_ssize_t>(plan.results.size())));
  std::map<int32_t, Ref> copies;
  try {
    const cuda::OnDevice on_device(plan.device);
    for (size_t i = 0; all && i < plan.results.size(); ++i) {
      const Result& result = plan.results[i];
      Ref& block = copies[result.buffer];
      if (!block) block = copy_of(plan, result.buffer, plan.device_run->stream);
      if (!block) return nullptr;
      PyObject* array = array_over(block.get(), data_of(block) + result.offset, result, plan.device);
      if (!array) return nullptr;
      PyTuple_SET_ITEM(all.get(), static_cast<Py_ssize_t>(i), array);
    }
    plan.device_run->done.record(plan.device_run->stream);
  } catch (...) {
    return raise_current();
  }
  return all.release();
}

}  // namespace pullback::bind
