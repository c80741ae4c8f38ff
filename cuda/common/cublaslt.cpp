#include "common/cublaslt.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <stdexcept>

namespace pullback::cuda::cublaslt {
namespace {

// --- what is used of cublasLt.h, with the numbers that NVIDIA documents for it ---------------------------------------

using Status = int;                                                    // cublasStatus_t
constexpr Status kSuccess = 0, kInvalidValue = 7, kNotSupported = 15;  // CUBLAS_STATUS_…
constexpr int kFloat = 0, kDouble = 1, kHalf = 2, kBFloat16 = 14;      // CUDA_R_32F, CUDA_R_64F, …_16F, …_16BF
constexpr int kComputeFloat = 68, kComputeDouble = 70;                 // CUBLAS_COMPUTE_32F (no TF32), …_64F
constexpr int kComputeType = 0, kScaleType = 1;                        // CUBLASLT_MATMUL_DESC_COMPUTE_TYPE, …
constexpr int kTransposeA = 3, kTransposeB = 4, kEpilogue = 7;         // CUBLASLT_MATMUL_DESC_TRANSA, …
constexpr int kBiasPointer = 8;
constexpr int kDefault = 1, kRelu = 2, kBias = 4, kGelu = 32;             // CUBLASLT_EPILOGUE_…, which add up
constexpr int kType = 0, kRows = 2, kColumns = 3, kLeadingDimension = 4;  // CUBLASLT_MATRIX_LAYOUT_…
constexpr int kBatchCount = 5, kBatchStride = 6;                          // …_STRIDED_BATCH_OFFSET
constexpr int kMostWorkspace = 1;                                         // CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES
constexpr int kAlignmentA = 5, kAlignmentB = 6, kAlignmentC = 7, kAlignmentD = 8;  // …_MIN_ALIGNMENT_A_BYTES

struct Algorithm {
  uint64_t data[8];
};
struct HeuristicResult {
  Algorithm algorithm;
  size_t workspace;
  Status state;
  float waves;
  int reserved[4];
};

using Object = void*;  // a handle, a descriptor, a layout, a preference

struct Library {
  size_t (*get_version)();
  Status (*create)(Object*);
  Status (*desc_create)(Object*, int compute_type, int scale_type);
  Status (*desc_destroy)(Object);
  Status (*desc_set)(Object, int attribute, const void*, size_t);
  Status (*desc_get)(Object, int attribute, void*, size_t, size_t* written);
  Status (*layout_create)(Object*, int type, uint64_t rows, uint64_t columns, int64_t leading_dimension);
  Status (*layout_destroy)(Object);
  Status (*layout_set)(Object, int attribute, const void*, size_t);
  Status (*layout_get)(Object, int attribute, void*, size_t, size_t* written);
  Status (*preference_create)(Object*);
  Status (*preference_destroy)(Object);
  Status (*preference_set)(Object, int attribute, const void*, size_t);
  Status (*heuristic)(Object handle, Object desc, Object a, Object b, Object c, Object d, Object preference, int wanted,
                      HeuristicResult*, int* found);
  Status (*matmul)(Object handle, Object desc, const void* alpha, const void* a, Object a_layout, const void* b,
                   Object b_layout, const void* beta, const void* c, Object c_layout, void* d, Object d_layout,
                   const Algorithm*, void* workspace, size_t bytes, void* stream);
  std::string path;
};

std::unique_ptr<Library> library;

void check(Status status, const char* what) {
  if (status != kSuccess)
    throw std::runtime_error("cuBLASLt: " + std::string(what) + " failed with status " + std::to_string(status));
}

template <class F>
void find(void* opened, const char* name, F& f) {
  f = reinterpret_cast<F>(dlsym(opened, name));
  if (!f) throw std::runtime_error(std::string("cuBLASLt: ") + name + " is not in it");
}

std::string path_of(void* symbol) {
  Dl_info info;
  return dladdr(symbol, &info) && info.dli_fname ? info.dli_fname : "";
}

// --- descriptors -----------------------------------------------------------------------------------------------------

using Owner = std::unique_ptr<void, Status (*)(Object)>;

Owner own(Status status, Object object, Status (*destroy)(Object), const char* what) {
  check(status, what);
  return Owner(object, destroy);
}

int type_of(DType t) {
  switch (t) {
    case DType::f16:
      return kHalf;
    case DType::bf16:
      return kBFloat16;
    case DType::f32:
      return kFloat;
    default:
      return kDouble;
  }
}

// Halves are computed in float, and so are alpha and beta.
bool computes_in_double(const LibraryProduct& p) { return p.dtype == DType::f64; }

int epilogue_of(const LibraryProduct& p) {
  using Epilogue = LibraryProduct::Epilogue;
  const int f = p.epilogue == Epilogue::relu ? kRelu : p.epilogue == Epilogue::gelu ? kGelu : 0;
  return f == 0 && !p.bias ? kDefault : f + (p.bias ? kBias : 0);
}

Owner make_layout(DType t, int64_t rows, int64_t columns, int64_t leading_dimension, int64_t batch, int64_t stride) {
  Object made = nullptr;
  const Status status = library->layout_create(&made, type_of(t), rows, columns, leading_dimension);
  Owner layout = own(status, made, library->layout_destroy, "a matrix layout");
  const auto count = static_cast<int32_t>(batch);
  check(library->layout_set(made, kBatchCount, &count, sizeof(count)), "a batch");
  check(library->layout_set(made, kBatchStride, &stride, sizeof(stride)), "a batch's stride");
  return layout;
}

Owner make_description(const LibraryProduct& p) {
  Object made = nullptr;
  const bool in_double = computes_in_double(p);
  const Status status =
      library->desc_create(&made, in_double ? kComputeDouble : kComputeFloat, in_double ? kDouble : kFloat);
  Owner description = own(status, made, library->desc_destroy, "a description");
  const auto set = [&](int attribute, int32_t value) {
    check(library->desc_set(made, attribute, &value, sizeof(value)), "an attribute");
  };
  set(kTransposeA, p.transpose_a);
  set(kTransposeB, p.transpose_b);
  set(kEpilogue, epilogue_of(p));
  if (p.bias) check(library->desc_set(made, kBiasPointer, &p.bias, sizeof(p.bias)), "the bias");
  return description;
}

struct Plan {
  Owner description, a, b, d;
  Algorithm algorithm = {};
  size_t workspace = 0;
  bool supported = true;

  explicit Plan(const LibraryProduct& p)
      : description(make_description(p)),
        a(make_layout(p.dtype, p.transpose_a ? p.k : p.m, p.transpose_a ? p.m : p.k, p.lda, p.batch, p.stride_a)),
        b(make_layout(p.dtype, p.transpose_b ? p.n : p.k, p.transpose_b ? p.k : p.n, p.ldb, p.batch, p.stride_b)),
        d(make_layout(p.dtype_d, p.m, p.n, p.ldd, p.batch, p.stride_d)) {}
};

// --- plans -----------------------------------------------------------------------------------------------------------

constexpr size_t kMostPlans = 1024;

// The power of two, 256 at most, that a pointer is a multiple of.
uint32_t alignment(const void* p) {
  const auto address = reinterpret_cast<uintptr_t>(p) | 256;
  return static_cast<uint32_t>(address & -address);
}

using Key = std::array<int64_t, 16>;
Key key_of(const LibraryProduct& p, int device) {
  const int64_t types = static_cast<int64_t>(p.dtype) << 4 | static_cast<int64_t>(p.dtype_d);
  const int64_t flags = types << 8 | static_cast<int64_t>(p.epilogue) << 4 | p.transpose_a << 3 | p.transpose_b << 2 |
                        (p.bias != nullptr) << 1 | (p.beta != 0);
  return {device,
          flags,
          p.m,
          p.n,
          p.k,
          p.lda,
          p.ldb,
          p.ldd,
          p.batch,
          p.stride_a,
          p.stride_b,
          p.stride_d,
          alignment(p.a),
          alignment(p.b),
          alignment(p.d),
          p.bias ? alignment(p.bias) : 0};
}

Object handle_of(int device) {
  static std::map<int, Object> handles;  // never destroyed: CUDA may have ended before this process's statics do
  Object& handle = handles[device];
  if (!handle) check(library->create(&handle), "making a handle");
  return handle;
}

void choose_algorithm(Plan& plan, const LibraryProduct& p, Object handle) {
  Object made = nullptr;
  const Owner preference = own(library->preference_create(&made), made, library->preference_destroy, "a preference");
  check(library->preference_set(made, kMostWorkspace, &kWorkspace, sizeof(kWorkspace)), "the workspace's bound");
  const auto align = [&](int attribute, uint32_t bytes) {
    check(library->preference_set(made, attribute, &bytes, sizeof(bytes)), "an alignment");
  };
  const uint32_t of_d = alignment(p.d), of_bias = p.bias ? alignment(p.bias) : of_d;  // whoever writes d reads the bias
  align(kAlignmentA, alignment(p.a)), align(kAlignmentB, alignment(p.b));
  align(kAlignmentC, of_d), align(kAlignmentD, std::min(of_d, of_bias));
  HeuristicResult best = {};
  int found = 0;
  const Status status = library->heuristic(handle, plan.description.get(), plan.a.get(), plan.b.get(), plan.d.get(),
                                           plan.d.get(), made, 1, &best, &found);
  if (status != kNotSupported && status != kInvalidValue) check(status, "the choice of an algorithm");
  plan.supported = status == kSuccess && found > 0 && best.state == kSuccess;
  plan.algorithm = best.algorithm;
  plan.workspace = best.workspace;
}

Plan& plan_of(const LibraryProduct& p, int device) {
  static std::map<Key, Plan> plans;
  if (plans.size() >= kMostPlans) plans.clear();
  const auto [found, is_new] = plans.try_emplace(key_of(p, device), p);
  if (is_new) choose_algorithm(found->second, p, handle_of(device));
  return found->second;
}

template <class T>
Status run(const LibraryProduct& p, Plan& plan, Object handle, void* stream, void* workspace) {
  const T alpha = static_cast<T>(p.alpha), beta = static_cast<T>(p.beta);
  return library->matmul(handle, plan.description.get(), &alpha, p.a, plan.a.get(), p.b, plan.b.get(), &beta, p.d,
                         plan.d.get(), p.d, plan.d.get(), &plan.algorithm, workspace, plan.workspace, stream);
}

}  // namespace

void load(const char* path) {
  void* opened = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
  if (!opened) opened = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!opened) throw std::runtime_error(std::string("cuBLASLt: ") + dlerror());
  auto made = std::make_unique<Library>();
  find(opened, "cublasLtGetVersion", made->get_version);
  find(opened, "cublasLtCreate", made->create);
  find(opened, "cublasLtMatmulDescCreate", made->desc_create);
  find(opened, "cublasLtMatmulDescDestroy", made->desc_destroy);
  find(opened, "cublasLtMatmulDescSetAttribute", made->desc_set);
  find(opened, "cublasLtMatmulDescGetAttribute", made->desc_get);
  find(opened, "cublasLtMatrixLayoutCreate", made->layout_create);
  find(opened, "cublasLtMatrixLayoutDestroy", made->layout_destroy);
  find(opened, "cublasLtMatrixLayoutSetAttribute", made->layout_set);
  find(opened, "cublasLtMatrixLayoutGetAttribute", made->layout_get);
  find(opened, "cublasLtMatmulPreferenceCreate", made->preference_create);
  find(opened, "cublasLtMatmulPreferenceDestroy", made->preference_destroy);
  find(opened, "cublasLtMatmulPreferenceSetAttribute", made->preference_set);
  find(opened, "cublasLtMatmulAlgoGetHeuristic", made->heuristic);
  find(opened, "cublasLtMatmul", made->matmul);
  made->path = path_of(reinterpret_cast<void*>(made->get_version));
  library = std::move(made);
}

bool loaded() { return library != nullptr; }
std::string path() { return library ? library->path : ""; }
int64_t version() { return library ? static_cast<int64_t>(library->get_version()) : 0; }

std::vector<std::pair<std::string, int64_t>> descriptors(const LibraryProduct& p) {
  if (!library) throw std::runtime_error("cuBLASLt: it has not been loaded");
  const Plan plan(p);
  std::vector<std::pair<std::string, int64_t>> all;
  const auto read = [&](const char* name, auto get, const Owner& object, int attribute, size_t bytes) {
    int64_t value = 0;
    size_t written = 0;
    check(get(object.get(), attribute, &value, bytes, &written), name);
    all.emplace_back(name, value);
  };
  read("compute_type", library->desc_get, plan.description, kComputeType, 4);
  read("scale_type", library->desc_get, plan.description, kScaleType, 4);
  read("transpose_a", library->desc_get, plan.description, kTransposeA, 4);
  read("transpose_b", library->desc_get, plan.description, kTransposeB, 4);
  read("epilogue", library->desc_get, plan.description, kEpilogue, 4);
  read("bias", library->desc_get, plan.description, kBiasPointer, 8);
  for (const auto& [name, layout] : {std::pair("a", &plan.a), std::pair("b", &plan.b), std::pair("d", &plan.d)}) {
    const std::string of = std::string("_") + name;
    read(("type" + of).c_str(), library->layout_get, *layout, kType, 4);
    read(("rows" + of).c_str(), library->layout_get, *layout, kRows, 8);
    read(("columns" + of).c_str(), library->layout_get, *layout, kColumns, 8);
    read(("leading_dimension" + of).c_str(), library->layout_get, *layout, kLeadingDimension, 8);
    read(("batch" + of).c_str(), library->layout_get, *layout, kBatchCount, 4);
    read(("stride" + of).c_str(), library->layout_get, *layout, kBatchStride, 8);
  }
  return all;
}

Outcome multiply(const LibraryProduct& p, int device, void* stream, void* (*workspace_of)(size_t bytes)) {
  Plan& plan = plan_of(p, device);
  if (!plan.supported) return Outcome::unsupported;
  if (p.bias) check(library->desc_set(plan.description.get(), kBiasPointer, &p.bias, sizeof(p.bias)), "the bias");
  void* workspace = plan.workspace ? workspace_of(kWorkspace) : nullptr;
  const Object handle = handle_of(device);
  const Status status = computes_in_double(p) ? run<double>(p, plan, handle, stream, workspace)
                                              : run<float>(p, plan, handle, stream, workspace);
  if (status == kNotSupported || status == kInvalidValue) {  // this product is not taken; others may be
    plan.supported = false;
    return Outcome::unsupported;
  }
  check(status, "a product");
  return Outcome::done;
}

}  // namespace pullback::cuda::cublaslt
