"""Gradients so large that they are written past the caches have the bits of small ones."""

from __future__ import annotations

import numpy as np
import pytest

import pullback
import pullback.nn.functional as F


@pytest.mark.parametrize("classes", [32000, 32003])  # lines that all start on a vector, and lines that do not
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy(classes: int, smoothing: float) -> None:
    lines, part = 416, 104  # 51 MiB, and a quarter of it
    rng = np.random.default_rng(0)
    x = rng.standard_normal((lines, classes), dtype=np.float32)
    y = rng.integers(0, classes, lines)
    y[:3] = 0, classes - 1, -100  # the class at both ends, and a line that does not count

    def gradient(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        logits = pullback.from_numpy(x).requires_grad_()
        F.cross_entropy(logits, pullback.from_numpy(y), label_smoothing=smoothing, reduction="sum").backward()
        return np.asarray(logits.grad.numpy())

    large = gradient(x, y)
    for i in range(0, lines, part):
        np.testing.assert_array_equal(large[i : i + part], gradient(x[i : i + part], y[i : i + part]))
