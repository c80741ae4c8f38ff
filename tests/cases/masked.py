"""Elements chosen by a mask, and where elements are not zero."""

from __future__ import annotations

import numpy as np

import pullback as pb
from harness import Case

SHAPES = ((7,), (3, 4), (2, 3, 5), (0,), (4, 0), (1,), (33, 65), (5, 4001), (40009,))


def _put(x, m, s):
    y = x.copy()
    y[m] = s[: m.sum()]
    return y


def _source_gradient(dy, m, s):
    g = np.zeros_like(s)
    g[: m.sum()] = dy[m]
    return g


CASES = [
    *[
        Case(
            name=f"nonzero[{dtype}]",
            run=pb.nonzero,
            inputs=lambda rng, shape, dtype=dtype: [rng.integers(0, 2, shape).astype(dtype)],
            value=np.argwhere,
            shapes=SHAPES,
            dtypes=("float32", "float64") if dtype == "float64" else ("float32",),
            torch="torch.nonzero(a)",
        )
        for dtype in ("float64", "int64", "uint8", "bool")
    ],
    Case(
        name="masked_select",
        run=pb.masked_select,
        inputs=lambda rng, shape: [rng.standard_normal(shape), rng.random(shape[-1:]) < 0.5],
        value=lambda x, m: x[np.broadcast_to(m, x.shape)],
        vjp=lambda dy, x, m: (_put(0 * x, np.broadcast_to(m, x.shape), dy), None),
        shapes=SHAPES,
        torch="torch.masked_select(a, b)",
    ),
    Case(
        name="masked_scatter",
        run=pb.masked_scatter,
        inputs=lambda rng, shape: [
            rng.standard_normal(shape),
            rng.random(shape) < 0.5,
            rng.standard_normal(int(np.prod(shape)) + 2),
        ],
        value=_put,
        vjp=lambda dy, x, m, s: (np.where(m, 0, dy), None, _source_gradient(dy, m, s)),
        shapes=SHAPES,
        torch="torch.masked_scatter(a, b, c)",
    ),
]
