"""What AddressSanitizer and ThreadSanitizer watch: every case on the emulated kernels, in a build of their own.

Run by make asan-emulated and make tsan-emulated; a report ends the run. Values are not compared: test_emulated_device.py
does that.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from collections.abc import Iterator

import pytest

import pullback as pb
from harness import Case
from test_cases import CASES, by_case, forward_and_backward, make
from test_emulated_device import DEVICE, order, test_integers_are_the_cpu_s
from test_layout import small, twice_differentiated

__all__ = ["order", "test_integers_are_the_cpu_s"]
FOR_RACES = "libtsan" in os.environ.get("LD_PRELOAD", "")


def trials(case: Case) -> Iterator[tuple[str, tuple[int, ...], str]]:
    """dtype, shape, layout: few elements in every layout, several blocks, lines longer than a block.

    For races dtypes and layouts take turns: where threads meet hardly depends on them, and all takes five times as long.
    """
    turn = zlib.crc32(case.name.encode())
    one, layout = case.every_dtype[turn % len(case.every_dtype)], case.layouts[turn % len(case.layouts)]
    for dtype in [one] if FOR_RACES else case.every_dtype:
        for of_few in [layout] if FOR_RACES else case.layouts:
            yield dtype, small(case, 100), of_few
        yield dtype, small(case, 2048), "contiguous"
    yield one, small(case, 4096 if FOR_RACES else 65536), layout


@by_case(CASES)
@pytest.mark.parametrize("order", ["shuffled"], indirect=True)
def test_case(case: Case, order: str) -> None:
    """Value and pullback; and the second derivative."""
    for dtype, shape, layout in trials(case):
        forward_and_backward(case, make(case, shape, dtype, layout)[0], DEVICE)
    if case.vjp is not None:
        for dtype in dict.fromkeys(dtype for dtype, *_ in trials(case)):
            twice_differentiated(case, make(case, small(case, 2048), dtype)[0], DEVICE)


@pytest.mark.filterwarnings("ignore:.*listed twice")
def test_what_is_listed_twice_is_not_written_by_two_threads() -> None:
    p, q = [pb.ones(5, device=DEVICE).requires_grad_() for _ in range(2)]
    p.grad = q.grad = pb.ones(5, device=DEVICE)
    pb.nn.utils.clip_grad_norm_([p, q, p], 1.0)
    pb.optim.Adam([p, q, p]).step()


# Beyond the end of x; and onto what the next thread reads.
FAULTS = {
    "libasan": ("exp(at(x, 0, 101), pb.empty(101, device='cuda-emulated')._array)", "heap-buffer-overflow"),
    "libtsan": ("exp(at(x, 0, 99), at(x, 1, 99))", "data race"),
}


def test_a_fault_is_seen() -> None:
    fault, report = next(FAULTS[name] for name in FAULTS if name in os.environ["LD_PRELOAD"])
    code = f"""
import pullback as pb
x = pb.ones(100, device="cuda-emulated")
def at(x, first, count): return x.device.as_strided(x._array[first:], (count,), (4,))
x.device.kernels.{fault}
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode != 0 and report in done.stderr, done.stderr
