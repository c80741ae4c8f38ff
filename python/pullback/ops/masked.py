"""Elements chosen by a mask. How many there are is known only once they are counted, so these ops read a number back from the
kernel, and cannot be part of a recorded step. (`masked_fill` and `where` need no count: ops/where.py.)

Kernels: csrc/kernels/masked.cpp.
"""

from __future__ import annotations

from typing import Any

from pullback import _dtype
from pullback._backend import device_of
from pullback._tape import Node, Rule, record
from pullback._tensor import Tensor, method
from pullback.ops import view
from pullback.ops._arrays import broadcast_array, zeros_array
from pullback.ops._broadcast import broadcast_shapes, check_devices, check_tensor

__all__ = ["argwhere", "masked_scatter", "masked_select", "nonzero"]


def _count(x: Any) -> int:
    """How many elements are not zero."""
    count = device_of(x).empty((1,), _dtype.int64.numpy)
    device_of(x).kernels.count_nonzero_all(x, count)
    n: int = Tensor._wrap(count).item()
    return n


@method
def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """The indices of the elements that are not zero, row-major: int64 [count, ndim]; with `as_tuple`, one vector a dimension
    (for a tensor without dimensions, as if it had one)."""
    x = check_tensor("nonzero", input)._array
    if as_tuple and not x.ndim:
        x = x.reshape(1)
    n = _count(x)
    if not as_tuple:
        found = input.device.empty((n, x.ndim), _dtype.int64.numpy)
        input.device.kernels.nonzero(x, found)
        return Tensor._wrap(found)
    columns = input.device.empty((x.ndim, n), _dtype.int64.numpy)
    input.device.kernels.nonzero(x, columns.T)
    return tuple([Tensor._wrap(columns[d]) for d in range(x.ndim)])


@method
def argwhere(input: Tensor) -> Tensor:
    """`nonzero(input)`."""
    found: Tensor = nonzero(input)
    return found


def _masked(op: str, input: Tensor, mask: Any) -> tuple[Tensor, Tensor]:
    """Both stretched to the common shape."""
    if check_tensor(op, mask, "mask").dtype is not _dtype.bool_:
        raise RuntimeError(f"{op}: mask expects a bool tensor, got dtype {mask.dtype}")
    if check_tensor(op, input).device is not mask.device:
        check_devices(op, input=input, mask=mask)
    shape = broadcast_shapes(op, input.shape, mask.shape) or (1,)
    return view.expand(input, shape), view.expand(mask, shape)


def _selected(x: Any, mask: Any, n: int) -> Any:
    y = device_of(x).empty((n,), x.dtype)
    device_of(x).kernels.masked_select(x, mask, y)
    return y


def _scattered(x: Any, mask: Any, values: Any) -> Any:
    y = device_of(x).empty(mask.shape, x.dtype)
    device_of(x).kernels.masked_scatter(x, mask, values, y)
    return y


def _zeros(shape: tuple[int, ...], like: Any) -> Any:
    """One zero, seen from everywhere."""
    return broadcast_array(zeros_array((), like), shape)


def _select_pullback(node: Node, dy: Any) -> tuple[Any]:
    mask = node.saved[0]
    return (_scattered(_zeros(mask.shape, dy), mask, dy),)


def _select_pullback_ops(node: Node, dy: Tensor) -> tuple[Tensor]:
    (mask,) = node.tensors()
    return (_scatter(Tensor._wrap(_zeros(mask._array.shape, dy._array)), mask, dy),)


_SELECT = Rule("masked_select", _select_pullback, _select_pullback_ops)


def _select(x: Tensor, mask: Tensor, n: int) -> Tensor:
    return record(_SELECT, _selected(x._array, mask._array, n), (x,), (mask,))


@method
def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where the mask holds, as a vector; both broadcast. x̄ = ȳ there, else 0."""
    x, m = _masked("masked_select", input, mask)
    return _select(x, m, _count(m._array))


def _scatter_pullback(node: Node, dy: Any) -> list[Any]:
    (mask,), (n,) = node.saved, node.args
    return [
        _scattered(dy, mask, _zeros((n,), dy)) if node.needs(0) else None,
        _selected(dy, mask, n) if node.needs(1) else None,
    ]


def _scatter_pullback_ops(node: Node, dy: Tensor) -> list[Any]:
    (mask,), (n,) = node.tensors(), node.args
    return [_scatter(dy, mask, Tensor._wrap(_zeros((n,), dy._array))), _select(dy, mask, n)]


_SCATTER = Rule("masked_scatter", _scatter_pullback, _scatter_pullback_ops)


def _scatter(x: Tensor, mask: Tensor, values: Tensor) -> Tensor:
    """As many values as there are places."""
    y = _scattered(x._array, mask._array, values._array)
    return record(_SCATTER, y, (x, values), (mask,), (values._array.shape[0],))


@method
def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """A copy in which the elements where the mask holds are the source's, in order. x̄ = ȳ elsewhere, source̅ = ȳ there.

    RuntimeError where the source has too few elements.
    """
    x, m = _masked("masked_scatter", input, mask)
    n = _count(m._array)
    values = view.to_dtype(check_tensor("masked_scatter", source, "source"), input.dtype).reshape(-1)
    if values.shape[0] < n:
        raise RuntimeError(f"masked_scatter: source expects at least {n} elements, got {values.shape[0]}")
    return _scatter(x, m, view.narrow(values, 0, 0, n))


@method
def masked_scatter_(self: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """`masked_scatter` in place."""
    return self._assign(masked_scatter(self, mask, source))
