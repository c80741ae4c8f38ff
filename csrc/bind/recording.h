// Recording: the kernel calls of one thread, and where the memory that they touch comes from.
#pragma once
#include <Python.h>

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "bind/memory.h"
#include "plan/plan.h"

namespace pullback::bind {

// An array that a recorded step hands to its caller.
struct Result : Layout {
  int32_t buffer = -1;
  int64_t offset = 0;
};

struct RecordingObject {
  PyObject_HEAD struct RecordingState* state;
};

struct RecordingState {
  Trace trace;
  std::vector<Result> results;
  PyObject* held;                                  // list: what owns given memory
  std::string package;                             // sources below this folder are not the user's
  std::unordered_map<uint64_t, int32_t> made;      // buffers by the serial number of their block
  std::unordered_map<const char*, int32_t> given;  // by address
  std::unordered_map<const char*, int32_t> named;
  std::map<std::pair<PyObject*, int>, int32_t> lines;
  bool running = false, settled = false;
};

int make_recording_type(PyObject* module, const char* name);
PyObject* block_of(uint64_t serial);  // borrowed; nullptr where it is gone
// The number of the buffer that an array lies in, if it was made during the recording; else −1.
int32_t made_buffer_of(const RecordingState& recording, PyObject* array);
RecordingState* recording_of(PyObject* object);  // nullptr with TypeError set, where it is none or not settled

// What the bindings tell the recording of this thread. Calls that nobody records pay for one look at a count.
inline int recordings_running = 0;  // in all threads; changes under the GIL
bool this_thread_records();
inline bool recording() { return recordings_running && this_thread_records(); }
void note_block(PyObject* block);
void forget_block(uint64_t serial);
// The step that a call is, ready to be noted once it ran; false with a Python error set.
bool read_step(const Signature& signature, PyObject* const* arguments, Step& step);
void note_step(Kernel& kernel, const Operand* operands, const int32_t* first, int params, const Scalar* scalars,
               int scalar_count, Step&& step);

}  // namespace pullback::bind
