"""Reductions: y_k = ⊕_r x_{k,r}, r running over the dimensions `dim` (all of them where it is None or empty).

n is the number of terms. Integers are summed in int64; floating-point sums are taken pairwise, in an order that does not
depend on the number of threads. Variances are in ops/moments.py, maxima and places in ops/extremum.py.

Kernels: csrc/kernels/reduce.cpp. Seed 001, section 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from pullback import _dtype
from pullback._autocast import cast, uncast
from pullback._backend import device_of
from pullback._tape import OUTPUT, Node, Rule, quick, record
from pullback._tensor import Tensor, method
from pullback.ops._broadcast import check_tensor, normalize_dims, to_float
from pullback.ops.view import reshape

__all__ = [
    "all",
    "any",
    "count_nonzero",
    "logsumexp",
    "mean",
    "nanmean",
    "nansum",
    "norm",
    "prod",
    "sum",
]

Dim = int | Sequence[int] | None
Shape = tuple[int, ...]


# --- shapes -----------------------------------------------------------------------------------------------------------


class Plan(NamedTuple):
    """What a reduction does with shapes."""

    dims: Shape  # that are reduced, counted from the front
    kept: Shape  # the shape with size 1 there: what kernels and the way back see
    result: Shape
    terms: int  # of each result


@lru_cache(maxsize=4096)
def _plan(op: str, shape: Shape, dim: Any, keepdim: bool) -> Plan:
    every = dim is None or (dim == () and op not in ("all", "any"))  # PyTorch has () mean none for these two
    dims = tuple(range(len(shape))) if every else normalize_dims(op, dim, len(shape))
    kept = tuple([1 if d in dims else n for d, n in enumerate(shape)])
    result = kept if keepdim else tuple([n for d, n in enumerate(shape) if d not in dims])
    return Plan(dims, kept, result, math.prod([n for d, n in enumerate(shape) if d in dims]))


def plan(op: str, x: Tensor, dim: Dim, keepdim: bool) -> Plan:
    """Which dimensions are reduced, all where none is given. IndexError, RuntimeError where they do not fit."""
    return _plan(op, x._array.shape, dim if dim is None or isinstance(dim, int) else tuple(dim), keepdim)


def reduce_array(name: str, x: Any, p: Plan, dtype: Any, *scalars: float) -> Any:
    """The kernel `name` over x: one result."""
    out = device_of(x).empty(p.result, dtype)
    getattr(device_of(x).kernels, name)(x, out if p.result is p.kept else out.reshape(p.kept), *scalars)
    return out


def stretched(dy: Tensor, kept: Shape, shape: Shape) -> Tensor:
    """dy repeated over the reduced dimensions."""
    return reshape(dy, kept).expand(shape).clone()


def check_float(op: str, x: Tensor) -> Tensor:
    if not x.dtype.is_floating_point:
        raise RuntimeError(f"{op}: input expects a floating-point dtype, got {x.dtype}")
    return x


def _cast(op: str, input: Any, dtype: Any) -> Tensor:
    x = check_tensor(op, input)
    return x if dtype is None else x.to(_dtype.as_dtype(dtype, op))


# --- sum, mean, prod --------------------------------------------------------------------------------------------------


def _repeat(node: Node, dy: Any) -> tuple[Any]:
    shape, kept, _ = node.args
    dx = device_of(dy).empty(shape, dy.dtype)
    device_of(dy).kernels.copy(dy.reshape(kept), dx)
    return (dx,)


def _mean_pullback(node: Node, dy: Any) -> tuple[Any]:
    shape, kept, _ = node.args
    dx = device_of(dy).empty(shape, dy.dtype)
    device_of(dy).kernels.mean_backward(dy.reshape(kept), dx)
    return (dx,)


def _mean_pullback_ops(node: Node, dy: Tensor) -> tuple[Tensor]:
    shape, kept, n = node.args
    return (stretched(dy / n, kept, shape),)


def _prod_pullback(node: Node, dy: Any) -> tuple[Any]:
    dx = device_of(dy).empty(node.args[0], dy.dtype)
    device_of(dy).kernels.prod_backward(dy.reshape(node.args[1]), node.saved[0], dx)
    return (dx,)


def _prod_pullback_ops(node: Node, dy: Tensor) -> tuple[Tensor]:
    """dx_r = dy Π_{s<r} x_s Π_{s>r} x_s"""
    from pullback.ops.scan import exclusive_cumprod

    shape, kept, dims = node.args
    x, axis = node.tensors()[0], dims[0] if len(dims) == 1 else 0
    if len(dims) != 1:  # all of them
        x = reshape(x, (-1,))
    others = exclusive_cumprod(x, axis) * exclusive_cumprod(x, axis, reverse=True)
    return (reshape(dy, kept) * reshape(others, shape),)


_SUM = Rule("sum", _repeat, lambda node, dy: (stretched(dy, node.args[1], node.args[0]),))
_MEAN = Rule("mean", _mean_pullback, _mean_pullback_ops)
_PROD = Rule("prod", _prod_pullback, _prod_pullback_ops)


def _accumulated(rule: Rule, x: Tensor, dim: Dim, keepdim: bool, dtype: Any, save: bool) -> Tensor:
    """A sum or a product: integers in int64, unless `dtype` says what they become."""
    name = rule.name
    p = plan(name, x, dim, keepdim)
    floating = x.dtype.is_floating_point
    array = reduce_array(name, x._array, p, (x.dtype if floating else _dtype.int64).numpy)
    y = record(rule, array, (x,), (x,) if save else (), (x._array.shape, p.kept, p.dims))
    return y if floating or dtype is None else y.to(_dtype.as_dtype(dtype, name))


@method
@cast
@quick("total", _SUM)
def sum(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """y = Σ_r x_r, 0 of nothing; x̄_r = ȳ. Integers and bool are summed in int64, unless `dtype` is given.

    IndexError for a dimension out of range, RuntimeError for one given twice.
    """
    x = _cast("sum", input, dtype)
    return _accumulated(_SUM, x, dim, keepdim, dtype, False)


@method
@cast
def prod(input: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """y = Π_r x_r, 1 of nothing; x̄_r = ȳ Π_{s≠r} x_s, also where some x are 0. Integers and bool in int64.

    One dimension, or all. IndexError for a dimension out of range, TypeError for several.
    """
    x = _cast("prod", input, dtype)
    if dim is not None and not isinstance(dim, int):
        raise TypeError(f"prod: dim expects an int or None, got {type(dim).__name__}")
    return _accumulated(_PROD, x, dim, keepdim, dtype, True)


@method
def mean(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """y = Σ_r x_r / n, NaN of nothing; x̄_r = ȳ / n. RuntimeError for integers, unless `dtype` is given."""
    x = check_float("mean", _cast("mean", input, dtype))
    p = plan("mean", x, dim, keepdim)
    return record(_MEAN, reduce_array("mean", x._array, p, x.dtype.numpy), (x,), (), (x._array.shape, p.kept, p.terms))


@method
@uncast
def nansum(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """`sum` with NaN counted as 0."""
    x = _cast("nansum", input, dtype)
    return sum(x.masked_fill(x.isnan(), 0) if x.dtype.is_floating_point else x, dim, keepdim, dtype=dtype)


@method
@uncast
def nanmean(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The mean of what is not NaN. RuntimeError for integers."""
    x = check_float("nanmean", _cast("nanmean", input, dtype))
    return nansum(x, dim, keepdim) / sum(~x.isnan(), dim, keepdim).to(x.dtype)


# --- logsumexp, norm --------------------------------------------------------------------------------------------------


def _logsumexp_pullback(node: Node, dy: Any) -> tuple[Any]:
    x, y = node.saved
    kept = node.args[0]
    dx = device_of(dy).empty(x.shape, dy.dtype)
    device_of(dy).kernels.logsumexp_backward(dy.reshape(kept), x, y.reshape(kept), dx)
    return (dx,)


def _logsumexp_pullback_ops(node: Node, dy: Tensor) -> tuple[Tensor]:
    x, y = node.tensors()
    kept = node.args[0]
    return (reshape(dy, kept) * (x - reshape(y, kept)).exp(),)


def _norm_pullback(node: Node, dy: Any) -> tuple[Any]:
    x, y = node.saved
    kept, p = node.args
    dx = device_of(dy).empty(x.shape, dy.dtype)
    device_of(dy).kernels.norm_backward(dy.reshape(kept), x, y.reshape(kept), dx, p)
    return (dx,)


def _norm_pullback_ops(node: Node, dy: Tensor) -> tuple[Tensor]:
    """dx = dy sign(x) |x / y|^(p − 1), 0 where x = 0"""
    x, y = node.tensors()
    kept, p = node.args
    y, dy = reshape(y, kept), reshape(dy, kept)
    if p == 1:
        return (dy * x.sign(),)
    y = y.masked_fill(y == 0, 1)
    if p == 2:
        return (dy * (x / y),)
    ratio = (x.abs().masked_fill(x == 0, 1) / y).pow(p - 1)
    return (dy * x.sign() * ratio,)


_LOGSUMEXP = Rule("logsumexp", _logsumexp_pullback, _logsumexp_pullback_ops)
_NORM = Rule("norm", _norm_pullback, _norm_pullback_ops)


@method
@cast
def logsumexp(input: Tensor, dim: Dim, keepdim: bool = False) -> Tensor:
    """y = ln Σ_r e^(x_r), −∞ of nothing, finite wherever y is; x̄_r = ȳ e^(x_r − y). Integers become floating point."""
    x = to_float(check_tensor("logsumexp", input))
    p = plan("logsumexp", x, dim, keepdim)
    array = reduce_array("logsumexp", x._array, p, x.dtype.numpy)
    return record(_LOGSUMEXP, array, (x,), (x, OUTPUT), (p.kept,))


@method
@cast
def norm(
    input: Tensor, p: float | str | None = "fro", dim: Dim = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """y = (Σ_r |x_r|^p)^(1/p), "fro" being p = 2; ±inf gives max or min |x|, 0 the number of x ≠ 0.

    x̄_r = ȳ sign(x_r) |x_r / y|^(p − 1), 0 where x_r = 0; equals among the largest share ȳ for p = ±inf.
    RuntimeError for integers and for ±inf of nothing, ValueError for another string.
    """
    if isinstance(p, str) and p != "fro":
        raise ValueError(f"norm: p expects a number or 'fro', got {p!r}")
    x = check_float("norm", _cast("norm", input, dtype))
    power = 2.0 if p is None or isinstance(p, str) else float(p)
    shapes = plan("norm", x, dim, keepdim)
    dims = shapes.dims
    if math.isinf(power):
        from pullback.ops.extremum import amax, amin

        if not shapes.terms:
            raise RuntimeError(f"norm: p = {power} has no value for an empty dimension of shape {list(x.shape)}")
        return (amax if power > 0 else amin)(x.abs(), dims, keepdim)
    if power == 0:
        return sum((x != 0).to(x.dtype), dims, keepdim)
    array = reduce_array("norm", x._array, shapes, x.dtype.numpy, power)
    return record(_NORM, array, (x,), (x, OUTPUT), (shapes.kept, power))


# --- truth ------------------------------------------------------------------------------------------------------------


def _test(op: str, input: Tensor, dim: Dim, keepdim: bool) -> Tensor:
    x = check_tensor(op, input)
    y = Tensor._wrap(reduce_array(op, x._array, plan(op, x, dim, keepdim), _dtype.bool_.numpy))
    return y.to(_dtype.uint8) if x.dtype is _dtype.uint8 else y


@method
def all(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Whether every x_r ≠ 0, true of nothing; bool, uint8 for uint8. `dim` () reduces nothing."""
    return _test("all", input, dim, keepdim)


@method
def any(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Whether some x_r ≠ 0, false of nothing; bool, uint8 for uint8. `dim` () reduces nothing."""
    return _test("any", input, dim, keepdim)


@method
def count_nonzero(input: Tensor, dim: Dim = None) -> Tensor:
    """How many x_r ≠ 0, as int64."""
    x = check_tensor("count_nonzero", input)
    array = reduce_array("count_nonzero", x._array, plan("count_nonzero", x, dim, False), _dtype.int64.numpy)
    return Tensor._wrap(array)
