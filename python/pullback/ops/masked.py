"""Elements chosen by a mask. How many there are is known only once they are counted, so these ops read a number back from the
kernel, and cannot be part of a recorded step. (`masked_fill` and `where` need no count: ops/where.py.)

Kernels: csrc/kernels/masked.cpp.
"""

from __future__ import annotations

from typing import Any

from pullback import _dtype
from pullback._backend import cpu
from pullback._tensor import Tensor, method
from pullback.ops import view
from pullback.ops._broadcast import broadcast_shapes, check_tensor
from pullback.ops.index import ASSIGN, index_at, put_at

__all__ = ["argwhere", "masked_scatter", "masked_select", "nonzero"]


@method
def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """The indices of the elements that are not zero, row-major: int64 [count, ndim]; with `as_tuple`, one vector a dimension
    (for a tensor without dimensions, as if it had one)."""
    x = check_tensor("nonzero", input)._array
    if as_tuple and not x.ndim:
        x = x.reshape(1)
    count = cpu.empty((1,), _dtype.int64.numpy)
    cpu.kernels.count_nonzero_all(x, count)
    n = Tensor._wrap(count).item()
    if not as_tuple:
        found = cpu.empty((n, x.ndim), _dtype.int64.numpy)
        cpu.kernels.nonzero(x, found)
        return Tensor._wrap(found)
    columns = cpu.empty((x.ndim, n), _dtype.int64.numpy)
    cpu.kernels.nonzero(x, columns.T)
    return tuple([Tensor._wrap(columns[d]) for d in range(x.ndim)])


@method
def argwhere(input: Tensor) -> Tensor:
    """`nonzero(input)`."""
    found: Tensor = nonzero(input)
    return found


def _masked(op: str, input: Tensor, mask: Any) -> tuple[Tensor, list[Tensor]]:
    """The input stretched to the common shape, and where the mask holds."""
    if check_tensor(op, mask, "mask").dtype is not _dtype.bool_:
        raise RuntimeError(f"{op}: mask expects a bool tensor, got dtype {mask.dtype}")
    shape = broadcast_shapes(op, check_tensor(op, input).shape, mask.shape) or (1,)
    return view.expand(input, shape), list(nonzero(view.expand(mask, shape), as_tuple=True))


@method
def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where the mask holds, as a vector; both broadcast. x̄ = ȳ there, else 0."""
    x, indices = _masked("masked_select", input, mask)
    return index_at(x, indices, tuple(range(x.ndim)), 0, False)


@method
def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """A copy in which the elements where the mask holds are the source's, in order. x̄ = ȳ elsewhere, source̅ = ȳ there.

    RuntimeError where the source has too few elements.
    """
    x, indices = _masked("masked_scatter", input, mask)
    n = indices[0].shape[0]
    values = view.to_dtype(check_tensor("masked_scatter", source, "source"), input.dtype).reshape(-1)
    if values.shape[0] < n:
        raise RuntimeError(f"masked_scatter: source expects at least {n} elements, got {values.shape[0]}")
    return put_at(x, indices, tuple(range(x.ndim)), 0, False, view.narrow(values, 0, 0, n), ASSIGN)


@method
def masked_scatter_(self: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """`masked_scatter` in place."""
    return self._assign(masked_scatter(self, mask, source))
