// cuBLASLt on a GPU: found by Python when the first product asks for it; what goes wrong is said once, and the own
// kernels go on.
#include "bind/kernel.h"
#include "bind/run.h"
#include "common/cublaslt.h"

namespace pullback::cuda {
namespace {

bool wanted = true;  // until it turns out to be absent or broken, or somebody switches it off
int64_t products = 0;

void warn(const std::string& why) {
  const std::string words = why + "; products of matrices take pullback's own slower kernel";
  if (PyErr_WarnEx(PyExc_RuntimeWarning, words.c_str(), 1) < 0) throw bind::PythonError();
}

// pullback._cuda_state.find_cublaslt() -> its path; raises RuntimeError where there is none.
void find_and_load() {
  PyObject* module = PyImport_ImportModule("pullback._cuda_state");
  PyObject* path = module ? PyObject_CallMethod(module, "find_cublaslt", nullptr) : nullptr;
  Py_XDECREF(module);
  const char* text = path ? PyUnicode_AsUTF8(path) : nullptr;
  if (!text) {
    Py_XDECREF(path);
    throw bind::PythonError();
  }
  const std::string copy = text;
  Py_DECREF(path);
  cublaslt::load(copy.c_str());
}

std::string words_of_python() {
  PyObject *type, *value, *traceback;
  PyErr_Fetch(&type, &value, &traceback);
  PyObject* text = value ? PyObject_Str(value) : nullptr;
  const char* utf8 = text ? PyUnicode_AsUTF8(text) : nullptr;
  std::string words = utf8 ? utf8 : "cuBLASLt cannot be found";
  for (PyObject* object : {type, value, traceback, text}) Py_XDECREF(object);
  PyErr_Clear();
  return words;
}

}  // namespace

void use_library(bool use) { wanted = use; }
int64_t library_products() { return products; }

bool library_is_used() { return wanted; }

bool multiply_by_library(const LibraryProduct& p) {
  if (!wanted) return false;
  std::string why;
  try {
    if (!cublaslt::loaded()) find_and_load();
    const auto outcome = cublaslt::multiply(p, device_of_call(), stream_of_call(), workspace_of_call);
    products += outcome == cublaslt::Outcome::done;
    return outcome == cublaslt::Outcome::done;
  } catch (const bind::PythonError&) {
    if (!PyErr_ExceptionMatches(PyExc_RuntimeError) || PyErr_ExceptionMatches(PyExc_MemoryError)) throw;
    why = words_of_python();
  } catch (const std::runtime_error& e) {
    why = e.what();
  }
  wanted = false;
  warn(why);
  return false;
}

}  // namespace pullback::cuda
