"""The norm of several arrays together, and scaling them by a number in memory."""

from __future__ import annotations

import numpy as np

import pullback as pb
from harness import SHAPES, Case


def _inputs(rng, shape):
    return [rng.standard_normal(shape), rng.standard_normal(5), rng.standard_normal((2, 3))]


def _with_nan(rng, shape):
    xs = _inputs(rng, shape)
    xs[1][2] = np.nan
    return xs


def _many(rng, shape):
    """More tensors than one launch takes on the GPU."""
    return [rng.standard_normal(shape) for _ in range(131)]


def _norm(p):
    def run(*tensors):
        out = pb.empty((), dtype=tensors[0].dtype, device=tensors[0].device)
        out.device.kernels.total_norm([t._array for t in tensors], out._array, p)
        return out

    return run


def _scaled(*tensors):
    copies = [t.clone() for t in tensors]
    dtype = pb.float64 if tensors[0].dtype is pb.float64 else pb.float32
    factor = pb.full((1,), 0.375, dtype=dtype, device=tensors[0].device)
    factor.device.kernels.scale_list([t._array for t in copies], factor._array)
    return tuple(copies)


CASES = [
    *[
        Case(
            name=f"total_norm[{p:g}{', NaN' if inputs is _with_nan else ''}]",
            run=_norm(p),
            inputs=inputs,
            value=lambda *xs, p=p: np.asarray(np.linalg.norm(np.concatenate([x.ravel() for x in xs]), p)),
            shapes=(*SHAPES, (50001,)),
            torch=f"torch.nn.utils.get_total_norm([a, b, c], float('{p}'))" if p else None,
        )
        for p in (2.0, 1.0, 3.0, 0.0, np.inf, -np.inf)
        for inputs in (_inputs, _with_nan)
    ],
    Case(
        name="total_norm[many]",
        run=_norm(2.0),
        inputs=_many,
        value=lambda *xs: np.asarray(np.linalg.norm(np.concatenate([x.ravel() for x in xs]))),
        shapes=((3,), (5, 7)),
    ),
    *[
        Case(
            name=f"scale_list{label}",
            run=_scaled,
            inputs=inputs,
            value=lambda *xs: tuple([x * 0.375 for x in xs]),
            shapes=shapes,
            torch=torch,
        )
        for label, inputs, shapes, torch in (
            ("", _inputs, (*SHAPES, (50001,)), "torch._foreach_mul([a, b, c], 0.375)"),
            ("[many]", _many, ((3,), (5, 7)), None),
        )
    ],
]
