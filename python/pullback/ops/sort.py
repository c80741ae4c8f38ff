"""Sorting along one dimension, and what stands at a place of the sorted line: the k largest, the k-th, the median.

y_k = x[index_k] for some index, so x̄[index_k] = ȳ_k and 0 elsewhere; the derivative of that is reading ȳ̄ at the index.
The order is that of numbers with NaN the largest; equals stay in the order in which they stood, so that the index is
determined whether or not `stable` is asked for. Kernels: csrc/kernels/sort.cpp.
"""

from __future__ import annotations

from typing import Any

from pullback import _dtype
from pullback._backend import device_of
from pullback._tape import OUTPUT, Rule, no_grad, record
from pullback._tensor import Tensor, method
from pullback.ops import view
from pullback.ops._broadcast import check_tensor, normalize_dim
from pullback.ops.extremum import ValuesIndices, check_terms, chosen, record_chosen, shared
from pullback.ops.reduce import Shape, plan

__all__ = ["argsort", "kthvalue", "median", "msort", "nanmedian", "sort", "topk"]


def _arrays(name: str, x: Any, axis: int, kept: Shape, *scalars: Any) -> tuple[Any, Any]:
    """(values, indices) of a kernel along `axis`, where they have the shape `kept`; a scalar is a line of one element."""
    on = device_of(x)
    values, indices = on.empty(kept, x.dtype), on.empty(kept, _dtype.int64.numpy)
    arrays = [a.reshape(1) if a.ndim == 0 else a for a in (x, values, indices)]
    getattr(on.kernels, name)(*arrays, axis, *scalars)
    return values, indices


def _check_number(op: str, input: Tensor) -> Tensor:
    if check_tensor(op, input).dtype is _dtype.bool_:
        raise RuntimeError(f"{op}: input expects a number's dtype, got {input.dtype}")
    return input


# --- whole lines ------------------------------------------------------------------------------------------------------

_SORT, _TOPK = chosen("sort"), chosen("topk")


@method
def sort(input: Tensor, dim: int = -1, descending: bool = False, *, stable: bool | None = False) -> ValuesIndices:
    """(values, indices): the lines along `dim` in order, and where each element stood, int64; NaN is the largest.

    Equals stay in order, with `stable` or without. x̄[index_k] = ȳ_k. IndexError for a dimension out of range.
    """
    x = check_tensor("sort", input)
    axis = normalize_dim("sort", dim, x.ndim)
    shape = x._array.shape
    values, indices = _arrays("sort", x._array, axis, shape, bool(descending))
    return record_chosen(_SORT, values, indices, x, axis, shape)


@method
def argsort(input: Tensor, dim: int = -1, descending: bool = False, *, stable: bool | None = False) -> Tensor:
    """The indices that `sort` gives."""
    return sort(input.detach(), dim, descending, stable=stable).indices


@method
def msort(input: Tensor) -> Tensor:
    """The values of `sort(input, 0)`."""
    return sort(input, 0).values


@method
def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> ValuesIndices:
    """(values, indices): the k largest along `dim`, or the k smallest, in order (`sorted` or not); NaN is the largest.

    Of equals the first ones are taken. x̄[index_k] = ȳ_k, 0 elsewhere. RuntimeError unless 0 ≤ k ≤ size, or for bool.
    """
    x = _check_number("topk", input)
    axis, shape = normalize_dim("topk", dim, x.ndim), x._array.shape
    size = shape[axis] if shape else 1
    if not 0 <= k <= size:
        raise RuntimeError(f"topk: k expects a value from 0 to {size}, the size of dim {axis}, got {k}")
    kept = tuple([k if d == axis else n for d, n in enumerate(shape)])
    values, indices = _arrays("topk", x._array, axis, kept, bool(largest))
    return record_chosen(_TOPK, values, indices, x, axis, kept)


# --- one place of the line --------------------------------------------------------------------------------------------

_KTHVALUE, _MEDIAN, _NANMEDIAN = chosen("kthvalue"), chosen("median"), chosen("nanmedian")


def _place(rule: Rule, kernel: str, x: Tensor, axis: int, keepdim: bool, scalar: int | bool) -> ValuesIndices:
    p = plan(rule.name, x, axis, keepdim)
    check_terms(rule.name, x, p)
    y, index = _arrays(kernel, x._array, axis, p.kept, scalar)
    return record_chosen(rule, y.reshape(p.result), index.reshape(p.result), x, axis, p.kept)


@method
def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> ValuesIndices:
    """(values, indices): the k-th smallest along `dim`, from 1 on; NaN is the largest. x̄ = ȳ at the index, 0 elsewhere.

    RuntimeError unless 1 ≤ k ≤ size, or for bool; IndexError for a dimension out of range, or without elements.
    """
    x = _check_number("kthvalue", input)
    axis = normalize_dim("kthvalue", dim, x.ndim)
    check_terms("kthvalue", x, plan("kthvalue", x, axis, keepdim))
    size = x._array.shape[axis] if x.ndim else 1
    if size and not 1 <= k <= size:
        raise RuntimeError(f"kthvalue: k expects a value from 1 to {size}, the size of dim {axis}, got {k}")
    return _place(_KTHVALUE, "kthvalue", x, axis, keepdim, k - 1)


_MEDIAN_OF_ALL, _NANMEDIAN_OF_ALL = shared("median"), shared("nanmedian")


def _median_of_all(rule: Rule, x: Tensor, skip_nan: bool) -> Tensor:
    if not x._array.size:
        if not x.dtype.is_floating_point:
            raise RuntimeError(f"{rule.name}: input expects at least one element, got shape {list(x.shape)}")
        return x.sum() * float("nan")
    with no_grad():
        flat = view.reshape(x, (-1,))
    y, _ = _arrays("median", flat._array, 0, (1,), skip_nan)
    return record(rule, y.reshape(()), (x,), (x, OUTPUT), ((1,) * x.ndim,))


def _median(rule: Rule, all_rule: Rule, input: Tensor, dim: int | None, keepdim: bool, skip_nan: bool) -> Any:
    x = _check_number(rule.name, input)
    if dim is None:
        return _median_of_all(all_rule, x, skip_nan)
    return _place(rule, "median", x, normalize_dim(rule.name, dim, x.ndim), keepdim, skip_nan)


@method
def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """`median(x)`: what stands at (n − 1) div 2 of all elements in order, the lower one of two; equals share ȳ.

    `median(x, dim)`: (values, indices) along one dimension; x̄ = ȳ at the index. NaN, and the first one's index, where
    there is one. IndexError of an empty line, RuntimeError for bool and for no integers at all (NaN for no floats).
    """
    return _median(_MEDIAN, _MEDIAN_OF_ALL, input, dim, keepdim, False)


@method
def nanmedian(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """`median` of the elements that are not NaN; NaN where all are."""
    return _median(_NANMEDIAN, _NANMEDIAN_OF_ALL, input, dim, keepdim, True)
