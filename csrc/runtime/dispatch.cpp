#include "runtime/dispatch.h"

#include <cstring>
#include <stdexcept>
#include <string>

namespace pullback {

// families.def is generated too: one FAMILY(stem) for every csrc/kernels/<stem>.cpp.
#define FAMILY(stem) extern const Family stem##_family;
#if defined(PULLBACK_HAS_AVX512)
namespace avx512 {
#include "families.def"
}
#endif
#if defined(PULLBACK_HAS_AVX2)
namespace avx2 {
#include "families.def"
}
#endif
namespace portable {
#include "families.def"
}
#undef FAMILY

namespace {

std::vector<const Family*> families(Isa isa) {
#define FAMILY(stem) &stem##_family,
  switch (isa) {
#if defined(PULLBACK_HAS_AVX512)
    case Isa::avx512: {
      using namespace avx512;
      return {
#include "families.def"
      };
    }
#endif
#if defined(PULLBACK_HAS_AVX2)
    case Isa::avx2: {
      using namespace avx2;
      return {
#include "families.def"
      };
    }
#endif
    default: {
      using namespace portable;
      return {
#include "families.def"
      };
    }
  }
#undef FAMILY
}

Isa in_use = Isa::portable;

void fill(Isa isa) {
  fill_entries(families(isa));
  for (const Kernel& k : kernels())
    if (!k.entry) throw std::logic_error(std::string("no kernel stands behind the contract of ") + k.signature->name);
  in_use = isa;
}

}  // namespace

std::vector<Isa> compiled_isas() {
  std::vector<Isa> isas{Isa::portable};
#if defined(PULLBACK_HAS_AVX2)
  isas.push_back(Isa::avx2);
#endif
#if defined(PULLBACK_HAS_AVX512)
  isas.push_back(Isa::avx512);
#endif
  return isas;
}

Isa current_isa() { return in_use; }

void use_isa(Isa isa) {
  for (Isa have : compiled_isas())
    if (have == isa) {
      if (!cpu_supports(isa))
        throw std::invalid_argument(std::string("instruction set ") + isa_name(isa) + ": this CPU lacks it");
      return fill(isa);
    }
  throw std::invalid_argument(std::string("instruction set ") + isa_name(isa) + ": this build was made without it");
}

Isa isa_from_name(const char* name) {
  for (Isa isa : {Isa::portable, Isa::avx2, Isa::avx512})
    if (!std::strcmp(name, isa_name(isa))) return isa;
  throw std::invalid_argument(std::string("instruction set: expected avx512, avx2 or portable, got '") + name + "'");
}

}  // namespace pullback
