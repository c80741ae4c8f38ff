"""Checks of values: a kernel without output looks, and what was looked at goes on. Errors are in test_bounds.py."""

from __future__ import annotations

import numpy as np

from harness import Case
from pullback.nn.utils import get_total_norm
from pullback.ops.bounds import check_bounds

SHAPES = ((0,), (), (1,), (17,), (3, 5))


def _probabilities(rng, shape):
    return [rng.uniform(0, 1, shape)]


def _checked(op, **options):
    def run(x):
        check_bounds(op, x, **options)
        return x.clone()

    return run


CASES = [
    *[
        Case(
            name=f"{op}_bounds",
            run=_checked(op, **options),
            inputs=_probabilities,
            value=lambda x: x,
            shapes=SHAPES,
            bench=((1000, 1000),),
        )
        for op, options in (
            ("binary_cross_entropy", {}),
            ("quantile", {}),
            ("gaussian_nll_loss", {"both": False}),
        )
    ],
    Case(
        name="total_norm_bounds",
        run=lambda x: get_total_norm(x, error_if_nonfinite=True),
        inputs=lambda rng, shape: [rng.standard_normal(shape)],
        value=lambda x: np.asarray(np.linalg.norm(x.ravel())),
        shapes=SHAPES,
        bench=((1000, 1000),),
    ),
]
