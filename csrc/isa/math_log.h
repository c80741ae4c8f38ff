#pragma once
// The logarithms, and pow.

#include "isa/math_exp.h"

namespace pullback::ISA_NAMESPACE {
namespace {

// (ln(1 + f) - f) / f² on [√½ - 1, √2 - 1].
template <class T>
struct LogTable;
template <>
struct LogTable<float> {
  static constexpr std::int32_t sqrt_half = 0x3f3504f3;  // the bits of √½
  static constexpr float q[] = {-0x1.fffff8p-2f, 0x1.555544p-2f,  -0x1.0003fep-2f, 0x1.99a966p-3f, -0x1.54324ap-3f,
                                0x1.221192p-3f,  -0x1.0e841ep-3f, 0x1.0a558cp-3f,  -0x1.406f4cp-4f};
};
template <>
struct LogTable<double> {
  static constexpr std::int64_t sqrt_half = 0x3fe6a09e667f3bcd;
  static constexpr double q[] = {
      -0x1.0000000000004p-1, 0x1.555555555553ap-2,  -0x1.fffffffffd9b1p-3, 0x1.999999999caa1p-3,  -0x1.5555555708c98p-3,
      0x1.24924924796d3p-3,  -0x1.fffffee798f8fp-4, 0x1.c71c70dcae539p-4,  -0x1.9999ca3525ca6p-4, 0x1.745d6460d744ep-4,
      -0x1.555079e458659p-4, 0x1.3b0888f3bf614p-4,  -0x1.24d9b3db4a9e8p-4, 0x1.11ef8c68d702ep-4,  -0x1.fbcb416d0bcb2p-5,
      0x1.cecadd03fd476p-5,  -0x1.ce8972ba763c7p-5, 0x1.0bc10d8f8cd7ap-4,  -0x1.f39a04b4077fep-5, 0x1.b922f0de4874ep-6};
};

// A base b: log_b 2 = two_high + two_low with e two_high exact for every exponent e, and scale = log_b e =
// lead + excess with f lead exact.
template <class T>
struct Natural {
  static constexpr T two_high = ExpTable<T>::ln2_high, two_low = ExpTable<T>::ln2_low;
  static constexpr T scale = 1, lead = 1, excess = 0;
};
template <class T>
struct Base2 {
  static constexpr T two_high = 1, two_low = 0;
  static constexpr T scale = T(0x1.71547652b82fep+0), lead = 1, excess = T(0x1.c551d94ae0bf8p-2);
};
template <class T>
struct Base10;
template <>
struct Base10<float> {
  static constexpr float two_high = 0x1.344p-2f, two_low = 0x1.3509f8p-18f;
  static constexpr float scale = 0x1.bcb7b2p-2f, lead = 0.5f, excess = -0x1.0d213ap-4f;
};
template <>
struct Base10<double> {
  static constexpr double two_high = 0x1.34413508p-2, two_low = 0x1.f79fef311f12bp-34;
  static constexpr double scale = 0x1.bcb7b1526e50ep-2, lead = 0.5, excess = -0x1.0d213ab646bc7p-4;
};

// x = 2^e (1 + f), √½ <= 1 + f < √2, for a normal x > 0; exponent is e as it stands in the bits of 2^e.
template <class T>
struct LogSplit {
  Vec<T> e, f;
  Vec<IntOf<T>> exponent;
};
template <class T>
ISA_INLINE LogSplit<T> log_split(Vec<T> x) {
  using L = Layout<T>;
  using Int = IntOf<T>;
  constexpr Int mantissa = (Int{1} << L::mantissa_bits) - 1;
  const auto shifted = bits_as<Int>(x) + (L::one - LogTable<T>::sqrt_half);
  const auto biased = bits_as<Int>(bits_as<typename L::Unsigned>(shifted) >> L::mantissa_bits);
  const auto m = (shifted & Vec<Int>(mantissa)) + LogTable<T>::sqrt_half;
  // The low bits of `whole` hold biased: whole + bias + e as a number.
  const Vec<T> e = bits_as<T>(biased | bits_as<Int>(Vec<T>(L::whole))) - (L::whole + T(L::bias));
  return {e, bits_as<T>(m) - T(1), bits_as<Int>(x) - m};
}

// log_b x = e log_b 2 + f log_b e + f² q(f) log_b e, the largest terms last; log_sum has room for one more beside f²
// q(f).
template <class T>
ISA_INLINE Vec<T> log_curve(Vec<T> f) {
  return f * f * polynomial(f, LogTable<T>::q);
}
template <class Base, class T>
ISA_INLINE Vec<T> log_sum(Vec<T> e, Vec<T> f, Vec<T> rest) {
  if constexpr (Base::excess != 0) rest = fma(f, Vec<T>(Base::excess), Base::scale * rest);
  if constexpr (Base::two_low != 0) rest = fma(e, Vec<T>(Base::two_low), rest);
  return fma(e, Vec<T>(Base::two_high), fma(f, Vec<T>(Base::lead), rest));
}
template <class Base, class T>
ISA_INLINE Vec<T> log_sum(Vec<T> e, Vec<T> f) {
  return log_sum<Base>(e, f, log_curve(f));
}

// y = log x where 0 < x < inf; else -inf at 0, NaN below, x above.
template <class T>
ISA_INLINE Vec<T> log_domain(Vec<T> x, Vec<T> y) {
  using L = Layout<T>;
  y = select(x < Vec<T>(L::infinity), y, x);
  y = select(x == Vec<T>(0), Vec<T>(-L::infinity), y);
  return select(x < Vec<T>(0), Vec<T>(L::nan), y);
}

template <class Base, class T>
ISA_INLINE Vec<T> log_base(Vec<T> x) {
  using L = Layout<T>;
  const Mask<T> subnormal = x < Vec<T>(L::min_normal);
  const auto [e, f, exponent] = log_split(select(subnormal, x * L::whole, x));
  return log_domain(x, log_sum<Base>(select(subnormal, e - T(L::mantissa_bits), e), f));
}

// Error: 0.93 / 0.91.
template <class T>
ISA_INLINE Vec<T> log(Vec<T> x) {
  return log_base<Natural<T>>(x);
}
// The same for x >= 1.
template <class T>
ISA_INLINE Vec<T> log_above(Vec<T> x) {
  const auto [e, f, exponent] = log_split(x);
  return select(x < Vec<T>(Layout<T>::infinity), log_sum<Natural<T>>(e, f), x);
}
// Error: 1.38 / 1.30 (1.54 / 1.33).
template <class T>
ISA_INLINE Vec<T> log2(Vec<T> x) {
  return log_base<Base2<T>>(x);
}
// Error: 1.18 / 1.11.
template <class T>
ISA_INLINE Vec<T> log10(Vec<T> x) {
  return log_base<Base10<T>>(x);
}

// 2^-e, for the exponent as it stands in the bits of 2^e.
template <class T>
ISA_INLINE Vec<T> inverse_power(Vec<IntOf<T>> exponent) {
  return bits_as<T>(Layout<T>::one - exponent);
}

// 1 + x = 2^e (1 + f) with e from u = 1 + x, which is rounded, and 1 + f = 2^-e (1 + x), which isn't: f = 2^-e x +
// (2^-e
// - 1). For a large x the 1 is lost in x, and f comes from u.
template <class T>
ISA_INLINE LogSplit<T> log1p_split(Vec<T> x) {
  const Vec<T> u = T(1) + x;
  const auto [e, m1, exponent] = log_split(u);
  const Vec<T> power = inverse_power<T>(exponent);
  return {e, select(u < Vec<T>(2 * Layout<T>::whole), fma(x, power, power - T(1)), m1), exponent};
}

// ln(1 + x) = e ln 2 + ln(1 + f). Error: 1.50 / 1.29.
template <class T>
ISA_INLINE Vec<T> log1p(Vec<T> x) {
  const LogSplit<T> s = log1p_split(x);
  return select(x == Vec<T>(0), x, log_domain(T(1) + x, log_sum<Natural<T>>(s.e, s.f)));
}

// ln(1 + x) for 0 <= x <= 1: 1 + f is 1 + x up to √2, and half of it beyond. Error: 1.47 / 1.51 (1.51 / 1.51).
template <class T>
ISA_INLINE Vec<T> log1p_unit(Vec<T> x) {
  const Mask<T> halved = x > Vec<T>(T(0.41421356237309504880));
  const Vec<T> one = T(1), zero = T(0);
  return log_sum<Natural<T>>(select(halved, one, zero), select(halved, fma(x, Vec<T>(T(0.5)), Vec<T>(T(-0.5))), x));
}

// As much of log2 and exp2 as float needs: (ln(1 + f) - f) / f² with ln(1 + f) good to 2^-38, and (2^r - 1) / r on
// |r| <= 1/2 with 2^r good to 2^-34. Beyond ±beyond, 2^x is inf or 0 in float.
struct PowTable {
  static constexpr double beyond = 200;
  static constexpr double log[] = {
      -0x1.fffffffeb942bp-2, 0x1.555555624d772p-2,  -0x1.00000185448afp-2, 0x1.99998bf12e85ap-3,  -0x1.555454ddc0f0fp-3,
      0x1.24943d5b2d13ap-3,  -0x1.00244c1aa0c17p-3, 0x1.c70129f01a34ep-4,  -0x1.94a246bfe7eb7p-4, 0x1.70b63c9e9bc37p-4,
      -0x1.7d16174c16c53p-4, 0x1.7c4c89cbbb48bp-4,  -0x1.97c07242f42ep-5};
  static constexpr double exp2[] = {0x1.62e42fef7b5fep-1, 0x1.ebfbe07ab9939p-3,  0x1.c6b08df44aa8p-5,
                                    0x1.3b29f0fca2e1fp-7, 0x1.5d8723cbba0c1p-10, 0x1.445e6bb6c0082p-13,
                                    0x1.00f11a9004795p-16};
};

// x^y for floats x >= 0 and y.
ISA_INLINE Vec<double> pow_in_double(Vec<double> x, Vec<double> y) {
  const auto [e, f, exponent] = log_split(x);
  const Vec<double> ln = fma(f * f, polynomial(f, PowTable::log), f);
  const Vec<double> p = y * log_domain(x, fma(ln, Vec<double>(ExpTable<double>::log2e), e));
  const Vec<double> z = clamp(p, -PowTable::beyond, PowTable::beyond), rounded = z + Layout<double>::round;
  const Vec<double> r = z - (rounded - Layout<double>::round), one = 1;
  return pow2_rounded(rounded) * fma(r, polynomial(r, PowTable::exp2), one);
}

// |x|^y = 2^(y log2 |x|) in double, and what C99 says of the rest: 1 if y is 0 or x is 1, even where the
// other is NaN; a negative x takes whole y only, and an odd one gives it back its sign. Error: 0.51 / libm's.
ISA_INLINE Vec<float> pow(Vec<float> x, Vec<float> y) {
  const Vec<float> a = abs(x), zero = 0.0f, one = 1.0f;
  const auto [a0, a1] = widen(a);
  const auto [y0, y1] = widen(y);
  Vec<float> z = narrow({pow_in_double(a0, y0), pow_in_double(a1, y1)});
  const Mask<float> whole = trunc(y) == y;
  const Vec<float> half = 0.5f * y;
  const Mask<float> odd = whole & (trunc(half) != half);
  z = select((y == zero) | ((a == one) & ~isnan(y)), one, z);
  z = select((x < zero) & (a < Vec<float>(Layout<float>::infinity)) & ~whole, Vec<float>(Layout<float>::nan), z);
  z = select(odd, copysign(z, x), z);
  return select(x == one, one, z);
}
ISA_INLINE Vec<double> pow(Vec<double> x, Vec<double> y) { return lanes(libm<double>(::powf, ::pow), x, y); }

}  // namespace
}  // namespace pullback::ISA_NAMESPACE
