"""The perceptron, and the bound on its updates (seed 000, section 2)."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import pullback
from pullback import Tensor
from pullback.models.classical._data import ConvergenceWarning, as_features, as_signs, as_vector, embed

__all__ = ["PerceptronFit", "UpdateBound", "perceptron", "update_bound", "widest_separator"]


class PerceptronFit(NamedTuple):
    """What `perceptron` found: the hyperplane ⟨w, x⟩ + b = 0, and the way there."""

    weight: Tensor  # w [D]
    bias: Tensor  # b []
    updates: int
    passes: int
    converged: bool  # no point is on the wrong side


class UpdateBound(NamedTuple):
    """R²/d² with its parts."""

    updates: float
    radius: float
    margin: float


def _signed(op: str, x: Any, y: Any) -> Tensor:
    """f(x) i(x) [N, D + 1]: a point is on the right side of (w, b) where its product with it is positive."""
    features = as_features(op, x)
    return as_signs(op, y, features.shape[0]).unsqueeze(1) * embed(features)


def _next_wrong(signed: Tensor, w: Tensor, start: int) -> int | None:
    """The first i ≥ start with f(x_i)⟨w, i(x_i)⟩ ≤ 0, looked for in blocks that double: while much is wrong it is near."""
    size = 64
    while start < signed.shape[0]:
        wrong = (signed[start : start + size] @ w <= 0).nonzero()
        if wrong.shape[0]:
            return start + int(wrong[0, 0].item())
        start, size = start + size, 2 * size
    return None


def perceptron(x: Any, y: Any, max_updates: int = 10_000) -> PerceptronFit:
    """Passes over the points; wherever f(x)(⟨w, x⟩ + b) ≤ 0, w ← w + f(x) x and b ← b + f(x), until a pass changes nothing.

    x [N, D], y [N] of {−1, 1} or {0, 1}. On separable data it ends after at most R²/d² updates (`update_bound`). Otherwise
    it stops at `max_updates`, says so by a `ConvergenceWarning`, and `converged` is False. The text updates where the
    product is < 0, which from w = 0 is nowhere: here ≤ 0, as its proof allows. Seed 000, section 2, theorem 2.1.

    ValueError for data that are not finite or [N, D], labels of another alphabet, one class only, a limit below 1.
    """
    if max_updates < 1:
        raise ValueError(f"perceptron: max_updates expects a positive int, got {max_updates}")
    signed = _signed("perceptron", x, y)
    w = signed.new_zeros((signed.shape[1],))
    updates = passes = 0
    while updates < max_updates:
        before, passes = updates, passes + 1
        i = _next_wrong(signed, w, 0)
        while i is not None and updates < max_updates:
            w = w + signed[i]
            updates += 1
            i = _next_wrong(signed, w, i + 1)
        if updates == before:
            break
    wrong = int((signed @ w <= 0).sum().item())
    if wrong:
        warnings.warn(
            f"perceptron: stopped at its limit of {max_updates} updates with {wrong} of {signed.shape[0]} points on the "
            "wrong side: they are not separable, or max_updates is too small",
            ConvergenceWarning,
            stacklevel=2,
        )
    return PerceptronFit(w[:-1], w[-1], updates, passes, wrong == 0)


def update_bound(x: Any, y: Any, weight: Any, bias: Any) -> UpdateBound:
    """R²/d² with R = max ‖(x, 1)‖ and d = min f(x)⟨u, (x, 1)⟩, u = (w, b)/‖(w, b)‖, for a separating hyperplane (w, b).

    The perceptron makes no more updates than that, for any (w, b) that separates: the widest margin d gives the
    best bound (`widest_separator`). R and d are those of the embedded points. Seed 000, theorem 2.1 and corollary 2.2.

    ValueError where (w, b) leaves a point on the wrong side, and as `perceptron`.
    """
    signed = _signed("update_bound", x, y)
    weight = as_vector("update_bound", "weight", weight, signed.shape[1] - 1)
    w = pullback.cat([weight, as_vector("update_bound", "bias", [float(bias)], 1)])
    sides = signed @ w
    wrong = int((sides <= 0).sum().item())
    if wrong:
        raise ValueError(
            f"update_bound: (weight, bias) expects to separate the classes, leaves {wrong} on the wrong side"
        )
    radius, margin = signed.norm(dim=1).max().item(), (sides / w.norm()).min().item()
    return UpdateBound(radius**2 / margin**2, radius, margin)


def widest_separator(x: Any, y: Any, steps: int = 1000) -> tuple[Tensor, Tensor]:
    """(w, b) whose margin d of the embedded points is the widest, up to O(1/steps): the shortest p in the convex hull of
    the points f(x) i(x), by p ← p + t(s − p) towards the point s with the smallest ⟨p, s⟩, t the best in [0, 1]
    (Gilbert 1966). Where the classes are not separable p tends to 0, and (w, b) does not separate.

    Errors as `perceptron`.
    """
    signed = _signed("widest_separator", x, y)
    p = signed.mean(0)
    for _ in range(steps):
        s = signed[int((signed @ p).argmin().item())]
        away = p - s
        length = (away @ away).item()
        t = min(max((p @ away).item() / length, 0.0), 1.0) if length > 0 else 0.0
        if t == 0:
            break
        p = p - t * away
    return p[:-1], p[-1]
