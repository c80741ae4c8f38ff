// Measures the errors of the vector functions in isa/math.h, in units in the last place (ulp) of the exact
// result. Compiled once per instruction set, with the definitions that isa/native.h names. Prints a line per
// function, and fails where one is beyond its bound.
//
//   math_ulp [STRIDE]    takes every STRIDE-th float there is, and fewer or more doubles with it
//
// float is compared with libm in double, double with libm in long double; what calls libm lane by lane has to
// give its very bits.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <limits>
#include <type_traits>

#include "isa/math.h"

namespace {

using pullback::ISA_NAMESPACE::Vec;

template <class T>
using Wider = std::conditional_t<std::is_same_v<T, float>, double, long double>;
template <class T>
using Limits = std::numeric_limits<T>;

std::uint64_t stride = 2039;
bool failed = false;

// The neighbourhoods of 0, 1 and π/2, of where exp and its kin overflow or vanish, and of the ends of the
// format.
const double kSpecials[] = {0.0,
                            -0.0,
                            0.5,
                            -0.5,
                            1,
                            -1,
                            1.5,
                            2,
                            -2,
                            2.5,
                            -2.5,
                            3,
                            -3,
                            1.5707963267948966,
                            INFINITY,
                            -INFINITY,
                            NAN,
                            3.141592653589793,
                            88.722839,
                            88.72284,
                            89,
                            -87.33655,
                            -103.97208,
                            -103.97209,
                            -104,
                            127.99999,
                            128,
                            -126,
                            -149,
                            -149.5,
                            -150,
                            -151,
                            709.782712893384,
                            709.7827128933841,
                            710,
                            -708.4,
                            -745.1332191019411,
                            -745.13321910194122,
                            -746,
                            1023.9999,
                            1024,
                            -1074,
                            -1075,
                            -1076,
                            262144,
                            262145,
                            -1e5,
                            1e22};
template <class T>
const T kEdges[] = {
    Limits<T>::denorm_min(),   -Limits<T>::denorm_min(),     3 * Limits<T>::denorm_min(), Limits<T>::min(),
    -Limits<T>::min(),         Limits<T>::min() / 2,         2 * Limits<T>::min(),        Limits<T>::max(),
    Limits<T>::lowest(),       Limits<T>::epsilon(),         1 + Limits<T>::epsilon(),    1 - Limits<T>::epsilon() / 2,
    -1 - Limits<T>::epsilon(), -1 + Limits<T>::epsilon() / 2};
template <class T>
constexpr std::uint64_t kSpecialCount = std::size(kSpecials) + std::size(kEdges<T>);
template <class T>
T special(std::uint64_t i) {
  return i < std::size(kSpecials) ? static_cast<T>(kSpecials[i]) : kEdges<T>[i - std::size(kSpecials)];
}

// splitmix64: a whole random word for each i
std::uint64_t random_bits(std::uint64_t i) {
  i = (i + 1) * 0x9e3779b97f4a7c15u;
  i = (i ^ (i >> 30)) * 0xbf58476d1ce4e5b9u;
  i = (i ^ (i >> 27)) * 0x94d049bb133111ebu;
  return i ^ (i >> 31);
}

// uniform in [-1, 1)
double random_unit(std::uint64_t i) { return static_cast<double>(random_bits(i)) * 0x1p-63 - 1; }

// The i-th argument: a special, then every stride-th float, then floats sixteen times as dense where
// functions are busy, 2^-12 <= |x| < 2^8. Doubles are random: a third of any size, a third uniform, a third
// of those sizes.
constexpr std::uint64_t kBusyFirst = 0x39800000, kBusyLast = 0x43800000;  // the bits of 2^-12 and 2^8
template <class T>
std::uint64_t sample_count() {
  if (std::is_same_v<T, double>) return kSpecialCount<T> + (std::uint64_t{600} << 20) / stride;
  return kSpecialCount<T> + (std::uint64_t{1} << 32) / stride + 2 * 16 * (kBusyLast - kBusyFirst) / stride;
}
template <class T>
T sample(std::uint64_t i) {
  if (i < kSpecialCount<T>) return special<T>(i);
  i -= kSpecialCount<T>;
  T x;
  if constexpr (std::is_same_v<T, float>) {
    auto bits = static_cast<std::uint32_t>(i * stride);
    if (i * stride >> 32 != 0) {
      i -= (std::uint64_t{1} << 32) / stride;
      bits = kBusyFirst + static_cast<std::uint32_t>(i / 2 * stride / 16) + static_cast<std::uint32_t>(i % 2 << 31);
    }
    std::memcpy(&x, &bits, sizeof(x));
  } else {
    const std::uint64_t bits = random_bits(i);
    std::memcpy(&x, &bits, sizeof(x));
    if (i % 3 == 1) x = random_unit(i) * 4;
    if (i % 3 == 2) x = std::copysign(std::exp2(random_unit(i) * 10 - 2), x);
  }
  return x;
}

// The i-th pair: all pairs of specials, then one of the kinds below.
template <class T>
struct Pair {
  T x, y;
};
template <class T>
constexpr std::uint64_t kSpecialPairs = kSpecialCount<T> * kSpecialCount<T>;
template <class T>
std::uint64_t pair_count() {
  return kSpecialPairs<T> + 200000 + (std::uint64_t{600} << 20) / stride;
}
template <class T>
Pair<T> special_pair(std::uint64_t i) {
  return {special<T>(i / kSpecialCount<T>), special<T>(i % kSpecialCount<T>)};
}

// Powers that neither overflow nor vanish, half of them with whole exponents.
template <class T>
Pair<T> power(std::uint64_t i) {
  const double size = i % 4 < 2 ? 1 : Limits<T>::max_exponent;
  const double log2_x = random_unit(2 * i) * size;
  const double y = random_unit(2 * i + 1) * Limits<T>::max_exponent / log2_x;
  const auto x = static_cast<T>(std::exp2(log2_x));
  if (i % 2 == 0) return {x, static_cast<T>(y)};
  return {-x, static_cast<T>(std::round(std::clamp(y, -1e6, 1e6)))};
}

template <class T>
T any_bits(std::uint64_t i) {
  const std::uint64_t bits = random_bits(i);
  T x;
  std::memcpy(&x, &bits, sizeof(x));
  return x;
}

// Points of the plane: any two numbers, coordinates of like size, near the axes, and near the diagonals.
template <class T>
Pair<T> point(std::uint64_t i) {
  const auto x = static_cast<T>(random_unit(3 * i)), y = static_cast<T>(random_unit(3 * i + 1));
  if (i % 4 == 0) return {any_bits<T>(3 * i), any_bits<T>(3 * i + 1)};
  if (i % 4 == 1) return {x, y};
  const auto factor = static_cast<T>(std::exp2(Limits<T>::digits * random_unit(3 * i + 2)));
  if (i % 4 == 2) return {x * factor, y};
  return {x, std::copysign(x * (1 + Limits<T>::epsilon() * std::round(factor)), y)};
}

// Divisions: any two numbers, subnormal ones, and numbers beside a multiple of b, up to 8 · 2^digits times as large.
template <class T>
Pair<T> division(std::uint64_t i) {
  const auto a = any_bits<T>(4 * i), b = any_bits<T>(4 * i + 1);
  if (i % 4 == 0) return {a, b};
  const double size = (Limits<T>::digits + 3) * std::abs(random_unit(4 * i + 2));
  if (i % 4 == 1)
    return {std::fmod(a, Limits<T>::min()), std::fmod(b, std::ldexp(Limits<T>::min(), -static_cast<int>(size)))};
  const T divisor = i % 4 == 2 ? b : static_cast<T>(random_unit(4 * i + 1));
  const T multiple = divisor * std::round(static_cast<T>(std::exp2(size)));
  const int step = static_cast<int>(random_bits(4 * i + 3) % 3);
  return {step == 2 ? multiple : std::nextafter(multiple, step == 0 ? T(0) : 2 * multiple), divisor};
}

// |y - exact| / ulp. Infinite where only one is NaN or infinite (exact counts as infinite if T rounds it so),
// and for a zero with the wrong sign.
template <class T>
double ulp_error(T y, Wider<T> exact) {
  const double wrong = Limits<double>::infinity();
  const auto rounded = static_cast<T>(exact);
  if (std::isnan(y) || std::isnan(exact)) return std::isnan(y) && std::isnan(exact) ? 0 : wrong;
  if (std::isinf(y) || std::isinf(rounded)) return y == rounded ? 0 : wrong;
  if (y == 0 && std::signbit(y) != std::signbit(exact)) return wrong;
  const int exponent = exact == 0 ? Limits<T>::min_exponent - 1 : std::ilogb(exact);
  const int last = std::max(exponent, Limits<T>::min_exponent - 1) - (Limits<T>::digits - 1);
  return static_cast<double>(std::ldexp(std::abs(y - exact), -last));
}

struct Worst {
  double error = -1, x = 0, y = 0;
  void take(double e, double at_x, double at_y) {
    if (e > error) *this = {e, at_x, at_y};
  }
};

template <class T>
void report(const char* name, const Worst& worst, double bound, bool pair) {
  const bool pass = worst.error <= bound;
  failed |= !pass;
  std::printf("%-8s %-6s %8.3f at %a", name, std::is_same_v<T, float> ? "float" : "double", worst.error, worst.x);
  if (pair) std::printf(", %a", worst.y);
  std::printf(" bound %g %s\n", bound, pass ? "PASS" : "FAIL");
}

template <class T, class F, class G>
void check(const char* name, double bound, F f, G exact) {
  constexpr int n = Vec<T>::size;
  Worst worst;
  for (std::uint64_t i = 0; i < sample_count<T>(); i += n) {
    T x[n], y[n];
    for (int lane = 0; lane < n; ++lane) x[lane] = sample<T>(i + lane);
    f(Vec<T>::load(x)).store(y);
    for (int lane = 0; lane < n; ++lane) {
      worst.take(ulp_error<T>(y[lane], exact(static_cast<Wider<T>>(x[lane]))), x[lane], 0);
    }
  }
  report<T>(name, worst, bound, false);
}

template <class T, class F, class G>
void check_pairs(const char* name, double bound, Pair<T> (*sample)(std::uint64_t), F f, G exact) {
  constexpr int n = Vec<T>::size;
  Worst worst;
  for (std::uint64_t i = 0; i < pair_count<T>(); i += n) {
    T x[n], y[n], z[n];
    for (int lane = 0; lane < n; ++lane) {
      const Pair<T> pair = i + lane < kSpecialPairs<T> ? special_pair<T>(i + lane) : sample(i + lane);
      x[lane] = pair.x;
      y[lane] = pair.y;
    }
    f(Vec<T>::load(x), Vec<T>::load(y)).store(z);
    for (int lane = 0; lane < n; ++lane) {
      const Wider<T> expected = exact(static_cast<Wider<T>>(x[lane]), static_cast<Wider<T>>(y[lane]));
      worst.take(ulp_error<T>(z[lane], expected), x[lane], y[lane]);
    }
  }
  report<T>(name, worst, bound, true);
}

constexpr auto exact_sigmoid = [](auto x) {
  const auto e = std::exp(-std::abs(x));
  return (x < 0 ? e : 1) / (1 + e);
};

// x, or 1 where it is far from it.
constexpr double kLeast = 0x1p-60, kMost = 0x1p60;
template <class T>
Vec<T> moderate(Vec<T> x) {
  return select((abs(x) > Vec<T>(T(kLeast))) & (abs(x) < Vec<T>(T(kMost))), x, Vec<T>(1));
}
template <class T>
T moderate(T x) {
  return std::abs(x) > kLeast && std::abs(x) < kMost ? x : 1;
}

template <class T>
void check_vector_functions() {
  const double bound = std::is_same_v<T, float> ? 2 : 4;
  check<T>("exp", bound, [](auto x) { return exp(x); }, [](auto x) { return std::exp(x); });
  check<T>(
      "exp_below", bound, [](auto x) { return exp_below(-abs(x)); }, [](auto x) { return std::exp(-std::abs(x)); });
  check<T>("exp2", bound, [](auto x) { return exp2(x); }, [](auto x) { return std::exp2(x); });
  check<T>("expm1", bound, [](auto x) { return expm1(x); }, [](auto x) { return std::expm1(x); });
  check<T>("sigmoid", bound, [](auto x) { return sigmoid(x); }, exact_sigmoid);
  check<T>("tanh", bound, [](auto x) { return tanh(x); }, [](auto x) { return std::tanh(x); });
  check<T>("log", bound, [](auto x) { return log(x); }, [](auto x) { return std::log(x); });
  check<T>(
      "log_above", bound, [](auto x) { return log_above(decltype(x)(1) + abs(x)); },
      [](auto x) { return std::log(static_cast<decltype(x)>(static_cast<T>(1) + static_cast<T>(std::abs(x)))); });
  check<T>("log2", bound, [](auto x) { return log2(x); }, [](auto x) { return std::log2(x); });
  check<T>("log10", bound, [](auto x) { return log10(x); }, [](auto x) { return std::log10(x); });
  check<T>("log1p", bound, [](auto x) { return log1p(x); }, [](auto x) { return std::log1p(x); });
  check<T>(
      "log1p_unit", bound, [](auto x) { return log1p_unit(min(abs(x), decltype(x)(1))); },
      [](auto x) { return std::log1p(std::isnan(x) ? x : std::fmin(std::abs(x), 1)); });
  check<T>("erf", bound, [](auto x) { return erf(x); }, [](auto x) { return std::erf(x); });
  check<T>("erfc", bound, [](auto x) { return erfc(x); }, [](auto x) { return std::erfc(x); });
  check<T>("sinh", bound, [](auto x) { return sinh(x); }, [](auto x) { return std::sinh(x); });
  check<T>("cosh", bound, [](auto x) { return cosh(x); }, [](auto x) { return std::cosh(x); });
  check<T>("asinh", bound, [](auto x) { return asinh(x); }, [](auto x) { return std::asinh(x); });
  check<T>("acosh", bound, [](auto x) { return acosh(x); }, [](auto x) { return std::acosh(x); });
  check<T>("atanh", bound, [](auto x) { return atanh(x); }, [](auto x) { return std::atanh(x); });
  check<T>("sin", bound, [](auto x) { return sin(x); }, [](auto x) { return std::sin(x); });
  check<T>("cos", bound, [](auto x) { return cos(x); }, [](auto x) { return std::cos(x); });
  check<T>("tan", bound, [](auto x) { return tan(x); }, [](auto x) { return std::tan(x); });
  check<T>("rsqrt", bound, [](auto x) { return rsqrt(x); }, [](auto x) { return 1 / std::sqrt(x); });
  check<T>(
      "sqrt_fast", 0.6, [](auto x) { return sqrt_fast(moderate(abs(x))); },
      [](auto x) { return std::sqrt(moderate(std::abs(x))); });
  check<T>("asin", bound, [](auto x) { return asin(x); }, [](auto x) { return std::asin(x); });
  check<T>("acos", bound, [](auto x) { return acos(x); }, [](auto x) { return std::acos(x); });
  check<T>("atan", bound, [](auto x) { return atan(x); }, [](auto x) { return std::atan(x); });
  check_pairs<T>(
      "pow", bound, power<T>, [](auto x, auto y) { return pow(x, y); }, [](auto x, auto y) { return std::pow(x, y); });
  check_pairs<T>(
      "atan2", bound, point<T>, [](auto y, auto x) { return atan2(y, x); },
      [](auto y, auto x) { return std::atan2(y, x); });
  check_pairs<T>(
      "hypot", bound, point<T>, [](auto x, auto y) { return hypot(x, y); },
      [](auto x, auto y) { return std::hypot(x, y); });
  check_pairs<T>(
      "fmod", 0, division<T>, [](auto x, auto y) { return fmod(x, y); },
      [](auto x, auto y) { return std::fmod(T(x), T(y)); });
}

// The same bits as libm gives in T.
template <class T>
void check_lane_function() {
  check<T>("lgamma", 0, [](auto x) { return lgamma(x); }, [](auto x) { return std::lgamma(T(x)); });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) stride = std::strtoull(argv[1], nullptr, 10);
  check_vector_functions<float>();
  check_vector_functions<double>();
  stride *= 64;  // for these a few arguments tell as much as many
  check_lane_function<float>();
  check_lane_function<double>();
  return failed ? 1 : 0;
}
