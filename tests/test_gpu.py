"""Every case on a real GPU, against NumPy. The small ones are what compute-sanitizer is given, see benchmarks/gpu.py."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
import pytest

import pullback as pb
from harness import Case
from pullback import _cuda_state
from test_cases import CASES, by_case, check

PROBLEM = _cuda_state.cuda_problem()
if PROBLEM is not None:
    pytest.skip(f"needs a GPU: {PROBLEM}", allow_module_level=True)

LARGE = 1000  # elements: here the layouts take turns
SHARE = 8  # every eighth case is one that compute-sanitizer is given


def trials(case: Case) -> Iterator[tuple[str, tuple[int, ...], str]]:
    """dtype, shape, layout: small shapes in all layouts, large ones in one, another every time."""
    turn = 0
    for dtype in case.every_dtype:
        for shape in case.shapes:
            turn += 1
            small = np.prod(shape) < LARGE
            for layout in case.layouts if small else [case.layouts[turn % len(case.layouts)]]:
                yield dtype, shape, layout


@by_case(CASES)
def test_cases_on_the_gpu(case: Case) -> None:
    device = pb.zeros(1, device="cuda").device
    for dtype, shape, layout in trials(case):
        check(case, shape, dtype, layout, device)
    pb.cuda.synchronize()


@by_case([case for case in CASES if zlib.crc32(case.name.encode()) % SHARE == 0])
def test_small_cases_on_the_gpu(case: Case) -> None:
    device = pb.zeros(1, device="cuda").device
    shapes = [s for s in case.shapes if 0 < np.prod(s) < LARGE] or case.shapes[:1]
    for dtype in case.every_dtype:
        check(case, max(shapes, key=lambda s: int(np.prod(s))), dtype, case.layouts[0], device)
    pb.cuda.synchronize()


def test_out_of_memory_on_the_gpu() -> None:
    """More than the GPU has is refused with what is held, which stays as it was."""
    x = pb.ones(1000, device="cuda")
    before, (_, total) = pb.cuda.memory_allocated(), pb.cuda.mem_get_info()
    with pytest.raises(
        pb.cuda.OutOfMemoryError, match=r"cuda:\d is out of memory: .* GiB were asked for; the pool holds"
    ):
        pb.empty(total // 4, 2, device="cuda")
    assert pb.cuda.memory_allocated() == before
    assert (x + 1).sum().item() == 2000
