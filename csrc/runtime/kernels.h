// The table of a module's kernels: what stands behind each contract.
#pragma once
#include <vector>

#include "runtime/signature.h"

namespace pullback {

struct Kernel {
  const Signature* signature = nullptr;
  const char* family = nullptr;  // the stem of its files
  Entry entry = nullptr;         // of the instruction set in use; none where the contract has no kernel here
  int64_t launches = 0;
  bool takes_halves = false;  // see EntryRow
  int operand_parameters = 0;
};

std::vector<Kernel>& kernels();  // in the order of the contracts

// Gives each kernel the function of its name in one of the families, or none.
void fill_entries(const std::vector<const Family*>& families);

const char* dtype_name(DType t);

}  // namespace pullback
