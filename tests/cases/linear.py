"""Linear maps with an activation in the same launch. A shape is (rows, in_features, out_features).

Tolerance: the product's is a few eps of S = Σ|x w| + |b|, as in cases/matmul.py; f passes it on, f' being at most 1.
"""

from __future__ import annotations

import numpy as np

import pullback as pb
from harness import Case

SHAPES = ((0, 3, 4), (3, 0, 4), (3, 4, 0), (1, 1, 1), (2, 3, 4), (5, 8, 9), (13, 17, 31), (14, 500, 33), (65, 40, 130))
_MAPS = {
    "relu": (lambda z: np.maximum(z, 0), lambda y: y > 0),
    "sigmoid": (lambda z: 1 / (1 + np.exp(-z)), lambda y: y * (1 - y)),
    "tanh": (np.tanh, lambda y: 1 - y * y),
}


def _case(name: str, bias: bool) -> Case:
    f, slope = _MAPS[name]

    def inputs(rng, shape):
        m, k, n = shape
        x, w = rng.uniform(-1, 1, (m, k)), rng.uniform(-1, 1, (n, k)) / max(1, k) ** 0.5
        return [x, w, rng.uniform(-1, 1, n)] if bias else [x, w]

    def value(x, w, *b):
        return f(x @ w.T + sum(b))

    def vjp(dy, x, w, *b):
        dz = dy * slope(value(x, w, *b))
        return dz @ w, dz.T @ x, *([dz.sum(0)] if bias else [])

    def scale(x, w, *b):
        return 1 + np.abs(x) @ np.abs(w.T) + sum(np.abs(c) for c in b)

    def vjp_scale(dy, x, w, *b):
        # Besides its own terms, z̄ carries the rounding of y, which is of the size of `scale`.
        dz = np.abs(dy) * (np.abs(slope(value(x, w, *b))) + scale(x, w, *b))
        return 1 + dz @ np.abs(w), 1 + dz.T @ np.abs(x), *([1 + dz.sum(0)] if bias else [])

    return Case(
        name=f"linear_{name}{'' if bias else '[no bias]'}",
        run=getattr(pb, f"linear_{name}"),
        inputs=inputs,
        value=value,
        vjp=vjp,
        shapes=SHAPES,
        scale=scale,
        vjp_scale=vjp_scale,
        bench=((64, 784, 256),),
        work=lambda m, k, n: (2.0 * m * k * n, 4.0 * (m * k + n * k + m * n)),
        torch=f"torch.{name}(torch.nn.functional.linear(a, b{', c' if bias else ''}))",
    )


CASES = [_case(name, bias) for name in _MAPS for bias in (True, False)]
