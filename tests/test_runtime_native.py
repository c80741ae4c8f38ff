"""The runtime below the kernels, tested by a native program: threads, memory, scratch, fork, limits."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("cpu", "limits", "memory", "scratch", "threads")
RUNTIME = [ROOT / "csrc" / "runtime" / f"{part}.cpp" for part in PARTS]
PROGRAM = sorted((ROOT / "tests" / "native").glob("*_stress.cpp"))
COMPILER = shutil.which(os.environ.get("CXX", "g++")) or shutil.which("clang++") or ""
FLAGS = ["-std=c++20", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off", f"-I{ROOT / 'csrc'}"]
SLOW = os.environ.get("PULLBACK_TEST_ALL") == "1"

pytestmark = [
    pytest.mark.skipif(not COMPILER, reason="needs g++ or clang++"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the program forks"),
]
slow = pytest.mark.skipif(not SLOW, reason="slow: make test-all")

Result = subprocess.CompletedProcess[str]
Build = Callable[[str], Path]
PLAIN_AND_SANITIZED = ["", *(pytest.param(name, marks=slow) for name in ("thread", "address"))]


def run(command: list[str | Path], env: dict[str, str] | None = None, **options: Any) -> Result:
    """Runs a command without the preloads and thread settings that the tests themselves may run under."""
    dropped = ("LD_PRELOAD", "OMP_NUM_THREADS", "ASAN_OPTIONS")
    inherited = {k: v for k, v in os.environ.items() if k not in dropped}
    return subprocess.run(command, env=inherited | (env or {}), capture_output=True, text=True, timeout=120, **options)


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Compiles the program, with a sanitizer or with "" for none, once."""
    folder = tmp_path_factory.mktemp("runtime")

    def compiled(sanitizer: str) -> Path:
        program = folder / f"stress_{sanitizer or 'plain'}"
        if not program.exists():
            flags = [*FLAGS, "-O2", "-g1", "-pthread", *([f"-fsanitize={sanitizer}"] if sanitizer else [])]
            done = run([COMPILER, *flags, *PROGRAM, *RUNTIME, "-o", program])
            if sanitizer and "cannot find" in done.stderr:
                pytest.skip(f"the compiler lacks the library of -fsanitize={sanitizer}")
            assert done.returncode == 0, done.stderr
        return program

    return compiled


@pytest.mark.parametrize("sanitizer", PLAIN_AND_SANITIZED)
def test_stress(build: Build, sanitizer: str) -> None:
    """Loops, nested loops, exceptions, blocks, scratch and forks, from several threads at once."""
    done = run([build(sanitizer)], env={"TSAN_OPTIONS": "halt_on_error=1"})
    if "unexpected memory mapping" in done.stderr and shutil.which("setarch"):
        done = run(["setarch", os.uname().machine, "-R", build(sanitizer)], env={"TSAN_OPTIONS": "halt_on_error=1"})
    if "unexpected memory mapping" in done.stderr:
        pytest.skip("ThreadSanitizer does not run under this kernel's address space layout")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("ok\n")
    print(done.stdout)


@slow
@pytest.mark.parametrize("where", ["slack", "back", "scratch", "end"])
def test_address_sanitizer_sees_what_must_not_be_touched(build: Build, where: str) -> None:
    """The end of a block smaller than its class, what is cached, and what lies around scratch pieces."""
    done = run([build("address"), "read", where])
    assert done.returncode != 0 and "use-after-poison" in done.stderr, done.stderr


def machine(program: Path, **options: Any) -> list[str]:
    """Threads, the reason for their number, instruction set, model and memory, as the program sees them."""
    done = run([program, "machine"], **options)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("asked", "threads"), [("1", 1), ("3", 3), ("64", 64), ("3,2", 3), (" 2 ", 2), ("1000000", 1024)]
)
def test_environment_sets_the_threads(build: Build, asked: str, threads: int) -> None:
    """OMP_NUM_THREADS holds, also above the number of cores."""
    lines = machine(build(""), env={"OMP_NUM_THREADS": asked})
    assert lines[:2] == [str(threads), f"OMP_NUM_THREADS={asked}"]


@pytest.mark.parametrize("asked", ["many", "0", "-2", "2.5", "3x", ",", "99999999999999999999x"])
def test_garbage_in_the_environment_is_ignored_and_named(build: Build, asked: str) -> None:
    """The number of threads is then what it would be without the variable, and the reason says so."""
    plain = machine(build(""))
    lines = machine(build(""), env={"OMP_NUM_THREADS": asked})
    assert lines[:2] == [plain[0], f"OMP_NUM_THREADS={asked} is no number of threads, {plain[1]}"]
    assert machine(build(""), env={"OMP_NUM_THREADS": ""}) == plain


@pytest.mark.skipif(sys.platform != "linux", reason="affinity masks are Linux's")
def test_affinity_mask_sets_the_threads(build: Build) -> None:
    """On one core, one thread."""
    core = min(os.sched_getaffinity(0))
    lines = machine(build(""), preexec_fn=lambda: os.sched_setaffinity(0, {core}))
    assert lines[:2] == ["1", "affinity mask of 1 core"]


def test_machine_is_described(build: Build) -> None:
    """Instruction set and model are those of /proc/cpuinfo."""
    isa, model, memory = machine(build(""))[2:5]
    assert isa in ("portable", "avx2", "avx512") and model and int(memory) >= 1 << 28
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return
    text = cpuinfo.read_text()
    flags = set(text[text.find("flags") :].split("\n", 1)[0].split())
    assert (isa == "avx512") == ({"avx512f", "avx512dq", "avx512bw", "avx512vl", "fma"} <= flags)
    named = re.search(r"model name\s*: (.*)", text)
    assert model == (named.group(1) if named else "unknown")


V2 = {"proc/self/cgroup": "0::/pod/box\n"}
V1 = {"proc/self/cgroup": "4:memory:/pod\n3:cpuset:/\n2:cpu,cpuacct:/pod\n0::/\n"}
V1_PERIOD = {"cpu/pod/cpu.cfs_period_us": "100000"}
V1_UNLIMITED = {"memory/memory.limit_in_bytes": str((1 << 63) - 4096)}
CGROUPS: dict[str, tuple[dict[str, str], float, int]] = {  # files, cores, bytes
    "no files": ({}, 0, 0),
    "v2": (V2 | {"pod/box/cpu.max": "150000 100000", "pod/box/memory.max": "4096000"}, 1.5, 4096000),
    "v2 unlimited": (V2 | {"pod/box/cpu.max": "max 100000", "pod/box/memory.max": "max"}, 0, 0),
    "v2 parent": (V2 | {"pod/box/cpu.max": "300000 100000", "pod/cpu.max": "50000 100000"}, 0.5, 0),
    "v2 mounted as the top": (V2 | {"cpu.max": "200000 100000", "memory.max": "1000"}, 2, 1000),
    "v1 cpu": (V1 | V1_PERIOD | {"cpu/pod/cpu.cfs_quota_us": "250000"}, 2.5, 0),
    "v1 memory": (V1 | V1_UNLIMITED | {"memory/pod/memory.limit_in_bytes": "8192"}, 0, 8192),
    "v1 unlimited": (V1 | V1_PERIOD | V1_UNLIMITED | {"cpu/pod/cpu.cfs_quota_us": "-1"}, 0, 0),
    "garbage": ({"proc/self/cgroup": "no colons\n::\n0::\n", "cpu.max": "none", "memory.max": ""}, 0, 0),
}


@pytest.mark.parametrize("name", CGROUPS)
def test_cgroups_limit_cores_and_memory(build: Build, tmp_path: Path, name: str) -> None:
    """The tightest limit from the group of the process up to the top, in either version."""
    files, cores, memory = CGROUPS[name]
    for path, text in files.items():
        file = tmp_path / (path if path.startswith("proc") else f"sys/fs/cgroup/{path}")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    done = run([build(""), "cgroups", tmp_path])
    assert [float(line) for line in done.stdout.splitlines()] == [cores, memory], done.stderr


KERNEL = """
#include "runtime/scratch.h"
#include "runtime/threads.h"
namespace {
void twice(float* x, int64_t n) {
  pullback::parallel_for(n, 100, [=](int64_t begin, int64_t end) {
    pullback::Scratch scratch;
    float* y = scratch.take<float>(end - begin);
    for (int64_t i = begin; i < end; ++i) x[i] += y[i - begin] = x[i];
  });
}
}  // namespace
void (*kernel)(float*, int64_t) = twice;
"""


@pytest.mark.skipif(not shutil.which("nm"), reason="needs nm")
@pytest.mark.parametrize("level", ["-O0", "-O3"])
def test_headers_leave_nothing_for_the_linker_to_mix(tmp_path: Path, level: str) -> None:
    """No weak symbol: the code of one instruction set can't stand in for that of another."""
    source = tmp_path / "kernel.cpp"
    source.write_text(KERNEL)
    done = run([COMPILER, *FLAGS, level, "-c", source, "-o", tmp_path / "kernel.o"])
    assert done.returncode == 0, done.stderr
    symbols = run(["nm", "-C", tmp_path / "kernel.o"]).stdout
    assert "pullback::run_tasks" in symbols
    assert not re.findall(r"^\S* *[WwVvu] .*pullback.*$", symbols, re.MULTILINE), symbols
