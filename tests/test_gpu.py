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


# --- what no case says ------------------------------------------------------------------------------------------------


def values(*shape: int) -> pb.Tensor:
    return pb.from_numpy(np.random.default_rng([*shape]).standard_normal(shape, dtype=np.float32))


def test_streams_and_events_order_work() -> None:
    """Memory that one stream gives back is not written by a copy that does not wait for the kernels before it."""
    side, x = pb.cuda.Stream(), values(1 << 20)
    side.wait_stream(pb.cuda.current_stream())
    with pb.cuda.stream(side):
        assert pb.cuda.current_stream() == side
        sums = [(x.to("cuda") * k).sum() for k in range(20)]
        done = side.record_event(pb.cuda.Event(enable_timing=True))
    pb.cuda.current_stream().wait_event(done)
    total = pb.stack(sums).cpu()
    assert done.query() and done.elapsed_time(done) == 0
    np.testing.assert_allclose(total.numpy(), [(x * k).sum().item() for k in range(20)], rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("library", ["cupy", "torch"])
def test_dlpack_shares_memory_both_ways(library: str) -> None:
    there = pytest.importorskip(library)
    x = values(3, 4).cuda()
    y = there.from_dlpack(x)
    assert (y.data_ptr() if library == "torch" else y.data.ptr) == x.data_ptr()
    y += 1
    back = pb.from_dlpack(y)
    assert back.data_ptr() == x.data_ptr() and back.device is x.device
    np.testing.assert_array_equal(back.cpu().numpy(), (values(3, 4) + 1).numpy())


def test_what_only_data_can_tell_is_raised_when_somebody_waits() -> None:
    pb.nn.functional.cross_entropy(pb.zeros(2, 3, device="cuda"), pb.tensor([0, 7], device="cuda"))
    with pytest.raises(IndexError, match="target 7 is out of range"):
        pb.cuda.synchronize()
    pb.cuda.synchronize()


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_nan_stays_nan_in_a_fused_activation(dtype: str) -> None:
    """Whether cuBLASLt's epilogue of ReLU keeps it, as max(0, x) of C does not, is nowhere written."""
    x, weight, bias = (values(*shape).cuda().to(getattr(pb, dtype)) for shape in ((16, 32), (24, 32), (24,)))
    x[3, 5] = float("nan")
    y = pb.ops.linear_relu(x, weight, bias).isnan().cpu()
    assert y[3].all() and not y[:3].any() and not y[4:].any()


def test_random_numbers_are_the_cpu_s_on_the_gpu() -> None:
    drawn = []
    for device in ("cpu", "cuda"):
        pb.manual_seed(5)
        drawn.append((pb.rand(1001, device=device).cpu().numpy(), pb.randint(0, 9, (77,), device=device).tolist()))
    assert drawn[0][0].tobytes() == drawn[1][0].tobytes() and drawn[0][1] == drawn[1][1]


def test_what_is_said_of_the_gpu() -> None:
    assert pb.cuda.get_device_name() and pb.cuda.get_device_properties().total_memory > 1 << 30
    x = pb.zeros(1 << 20, device="cuda")
    assert x.is_cuda and x.get_device() == pb.cuda.current_device()
    assert pb.cuda.memory_reserved() >= pb.cuda.memory_allocated() >= 4 << 20
    with pb.cuda.device(0), pb.autocast("cuda"):
        assert (x.reshape(1024, 1024) @ x.reshape(1024, 1024)).dtype is pb.float16
