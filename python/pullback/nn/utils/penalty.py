"""Penalties on the size of weights."""

from __future__ import annotations

import math
from collections.abc import Iterable

from pullback._tensor import Tensor
from pullback.ops import zeros


def lp_penalty(parameters: Tensor | Iterable[Tensor], p: float = 2.0, weight: float = 1.0) -> Tensor:
    """λ‖θ‖ₚᵖ = λ Σ |θ_i|ᵖ over all elements of the parameters, to be added to a loss (seed 000, section 5).

    λ is `weight`, and p ≥ 1, so that it is convex: p = 1 pulls on all weights alike, 2 in proportion to them, a larger p
    only on the largest. Its gradient is λp|θ|ᵖ⁻¹ sign θ, 0 where θ = 0. For p = 2 the `weight_decay` 2λ of `SGD` makes
    the same steps without a graph. ValueError for p < 1, and for a λ that is negative or not finite.
    """
    if not 1 <= p < math.inf:
        raise ValueError(f"lp_penalty: p expects a finite number ≥ 1, got {p}")
    if not 0 <= weight < math.inf:
        raise ValueError(f"lp_penalty: weight expects a finite number ≥ 0, got {weight}")
    tensors = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    if not tensors:
        raise ValueError("lp_penalty: parameters expects at least one tensor, got none")
    total = zeros((), dtype=tensors[0].dtype, device=tensors[0].device)
    for t in tensors:
        total = total + _powers(t, p).sum()
    return total * weight


def _powers(t: Tensor, p: float) -> Tensor:
    """|t|ᵖ; without |·| for even p, which then has all derivatives at 0."""
    if p == 2:
        return t * t
    return t.abs() if p == 1 else t**p if p % 2 == 0 else t.abs() ** p
