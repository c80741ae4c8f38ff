"""The vector type and mathematics below the kernels, for every instruction set that this CPU has."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NATIVE = Path(__file__).resolve().parent / "native"

# How csrc/isa is compiled: bytes in a vector, what the CPU has to list as features, the compiler's flags.
INSTRUCTION_SETS = {
    "avx512": (
        64,
        {"avx512f", "avx512dq", "avx512bw", "avx512vl", "avx2", "fma"},
        "-mavx512f -mavx512dq -mavx512bw -mavx512vl -mavx2 -mfma -mprefer-vector-width=512",
    ),
    "avx2": (32, {"avx2", "fma", "f16c", "bmi2"}, "-mavx2 -mfma -mf16c -mbmi2"),
    "portable": (16, set[str](), ""),
}
COMPILER_FLAGS = "-std=c++20 -O3 -ffp-contract=off -fno-math-errno -fno-trapping-math -Wall -Wextra -Werror"

KERNEL = """
#include "isa/math.h"

namespace pullback::ISA_NAMESPACE {
namespace {
template <class T>
Vec<T> every_function(Vec<T> x) {
  const Vec<T> y = pow(exp(x), exp2(x)) + log(x) + log2(x) + log10(x) + log1p(x) + expm1(x) + tanh(x) +
                   sigmoid(x) + erf(x) + erfc(x) + sin(x) + cos(x) + tan(x) + rsqrt(x) + round(x) +
                   reverse(x) + min(x, -x);
  return asin(x) + acos(x) + atan(x) + sinh(x) + cosh(x) + asinh(x) + acosh(x) + atanh(x) + lgamma(x) +
         atan2(x, y) + hypot(x, y) + fmod(x, y) + reduce_max(y);
}
}  // namespace

void kernel(const float* x, float* y, const double* z, double* w, std::int64_t n) {
  for_each_vec<float>(n, [&](std::int64_t i, auto lanes) {
    every_function(Vec<float>::load(x + i, lanes)).store(y + i, lanes);
  });
  every_function(Vec<double>::load(z)).store(w);
}
}  // namespace pullback::ISA_NAMESPACE
"""


def cpu_features() -> set[str]:
    """Names of the CPU's features as Linux lists them; none on other systems, which get the portable set."""
    cpuinfo = Path("/proc/cpuinfo")
    if platform.machine() != "x86_64" or not cpuinfo.exists():
        return set()
    lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith("flags")]
    return set(lines[0].split(":")[1].split()) if lines else set()


def available_sets() -> list[str]:
    """The instruction sets whose code can run here."""
    features = cpu_features()
    return [name for name, (_, needs, _) in INSTRUCTION_SETS.items() if needs <= features]


@pytest.fixture(scope="module")
def compiler() -> list[str]:
    """The C++ compiler as a command: CXX, else g++ or clang++."""
    command = os.environ.get("CXX", "").split() or [name for name in ("g++", "clang++") if shutil.which(name)][:1]
    if not command or not shutil.which(command[0]):
        pytest.skip("no C++ compiler: set CXX, or install g++ or clang++")
    return command


def build(compiler: list[str], name: str, source: Path, *more: str) -> None:
    """Compiles ``source`` for the instruction set ``name`` as kernels are, or fails with the diagnostics."""
    vector_bytes, _, flags = INSTRUCTION_SETS[name]
    definitions = [f"-DISA_NAMESPACE={name}", f"-DISA_VECTOR_BYTES={vector_bytes}", f"-I{ROOT / 'csrc'}"]
    command = [*compiler, *COMPILER_FLAGS.split(), *flags.split(), *definitions, str(source), *more]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stderr}"


@pytest.mark.parametrize("program", ["vec_check", "math_ulp"])
@pytest.mark.parametrize("name", available_sets())
def test_native_program(compiler: list[str], name: str, program: str, tmp_path: Path) -> None:
    """vec_check compares Vec with scalar code; math_ulp holds every function against its bound in ulp."""
    executable = tmp_path / program
    build(compiler, name, NATIVE / f"{program}.cpp", "-o", str(executable))
    result = subprocess.run([str(executable)], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, f"{program} for {name}\n{result.stdout}{result.stderr}"


@pytest.mark.parametrize("optimization", ["-O0", "-O3"])
@pytest.mark.parametrize("name", available_sets())
def test_exports_only_kernels(compiler: list[str], name: str, optimization: str, tmp_path: Path) -> None:
    """A weak symbol could be replaced by that of another instruction set when the objects are linked."""
    if not shutil.which("nm"):
        pytest.skip("no nm to read symbols with")
    source, built = tmp_path / "kernel.cpp", tmp_path / "kernel.o"
    source.write_text(KERNEL)
    build(compiler, name, source, optimization, "-c", "-o", str(built))
    symbols = subprocess.run(["nm", "-C", str(built)], capture_output=True, text=True, check=True).stdout
    lines = [line[17:] for line in symbols.splitlines() if "DW.ref." not in line]  # those point to no code of ours
    exported = [line for line in lines if line[0] in "TDBRWVuwv"]
    assert len(exported) == 1 and exported[0].startswith(f"T pullback::{name}::kernel("), symbols
