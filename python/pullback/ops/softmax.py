"""Softmax and its logarithm along one dimension, k running over it.

With p = softmax(x) and ∂p_j/∂x_k = p_j (δ_jk − p_k): x̄_k = p_k (ȳ_k − Σ_j ȳ_j p_j); for log p: x̄_k = ȳ_k − p_k Σ_j ȳ_j.

Kernels: csrc/kernels/softmax.cpp. Seed 001, section 1; Bridle (1990) for the name.
"""

from __future__ import annotations

from typing import Any

from pullback import _dtype
from pullback._autocast import cast
from pullback._backend import device_of
from pullback._tape import OUTPUT, Node, Rule, record
from pullback._tensor import Tensor, method
from pullback.ops._broadcast import check_tensor, normalize_dim

__all__ = ["log_softmax", "softmax", "softmin"]


def _lines(x: Any) -> Any:
    """A scalar is a line of one element."""
    return x.reshape(1) if x.ndim == 0 else x


def _launch(name: str, *arrays: Any, axis: int) -> Any:
    on = device_of(arrays[0])
    out = on.empty(arrays[0].shape, arrays[0].dtype)
    getattr(on.kernels, name)(*map(_lines, arrays), _lines(out), axis)
    return out


def _softmax_ops(node: Node, dy: Tensor) -> tuple[Tensor]:
    y = node.tensors()[0]
    return (y * (dy - (dy * y).sum(node.args[0], keepdim=True)),)


def _log_softmax_ops(node: Node, dy: Tensor) -> tuple[Tensor]:
    y = node.tensors()[0]
    return (dy - y.exp() * dy.sum(node.args[0], keepdim=True),)


_SOFTMAX = Rule(
    "softmax",
    lambda node, dy: (_launch("softmax_backward", dy, node.saved[0], axis=node.args[0]),),
    _softmax_ops,
)
_LOG_SOFTMAX = Rule(
    "log_softmax",
    lambda node, dy: (_launch("log_softmax_backward", dy, node.saved[0], axis=node.args[0]),),
    _log_softmax_ops,
)


def _along(rule: Rule, input: Tensor, dim: int, dtype: Any) -> Tensor:
    op = rule.name
    x = check_tensor(op, input)
    if dtype is not None:
        x = x.to(_dtype.as_dtype(dtype, op))
    if not x.dtype.is_floating_point:
        raise RuntimeError(f"{op}: input expects a floating-point dtype, got {x.dtype}; pass dtype=")
    axis = normalize_dim(op, dim, x.ndim)
    return record(rule, _launch(op, x._array, axis=axis), (x,), (OUTPUT,), (axis,))


@method
@cast
def softmax(input: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """y_k = e^(x_k) / Σ_j e^(x_j) along `dim`; x̄_k = y_k (ȳ_k − Σ_j ȳ_j y_j). Large values do not overflow.

    A line of −∞ only is NaN. RuntimeError for integers (unless `dtype` is given), IndexError for a dimension out of range.
    """
    return _along(_SOFTMAX, input, dim, dtype)


@method
@cast
def log_softmax(input: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """y_k = x_k − ln Σ_j e^(x_j) along `dim`; x̄_k = ȳ_k − e^(y_k) Σ_j ȳ_j. Errors as of `softmax`."""
    return _along(_LOG_SOFTMAX, input, dim, dtype)


def softmin(input: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """softmax(−x)."""
    return softmax(-check_tensor("softmin", input), dim, dtype)
