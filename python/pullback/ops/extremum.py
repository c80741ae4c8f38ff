"""Largest and smallest elements, and where they are.

Over all dimensions the gradient is shared evenly among equals; with an index beside the value it goes to that index
alone. NaN counts as the largest, and as the smallest. Kernels: csrc/kernels/reduce.cpp.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from pullback import _dtype
from pullback._backend import device_of
from pullback._tape import OUTPUT, Node, Rule, record, record_many
from pullback._tensor import Tensor, method
from pullback.ops import binary
from pullback.ops._arrays import zeros_array
from pullback.ops._broadcast import check_tensor, normalize_dim
from pullback.ops.reduce import Dim, Plan, Shape, plan, reduce_array, sum
from pullback.ops.view import reshape

__all__ = ["amax", "amin", "aminmax", "argmax", "argmin", "max", "min"]


class ValuesIndices(NamedTuple):
    """What `max`, `min`, `sort`, `topk`, … along a dimension return."""

    values: Tensor
    indices: Tensor


class MinMax(NamedTuple):
    """What `aminmax` returns."""

    min: Tensor
    max: Tensor


def check_elements(op: str, x: Tensor) -> None:
    """RuntimeError where there is nothing to choose from, all dimensions being reduced."""
    if not x._array.size:
        raise RuntimeError(f"{op}: input expects at least one element without dim, got shape {list(x.shape)}")


def check_terms(op: str, x: Tensor, p: Plan) -> None:
    """IndexError where there is nothing to choose from along dimensions that were named."""
    if not p.terms and 0 not in p.result:
        raise IndexError(f"{op}: dim {list(p.dims)} expects at least one element, input has shape {list(x.shape)}")


# --- values -----------------------------------------------------------------------------------------------------------


def _shared_pullback(node: Node, dy: Any) -> tuple[Any]:
    """dx = dy [x = y] / Σ [x = y]"""
    x, y = node.saved
    kept = node.args[0]
    on = device_of(x)
    mask, dx, count = [on.empty(shape, x.dtype) for shape in (x.shape, x.shape, kept)]
    on.kernels.extremum_mask(x, y.reshape(kept), mask)
    on.kernels.sum(mask, count)
    on.kernels.extremum_backward(dy.reshape(kept), mask, count, dx)
    return (dx,)


def _shared_pullback_ops(node: Node, dy: Tensor) -> tuple[Tensor]:
    x, y = [t.detach() for t in node.tensors()]
    kept = node.args[0]
    y = reshape(y, kept)
    mask = ((x == y) | ((x != x) & (y != y))).to(x.dtype)
    dims = [d for d, n in enumerate(kept) if n == 1]
    return (reshape(dy, kept) * (mask / sum(mask, dims, keepdim=True) if dims else mask),)


def shared(name: str) -> Rule:
    """The rule of an op whose result is one of x's elements: x̄ is ȳ / (number of equals) at each of them."""
    return Rule(name, _shared_pullback, _shared_pullback_ops)


_AMAX, _AMIN = shared("amax"), shared("amin")


def _value(rule: Rule, x: Tensor, p: Plan) -> Tensor:
    return record(rule, reduce_array(rule.name, x._array, p, x.dtype.numpy), (x,), (x, OUTPUT), (p.kept,))


def _over(rule: Rule, input: Tensor, dim: Dim, keepdim: bool) -> Tensor:
    p = plan(rule.name, check_tensor(rule.name, input), dim, keepdim)
    if dim is None or (not isinstance(dim, int) and not len(dim)):
        check_elements(rule.name, input)
    check_terms(rule.name, input, p)
    return _value(rule, input, p)


@method
def amax(input: Tensor, dim: Dim = (), keepdim: bool = False) -> Tensor:
    """y = max_r x_r, NaN where any is; x̄_r = ȳ / (number of equals) at the largest.

    IndexError of nothing along a dimension, RuntimeError of nothing at all.
    """
    return _over(_AMAX, input, dim, keepdim)


@method
def amin(input: Tensor, dim: Dim = (), keepdim: bool = False) -> Tensor:
    """y = min_r x_r, NaN where any is; x̄_r = ȳ / (number of equals) at the smallest. Errors as of `amax`."""
    return _over(_AMIN, input, dim, keepdim)


@method
def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> MinMax:
    """(`amin`, `amax`) along one dimension, or over all."""
    return MinMax(amin(input, () if dim is None else dim, keepdim), amax(input, () if dim is None else dim, keepdim))


# --- places -----------------------------------------------------------------------------------------------------------


def _place(op: str, input: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    x = check_tensor(op, input)
    if x.dtype is _dtype.bool_:
        raise RuntimeError(f"{op}: input expects a number's dtype, got {x.dtype}")
    p = plan(op, x, None if dim is None else normalize_dim(op, dim, x.ndim), keepdim)
    check_terms(op, x, p)
    return Tensor._wrap(reduce_array(op, x._array, p, _dtype.int64.numpy))


@method
def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The first index of the largest element (of the first NaN, where there is one), among all in row-major order without
    `dim`. IndexError of nothing, RuntimeError for bool."""
    return _place("argmax", input, dim, keepdim)


@method
def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The first index of the smallest element (of the first NaN, where there is one), among all in row-major order without
    `dim`. IndexError of nothing, RuntimeError for bool."""
    return _place("argmin", input, dim, keepdim)


def put_along(dy: Any, index: Any, shape: Shape, axis: int) -> Any:
    """Zeros of `shape`, with dy_{…k…} added at index_{…k…} along `axis`."""
    dx = zeros_array(shape, dy)
    scalar = not shape  # a line of one element
    lines = [a.reshape(1) if scalar else a for a in (dx, index, dy)]
    device_of(dy).kernels.scatter(*lines, axis, 1)
    return dx


def _index_pullback(node: Node, dy: Any) -> tuple[Any]:
    shape, axis, kept = node.args
    if dy[0] is None:
        return (None,)
    return (put_along(dy[0].reshape(kept), node.saved[0].reshape(kept), shape, axis),)


def _index_pullback_ops(node: Node, dy: Any) -> tuple[Any]:

    shape, axis, kept = node.args
    if dy[0] is None:
        return (None,)
    full = shape or (1,)
    index, dy = reshape(node.tensors()[0], kept or (1,)), reshape(dy[0], kept or (1,))
    return (reshape(dy.new_zeros(full).scatter_add(axis, index, dy), shape),)


def chosen(name: str) -> Rule:
    """The rule of an op with results (values, indices): x̄ is ȳ at the indices, 0 elsewhere."""
    return Rule(name, _index_pullback, _index_pullback_ops)


def record_chosen(rule: Rule, values: Any, indices: Any, x: Tensor, axis: int, kept: Shape) -> ValuesIndices:
    """The results of such an op."""
    saved = Tensor._wrap(indices)
    y, index = record_many(rule, (values, indices), (x,), (saved,), (x._array.shape, axis, kept))
    index._version = saved._version
    return ValuesIndices(y, index)


_MAX, _MIN = chosen("max"), chosen("min")


def _along(rule: Rule, x: Tensor, dim: int, keepdim: bool) -> ValuesIndices:
    d = normalize_dim(rule.name, dim, x.ndim)
    p = plan(rule.name, x, d, keepdim)
    check_terms(rule.name, x, p)
    kept = p.kept
    values, indices = x.device.empty(p.result, x.dtype.numpy), x.device.empty(p.result, _dtype.int64.numpy)
    getattr(x.device.kernels, f"{rule.name}_index")(x._array, values.reshape(kept), indices.reshape(kept))
    return record_chosen(rule, values, indices, x, d, kept)


def _three_forms(rule: Rule, all_rule: Rule, pairwise: Any, input: Tensor, dim: Any, keepdim: bool, other: Any) -> Any:
    name = rule.name
    check_tensor(name, input)
    if isinstance(dim, Tensor):
        dim, other = None, dim
    if other is not None:
        return pairwise(input, other)
    if dim is not None:
        return _along(rule, input, dim, keepdim)
    check_elements(name, input)
    return _value(all_rule, input, plan(name, input, None, False))


@method
def max(input: Tensor, dim: int | Tensor | None = None, keepdim: bool = False, *, other: Tensor | None = None) -> Any:
    """`max(x)`: the largest element; equals share ȳ. `max(x, dim)`: (values, indices) along one dimension, the first of
    equals, which takes ȳ. `max(x, other)`: `maximum`. NaN is the largest. RuntimeError or IndexError of nothing."""
    return _three_forms(_MAX, _AMAX, binary.maximum, input, dim, keepdim, other)


@method
def min(input: Tensor, dim: int | Tensor | None = None, keepdim: bool = False, *, other: Tensor | None = None) -> Any:
    """`min(x)`: the smallest element; equals share ȳ. `min(x, dim)`: (values, indices) along one dimension, the first of
    equals, which takes ȳ. `min(x, other)`: `minimum`. NaN is the smallest. RuntimeError or IndexError of nothing."""
    return _three_forms(_MIN, _AMIN, binary.minimum, input, dim, keepdim, other)
