// The CPU's kernels: the table is filled for one instruction set at a time.
#pragma once
#include <vector>

#include "runtime/cpu.h"
#include "runtime/kernels.h"

namespace pullback {

std::vector<Isa> compiled_isas();  // what this build holds, ascending
Isa current_isa();
void use_isa(Isa isa);                // throws std::invalid_argument where this CPU or this build lacks it
Isa isa_from_name(const char* name);  // likewise for an unknown name

}  // namespace pullback
