// What the variables of a contract's dtypes stand for in one call, found as its operands are read.
#pragma once
#include "runtime/signature.h"

namespace pullback {

// The same types, and beside halves a float32 without dimensions: a number, which a half would round or not hold.
constexpr Types or_number(Types t) { return {t.mask, static_cast<char>(t.variable - 'A' + 'a')}; }

class Variables {
 public:
  // Whether x has the dtype that its variable stands for; the first operand decides.
  bool admit(const Param& p, const Operand& x) {
    if (!p.types.variable) return true;
    const bool takes_numbers = p.types.variable >= 'a';
    if (takes_numbers && x.ndim == 0 && x.dtype == DType::f32) return number_ = &p, ++numbers_, true;
    int& bound = dtype_[p.types.variable - (takes_numbers ? 't' : 'T')];
    if (bound < 0) bound = static_cast<int>(x.dtype);
    return bound == static_cast<int>(x.dtype);
  }

  // Once all are read: the parameter of a number that is beside neither float32 nor halves, or one too many, or none.
  const Param* misplaced() const {
    const DType t = of_number();
    return number_ && t != DType::f32 && (t < DType::f16 || numbers_ > 1) ? number_ : nullptr;
  }

  // What p stands for, of an operand that was not admitted.
  DType expected(const Param& p) const {
    return p.types.variable >= 'a' ? of_number() : static_cast<DType>(dtype_[p.types.variable - 'T']);
  }

 private:
  DType of_number() const { return static_cast<DType>(dtype_[0]); }  // only those of T take numbers

  int dtype_[2] = {-1, -1};  // 'T', 'U'
  const Param* number_ = nullptr;
  int numbers_ = 0;
};

}  // namespace pullback
