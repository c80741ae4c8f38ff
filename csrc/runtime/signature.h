// A kernel's contract: its name, its formula, and the parameters it takes. The contracts stand in csrc/kernels/*.h and
// are shared by the C++ kernel, the CUDA kernel, both bindings and the stubs.
#pragma once
#include "runtime/record.h"

namespace pullback {

// The dtypes that a parameter admits. Parameters with the same variable letter have the same dtype.
struct Types {
  uint16_t mask;
  char variable;
};

constexpr uint16_t bit(DType t) { return static_cast<uint16_t>(1u << static_cast<int>(t)); }

inline constexpr uint16_t kWholeFloatBits = bit(DType::f32) | bit(DType::f64);
inline constexpr uint16_t kFloatBits = kWholeFloatBits | bit(DType::f16) | bit(DType::bf16);
inline constexpr uint16_t kIntegerBits =
    bit(DType::i64) | bit(DType::i32) | bit(DType::i16) | bit(DType::i8) | bit(DType::u8);

inline constexpr Types kFloat{kFloatBits, 'T'};                                  // any floating-point type
inline constexpr Types kNumber{kFloatBits | kIntegerBits, 'T'};                  // anything but bool
inline constexpr Types kInteger{kIntegerBits | bit(DType::b8), 'T'};             // integers and bool
inline constexpr Types kAny{kFloatBits | kIntegerBits | bit(DType::b8), 'T'};    // any, the same everywhere
inline constexpr Types kOther{kFloatBits | kIntegerBits | bit(DType::b8), 'U'};  // any, apart from 'T'
inline constexpr Types kIndex{bit(DType::i64), 0};
inline constexpr Types kBool{bit(DType::b8), 0};

enum class ParamKind : uint8_t { operand, real, integer, flag };

struct Param {
  const char* name = nullptr;
  ParamKind kind = ParamKind::operand;
  Role role = Role::in;
  Types types{0, 0};
  bool optional = false;
  bool list = false;
  const char* factor = nullptr;  // of an inout operand: the scalar that it is not read for, where that is 0
};

struct Signature {
  const char* name;
  const char* formula;
  Param params[kMaxParams];
};

constexpr Param in(const char* name, Types t) { return {name, ParamKind::operand, Role::in, t}; }
constexpr Param out(const char* name, Types t) { return {name, ParamKind::operand, Role::out, t}; }
constexpr Param inout(const char* name, Types t) { return {name, ParamKind::operand, Role::inout, t}; }
constexpr Param optional(Param p) { return {p.name, p.kind, p.role, p.types, true, p.list, p.factor}; }
constexpr Param list(Param p) { return {p.name, p.kind, p.role, p.types, p.optional, true, p.factor}; }
constexpr Param times(Param p, const char* factor) {
  return {p.name, p.kind, p.role, p.types, p.optional, p.list, factor};
}
constexpr Param real(const char* name) { return {name, ParamKind::real}; }
constexpr Param integer(const char* name) { return {name, ParamKind::integer}; }
constexpr Param flag(const char* name) { return {name, ParamKind::flag}; }

// What a kernel source offers for one instruction set: rows of (name in the contract, function).
struct EntryRow {
  const char* name;
  Entry entry;
  bool takes_halves = false;  // reads and writes float16 and bfloat16 itself; for the others they are widened
};
inline constexpr bool kTakesHalves = true;
struct Family {
  const EntryRow* rows;
  int count;
};

}  // namespace pullback
