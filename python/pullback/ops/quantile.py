"""Quantiles: what stands at q (n − 1) in the sorted line, between two elements where that is no integer.

With p = q (n − 1), a = y_⌊p⌋ and b = y_⌈p⌉ of the sorted line y: a + (p − ⌊p⌋)(b − a), Hyndman & Fan (1996), definition 7.
The derivative comes from the ops that this is made of: `sort`, `gather` and `lerp`.
"""

from __future__ import annotations

from typing import Any

from pullback import _dtype
from pullback._autocast import cast
from pullback._tensor import Tensor, method
from pullback.ops import unary, view
from pullback.ops._broadcast import Number, check_tensor, normalize_dim, scalar_tensor
from pullback.ops.along import gather
from pullback.ops.bounds import check_bounds
from pullback.ops.compare import logical_not
from pullback.ops.sort import sort
from pullback.ops.where import clamp_min, lerp, where

__all__ = ["nanquantile", "quantile"]

_INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")
_EXACT = 1 << 24  # up to here every position is a float32


def _check_q(op: str, x: Tensor, q: Any) -> Tensor:
    """q as a tensor of x's dtype."""
    if isinstance(q, Number):
        if q < 0 or q > 1:
            raise RuntimeError(f"{op}: q expects values from 0 to 1, got {float(q)}")
        return scalar_tensor(float(q), x.dtype, x.device)
    t = check_tensor(op, q, "q").detach()
    if t.dtype is not x.dtype or t.ndim > 1:
        raise RuntimeError(f"{op}: q expects one dimension at most and dtype {x.dtype}, got {list(t.shape)}, {t.dtype}")
    check_bounds("quantile", t)
    return t


def _positions(y: Tensor, q: Tensor, skip_nan: bool) -> Tensor:
    """p [..., m] for the sorted lines y [..., n]: of the last element, which is NaN, where there is any NaN; with
    `skip_nan`, q times the last of the others."""
    n = y.shape[-1]
    if n > _EXACT:
        q = q.to(_dtype.float64)
    if skip_nan:
        numbers = logical_not(unary.isnan(y)).sum(-1, keepdim=True)
        return q * clamp_min(numbers - 1, 0).to(q.dtype)
    any_nan = unary.isnan(view.narrow(y, -1, n - 1, 1))
    return where(any_nan, scalar_tensor(float(n - 1), q.dtype, q.device), q * float(n - 1))


def _between(y: Tensor, p: Tensor, interpolation: str) -> Tensor:
    """y at the positions p."""
    if interpolation in ("lower", "higher", "nearest"):
        name = {"lower": "floor", "higher": "ceil", "nearest": "round"}[interpolation]
        return gather(y, -1, getattr(unary, name)(p).to(_dtype.int64))
    low = unary.floor(p)
    a, b = [gather(y, -1, at.to(_dtype.int64)) for at in (low, unary.ceil(p))]
    return lerp(a, b, 0.5 if interpolation == "midpoint" else (p - low).to(y.dtype))


def _quantile(
    op: str, input: Tensor, q: Any, dim: int | None, keepdim: bool, interpolation: str, skip_nan: bool
) -> Tensor:
    x = check_tensor(op, input)
    if not x.dtype.is_floating_point:
        raise RuntimeError(f"{op}: input expects a floating-point dtype, got {x.dtype}")
    if interpolation not in _INTERPOLATIONS:
        raise RuntimeError(f"{op}: interpolation expects one of {', '.join(_INTERPOLATIONS)}, got {interpolation!r}")
    axis = None if dim is None else normalize_dim(op, dim, x.ndim)
    if not x.numel():
        raise RuntimeError(f"{op}: input expects at least one element, got shape {list(x.shape)}")
    q = _check_q(op, x, q)
    line = x.reshape(-1) if axis is None or not x.ndim else view.movedim(x, axis, -1)
    y = sort(line).values
    p = _positions(y.detach(), q.reshape(-1), skip_nan)  # [..., m]
    found = _between(y, view.expand(p, (*y.shape[:-1], p.shape[-1])), interpolation)
    found = view.movedim(found, -1, 0)  # [m, ...]
    if keepdim:
        found = (
            found.reshape((-1, *[1] * x.ndim)) if axis is None else view.unsqueeze(found, axis + 1) if x.ndim else found
        )
    return found if q.ndim else view.select(found, 0, 0)


@method
@cast
def quantile(
    input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Tensor:
    """y = the q-quantile along `dim`, or of all elements: a + (p − ⌊p⌋)(b − a) between the neighbours of p = q (n − 1).

    q is a number from 0 to 1, or a vector [m] of them with input's dtype, which gives y a first dimension m. interpolation
    may be "lower" (a), "higher" (b), "nearest" (halves to even) or "midpoint" ((a + b) / 2) instead. NaN where there is one.
    RuntimeError for integers, for nothing, or for q outside; IndexError for a dimension out of range.
    """
    return _quantile("quantile", input, q, dim, keepdim, interpolation, False)


@method
@cast
def nanquantile(
    input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Tensor:
    """`quantile` of the elements that are not NaN; NaN where all are."""
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation, True)
