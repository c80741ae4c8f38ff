// Matrix products: c = f(α a b + β c + bias).
#pragma once
#include "runtime/signature.h"

namespace pullback {

// f of the contract, by its number.
enum class Activation : int64_t {
  none,       // v
  relu,       // max(v, 0)
  sigmoid,    // 1 / (1 + e⁻ᵛ)
  tanh,       // tanh v
  gelu,       // v Φ(v) = v/2 (1 + erf(v/√2))
  gelu_tanh,  // v/2 (1 + tanh(√(2/π) (v + 0.044715 v³)))
  silu,       // v sigmoid(v)
};

inline constexpr Signature matmul_signatures[] = {
    {"matmul",
     // a [..., M, K], b [..., K, N], c [..., M, N]; leading dimensions of a and b, and all of bias, broadcast
     // to c's. Where beta is 0, c is not read. c may not overlap the others.
     "c_mn = f(alpha Σ_k a_mk b_kn + beta c_mn + bias_mn), f = none, relu, sigmoid, tanh, gelu, gelu_tanh, "
     "silu (0 … 6)",
     {in("a", kFloat), in("b", kFloat), times(inout("c", kFloat), "beta"), optional(in("bias", kFloat)), real("alpha"),
      real("beta"), integer("activation")}},
};

}  // namespace pullback
