"""Reading and writing at positions that are data: y = x[i] and x[i] ← v, along one dimension or several.

The pullback of reading is adding where it was read, x̄[i] += ȳ, and that of adding is reading. Where an index repeats, sums
run in the order of the indices, whatever the number of threads. Tensor's `[]` is in ops/getitem.py.

Kernels: csrc/kernels/index.cpp.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback._autocast import cast
from pullback._backend import device_of
from pullback._dtype import int64
from pullback._tape import Node, Rule, record
from pullback._tensor import Tensor, method
from pullback.ops import strided, view
from pullback.ops._arrays import apart, broadcast_array, copy_array, zeros_array
from pullback.ops._broadcast import (
    Number,
    check_devices,
    check_tensor,
    normalize_dim,
    on_one_device,
    scalar_tensor,
    sum_array_to,
    sum_to,
)
from pullback.ops._elementwise import recording

__all__ = [
    "embedding",
    "index_add",
    "index_copy",
    "index_fill",
    "index_put",
    "index_select",
    "take",
]

Shape = tuple[int, ...]
ASSIGN, ADD = 0, 1  # how values join what is there: the modes of csrc/kernels/along.h


def as_index(op: str, index: Any, name: str = "index", **beside: Tensor) -> Tensor:
    """The index as int64. IndexError for a dtype that is no integer, RuntimeError for another device than the tensor's
    that it goes into."""
    if check_tensor(op, index, name).dtype.category != 1:
        raise IndexError(f"{op}: {name} expects an integer dtype, got {index.dtype}")
    if beside:
        check_devices(op, **beside, **{name: index})
    return view.to_dtype(index, int64)


# --- several dimensions at once ---------------------------------------------------------------------------------------


def common_shape(indices: list[Tensor]) -> Shape:
    """The shape that the indices broadcast to; ValueError where they do not."""
    shapes = [i._array.shape for i in indices]
    first: Shape = shapes[0]
    return first if shapes.count(first) == len(shapes) else np.broadcast_shapes(*shapes)


class Places:
    """Which elements several index tensors of one shape B name: `dims` are the dimensions that they point into, and B
    stands at dimension `at` of the result, the other dimensions around it. With `wrap`, −1 is the last index."""

    __slots__ = ("at", "dims", "indices", "ndim", "shape", "wrap")

    def __init__(self, shape: Shape, indices: list[Tensor], dims: Shape, at: int, wrap: bool) -> None:
        arrays = [i._array for i in indices]
        lead = common_shape(indices)
        rest = [n for d, n in enumerate(shape) if d not in dims]
        self.indices = [a if a.shape == lead else broadcast_array(a, lead) for a in arrays]
        self.ndim = len(lead)
        self.shape = (*rest[:at], *lead, *rest[at:])
        self.dims, self.at, self.wrap = dims, at, wrap

    def leading(self, x: Any) -> Any:
        """x with the dimensions that are pointed into in front."""
        if self.dims[-1] == len(self.dims) - 1:
            return x
        return x.transpose((*self.dims, *[d for d in range(x.ndim) if d not in self.dims]))

    def found(self, y: Any) -> Any:
        """A result with B in front."""
        at, end = self.at, self.at + self.ndim
        return y.transpose((*range(at, end), *range(at), *range(end, y.ndim))) if at else y

    def read(self, x: Any) -> Any:
        """y = x[i]"""
        y = device_of(x).empty(self.shape, x.dtype)
        device_of(x).kernels.index(self.leading(x), self.indices, self.found(y), self.wrap)
        return y

    def write(self, x: Any, values: Any, mode: int) -> Any:
        """x[i] ← values, in place."""
        values = broadcast_array(values, self.shape) if values.shape != self.shape else values
        device_of(x).kernels.index_put(self.leading(x), self.indices, self.found(values), mode, self.wrap)
        return x


def _places(node: Node, shape: Shape) -> Places:
    return Places(shape, node.tensors(), *node.args[:3])


def _index_pullback(node: Node, dy: Any) -> tuple[Any]:
    shape, padding = node.args[3:]
    dx = _places(node, shape).write(zeros_array(shape, dy), dy, ADD)
    if padding is not None:
        device_of(dx).kernels.fill(dx[padding], 0.0)
    return (dx,)


def _index_pullback_ops(node: Node, dy: Tensor) -> tuple[Tensor]:
    dims, at, wrap, shape, padding = node.args
    dx = put_at(Tensor._wrap(zeros_array(shape, dy._array)), node.tensors(), dims, at, wrap, dy, ADD)
    return (dx if padding is None else index_fill(dx, 0, scalar_tensor(padding, int64, dx.device), 0.0),)


_INDEX = Rule("index", _index_pullback, _index_pullback_ops)


def index_at(x: Tensor, indices: list[Tensor], dims: Shape, at: int, wrap: bool, padding: int | None = None) -> Tensor:
    """y = x[i] for the places that `Places` describes; no gradient flows to row `padding`."""
    shape = x._array.shape
    y = Places(shape, indices, dims, at, wrap).read(x._array)
    return record(_INDEX, y, (x,), indices, (dims, at, wrap, shape, padding))


def _put_pullback(node: Node, dy: Any) -> list[Any]:
    """Written elements forget what they were (assign), or keep it (add); v̄ = ȳ[i]."""
    mode, values_shape = node.args[3:]
    places = _places(node, dy.shape)
    dx = dy if mode == ADD or not node.needs(0) else copy_array(dy)
    if mode == ASSIGN and node.needs(0):
        places.write(dx, zeros_array((), dy), ASSIGN)
    return [dx, sum_array_to(places.read(dy), values_shape) if node.needs(1) else None]


def _put_pullback_ops(node: Node, dy: Tensor) -> list[Any]:
    dims, at, wrap, mode, values_shape = node.args
    indices = node.tensors()
    dx = put_at(dy, indices, dims, at, wrap, scalar_tensor(0.0, dy.dtype, dy.device), ASSIGN) if mode == ASSIGN else dy
    return [dx, sum_to(index_at(dy, indices, dims, at, wrap), values_shape) if node.needs(1) else None]


_PUT = Rule("index_put", _put_pullback, _put_pullback_ops)


def put_at(x: Tensor, indices: list[Tensor], dims: Shape, at: int, wrap: bool, values: Tensor, mode: int) -> Tensor:
    """A copy of x with x[i] ← values, combined by mode (ASSIGN or ADD)."""
    values = _values_beside(x, values)
    places = Places(x._array.shape, indices, dims, at, wrap)
    check_values("index_put", values, places.shape)
    y = places.write(copy_array(x._array), values._array, mode)
    return record(_PUT, y, (x, values), indices, (dims, at, wrap, mode, values._array.shape))


def put_at_(x: Tensor, indices: list[Tensor], dims: Shape, at: int, wrap: bool, values: Tensor, mode: int) -> Tensor:
    """`put_at` in place."""
    values = _values_beside(x, values)
    if recording(x, values):
        return x._assign(put_at(x, indices, dims, at, wrap, values, mode))
    strided.check_overlap(x)
    places = Places(x._array.shape, indices, dims, at, wrap)
    check_values("index_put", values, places.shape)
    places.write(x._array, apart(values._array, x._array), mode)
    x._version[0] += 1
    return x


def _values_beside(x: Tensor, values: Tensor) -> Tensor:
    """The values on x's device. RuntimeError where they live elsewhere and are not one number."""
    return values if values.device is x.device else on_one_device("index_put", ("input", "values"), (x, values))[1]


def check_values(op: str, values: Tensor, shape: Shape) -> None:
    """RuntimeError where the values do not broadcast to a shape."""
    given = values._array.shape
    if given != shape and (len(given) > len(shape) or any(n not in (1, m) for n, m in zip(given[::-1], shape[::-1]))):
        raise RuntimeError(f"{op}: values of shape {list(given)} do not broadcast to the shape indexed, {list(shape)}")


def _as_value(op: str, x: Tensor, value: Any, name: str) -> Tensor:
    """A number or tensor as a tensor of x's dtype."""
    if isinstance(value, Number):
        return scalar_tensor(value, x.dtype, x.device)
    return view.to_dtype(check_tensor(op, value, name), x.dtype)


@method
@cast
def index_put(input: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """A copy with y[i₁, i₂, …] = values, or += values with `accumulate`; indices[k] points into dimension k.

    Integer indices broadcast, and a bool mask stands for where it holds. x̄ = ȳ but for 0 at what was overwritten; v̄ = ȳ[i],
    summed where values were broadcast. Where a place repeats without `accumulate` the last value stays, and, as in
    PyTorch, each of them gets its gradient. IndexError out of range.
    """
    from pullback.ops.getitem import integer_indices

    check_tensor("index_put", input)
    where = integer_indices("index_put", list(indices), input)
    return put_at(input, *where, True, _as_value("index_put", input, values, "values"), ADD if accumulate else ASSIGN)


@method
def index_put_(self: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """`index_put` in place."""
    from pullback.ops.getitem import integer_indices

    where = integer_indices("index_put_", list(indices), check_tensor("index_put_", self))
    return put_at_(self, *where, True, _as_value("index_put_", self, values, "values"), ADD if accumulate else ASSIGN)


# --- one index, one dimension -----------------------------------------------------------------------------------------


def _row_index(op: str, input: Tensor, dim: int, index: Any) -> tuple[int, Tensor]:
    """The dimension from the front, and the index as a vector."""
    i = as_index(op, index, input=check_tensor(op, input))
    if i.ndim > 1:
        raise IndexError(f"{op}: index expects one dimension, got shape {list(i.shape)}")
    return normalize_dim(op, dim, input.ndim), i if i.ndim else i.reshape(1)


@method
def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """y[…, k, …] = x[…, index[k], …] along `dim`, index being a vector. IndexError out of range; negative is out of range."""
    d, i = _row_index("index_select", input, dim, index)
    if not input.ndim:
        return index_at(input.reshape(1), [i], (0,), 0, False).reshape(())
    return index_at(input, [i], (d,), d, False)


def _index_write(op: str, input: Tensor, dim: int, index: Any, source: Any, mode: int, in_place: bool) -> Tensor:
    d, i = _row_index(op, input, dim, index)
    if not input.ndim:
        raise IndexError(f"{op}: input expects at least one dimension")
    values = _as_value(op, input, source, "source")
    expected = (*input.shape[:d], i.shape[0], *input.shape[d + 1 :])
    if values.ndim and values.shape != expected:
        raise IndexError(f"{op}: source expects shape {list(expected)}, got {list(values.shape)}")
    return (put_at_ if in_place else put_at)(input, [i], (d,), d, False, values, mode)


@method
def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1) -> Tensor:
    """A copy with y[…, index[k], …] += alpha · source[…, k, …] along `dim`. IndexError out of range."""
    return _index_write("index_add", input, dim, index, source if alpha == 1 else source * alpha, ADD, False)


@method
def index_add_(self: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1) -> Tensor:
    """`index_add` in place."""
    return _index_write("index_add_", self, dim, index, source if alpha == 1 else source * alpha, ADD, True)


@method
@cast
def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """A copy with y[…, index[k], …] = source[…, k, …] along `dim`. IndexError out of range."""
    return _index_write("index_copy", input, dim, index, source, ASSIGN, False)


@method
def index_copy_(self: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """`index_copy` in place."""
    return _index_write("index_copy_", self, dim, index, source, ASSIGN, True)


@method
def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """A copy with y[…, index[k], …] = value, a number or a tensor without dimensions. IndexError out of range."""
    return _index_write("index_fill", input, dim, index, value, ASSIGN, False)


@method
def index_fill_(self: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """`index_fill` in place."""
    return _index_write("index_fill_", self, dim, index, value, ASSIGN, True)


@method
def take(input: Tensor, index: Tensor) -> Tensor:
    """y = x.ravel()[index], of the index's shape; −1 is the last element. IndexError out of range."""
    flat = check_tensor("take", input).reshape(-1)
    return index_at(flat, [as_index("take", index, input=flat)], (0,), 0, True)


@method
def put_(self: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """x.ravel()[index] = source, or += with `accumulate`, in place. IndexError out of range."""
    i = as_index("put_", index, self=self)
    values = _as_value("put_", self, source, "source")
    if values.numel() != i.numel():
        raise RuntimeError(f"put_: source expects {i.numel()} elements as index has, got shape {list(values.shape)}")
    mode = ADD if accumulate else ASSIGN
    if not recording(self, values) and self.is_contiguous():
        put_at_(self.reshape(-1), [i], (0,), 0, True, values.reshape(i.shape), mode)
        return self
    return self._assign(put_at(self.reshape(-1), [i], (0,), 0, True, values.reshape(i.shape), mode).reshape(self.shape))


# --- embedding --------------------------------------------------------------------------------------------------------


def _renormalize(weight: Tensor, index: Tensor, max_norm: float, norm_type: float) -> None:
    """Rows that the index names and whose norm exceeds max_norm are scaled to it, in place and off the tape."""
    w = weight.detach()
    norms = w.norm(norm_type, dim=1)
    used = view.to_dtype(Tensor._wrap(zeros_array((w.shape[0],), w._array)), w.dtype)
    used = index_fill(used, 0, index.reshape(-1), 1.0)
    scale = (max_norm / (norms + 1e-7)).clamp(max=1.0)
    w.mul_((scale * used + (1 - used)).reshape(-1, 1))


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """y[…, :] = weight[input[…], :] with weight [V, D]; w̄ is ȳ added up by row, but for row `padding_idx`, which gets none.

    With `max_norm`, rows that are looked up and longer than it are shortened to it first, in place. IndexError for an
    index outside of 0 … V − 1; NotImplementedError for scale_grad_by_freq and sparse gradients.
    """
    if scale_grad_by_freq or sparse:
        raise NotImplementedError("embedding: scale_grad_by_freq and sparse gradients do not exist here")
    if check_tensor("embedding", weight, "weight").ndim != 2:
        raise RuntimeError(f"embedding: weight expects [V, D], got shape {list(weight.shape)}")
    index = as_index("embedding", input, "input", weight=weight)
    if padding_idx is not None:
        padding_idx = normalize_dim("embedding", padding_idx, weight.shape[0], "padding_idx")
    if max_norm is not None:
        _renormalize(weight, index, max_norm, norm_type)
    return index_at(weight, [index], (0,), 0, False, padding_idx)
