// What a trace that comes from a file has to fulfil before any of its kernels runs. Nothing in it is believed.
#pragma once
#include "plan/plan.h"

namespace pullback {

// Throws std::invalid_argument. Every call agrees with its contract and lies inside its memory, the shapes of its
// operands belong together, nothing is read before it is written, and given memory is never written. `results` are
// what is handed out, by buffer; `limit` bounds the bytes of all memory but the given, and of each operand.
void check(const Trace& trace, const std::vector<std::pair<int32_t, Operand>>& results, int64_t limit);

// check_shapes.cpp: throws where the operands' shapes are not those of the kernel's formula, or where there is no rule
// for it. Everything else about the call was checked.
void check_operand_shapes(const Trace& trace, const Step& step);

// Whether an output may be the same view as an input.
bool works_in_place(const Step& step);

}  // namespace pullback
