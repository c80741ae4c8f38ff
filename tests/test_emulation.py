"""CUDA kernels without a GPU: the emulation sees planted faults. (The kernels themselves: test_emulated_device.py.)"""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from test_cases import EVERYTHING

ROOT = Path(__file__).resolve().parent.parent
COMPILER = shutil.which(os.environ.get("CXX", "g++")) or ""
FLAGS = [
    "-std=c++20",
    "-O1",
    "-g1",
    "-Wall",
    "-Wextra",
    "-DISA_NAMESPACE=cuda",
    f"-I{ROOT / 'csrc'}",
    f"-I{ROOT / 'cuda'}",
]
THREADS = 64
ORDERS = ["forward", "reversed", "shuffled"]

pytestmark = pytest.mark.skipif(not COMPILER, reason="needs g++")
slow = pytest.mark.skipif(not EVERYTHING, reason="slow: make test-all")

Result = subprocess.CompletedProcess[str]
Run = Callable[..., Result]


def command(*words: str | Path, env: dict[str, str] | None = None) -> Result:
    inherited = {k: v for k, v in os.environ.items() if k not in ("LD_PRELOAD", "ASAN_OPTIONS")}
    return subprocess.run(list(words), env=inherited | (env or {}), capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """run(fault, order, sanitizer): the program's end. The emulation's own data is no kernel's: it goes uninstrumented."""
    folder = tmp_path_factory.mktemp("emulation")

    def build(sanitizer: str) -> Path:
        program = folder / f"check_{sanitizer or 'plain'}"
        if program.exists():
            return program
        flags = [f"-fsanitize={sanitizer}"] if sanitizer else []
        own = ["-DPULLBACK_TSAN_FIBERS"] if sanitizer == "thread" else flags
        object_file = folder / f"emulate_{sanitizer}.o"
        for words in (
            [COMPILER, *FLAGS, *own, "-c", ROOT / "cuda/common/emulate.cpp", "-o", object_file],
            [COMPILER, *FLAGS, *flags, ROOT / "tests/native/emulation_check.cpp", object_file, "-o", program],
        ):
            done = command(*words)
            if "cannot find" in done.stderr:
                pytest.skip(f"the compiler lacks the library of -fsanitize={sanitizer}")
            assert done.returncode == 0, done.stderr
        return program

    def run(fault: str, order: str = "forward", sanitizer: str = "") -> Result:
        program = build(sanitizer)
        done = command(program, fault, order)
        if "unexpected memory mapping" in done.stderr and shutil.which("setarch"):
            done = command("setarch", os.uname().machine, "-R", program, fault, order)
        if "unexpected memory mapping" in done.stderr:
            pytest.skip("ThreadSanitizer does not run under this kernel's address space layout")
        return done

    return run


def numbers(done: Result) -> list[float]:
    assert done.returncode == 0, done.stdout + done.stderr
    return [float(word) for word in done.stdout.split()]


REVERSED = [float(i) for i in reversed(range(THREADS))]
SANITIZERS = ["", pytest.param("address", marks=slow), pytest.param("thread", marks=slow)]


@pytest.mark.parametrize("sanitizer", SANITIZERS)
@pytest.mark.parametrize("order", ORDERS)
def test_a_right_kernel_passes(run: Run, order: str, sanitizer: str) -> None:
    assert numbers(run("none", order, sanitizer)) == REVERSED
    assert numbers(run("count of threads", order, sanitizer)) == [THREADS, THREADS - 1] * (THREADS // 2)
    assert numbers(run("fragments", order, sanitizer)) == [0.0] * THREADS
    warps = [sum(range(32)), sum(range(32, 64))]
    assert numbers(run("sum of warp", order, sanitizer)) == [float(warps[i // 32]) for i in range(THREADS)]


@pytest.mark.parametrize("order", ORDERS)
def test_a_missing_barrier_reads_what_nobody_wrote(run: Run, order: str) -> None:
    got = numbers(run("missing barrier", order))
    assert any(math.isnan(value) for value in got), "the threads that came first should have read NaN"


@pytest.mark.parametrize("order", ["reversed", "shuffled"])
def test_waiting_for_the_warp_is_not_waiting_for_the_block(run: Run, order: str) -> None:
    """In these orders a warp runs ahead of the others."""
    assert any(math.isnan(value) for value in numbers(run("barrier of a warp", order)))


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("divergent barrier", r"a divergent barrier: thread 0 waits .*emulation_check.cpp:(\d+):\d+, thread 32 .*:\1:"),
        ("thread left before barrier", "a divergent barrier: .* thread 5 has ended"),
        ("lane left before shuffle", "for lane 5, which has ended"),
    ],
)
@pytest.mark.parametrize("order", ORDERS)
def test_divergence_is_an_error(run: Run, fault: str, words: str, order: str) -> None:
    done = run(fault, order)
    assert done.returncode == 1 and re.search(words, done.stderr), done.stdout + done.stderr


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    "fault",
    ["registers of a fragment", "lane of a fragment", "address of a row", "layout of a fragment", "early wait"],
)
def test_a_wrong_index_or_an_early_wait_gives_a_wrong_product(run: Run, fault: str, order: str) -> None:
    assert sum(numbers(run(fault, order))) > THREADS


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("missing wait", "thread .* ended before copies that it began"),
        ("misaligned copy", "an address that is no multiple of 16: thread .* waits at emulation_check.cpp"),
    ],
)
def test_a_copy_that_nobody_waited_for_or_that_a_gpu_refuses_is_an_error(
    run: Run, fault: str, words: str, order: str
) -> None:
    done = run(fault, order)
    assert done.returncode == 1 and re.search(words, done.stderr), done.stdout + done.stderr


@pytest.mark.parametrize("memory", ["shared", "scratch"])
def test_unwritten_memory_is_nan(run: Run, memory: str) -> None:
    assert all(math.isnan(value) for value in numbers(run(f"unwritten {memory} memory")))


def test_filled_scratch_memory_is_what_it_was_filled_with(run: Run) -> None:
    assert numbers(run("filled scratch memory")) == [1.0] * THREADS


@slow
@pytest.mark.parametrize("memory", ["shared", "scratch"])
def test_address_sanitizer_sees_the_end(run: Run, memory: str) -> None:
    done = run(f"beyond {memory} memory", sanitizer="address")
    assert done.returncode != 0 and "heap-buffer-overflow" in done.stderr, done.stderr


@slow
@pytest.mark.parametrize("fault", ["missing barrier", "unguarded sum", "two blocks on one place"])
@pytest.mark.parametrize("order", ORDERS)
def test_thread_sanitizer_sees_a_race(run: Run, fault: str, order: str) -> None:
    """A lost update is right in every order in which whole threads run; only the missing order between them shows it."""
    done = run(fault, order, "thread")
    assert done.returncode != 0 and "data race" in done.stderr, done.stdout + done.stderr


def test_every_cuda_source_has_its_twin() -> None:
    sources = {p.stem for p in (ROOT / "cuda/kernels").glob("*.cu")}
    assert sources and sources <= {p.stem for p in (ROOT / "csrc/kernels").glob("*.cpp")}
