"""Every case of the table: value and pullback against NumPy, pullback against finite differences, the second
derivative, the layouts, the instruction sets, the numbers of threads, and replay."""

from __future__ import annotations

import os

import numpy as np
import pytest

import pullback as pb
from harness import (
    HALVES,
    Case,
    Recorded,
    all_cases,
    assert_close,
    instruction_set,
    lay_out,
    numpy_dtype,
    on_device,
    on_host,
    poisoned,
    rounded,
    threads,
    widened,
)
from pullback import _cpu
from pullback._backend import cpu
from pullback._walk import gradients

CASES = all_cases()
EVERYTHING = os.environ.get("PULLBACK_TEST_ALL") == "1"
ISAS = _cpu.isas() if EVERYTHING else _cpu.isas()[-1:]


def by_case(cases):
    return pytest.mark.parametrize("case", cases, ids=lambda c: c.name)


def make(case: Case, shape: tuple[int, ...], dtype: str, layout: str = "contiguous", seed: int = 0):
    """Inputs as the kernel gets them, and as the reference does."""
    rng = np.random.default_rng([seed, *shape])
    arrays = rounded(case.inputs(rng, shape), dtype)
    return [lay_out(a, layout) for a in arrays], widened(arrays)


def tensors(case: Case, arrays, grad: bool = True, device=cpu):
    made = [pb.from_numpy(a) if device is cpu else pb.Tensor._wrap(on_device(a, device)) for a in arrays]
    for t in made:
        if grad and case.vjp is not None and t.dtype.is_floating_point:
            t.requires_grad_()
    return made


def first(result):
    """The floating-point result that is checked, where an op has several."""
    return result[0] if isinstance(result, tuple) else result


def directions(result, seed: int):
    rng = np.random.default_rng([99, seed, *result.shape])
    return np.asarray(rng.standard_normal(result.shape))


@by_case(CASES)
@pytest.mark.parametrize("isa", ISAS)
def test_against_numpy(case: Case, isa: str) -> None:
    with instruction_set(isa):
        for dtype in case.dtypes:
            for shape in case.shapes:
                for layout in case.layouts:
                    check(case, shape, dtype, layout)


IN_HALVES = [case for case in CASES if case.every_dtype != case.dtypes]


@by_case(IN_HALVES if EVERYTHING else IN_HALVES[::8])
def test_halves_against_numpy(case: Case) -> None:
    """One shape, in another layout from case to case: here nearly all kernels compute in float on widened operands."""
    fitting = [s for s in case.shapes if np.prod(s) <= 2049] or case.shapes[:1]
    shape = max(fitting, key=lambda s: int(np.prod(s)))
    for dtype in HALVES:
        check(case, shape, dtype, case.layouts[len(case.name) % len(case.layouts)])


def check(case: Case, shape: tuple[int, ...], dtype: str, layout: str, device=cpu) -> None:
    what = f"{case.name} {dtype} {list(shape)} {layout}"
    arrays, reference = make(case, shape, dtype, layout)
    inputs = tensors(case, arrays, device=device)
    with poisoned(device):
        result = case.run(*inputs)
    with np.errstate(all="ignore"):
        want = case.value(*reference)
    results, wants = (result, want) if isinstance(result, tuple) else ((result,), (want,))
    scale = case.scale(*reference) if case.scale else None
    for got, expected in zip(results, wants, strict=True):
        size = expected if scale is None or got is not results[0] else scale
        assert got.device is device, f"{what}: the result is on {got.device}"
        assert_close(on_host(got), expected, size, case.ulps, what)
    if case.vjp is None or overflows(wants[0], dtype):  # what pullbacks save of it is infinite then
        return
    y = first(result)
    dy = directions(y, 1).astype(numpy_dtype(dtype))
    assert y.requires_grad, f"{what}: the result is not on the tape"
    with poisoned(device):
        y.backward(pb.from_numpy(dy).to(device))
    dy64 = dy.astype(np.float64)
    with np.errstate(all="ignore"):
        wanted = case.vjp(dy64, *reference)
        scales = case.vjp_scale(dy64, *reference) if case.vjp_scale else None
    largest = np.abs(dy64).max(initial=0)
    for i, (t, g) in enumerate(zip(inputs, wanted, strict=True)):
        if g is None:
            continue
        assert t.grad is not None, f"{what}: no gradient for input {i}"
        size = np.abs(g) + largest if scales is None else scales[i]
        assert_close(on_host(t.grad), g, size, case.vjp_ulps, f"{what}: gradient of input {i}")


def overflows(want, dtype: str) -> bool:
    """Whether a result that is finite in float64 is none in the dtype under test."""
    with np.errstate(over="ignore"):
        return bool((np.isfinite(want) & ~np.isfinite(np.asarray(want).astype(numpy_dtype(dtype)))).any())


SMALL = [(5,), (2, 3), (3, 2, 2)]


def small_shapes(case: Case):
    """Shapes of few elements, for checks that run the op many times."""
    fitting = [s for s in case.shapes if 0 < int(np.prod(s)) <= 64 and s != (1,)]
    return sorted(fitting, key=lambda s: int(np.prod(s)))[-2:]


@by_case([c for c in CASES if c.vjp is not None and c.differences])
def test_pullback_against_finite_differences(case: Case) -> None:
    """⟨vjp(dy), u⟩ = d/dh ⟨dy, f(x + h u)⟩ in float64, along random directions u."""
    for shape in small_shapes(case):
        arrays, _ = make(case, shape, "float64", seed=3)
        inputs = tensors(case, arrays)
        y = first(case.run(*inputs))
        dy = directions(y, 2)
        wanted = [t for t in inputs if t.requires_grad]
        pulled = gradients([y], wanted, [pb.from_numpy(dy)], None, False, True)
        for seed in range(3):
            us = [directions(t, 10 + seed) for t in wanted]
            analytic = sum(float((g.numpy() * u).sum()) for g, u in zip(pulled, us, strict=True) if g is not None)
            numeric, size = difference(lambda ts, dy=dy: (first(case.run(*ts)).detach().numpy() * dy).sum(), inputs, us)
            assert abs(analytic - numeric) <= 1e-6 * size, f"{case.name} {list(shape)}: {analytic} against {numeric}"


@by_case([c for c in CASES if c.vjp is not None and c.second and c.differences])
def test_second_derivative(case: Case) -> None:
    """The pullback in ops gives the arrays' pullback, and its own pullback agrees with finite differences of it."""
    for shape in small_shapes(case)[-1:]:
        arrays, _ = make(case, shape, "float64", seed=4)
        inputs = tensors(case, arrays)
        wanted = [t for t in inputs if t.requires_grad]
        y = first(case.run(*inputs))
        dy = pb.from_numpy(directions(y, 5))

        def pulled(ts, create_graph=False, dy=dy):
            own = [t for t in ts if t.requires_grad]
            return gradients([first(case.run(*ts))], own, [dy], None, create_graph, True)

        fused, in_ops = pulled(inputs), pulled(inputs, create_graph=True)
        vs = [directions(t, 20) for t in wanted]
        total = None
        for a, b, v in zip(fused, in_ops, vs, strict=True):
            assert (a is None) == (b is None), case.name
            if a is None:
                continue
            np.testing.assert_allclose(b.detach().numpy(), a.numpy(), rtol=1e-10, atol=1e-10, err_msg=case.name)
            term = (b * pb.from_numpy(v)).sum()
            total = term if total is None else total + term
        if total is None or not total.requires_grad:
            us = [directions(t, 30) for t in wanted]
            numeric, size = difference(lambda ts: inner(pulled(ts), vs), inputs, us)
            assert abs(numeric) <= 1e-6 * size, f"{case.name}: second derivative {numeric}, the tape says zero"
            continue
        second = gradients([total], wanted, [None], None, False, True)
        for seed in range(2):
            us = [directions(t, 30 + seed) for t in wanted]
            analytic = sum(float((g.numpy() * u).sum()) for g, u in zip(second, us, strict=True) if g is not None)
            numeric, size = difference(lambda ts: inner(pulled(ts), vs), inputs, us)
            assert abs(analytic - numeric) <= 1e-5 * size, f"{case.name}: {analytic} against {numeric}"


def inner(gs, vs) -> float:
    return sum(float((g.numpy() * v).sum()) for g, v in zip(gs, vs, strict=True) if g is not None)


def difference(f, inputs, us):
    """(f(x + h u) − f(x − h u)) / 2h with one Richardson step (error h⁴), and the size against which to judge it."""

    def at(h):
        moved, k = [], 0
        for t in inputs:
            if t.requires_grad:
                moved.append(pb.from_numpy(np.asarray(t.detach().numpy() + h * us[k])).requires_grad_())
                k += 1
            else:
                moved.append(t)
        return f(moved)

    def central(h):
        return (at(h) - at(-h)) / (2 * h)

    h = 1e-4
    numeric = (4 * central(h / 2) - central(h)) / 3
    return numeric, 1 + abs(numeric) + abs(at(0.0))


@by_case(CASES)
def test_threads_and_replay(case: Case) -> None:
    """1, 2, 3 and 4 threads give the same bits; so does a plan of the recorded kernel calls, forward and backward."""
    shape = max(case.shapes, key=lambda s: int(np.prod(s)))
    for dtype in case.dtypes[:1]:
        arrays, _ = make(case, shape, dtype)
        assert_same_bits(case, arrays)
        with Recorded() as calls:
            made = forward_and_backward(case, arrays)
        before = bits(*made)
        for a in made:
            a[...] = 0  # their values have to come from the recorded calls
        calls.replay()
        assert bits(*made) == before, f"{case.name}: something was computed outside of launch"


def assert_same_bits(case: Case, arrays) -> None:
    """For 1, 2, 3 and 4 threads."""
    serial = None
    for n in (1, 2, 3, 4):
        with threads(n):
            made = bits(*forward_and_backward(case, arrays))
        assert serial is None or made == serial, f"{case.name}: {n} threads give other bits than one"
        serial = made


# Ops without a kernel of several pieces at the size of their benchmark: views, and two of little work.
VIEWS = {"iterate", "permute", "reshape", "split", "squeeze", "transpose", "unbind", "unsqueeze"}
ONE_PIECE = VIEWS | {"update_scale", "vdot"}


@by_case(CASES if EVERYTHING else list({c.name.partition("[")[0]: c for c in reversed(CASES)}.values()))
def test_threads_at_the_size_of_the_benchmark(case: Case) -> None:
    """The same, where loops really are cut: most shapes of the tests are a single piece. Quickly, a case of each op."""
    arrays, _ = make(case, tuple(case.bench[0]), case.dtypes[0])
    before = _cpu.parallel_loops()
    assert_same_bits(case, arrays)
    if case.name.partition("[")[0] not in ONE_PIECE and not EVERYTHING:  # the first case of an op is its plain one
        assert _cpu.parallel_loops() > before, f"{case.name}: no loop was cut"


def forward_and_backward(case: Case, arrays, device=cpu):
    """The arrays that the op and its pullback made, apart from views of what they were given."""
    inputs = tensors(case, arrays, device=device)
    result = case.run(*inputs)
    made = [on_host(r) for r in (result if isinstance(result, tuple) else (result,))]
    given = list(arrays)
    if case.vjp is not None:
        y = first(result)
        dy = directions(y, 6).astype(made[0].dtype)
        given.append(dy)
        found = gradients(
            [y], [t for t in inputs if t.requires_grad], [pb.from_numpy(dy).to(device)], None, False, True
        )
        made += [on_host(g) for g in found if g is not None]
    return [a for a in made if not any(np.may_share_memory(a, b) for b in given)]


def bits(*arrays):
    return [np.ascontiguousarray(a).tobytes() for a in arrays]
