"""The CUDA kernels as a device, emulated on the host: every case in three orders of threads, every kernel in every dtype that
its contract admits. Build it with make emulated; other builds have no such device."""

from __future__ import annotations

import contextlib
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import pullback as pb
from harness import Case
from pullback._backend import cpu
from pullback._dtype import of_array
from pullback._walk import gradients
from test_cases import CASES, EVERYTHING, bits, by_case, check, forward_and_backward, make, on_host, tensors
from test_layout import small, twice_differentiated

_cuda_emulated = pytest.importorskip(
    "pullback._cuda_emulated", reason="this build has no emulated kernels: make emulated"
)
F = pb.nn.functional
DEVICE = pb.zeros(1, device="cuda-emulated").device
ORDERS = ["forward", "reversed", "shuffled"]
LARGE = 1000  # elements: here the layouts take turns


@pytest.fixture
def order(request: pytest.FixtureRequest) -> Iterator[str]:
    _cuda_emulated.set_thread_order(request.param, 5)
    yield request.param
    _cuda_emulated.set_thread_order("forward")


def trials(case: Case, order: str) -> Iterator[tuple[str, tuple[int, ...], str]]:
    """dtype, shape, layout: in the first order all of small shapes; else, and of halves, each shape in one layout, another
    every time."""
    turn = ORDERS.index(order)
    for dtype in case.every_dtype:
        for shape in case.shapes:
            every = order == "forward" and dtype in case.dtypes and np.prod(shape) < LARGE
            turn += 1
            for layout in case.layouts if every else [case.layouts[turn % len(case.layouts)]]:
                yield dtype, shape, layout


@by_case(CASES if EVERYTHING else [c for c in CASES if zlib.crc32(c.name.encode()) % 8 == 0])
@pytest.mark.parametrize("order", ORDERS if EVERYTHING else ["shuffled"], indirect=True)
def test_cases(case: Case, order: str) -> None:
    """Value and pullback against NumPy, whichever thread comes first."""
    for dtype, shape, layout in trials(case, order):
        check(case, shape, dtype, layout, DEVICE)


def captured(case: Case, arrays: Any, device: Any) -> tuple[Any, Callable[[Any], list[bytes]]]:
    """The case as a captured step there, with its gradients, and a call of it on given elements: the bits of its results."""
    inputs = tensors(case, arrays, device=device)

    def run() -> list[pb.Tensor]:
        results = case.run(*inputs)
        results = list(results) if isinstance(results, tuple) else [results]
        if case.vjp is not None:
            wanted = [t for t in inputs if t.requires_grad]
            found = gradients([results[0]], wanted, [pb.ones_like(results[0])], None, False, True)
            results += [g for g in found if g is not None]
        return results

    step = pb.capture(run)

    def call(values: Any) -> list[bytes]:
        pb.manual_seed(3)
        for t, a in zip(inputs, values, strict=True):
            device.overwrite(t._array, a.view(t._array.dtype))
        return bits(*[on_host(t) for t in step()])

    return step, call


@by_case(CASES if EVERYTHING else [c for c in CASES if zlib.crc32(c.name.encode()) % 8 == 1])
def test_replays_as_a_graph(case: Case) -> None:
    """A graph of the launches gives the ordinary call's bits, though the run before it was of other inputs.

    What cannot be captured here, the CPU refuses in the same words.
    """
    shape = max((s for s in case.shapes if np.prod(s) < LARGE), key=lambda s: int(np.prod(s)), default=case.shapes[0])
    arrays, _ = make(case, shape, case.dtypes[0])
    step, call = captured(case, arrays, DEVICE)
    try:
        ordinary = [call(arrays) for _ in range(3)][0]
    except pb.CaptureError as error:
        _, on_cpu = captured(case, arrays, cpu)
        with pytest.raises(pb.CaptureError, match=f"^{re.escape(str(error))}$"):
            for _ in range(3):
                on_cpu(arrays)
        return
    with contextlib.suppress(IndexError, ValueError, ZeroDivisionError):
        call([np.zeros_like(a) for a in arrays])
    assert call(arrays) == ordinary and step.stats()["replayed"] == 2


@pytest.mark.parametrize("name", ["index_add[many]", "scatter_add[0]", "cumsum[line]", "embedding[int64]"])
def test_sums_have_the_same_bits_in_every_order(name: str) -> None:
    """No sum depends on which thread comes first, though places repeat."""
    case = next(c for c in CASES if c.name == name)
    made = set()
    for thread_order in ORDERS:
        _cuda_emulated.set_thread_order(thread_order, 7)
        made.add(b"".join(bits(*forward_and_backward(case, make(case, case.shapes[-1], "float32")[0], DEVICE))))
    _cuda_emulated.set_thread_order("forward")
    assert len(made) == 1


# --- integers, on which cases are few ---------------------------------------------------------------------------------

INTEGER_OPS: dict[str, Callable[..., Any]] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "floor_divide": lambda x, y: x // y,
    "remainder": lambda x, y: x % y,
    "fmod": lambda x, y: x.fmod(y),
    "pow": lambda x, y: x**y,
    "maximum": lambda x, y: pb.maximum(x, y),
    "minimum": lambda x, y: pb.minimum(x, y),
    "abs": lambda x, y: x.abs(),
    "neg": lambda x, y: -x,
    "sign": lambda x, y: x.sign(),
    "square": lambda x, y: x.square(),
    "tril": lambda x, y: x.tril(),
    "triu": lambda x, y: x.triu(),
    "fill": lambda x, y: pb.full_like(x, True),
    "fill_integer": lambda x, y: pb.full_like(x, 1),
    "zeros": lambda x, y: pb.zeros_like(x) + pb.einsum("ii->i", x[:, :3]).sum(),
    "arange": lambda x, y: pb.arange(3, 9, 2, dtype=x.dtype, device=x.device),
    "cat": lambda x, y: pb.cat([x, y], 1),
    "pad": lambda x, y: F.pad(x, (1, 2), value=1),
    "gather": lambda x, y: x.gather(1, pb.tensor([[1, 0], [4, 2]], device=x.device)),
    "scatter": lambda x, y: x.scatter(1, pb.tensor([[1, 0], [4, 2]], device=x.device), y),
    **{
        f"scatter_{how}": lambda x, y, how=how: x.scatter_reduce(
            1, pb.tensor([[1, 0, 4, 1, 1, 2, 0, 0, 1, 4]] * 3, device=x.device), pb.cat([y, y], 1), how
        )
        for how in ("sum", "prod", "amin", "amax")
    },
    "index": lambda x, y: x[pb.tensor([2, 0, 2])],
    "index_put": lambda x, y: x.index_put((pb.tensor([2, 0], device=x.device),), y[:2]),
    "masked_select": lambda x, y: x.masked_select(x > y),
    "masked_scatter": lambda x, y: x.masked_scatter(x > y, y),
    "nonzero": lambda x, y: x.nonzero(),
    "count_nonzero": lambda x, y: x.count_nonzero(1),
    "prod": lambda x, y: x.prod(1),
    "sum_in_float": lambda x, y: x.sum(1, dtype=pb.float32),
    "all": lambda x, y: x.all(1),
    "any": lambda x, y: x.any(1),
    "sum": lambda x, y: x.sum(0),
    "amax": lambda x, y: x.amax(1),
    "amin": lambda x, y: x.amin(1),
    "argmax": lambda x, y: x.argmax(1),
    "argmin": lambda x, y: x.argmin(1),
    "searchsorted": lambda x, y: pb.searchsorted(x.flatten().cumsum(0).to(x.dtype)[:3], y),
    "bernoulli_": lambda x, y: x.bernoulli_(0.5, generator=pb.Generator(x.device).manual_seed(1)),
    "randperm": lambda x, y: pb.randperm(
        2, dtype=x.dtype, generator=pb.Generator(x.device).manual_seed(1), device=x.device
    ),
    "max": lambda x, y: x.max(1)[1],
    "min": lambda x, y: x.min(1)[1],
}
INTEGERS = ("int64", "int32", "int16", "int8", "uint8", "bool")


def integers(op: str, dtype: str, device: Any) -> Any:
    """What an op makes of integers there: elements, or the error that says that it takes none of that dtype."""
    rng = np.random.default_rng(5)
    x, y = [pb.from_numpy(rng.integers(0, 4, (3, 5)) + k).to(getattr(pb, dtype)).to(device) for k in range(2)]
    try:
        return INTEGER_OPS[op](x, y).cpu().numpy()
    except (RuntimeError, TypeError) as error:
        return error


@pytest.mark.parametrize("op", INTEGER_OPS)
def test_integers_are_the_cpu_s(op: str) -> None:
    for dtype in INTEGERS:
        want, got = integers(op, dtype, "cpu"), integers(op, dtype, DEVICE)
        if isinstance(want, Exception):
            assert type(got) is type(want) and str(got) == str(want), (op, dtype)
        else:
            assert not isinstance(got, Exception), (op, dtype, got)
            assert got.dtype == want.dtype and got.tolist() == want.tolist(), (op, dtype)


# --- what the cases reach ---------------------------------------------------------------------------------------------

SIGNATURES = {name: [p for p in parameters if p[1] == "operand"] for name, _, parameters in _cuda_emulated.signatures()}
Reached = set[tuple[str, str]]  # kernel, dtype of one of its operands


class Watched:
    """The kernels, noting the dtypes of what they are called with."""

    def __init__(self) -> None:
        self.reached: Reached = set()

    def __getattr__(self, name: str) -> Any:
        kernel = getattr(_cuda_emulated, name)
        if name not in SIGNATURES:
            return kernel

        def call(*args: Any, **keywords: Any) -> None:
            for given in (*args, *keywords.values()):
                for array in given if isinstance(given, list) else [given]:
                    if hasattr(array, "dtype"):
                        self.reached.add((name, of_array(array).name))
            kernel(*args, **keywords)

        return call


@pytest.fixture(scope="module")
def reached() -> Iterator[Reached]:
    """What the cases call, each at one shape, with its second derivative."""
    watched = Watched()
    DEVICE.kernels = watched
    try:
        for case, dtype in [(c, d) for c in CASES for d in c.every_dtype]:
            with contextlib.suppress(NotImplementedError):
                forward_and_backward(case, make(case, small(case), dtype)[0], DEVICE)
                if case.vjp is not None:
                    twice_differentiated(case, make(case, small(case), dtype)[0], DEVICE)
        for op in INTEGER_OPS:
            for dtype in INTEGERS:
                integers(op, dtype, DEVICE)
    finally:
        DEVICE.kernels = _cuda_emulated
    yield watched.reached


def test_every_kernel_is_reached_in_every_dtype(reached: Reached) -> None:
    wanted = {(name, d) for name, operands in SIGNATURES.items() for _, _, _, dtypes, *_ in operands for d in dtypes}
    refused = {
        (name, "bool") for name in ("argmax", "argmin", "topk", "kthvalue", "median")
    }  # by the ops, as in PyTorch
    missing = {(name, d) for name, d in wanted if name not in _cuda_emulated.kernel_names()}
    unseen = sorted(wanted - reached - refused - missing)
    assert not unseen, f"{len(unseen)} kernels and dtypes that no case reaches: {unseen}"
