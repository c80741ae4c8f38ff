"""Searching in sorted lines, and what differs in unsorted ones. Nothing here has a derivative.

Kernels: csrc/kernels/sort.cpp, and those of the ops that `unique` is composed of.
"""

from __future__ import annotations

import math
from typing import Any

from pullback import _dtype
from pullback._backend import device_of
from pullback._tape import no_grad
from pullback._tensor import Tensor, method
from pullback.ops import view
from pullback.ops._arrays import broadcast_array
from pullback.ops._broadcast import Number, check_tensor, normalize_dim, promote
from pullback.ops.along import gather
from pullback.ops.compare import ne
from pullback.ops.create import full, zeros
from pullback.ops.index import index_select
from pullback.ops.join import cat
from pullback.ops.masked import nonzero
from pullback.ops.scan import cumsum
from pullback.ops.sort import sort

__all__ = ["bucketize", "searchsorted", "unique", "unique_consecutive"]


# --- places in a sorted line ------------------------------------------------------------------------------------------


def _search(op: str, sorted: Tensor, values: Any, right: bool, out_int32: bool) -> Tensor:
    """The kernel, for sorted lines that fit to the values or for one line."""
    s, x = [t._array for t in promote(op, sorted, values)]
    out = device_of(x).empty(x.shape, _dtype.int64.numpy)
    lines = x.reshape(1) if x.ndim == 0 else x
    if s.ndim == 1:
        s = broadcast_array(s, (*lines.shape[:-1], s.shape[0]))
    device_of(x).kernels.searchsorted(s, lines, out.reshape(lines.shape), right)
    found = Tensor._wrap(out)
    return found.to(_dtype.int32) if out_int32 else found


def searchsorted(
    sorted_sequence: Tensor,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """index_j = |{k: s_k < x_j}|: where x_j would go into the ascending line s; |{k: s_k ≤ x_j}| if `right` or
    `side="right"`. int64, or int32 with `out_int32`, of input's shape.

    sorted_sequence is one line, or has a line [n] for each line [m] of input; input may be a number for one line. With
    `sorter`, which has sorted_sequence's shape, s = sorted_sequence[sorter]. NaN is the largest in s, and all of s comes
    before a NaN in input. RuntimeError where shapes do not fit, or `side` contradicts `right`.
    """
    op = "searchsorted"
    s = check_tensor(op, sorted_sequence, "sorted_sequence")
    if side not in (None, "left", "right"):
        raise RuntimeError(f"{op}: side expects 'left' or 'right', got {side!r}")
    if side == "left" and right:
        raise RuntimeError(f"{op}: side expects 'right' where right is True, got 'left'")
    shape = () if isinstance(input, Number) else check_tensor(op, input).shape
    if s.ndim == 0 or (s.ndim > 1 and s.shape[:-1] != shape[:-1]) or (s.ndim > 1 and not shape):
        raise RuntimeError(
            f"{op}: sorted_sequence expects one dimension, or input's but for the last, got shape {list(s.shape)} "
            f"for input {list(shape)}"
        )
    if sorter is not None:
        if check_tensor(op, sorter, "sorter").shape != s.shape:
            raise RuntimeError(f"{op}: sorter expects shape {list(s.shape)}, got {list(sorter.shape)}")
        s = gather(s.detach(), -1, sorter)
    return _search(op, s, input, right or side == "right", out_int32)


def bucketize(input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False) -> Tensor:
    """index_j = |{k: b_k < x_j}|, or |{k: b_k ≤ x_j}| if `right`, for ascending boundaries b [n]: `searchsorted`."""
    if check_tensor("bucketize", boundaries, "boundaries").ndim != 1:
        raise RuntimeError(f"bucketize: boundaries expects one dimension, got shape {list(boundaries.shape)}")
    if not isinstance(input, Number):
        check_tensor("bucketize", input)
    return _search("bucketize", boundaries, input, bool(right), out_int32)


# --- what differs -----------------------------------------------------------------------------------------------------


def _order_of_rows(rows: Tensor) -> Tensor:
    """The order [n] that sorts the rows [n, m] by their first elements, then their second, …: by the last ones first,
    since equals stay in order."""
    order = None
    for j in reversed(range(rows.shape[1])):
        column = view.select(rows, 1, j)
        step = sort(column if order is None else index_select(column, 0, order)).indices
        order = step if order is None else index_select(order, 0, step)
    assert order is not None
    return order


def _distinct(x: Tensor, order: Tensor | None, inverse_shape: Any, with_inverse: bool, with_counts: bool) -> Any:
    """The first of each run of equal rows of x, which were `order` before they were sorted; the number of its run for
    each of them; the lengths of the runs."""
    n = x.shape[0]
    differs = ne(x[:-1], x[1:])
    if x.ndim > 1:
        differs = differs.reshape(differs.shape[0], math.prod(x.shape[1:])).any(1)
    options: dict[str, Any] = {"dtype": _dtype.int64, "device": x.device}
    head = zeros(min(1, n), **options)
    starts = cat([head, nonzero(differs).reshape(-1) + 1])
    result = [index_select(x, 0, starts)]
    if with_inverse:
        run = cat([head, cumsum(differs, 0)])
        if order is not None:
            run = zeros(n, **options).scatter(0, order, run)
        result.append(run.reshape(inverse_shape))
    if with_counts:
        ends = cat([starts[1:], full((min(1, n),), n, **options)])
        result.append(ends - starts)
    return result[0] if len(result) == 1 else tuple(result)


def _unique(op: str, input: Tensor, dim: int | None, sorting: bool, return_inverse: bool, return_counts: bool) -> Any:
    x = check_tensor(op, input).detach()
    wanted = (return_inverse, return_counts)
    if dim is None:
        flat = x.reshape(-1)
        if not sorting:
            return _distinct(flat, None, x.shape, *wanted)
        return _distinct(*sort(flat), x.shape, *wanted)
    if x.ndim == 0:
        raise IndexError(f"{op}: dim expects None for a tensor without dimensions, got {dim}")
    d = normalize_dim(op, dim, x.ndim)
    if 0 in x.shape[:d] + x.shape[d + 1 :]:
        raise RuntimeError(f"{op}: input expects elements in every row along dim {d}, got shape {list(x.shape)}")
    rows = view.movedim(x, d, 0)
    order = None
    if sorting and x.shape[d]:
        order = _order_of_rows(rows.reshape(x.shape[d], -1))
        rows = index_select(rows, 0, order)
    found = _distinct(rows, order, (x.shape[d],), *wanted)
    if not isinstance(found, tuple):
        return view.movedim(found, 0, d)
    return (view.movedim(found[0], 0, d), *found[1:])


@method
def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The distinct elements in ascending order (`sorted` or not); along `dim` the distinct slices, in the order of their
    elements. Every NaN is distinct.

    With `return_inverse` also where in the result each element is (input's shape, or [size] along `dim`), with
    `return_counts` how often each occurs. How many there are is read back from the kernel, so this cannot be part of a
    recorded step. IndexError for a dimension out of range.
    """
    with no_grad():
        return _unique("unique", input, dim, True, return_inverse, return_counts)


@method
def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """`unique`, of neighbours only: the first of each run of equals, in the order of the input."""
    with no_grad():
        return _unique("unique_consecutive", input, dim, False, return_inverse, return_counts)
