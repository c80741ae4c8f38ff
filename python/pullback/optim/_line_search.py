"""A step length along a direction that satisfies Wolfe's strong conditions."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

SUFFICIENT, CURVATURE = 1e-4, 0.9  # c₁ and c₂


@dataclass(frozen=True)
class Trial:
    """φ(t) = f(x + td): the loss there (infinite where it is no number), the gradient, and φ'(t) = ⟨∇f, d⟩."""

    t: float
    loss: float
    gradient: Any
    slope: float


def strong_wolfe(
    evaluate: Callable[[float], Trial], start: Trial, t: float, reach: float, tolerance: float, most: int
) -> tuple[Trial, int]:
    """A trial with φ(t) ≤ φ(0) + c₁ t φ'(0) and |φ'(t)| ≤ c₂ |φ'(0)|, and how many were made.

    First t grows until an interval must hold such a point, then that is narrowed by cubic interpolation (Nocedal and
    Wright 2006, algorithms 3.5 and 3.6, with the safeguards of PyTorch). It ends with the lowest trial so far after `most`
    rounds, or where the interval times `reach`, the largest entry of d, is below `tolerance`.
    """
    before, now = start, evaluate(t)
    for n in range(most):
        if _too_high(now, start) or (n > 1 and now.loss >= before.loss) or (now.slope >= 0 and not _flat(now, start)):
            return _narrow(evaluate, start, [before, now], reach, tolerance, most, n)
        if _flat(now, start):
            return now, n + 1
        longer = _cubic_minimum(before, now, now.t + 0.01 * (now.t - before.t), 10 * now.t)
        before, now = now, evaluate(longer)
    return min(start, now, key=lambda trial: trial.loss), most + 1


def _too_high(trial: Trial, start: Trial) -> bool:
    return trial.loss > start.loss + SUFFICIENT * trial.t * start.slope


def _flat(trial: Trial, start: Trial) -> bool:
    return abs(trial.slope) <= -CURVATURE * start.slope


def _narrow(
    evaluate: Callable[[float], Trial],
    start: Trial,
    ends: list[Trial],
    reach: float,
    tolerance: float,
    most: int,
    rounds: int,
) -> tuple[Trial, int]:
    """Take trials between two ends, keeping the lower one and another beyond the minimum, until one will do."""
    low = 0 if ends[0].loss <= ends[1].loss else 1
    stalled = False
    while rounds < most and abs(ends[1].t - ends[0].t) * reach >= tolerance:
        t, stalled = _kept_inside(_cubic_minimum(ends[0], ends[1]), ends, stalled)
        now = evaluate(t)
        rounds += 1
        if _too_high(now, start) or now.loss >= ends[low].loss:
            ends[1 - low] = now
            low = 0 if ends[0].loss <= ends[1].loss else 1
            continue
        if _flat(now, start):
            return now, rounds + 1
        if now.slope * (ends[1 - low].t - ends[low].t) >= 0:
            ends[1 - low] = ends[low]
        ends[low] = now
    return ends[low], rounds + 1


def _kept_inside(t: float, ends: list[Trial], stalled: bool) -> tuple[float, bool]:
    """A t within a tenth of the interval's ends is moved there the second time, or where it lies on an end."""
    left, right = sorted(end.t for end in ends)
    margin = 0.1 * (right - left)
    if min(right - t, t - left) >= margin:
        return t, False
    if not stalled and left < t < right:
        return t, True
    return (right - margin if abs(t - right) < abs(t - left) else left + margin), False


def _cubic_minimum(a: Trial, b: Trial, low: float | None = None, high: float | None = None) -> float:
    """Where the cubic through two losses and slopes is least, within bounds; their middle where it has no minimum."""
    left, right = (a, b) if a.t <= b.t else (b, a)
    low, high = left.t if low is None else low, right.t if high is None else high
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if not 0 <= square < math.inf:
        return (low + high) / 2
    d2 = math.sqrt(square)
    above, below = right.slope + d2 - d1, right.slope - left.slope + 2 * d2
    if below == 0:  # a line
        return high if above < 0 else low
    return min(max(right.t - (right.t - left.t) * (above / below), low), high)
