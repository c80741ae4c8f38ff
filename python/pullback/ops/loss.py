"""Loss functions, elementwise ℓ(x, y) and then their mean, their sum, or each. Those of the difference x − y have kernels,
csrc/kernels/loss.cpp, which reduce in the same pass; the others are written in ops, so that the tape has their
pullbacks. Cross-entropy and negative log-likelihood are in `ops/cross_entropy.py`.

`size_average` and `reduce` are PyTorch's old words for `reduction`; they keep their places in the argument lists.
Every function raises ValueError for an unknown reduction. Seed 001, section on losses; formulas are PyTorch's.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

from pullback import _tape
from pullback._autocast import cast
from pullback._backend import device_of
from pullback._tape import Node, Rule, record
from pullback._tensor import Tensor
from pullback.ops._arrays import broadcast_array, empty_as
from pullback.ops._broadcast import broadcast_shapes, check_tensor, promote, sum_array_to, sum_to
from pullback.ops._elementwise import check_floating, gradient_like
from pullback.ops.activation import logsigmoid
from pullback.ops.bounds import check_bounds

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "gaussian_nll_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "mse_loss",
    "poisson_nll_loss",
    "smooth_l1_loss",
]

REDUCTIONS = ("none", "mean", "sum")


def choose_reduction(
    op: str,
    reduction: str,
    size_average: bool | None = None,
    reduce: bool | None = None,
    allowed: tuple[str, ...] = REDUCTIONS,
) -> str:
    """The reduction that was asked for, in PyTorch's new words or in its old ones."""
    if size_average is not None or reduce is not None:
        reduction = "none" if reduce is False else "sum" if size_average is False else "mean"
        warnings.warn(f"{op}: size_average and reduce are deprecated, use reduction={reduction!r}", stacklevel=4)
    if reduction not in allowed:
        expected = ", ".join(map(repr, allowed))
        raise ValueError(f"{op}: reduction expects one of {expected}, got {reduction!r}")
    return reduction


def reduced(loss: Tensor, reduction: str) -> Tensor:
    return loss.mean() if reduction == "mean" else loss.sum() if reduction == "sum" else loss


def check_tensors(op: str, **tensors: Any) -> None:
    for name, t in tensors.items():
        check_tensor(op, t, name)


def _warn_shapes(op: str, input: Tensor, target: Tensor) -> None:
    """Two shapes that broadcast are nearly always a mistake."""
    if input.shape != target.shape:
        warnings.warn(
            f"{op}: input has shape {list(input.shape)} and target {list(target.shape)}; they are broadcast, "
            "which is likely not what is meant",
            stacklevel=3,
        )


def _same_shape(op: str, input: Tensor, target: Tensor, name: str = "target") -> None:
    if input.shape != target.shape:
        raise ValueError(f"{op}: {name} expects the shape of input, {list(input.shape)}, got {list(target.shape)}")


def _weighted(op: str, loss: Tensor, weight: Tensor | None, reduction: str, normalize: bool) -> Tensor:
    """Σ wℓ / Σ w for the mean where `normalize`, else the mean of wℓ."""
    if weight is None:
        return reduced(loss, reduction)
    check_tensors(op, weight=weight)
    _same_shape(op, loss, weight, "weight")
    if reduction == "mean" and normalize:
        return (loss * weight).sum() / weight.sum()
    return reduced(loss * weight, reduction)


# --- differences ------------------------------------------------------------------------------------------------------


def _pullback(node: Node, dy: Any) -> list[Any]:
    """x̄ = ȳ ℓ'(x − y) and ȳ's own is −x̄, ℓ being even; both divided by their number for the mean."""
    x, y = node.saved
    shape, scale, *scalars = node.args
    both = node.needs(0) and node.needs(1)
    on = device_of(x)
    dx = gradient_like(node, dy) if dy.shape == shape else on.empty(shape, x.dtype)
    negated = on.empty(shape, x.dtype) if both else None
    a, b = (x, y) if node.needs(0) else (y, x)
    getattr(on.kernels, f"{node.rule.name}_backward")(dy, a, b, dx, negated, scale, *scalars)
    gradients = (dx, negated) if both else (dx, dx)
    return [sum_array_to(g, t.shape) if node.needs(i) else None for i, (g, t) in enumerate(zip(gradients, (x, y)))]


def _in_ops(slope: Callable[..., Tensor]) -> Callable[[Node, Tensor], list[Any]]:
    """The same in ops, with ℓ' = slope."""

    def pull(node: Node, dy: Tensor) -> list[Any]:
        x, y = node.tensors()
        _, scale, *scalars = node.args
        dx = dy * scale * slope(x - y, *scalars)
        return [
            sum_to(dx, tuple(x.shape)) if node.needs(0) else None,
            sum_to(-dx, tuple(y.shape)) if node.needs(1) else None,
        ]

    return pull


_MSE = Rule("mse_loss", _pullback, _in_ops(lambda d: 2 * d))
_L1 = Rule("l1_loss", _pullback, _in_ops(lambda d: d.sign()))
_SMOOTH_L1 = Rule("smooth_l1_loss", _pullback, _in_ops(lambda d, beta: d.clamp(-beta, beta) / beta))
_HUBER = Rule("huber_loss", _pullback, _in_ops(lambda d, delta: d.clamp(-delta, delta)))


def _of_difference(rule: Rule, input: Tensor, target: Tensor, reduction: str, *scalars: float) -> Tensor:
    """One of the four, reduced in the pass that computes it. RuntimeError where neither is of a floating-point type."""
    x, y = promote(rule.name, input, target)
    check_floating(rule.name, x)
    a, b = x._array, y._array
    shape = a.shape
    if shape != b.shape:
        shape = broadcast_shapes(rule.name, shape, b.shape)
        a, b = broadcast_array(a, shape), broadcast_array(b, shape)
    if reduction == "none":
        loss = empty_as(a) if shape == x._array.shape else x.device.empty(shape, a.dtype)
    else:
        loss = x.device.empty((), a.dtype)
    getattr(x.device.kernels, rule.name)(a, b, loss, REDUCTIONS.index(reduction), *scalars)
    scale = 1.0 / max(a.size, 1) if reduction == "mean" else 1.0
    return record(rule, loss, (x, y), (x, y), (shape, scale, *scalars))


@cast
def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """(x − y)²; with a weight, the mean is Σ w (x − y)² / Σ w."""
    reduction = choose_reduction("mse_loss", reduction, size_average, reduce)
    check_tensors("mse_loss", input=input, target=target)
    _warn_shapes("mse_loss", input, target)
    if weight is None:
        return _of_difference(_MSE, input, target, reduction)
    return _weighted("mse_loss", _of_difference(_MSE, input, target, "none"), weight, reduction, normalize=True)


@cast
def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """|x − y|, whose derivative at 0 is 0; with a weight, the mean is Σ w |x − y| / Σ w."""
    reduction = choose_reduction("l1_loss", reduction, size_average, reduce)
    check_tensors("l1_loss", input=input, target=target)
    _warn_shapes("l1_loss", input, target)
    if not (input.dtype.is_floating_point or target.dtype.is_floating_point):
        return _weighted("l1_loss", (input - target).abs(), weight, reduction, normalize=True)
    if weight is None:
        return _of_difference(_L1, input, target, reduction)
    return _weighted("l1_loss", _of_difference(_L1, input, target, "none"), weight, reduction, normalize=True)


@cast
def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """(x − y)² / 2β where |x − y| < β, else |x − y| − β/2; |x − y| for β = 0. ValueError for β < 0."""
    reduction = choose_reduction("smooth_l1_loss", reduction, size_average, reduce)
    check_tensors("smooth_l1_loss", input=input, target=target)
    if beta < 0:
        raise ValueError(f"smooth_l1_loss: beta expects a number ≥ 0, got {beta}")
    _warn_shapes("smooth_l1_loss", input, target)
    if beta == 0:
        return _of_difference(_L1, input, target, reduction)
    return _of_difference(_SMOOTH_L1, input, target, reduction, float(beta))


@cast
def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """(x − y)² / 2 where |x − y| < δ, else δ (|x − y| − δ/2). ValueError for δ ≤ 0."""
    reduction = choose_reduction("huber_loss", reduction)
    check_tensors("huber_loss", input=input, target=target)
    if not delta > 0:
        raise ValueError(f"huber_loss: delta expects a positive number, got {delta}")
    _warn_shapes("huber_loss", input, target)
    if weight is None:
        return _of_difference(_HUBER, input, target, reduction, float(delta))
    loss = _of_difference(_HUBER, input, target, "none", float(delta))
    return _weighted("huber_loss", loss, weight, reduction, normalize=False)


# --- binary cross-entropy ---------------------------------------------------------------------------------------------


def _log(p: Tensor) -> Tensor:
    return p.log().clamp(min=-100)


def _bce_ops(node: Node, dy: Tensor) -> list[Any]:
    """dp = dℓ (p − y) / max(p (1 − p), 1e−12), dy = dℓ (ln(1 − p) − ln p)."""
    p, y = node.tensors()
    dp = dy * (p - y) / (p * (1 - p)).clamp(min=1e-12) if node.needs(0) else None
    return [dp, dy * (_log(1 - p) - _log(p)) if node.needs(1) else None]


def _bce_pullback(node: Node, dy: Any) -> list[Any]:
    return [None if g is None else g._array for g in _bce_ops(node, Tensor._wrap(dy))]


_BCE = Rule("binary_cross_entropy", _bce_pullback, _bce_ops)


@cast
def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """−w (y ln p + (1 − y) ln(1 − p)), the logarithms at least −100. ValueError for shapes that differ; RuntimeError
    for p outside of [0, 1]."""
    op = "binary_cross_entropy"
    reduction = choose_reduction(op, reduction, size_average, reduce)
    check_tensors(op, input=input, target=target)
    _same_shape(op, input, target)
    check_bounds(op, input)
    with _tape.no_grad():
        p, y = input.detach(), target.detach()
        value = -(y * _log(p) + (1 - y) * _log(1 - p))
    loss = record(_BCE, value._array, (input, target), (input, target))
    return reduced(loss if weight is None else loss * weight, reduction)


@cast
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """−w (v y ln σ(x) + (1 − y) ln(1 − σ(x))) with v = `pos_weight`, computed as (1 − y) x − (1 + (v − 1) y) ln σ(x).

    ValueError for shapes that differ.
    """
    op = "binary_cross_entropy_with_logits"
    reduction = choose_reduction(op, reduction, size_average, reduce)
    check_tensors(op, input=input, target=target)
    _same_shape(op, input, target)
    log_p = logsigmoid(input)
    if pos_weight is not None:
        log_p = (1 + (pos_weight - 1) * target) * log_p
    loss = (1 - target) * input - log_p
    return reduced(loss if weight is None else loss * weight, reduction)


# --- likelihoods ------------------------------------------------------------------------------------------------------


def _x_log_x(x: Tensor) -> Tensor:
    """x ln x, and 0 where x = 0."""
    return x * x.masked_fill(x == 0, 1).log()


@cast
def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """y (ln y − x) with log-probabilities x; eʸ (y − x) where the target is given as logarithm too.

    'mean' divides by the number of elements (and warns, as in PyTorch), 'batchmean' by the first dimension: the
    divergence.
    """
    reduction = choose_reduction("kl_div", reduction, size_average, reduce, (*REDUCTIONS, "batchmean"))
    check_tensors("kl_div", input=input, target=target)
    if reduction == "mean" and size_average is None and reduce is None:
        warnings.warn(
            "kl_div: reduction='mean' divides by the number of elements; 'batchmean' gives the divergence",
            stacklevel=2,
        )
    loss = target.exp() * (target - input) if log_target else _x_log_x(target) - target * input
    if reduction == "batchmean":
        return loss.sum() / input.shape[0] if input.ndim else loss.sum()
    return reduced(loss, reduction)


@cast
def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """eˣ − y x, or x − y ln(x + eps) without `log_input`; `full` adds y ln y − y + ln(2πy)/2 where y > 1."""
    reduction = choose_reduction("poisson_nll_loss", reduction, size_average, reduce)
    check_tensors("poisson_nll_loss", input=input, target=target)
    if not target.dtype.is_floating_point:
        target = target.to(input.dtype)
    loss = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:
        y = target.masked_fill(target <= 1, 1)
        stirling = y * y.log() - y + 0.5 * (2 * math.pi * y).log()
        loss = loss + stirling.masked_fill(target <= 1, 0)
    return reduced(loss, reduction)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """(ln v + (x − y)² / v) / 2, v the variance but at least eps; `full` adds ln(2π)/2.

    `var` has the input's shape, that shape without its last dimension, or 1 in one dimension. The gradient flows to
    `var` also where eps bounds it. ValueError for a negative variance or another shape.
    """
    op = "gaussian_nll_loss"
    reduction = choose_reduction(op, reduction)
    check_tensors(op, input=input, target=target)
    variance: Tensor = _variance(op, var, input)
    with _tape.no_grad():
        variance.clamp_(min=eps)
    loss = 0.5 * (variance.log() + (input - target).square() / variance)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return reduced(loss, reduction)


def _variance(op: str, var: Any, input: Tensor) -> Any:
    """A copy of the variance that broadcasts to the input."""
    from pullback.ops import full_like

    if isinstance(var, (int, float)):
        var = full_like(input, float(var))
    check_tensors(op, var=var)
    check_bounds(op, var, both=False)
    if var.shape != input.shape:
        if input.shape[:-1] == var.shape:
            return var.unsqueeze(-1).clone()
        stretched = [b for a, b in zip(input.shape, var.shape) if a != b]
        if input.ndim != var.ndim or stretched != [1]:
            raise ValueError(f"{op}: var expects a shape that fits {list(input.shape)}, got {list(var.shape)}")
    return var.clone()
