#include "runtime/kernels.h"

#include <cstring>

#include "families.h"  // generated: includes every csrc/kernels/*.h

namespace pullback {
namespace {

template <int n>
void append(std::vector<Kernel>& table, const char* family, const Signature (&signatures)[n]) {
  for (const Signature& s : signatures) table.push_back({&s, family});
}

std::vector<Kernel> contracts() {
  std::vector<Kernel> table;
#define FAMILY(stem) append(table, #stem, stem##_signatures);
#include "families.def"
#undef FAMILY
  return table;
}

}  // namespace

std::vector<Kernel>& kernels() {
  static std::vector<Kernel> table = contracts();
  return table;
}

Entry find_entry(const std::vector<const Family*>& families, const char* name) {
  for (const Family* family : families)
    for (int i = 0; i < family->count; ++i)
      if (!std::strcmp(family->rows[i].name, name)) return family->rows[i].entry;
  return nullptr;
}

const char* dtype_name(DType t) {
  constexpr const char* names[] = {"float32", "float64", "int64", "int32", "int16", "int8", "uint8", "bool"};
  return names[static_cast<int>(t)];
}

}  // namespace pullback
