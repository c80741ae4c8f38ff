#include "runtime/kernels.h"

#include <cstring>

#include "families.h"  // generated: includes every csrc/kernels/*.h

namespace pullback {
namespace {

template <int n>
void append(std::vector<Kernel>& table, const char* family, const Signature (&signatures)[n]) {
  for (const Signature& s : signatures) {
    Kernel& k = table.emplace_back();
    k.signature = &s, k.family = family;
    for (const Param& p : s.params) k.operand_parameters += p.name && p.kind == ParamKind::operand;
  }
}

std::vector<Kernel> contracts() {
  std::vector<Kernel> table;
#define FAMILY(stem) append(table, #stem, stem##_signatures);
#include "families.def"
#undef FAMILY
  return table;
}

const EntryRow* find_row(const std::vector<const Family*>& families, const char* name) {
  for (const Family* family : families)
    for (int i = 0; i < family->count; ++i)
      if (!std::strcmp(family->rows[i].name, name)) return &family->rows[i];
  return nullptr;
}

}  // namespace

std::vector<Kernel>& kernels() {
  static std::vector<Kernel> table = contracts();
  return table;
}

void fill_entries(const std::vector<const Family*>& families) {
  for (Kernel& k : kernels()) {
    const EntryRow* row = find_row(families, k.signature->name);
    k.entry = row ? row->entry : nullptr;
    k.takes_halves = row && row->takes_halves;
  }
}

const char* dtype_name(DType t) {
  constexpr const char* names[kDTypes] = {"float32", "float64", "int64", "int32",   "int16",
                                          "int8",    "uint8",   "bool",  "float16", "bfloat16"};
  return names[static_cast<int>(t)];
}

}  // namespace pullback
