// Nodes of the tape, and how an op records one.
#pragma once
#include "tape/tensor.h"

namespace pullback::tape {

// A tensor that a pullback reads: its array, with what is needed to see that it was not changed in place since, and to
// make it a tensor of the graph again.
struct Saved {
  PyObject* array;
  PyObject* version;
  long long then;    // what the version counted when the tensor was saved
  PyObject* parent;  // the node that made it, or the leaf itself; nullptr where no gradient is wanted
  int output;        // kOwn: the node's own result, which it may not refer to
};
inline constexpr int kOwn = -1;

struct NodeObject {
  PyObject_HEAD PyObject* rule;
  PyObject* parents;  // a tuple: a node, or a leaf tensor itself, or None where no gradient is wanted
  PyObject* indices;  // a tuple: which of that node's results
  PyObject* args;
  PyObject* hooks;    // {output: [hook, …]}
  PyObject* outputs;  // ((shape, dtype, device), …), where there are several results
  PyObject* saved;    // the arrays, once a pullback ran
  Saved* kept;        // nullptr once they are freed
  int kept_count;
  char freed;
  PyObject* owned;  // while the pullback runs: the array it is given, if nobody else holds it; compared, never read
  long long order;
};

extern PyTypeObject* node_type;
extern PyObject* output_mark;  // stands for the op's own result among the saved tensors
int make_node_type(PyObject* module);

inline bool is_node(PyObject* object) { return Py_IS_TYPE(object, node_type); }
inline NodeObject* as_node(PyObject* object) { return reinterpret_cast<NodeObject*>(object); }

// Fills `saved`; false with RuntimeError where the arrays were freed, or changed in place since.
bool check_saved(NodeObject* node);
void free_saved(NodeObject* node);

bool grad_enabled();

// Gradients enabled or not, as long as this lives.
class GradMode {
 public:
  explicit GradMode(bool enabled);
  GradMode(const GradMode&) = delete;
  GradMode& operator=(const GradMode&) = delete;
  ~GradMode();
  bool is_set() const { return static_cast<bool>(token_); }

 private:
  Ref token_;
};

struct Tensors {
  PyObject* const* items;
  Py_ssize_t count;
};

// Whether an op on these tensors goes on the tape: −1 with an error set.
int recording(Tensors inputs);
// The result of an op as a tensor with a node.
Ref record(PyObject* rule, PyObject* array, Tensors inputs, Tensors saved, PyObject* args);

extern PyMethodDef record_method;

}  // namespace pullback::tape
