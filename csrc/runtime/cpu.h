// What the processor can do.
#pragma once

#include <string>

namespace pullback {

// The instruction sets that kernels are compiled for, each containing the one before.
enum class Isa { portable, avx2, avx512 };

// avx2 is AVX2 with FMA, BMI, BMI2 and F16C; avx512 is F, DQ, BW and VL on top. True only where the operating
// system saves the registers.
bool cpu_supports(Isa isa);

// "portable", "avx2", "avx512".
const char* isa_name(Isa isa);

// The last of them that the processor supports.
Isa best_isa();

// As the operating system names it, "unknown" where it does not.
std::string cpu_model();

}  // namespace pullback
