"""The differential and its transpose, for every case of the table (seed 000, section 1.2).

    ⟨df_xᵀ V, U⟩ = ⟨V, df_x U⟩,     ⟨A, B⟩ = tr(BᵀA)

The left side is reverse mode; df_x U is forward mode, the transpose of the pullback taken once more, and is held against finite
differences of f besides.
"""

from __future__ import annotations

import numpy as np
import pytest

import pullback as pb
from harness import Case, all_cases
from pullback.func import jvp, vjp
from test_cases import directions, first, make, small_shapes, tensors


def finite(case: Case) -> bool:
    """Whether its inputs are: a sum over infinities is no number."""
    return all(np.isfinite(a).all() for a in case.inputs(np.random.default_rng(0), small_shapes(case)[-1]))


CASES = [c for c in all_cases() if c.vjp is not None and c.second and finite(c)]


def trace(a, b) -> float:
    """tr(BᵀA), of arrays as matrices with the last dimension as columns."""
    columns = a.shape[-1] if a.ndim else 1
    return float(np.trace(b.reshape(-1, columns).T @ a.reshape(-1, columns))) if a.size else 0.0


def function_of(case: Case, inputs):
    """The case's op as a function of its floating-point inputs, and those."""
    wanted = [i for i, t in enumerate(inputs) if t.requires_grad]

    def function(*xs):
        full = [t.detach() for t in inputs]
        for i, x in zip(wanted, xs):
            full[i] = x
        return first(case.run(*full))

    return function, tuple(inputs[i].detach() for i in wanted)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_gradient_and_differential_pair(case: Case) -> None:
    shape = small_shapes(case)[-1]
    inputs = tensors(case, make(case, shape, "float64", seed=7)[0])
    f, xs = function_of(case, inputs)
    us = [directions(x, 40 + i) for i, x in enumerate(xs)]
    y, pushed = jvp(f, xs, tuple(map(pb.from_numpy, us)))
    v = directions(y, 8)
    pulled = vjp(f, *xs)[1](pb.from_numpy(v))
    gs = [g.numpy() for g in (pulled if isinstance(pulled, tuple) else (pulled,))]
    left, right = sum(trace(g, u) for g, u in zip(gs, us)), trace(v, pushed.numpy())
    # Each side is a sum of at most 10⁴ products, made of intermediate results about as large as they.
    size = sum(float(np.abs(g * u).sum()) for g, u in zip(gs, us)) + float(np.abs(v * pushed.numpy()).sum())
    assert abs(left - right) <= 1e4 * np.finfo(np.float64).eps * (1 + size), f"{case.name}: {left} against {right}"
    if case.differences:
        check_against_differences(case, f, xs, us, pushed.numpy())


def check_against_differences(case: Case, f, xs, us, pushed) -> None:
    """df_x U = d/dh f(x + hU), by central differences with one Richardson step: error h⁴ and rounding over h."""

    def at(h):
        return f(*[pb.from_numpy(np.asarray(x.numpy() + h * u)) for x, u in zip(xs, us)]).numpy()

    def central(h):
        return (at(h) - at(-h)) / (2 * h)

    h = 1e-4
    numeric = (4 * central(h / 2) - central(h)) / 3
    size = 1 + np.abs(numeric).max(initial=0) + np.abs(at(0.0)).max(initial=0)
    assert np.abs(pushed - numeric).max(initial=0) <= 1e-6 * size, case.name
