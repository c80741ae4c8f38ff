"""Variance and standard deviation over the dimensions `dim` (all of them where it is None or empty), n being the number of
terms: two passes over blocks that stay in L1, whose moments are then joined.

Kernels: csrc/kernels/reduce.cpp. Chan, Golub & LeVeque (1983), Algorithms for computing the sample variance.
"""

from __future__ import annotations

import math
from typing import Any

from pullback._backend import device_of
from pullback._tape import OUTPUT, Node, Rule, record
from pullback._tensor import Tensor, method
from pullback.ops._broadcast import check_tensor
from pullback.ops.reduce import Shape, check_float, mean, plan
from pullback.ops.view import reshape

__all__ = ["std", "std_mean", "var", "var_mean"]


def _var_pullback(node: Node, dy: Any) -> tuple[Any]:
    kept, correction = node.args
    x, mean_ = node.saved
    dx = device_of(dy).empty(x.shape, dy.dtype)
    device_of(dy).kernels.var_backward(dy.reshape(kept), x, mean_.reshape(kept), dx, correction)
    return (dx,)


def _std_pullback(node: Node, dy: Any) -> tuple[Any]:
    kept, correction = node.args
    x, mean_, y = node.saved
    dx = device_of(dy).empty(x.shape, dy.dtype)
    device_of(dy).kernels.std_backward(dy.reshape(kept), x, mean_.reshape(kept), y.reshape(kept), dx, correction)
    return (dx,)


def _centred(x: Tensor, kept: Shape) -> tuple[Tensor, int]:
    """x − x̄, and n."""
    dims = [d for d, n in enumerate(kept) if n == 1]
    return x - (mean(x, dims, keepdim=True) if dims else x), math.prod(x.shape) // max(math.prod(kept), 1)


def _var_pullback_ops(node: Node, dy: Tensor) -> tuple[Tensor]:
    """dx = 2 dy (x − x̄) / (n − correction)"""
    kept, correction = node.args
    d, n = _centred(node.tensors()[0], kept)
    return (reshape(dy, kept) * d * _reciprocal(2.0, n - correction),)


def _std_pullback_ops(node: Node, dy: Tensor) -> tuple[Tensor]:
    """dx = dy (x − x̄) / (y (n − correction)), 0 where y = 0"""
    kept, correction = node.args
    x, _, y = node.tensors()
    d, n = _centred(x, kept)
    y = reshape(y, kept)
    scale = (reshape(dy, kept) / y.masked_fill(y == 0, 1)).masked_fill(y == 0, 0)
    return (scale * d * _reciprocal(1.0, n - correction),)


def _reciprocal(a: float, freedom: float) -> float:
    return a / freedom if freedom > 0 else math.inf


_VAR = Rule("var", _var_pullback, _var_pullback_ops)
_STD = Rule("std", _std_pullback, _std_pullback_ops)


def _moments(
    op: str, input: Tensor, dim: Any, unbiased: bool | None, keepdim: bool, correction: float | None
) -> tuple[Tensor, Tensor]:
    """(var or std, mean); the mean is not on the tape."""
    x = check_float(op, check_tensor(op, input))
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if unbiased is not None and correction is not None:
        raise TypeError(f"{op}: expected unbiased or correction, got both")
    if correction is None:
        correction = 0 if unbiased is False else 1
    _, kept, result, _ = plan(op, x, dim, keepdim)
    y, m = [x.device.empty(result, x.dtype.numpy) for _ in range(2)]
    getattr(x.device.kernels, op)(x._array, y.reshape(kept), m.reshape(kept), float(correction))
    mean_ = Tensor._wrap(m)
    rule, saved = (_VAR, (x, mean_)) if op == "var" else (_STD, (x, mean_, OUTPUT))
    return record(rule, y, (x,), saved, (kept, float(correction))), mean_


@method
def var(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """y = Σ_r (x_r − x̄)² / max(n − correction, 0); x̄_r = 2 ȳ (x_r − mean) / (n − correction).

    `unbiased` (PyTorch's older name) means correction 1, which is the default; `var(x, False)` is correction 0.
    RuntimeError for integers, TypeError for both names.
    """
    return _moments("var", input, dim, unbiased, keepdim, correction)[0]


@method
def std(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """y = √var; x̄_r = ȳ (x_r − mean) / (y (n − correction)), and 0 where y = 0. Arguments and errors as of `var`."""
    return _moments("std", input, dim, unbiased, keepdim, correction)[0]


def var_mean(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """(`var`, `mean`)."""
    y, m = _moments("var", input, dim, unbiased, keepdim, correction)
    return y, mean(input, None if isinstance(dim, bool) else dim, keepdim) if y.requires_grad else m


def std_mean(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """(`std`, `mean`)."""
    y, m = _moments("std", input, dim, unbiased, keepdim, correction)
    return y, mean(input, None if isinstance(dim, bool) else dim, keepdim) if y.requires_grad else m
