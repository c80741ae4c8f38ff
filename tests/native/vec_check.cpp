// Checks isa/vec.h lane by lane against scalar code. Compiled once per instruction set, with the definitions
// that isa/native.h names. Prints what differs, and fails if anything does.

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <numeric>

#include "isa/vec.h"

namespace {

using namespace pullback::ISA_NAMESPACE;

int failures = 0;

// Equal as numbers, both NaN, or zeros of one sign.
template <class T>
bool same(T a, T b) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  return a == b && std::signbit(a) == std::signbit(b);
}
template <class T>
void expect(const char* what, T got, T expected, double at = 0) {
  if (same(got, expected)) return;
  ++failures;
  std::printf("%s<%d bytes> at %a: %a instead of %a\n", what, static_cast<int>(sizeof(T)), at, double(got),
              double(expected));
}

template <class T>
const T kValues[] = {T(0.0),
                     T(-0.0),
                     T(0.3),
                     T(-0.3),
                     T(0.5),
                     T(-0.5),
                     T(0.7),
                     T(-0.7),
                     T(1.5),
                     T(-1.5),
                     T(2.5),
                     T(-2.5),
                     T(3),
                     T(-3),
                     T(4194303.5),
                     T(-8388607.5),
                     T(4503599627370495.5),
                     T(1e18),
                     T(-1e18),
                     T(INFINITY),
                     T(-INFINITY),
                     T(NAN),
                     std::numeric_limits<T>::denorm_min(),
                     -std::numeric_limits<T>::denorm_min()};

template <class T>
void check_unary() {
  for (const T x : kValues<T>) {
    const Vec<T> v = x;
    for (int lane = 0; lane < Vec<T>::size; ++lane) expect("broadcast", v[lane], x, x);
    expect("negative", (-v)[0], -x, x);
    expect("abs", abs(v)[0], std::abs(x), x);
    expect("sqrt", sqrt(v)[0], std::sqrt(x), x);
    expect("floor", floor(v)[0], std::floor(x), x);
    expect("ceil", ceil(v)[0], std::ceil(x), x);
    expect("trunc", trunc(v)[0], std::trunc(x), x);
    expect("round", round(v)[0], std::nearbyint(x), x);
    expect("isnan", T(any(isnan(v))), T(std::isnan(x)), x);
  }
}

template <class T>
void check_binary() {
  const T nan = std::numeric_limits<T>::quiet_NaN();
  for (const T x : kValues<T>) {
    for (const T y : kValues<T>) {
      const Vec<T> a = x, b = y;
      const bool unordered = std::isnan(x) || std::isnan(y);
      expect("min", std::abs(min(a, b)[0]), std::abs(unordered ? nan : std::fmin(x, y)), x);
      expect("max", std::abs(max(a, b)[0]), std::abs(unordered ? nan : std::fmax(x, y)), x);
      expect("min_fast", min_fast(a, b)[0] + 0, (x < y ? x : y) + 0, x);
      expect("max_fast", max_fast(a, b)[0] + 0, (x > y ? x : y) + 0, x);
      expect("copysign", copysign(a, b)[0], std::copysign(x, y), x);
      expect("select", select(a < b, a, b)[0], x < y ? x : y, x);
      expect("&", T(all((a <= b) & (a >= b))), T(x == y), x);
      expect("|", T(any((a < b) | ~(a != b))), T(x < y || x == y), x);
      expect("^", T(any((a < b) ^ (a > b))), T(x < y || x > y), x);
    }
  }
}

// Every number of lanes from 0 to size; memory beyond them keeps its -1.
template <class T>
void check_memory() {
  constexpr int size = Vec<T>::size;
  T source[size + 1], target[size + 1];
  std::iota(source, source + size + 1, T(1));
  for (int n = 0; n <= size; ++n) {
    const Vec<T> v = Vec<T>::load(source + 1, n);
    for (int i = 0; i < size; ++i) expect("load", v[i], i < n ? source[i + 1] : T(0), n);
    std::fill(target, target + size + 1, T(-1));
    Vec<T>::load(source + 1).store(target, n);
    for (int i = 0; i <= size; ++i) expect("store", target[i], i < n ? source[i + 1] : T(-1), n);
    expect("first_lanes", reduce_add(select(first_lanes<T>(n), Vec<T>(T(1)), Vec<T>())), T(n), n);
  }
}

// Up to the end of a page, before one that must not be touched.
template <class T>
void check_page_border() {
  const long page = sysconf(_SC_PAGESIZE);
  void* pages = mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  mprotect(static_cast<char*>(pages) + page, page, PROT_NONE);
  T* const end = reinterpret_cast<T*>(static_cast<char*>(pages) + page);
  for (int n = 0; n <= Vec<T>::size; ++n) {
    Vec<T>(T(7)).store(end - n, n);
    expect("page border", reduce_add(Vec<T>::load(end - n, n)), T(7 * n), n);
  }
  munmap(pages, 2 * page);
}

template <class T>
void check_reductions() {
  constexpr int size = Vec<T>::size;
  const Vec<T> v = iota<T>() - T(1);
  expect("reduce_add", reduce_add(v), T(size * (size - 3) / 2));
  expect("reduce_max", reduce_max(v), T(size - 2));
  expect("reduce_min", reduce_min(v), T(-1));
  for (int lane = 0; lane < size; ++lane) {
    expect("reverse", reverse(v)[lane], v[size - 1 - lane]);
    // whichever lane is NaN, the maximum is
    const Vec<T> one_nan = select(iota<T>() == Vec<T>(T(lane)), Vec<T>(std::numeric_limits<T>::quiet_NaN()), v);
    expect("reduce_max", reduce_max(one_nan), std::numeric_limits<T>::quiet_NaN(), lane);
  }
}

template <class T>
void check_for_each_vec() {
  T x[100], y[101];
  std::iota(x, x + 100, T(0));
  for (int n = 0; n <= 100; ++n) {
    std::fill(y, y + 101, T(-1));
    for_each_vec<T>(n, [&](std::int64_t i, auto lanes) { (Vec<T>::load(x + i, lanes) + T(1)).store(y + i, lanes); });
    for (int i = 0; i <= 100; ++i) expect("for_each_vec", y[i], i < n ? T(i + 1) : T(-1), n);
  }
}

void check_conversions() {
  const Vec<float> v = iota<float>() - 2.5f;
  expect("convert", float(convert<std::int32_t>(v)[0]), -2.0f);
  expect("convert", convert<float>(Vec<std::int32_t>(-7))[0], -7.0f);
  expect("bits_as", float(bits_as<std::int32_t>(Vec<float>(1.0f))[0] == 0x3f800000), 1.0f);
  expect(">>", float((Vec<std::int32_t>(-8) >> 1)[0]), -4.0f);
  expect(">>", float((Vec<std::uint32_t>(0x80000000u) >> 31)[0]), 1.0f);
  const auto [low, high] = widen(v);
  for (int lane = 0; lane < Vec<float>::size; ++lane) {
    const bool upper = lane >= Vec<double>::size;
    expect("widen", (upper ? high : low)[lane % Vec<double>::size], double(v[lane]));
    expect("narrow", narrow({high, low})[lane], v[(lane + Vec<double>::size) % Vec<float>::size]);
  }
}

template <class T>
void check() {
  check_unary<T>();
  check_binary<T>();
  check_memory<T>();
  check_page_border<T>();
  check_reductions<T>();
  check_for_each_vec<T>();
}

}  // namespace

int main() {
  check<float>();
  check<double>();
  check_conversions();
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
