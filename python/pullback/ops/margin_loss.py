"""Losses with a margin, and the distances that they compare: written in ops, so that the tape has their pullbacks.

`size_average`, `reduce` and unknown reductions are as in ops/loss.py. Formulas are PyTorch's.
"""

from __future__ import annotations

import math

from pullback._autocast import cast
from pullback._tensor import Tensor
from pullback.ops.activation import logsigmoid
from pullback.ops.loss import check_tensors, choose_reduction, reduced

__all__ = [
    "cosine_embedding_loss",
    "hinge_embedding_loss",
    "margin_ranking_loss",
    "pairwise_distance",
    "soft_margin_loss",
    "triplet_margin_loss",
]


@cast
def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """x where y = 1, max(0, margin − x) where y = −1."""
    reduction = choose_reduction("hinge_embedding_loss", reduction, size_average, reduce)
    check_tensors("hinge_embedding_loss", input=input, target=target)
    near = input.masked_fill(target == -1, 0)
    far = (margin - input).clamp(min=0).masked_fill(target == 1, 0)
    return reduced(near + far, reduction)


@cast
def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, −y (x₁ − x₂) + margin) with y = ±1. RuntimeError for different numbers of dimensions."""
    op = "margin_ranking_loss"
    reduction = choose_reduction(op, reduction, size_average, reduce)
    check_tensors(op, input1=input1, input2=input2, target=target)
    if not input1.ndim == input2.ndim == target.ndim:
        shapes = ", ".join(str(list(t.shape)) for t in (input1, input2, target))
        raise RuntimeError(f"{op}: inputs and target expect the same number of dimensions, got {shapes}")
    return reduced((margin - target * (input1 - input2)).clamp(min=0), reduction)


@cast
def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """1 − cos(x₁, x₂) where y = 1, max(0, cos(x₁, x₂) − margin) where y = −1; x [N, D] and y [N], or x [D] and y [].

    cos = Σ x₁x₂ / √((Σ x₁² + ε)(Σ x₂² + ε)), ε = 1e−12.
    """
    op = "cosine_embedding_loss"
    reduction = choose_reduction(op, reduction, size_average, reduce)
    check_tensors(op, input1=input1, input2=input2, target=target)
    if target.ndim > 1 or not input1.ndim == input2.ndim == target.ndim + 1:
        shapes = ", ".join(str(list(t.shape)) for t in (input1, input2, target))
        raise RuntimeError(f"{op}: expected inputs [N, D] and target [N], or [D] and [], got {shapes}")
    lengths = (input1.square().sum(-1) + 1e-12) * (input2.square().sum(-1) + 1e-12)
    cos = (input1 * input2).sum(-1) / lengths.sqrt()
    near = (1 - cos).masked_fill(target != 1, 0)
    far = (cos - margin).clamp(min=0).masked_fill(target != -1, 0)
    return reduced(near + far, reduction)


@cast
def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """ln(1 + e^(−y x)) with y = ±1."""
    reduction = choose_reduction("soft_margin_loss", reduction, size_average, reduce)
    check_tensors("soft_margin_loss", input=input, target=target)
    return reduced(-logsigmoid(target * input), reduction)


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """‖x₁ − x₂ + eps‖_p along the last dimension, 0 < p < ∞."""
    check_tensors("pairwise_distance", x1=x1, x2=x2)
    if not 0 < p < math.inf:
        raise ValueError(f"pairwise_distance: p expects a positive finite number, got {p}")
    return (x1 - x2 + eps).norm(p, dim=-1, keepdim=keepdim)


@cast
def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, d(a, p) − d(a, n) + margin), d the `pairwise_distance`; `swap` takes min(d(a, n), d(p, n)) for d(a, n).

    ValueError for a margin ≤ 0.
    """
    op = "triplet_margin_loss"
    reduction = choose_reduction(op, reduction, size_average, reduce)
    check_tensors(op, anchor=anchor, positive=positive, negative=negative)
    if margin <= 0:
        raise ValueError(f"{op}: margin expects a positive number, got {margin}")
    far = pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = far.minimum(pairwise_distance(positive, negative, p, eps))
    return reduced((pairwise_distance(anchor, positive, p, eps) - far + margin).clamp(min=0), reduction)
