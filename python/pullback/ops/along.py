"""An index for each element: gathering and scattering along one dimension.

The pullback of gathering is scattering with addition, and the other way round. Sums run in the order of the index (row-major),
whatever the number of threads. Kernels: csrc/kernels/along.cpp.
"""

from __future__ import annotations

from typing import Any

from pullback._autocast import cast
from pullback._backend import device_of
from pullback._dtype import int64
from pullback._tape import OUTPUT, Node, Rule, record
from pullback._tensor import Tensor, method
from pullback.ops import strided, view
from pullback.ops._arrays import apart, broadcast_array, copy_array, fill_array, zeros_array
from pullback.ops._broadcast import Number, check_devices, check_tensor, normalize_dim, scalar_tensor
from pullback.ops._elementwise import recording
from pullback.ops.index import ADD, ASSIGN, as_index

__all__ = ["gather", "one_hot", "scatter", "scatter_add", "scatter_reduce", "take_along_dim"]


def _check_index(op: str, input: Tensor, dim: int, index: Any) -> tuple[int, Tensor]:
    d, i = normalize_dim(op, dim, check_tensor(op, input).ndim), as_index(op, index, input=input)
    fits = i.ndim == input.ndim and all(e == d or n <= m for e, (n, m) in enumerate(zip(i.shape, input.shape)))
    if not fits and i.numel():
        raise RuntimeError(
            f"{op}: index expects shape {list(input.shape)}, or less except along dim {d}, got {list(i.shape)}"
        )
    return d, i


# --- gather -----------------------------------------------------------------------------------------------------------


def _gathered(x: Any, index: Any, dim: int) -> Any:
    y = device_of(x).empty(index.shape, x.dtype)
    device_of(x).kernels.gather(x, index, y, dim, False)
    return y


def _gather_pullback(node: Node, dy: Any) -> tuple[Any]:
    dim, shape = node.args
    dx = zeros_array(shape, dy)
    device_of(dy).kernels.scatter(dx, node.saved[0], dy, dim, ADD)
    return (dx,)


def _gather_pullback_ops(node: Node, dy: Tensor) -> tuple[Tensor]:
    dim, shape = node.args
    return (scatter_add(Tensor._wrap(zeros_array(shape, dy._array)), dim, node.tensors()[0], dy),)


_GATHER = Rule("gather", _gather_pullback, _gather_pullback_ops)


@method
def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
    """y[…, j, …] = x[…, index[…, j, …], …] along `dim`; y has the index's shape, which is within x's in other dimensions.

    x̄ is ȳ added up where it was read. IndexError out of range; negative is out of range.
    """
    d, i = _check_index("gather", input, dim, index)
    return record(_GATHER, _gathered(input._array, i._array, d), (input,), (i,), (d, input._array.shape))


@method
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """`gather` whose operands broadcast in the other dimensions; without `dim`, of both flattened."""
    op = "take_along_dim"
    check_tensor(op, input), check_tensor(op, indices, "indices")
    if dim is None:
        return gather(input.reshape(-1), 0, indices.reshape(-1))
    d = normalize_dim(op, dim, input.ndim)
    if indices.ndim != input.ndim:
        raise RuntimeError(f"{op}: indices expects {input.ndim} dimensions, got {indices.ndim}")
    pairs = [(m, n) if e != d else (1, 1) for e, (m, n) in enumerate(zip(input.shape, indices.shape))]
    if any(m != n and 1 not in (m, n) for m, n in pairs):
        raise RuntimeError(
            f"{op}: shapes {list(input.shape)} and {list(indices.shape)} do not broadcast apart from dim {d}"
        )
    x, i = [
        view.expand(t, [t.shape[d] if e == d else max(m, n) for e, (m, n) in enumerate(pairs)])
        for t in (input, indices)
    ]
    return gather(x, d, i)


# --- scatter ----------------------------------------------------------------------------------------------------------


def _scatter_pullback(node: Node, dy: Any) -> list[Any]:
    """Overwritten elements forget what they were (assign), or keep it (add); v̄ = ȳ where it was written."""
    dim, mode = node.args
    index = node.saved[0]
    dx = dy
    if mode == ASSIGN and node.needs(0):
        dx = copy_array(dy)
        device_of(dx).kernels.scatter(dx, index, broadcast_array(zeros_array((), dy), index.shape), dim, ASSIGN)
    return [dx, _gathered(dy, index, dim) if node.needs(1) else None]


def _scatter_pullback_ops(node: Node, dy: Tensor) -> list[Any]:
    dim, mode = node.args
    index = node.tensors()[0]
    return [scatter(dy, dim, index, 0.0) if mode == ASSIGN else dy, gather(dy, dim, index) if node.needs(1) else None]


_SCATTER = Rule("scatter", _scatter_pullback, _scatter_pullback_ops)


def _source(op: str, input: Tensor, index: Tensor, src: Any) -> Tensor:
    """What is written, in the index's shape and the input's dtype."""
    if isinstance(src, Number):
        return scalar_tensor(src, input.dtype, input.device).expand(index.shape)
    values = view.to_dtype(check_tensor(op, src, "src"), input.dtype)
    if values.device is not input.device:
        check_devices(op, input=input, src=values)
    if values.ndim != index.ndim or any(n < m for n, m in zip(values.shape, index.shape)):
        raise RuntimeError(f"{op}: src expects at least index's shape {list(index.shape)}, got {list(values.shape)}")
    return values if values.shape == index.shape else view.slice_view(values, tuple([slice(n) for n in index.shape]))


def _scatter(op: str, input: Tensor, dim: int, index: Any, src: Any, mode: int, in_place: bool) -> Tensor:
    d, i = _check_index(op, input, dim, index)
    if i.ndim != input.ndim:
        return input if in_place else input.clone()  # an empty index
    values = _source(op, input, i, src)
    if in_place and not recording(input, values):
        strided.check_overlap(input)
        v = apart(values._array, input._array)
        input.device.kernels.scatter(input._array, i._array, v, d, mode)
        input._version[0] += 1
        return input
    y = copy_array(input._array)
    input.device.kernels.scatter(y, i._array, values._array, d, mode)
    result = record(_SCATTER, y, (input, values), (i,), (d, mode))
    return input._assign(result) if in_place else result


def _by_name(op: str, input: Tensor, dim: int, index: Any, src: Any, value: Any, reduce: Any, in_place: bool) -> Tensor:
    """The several calls of PyTorch's scatter: a source or a value, assigned, added or multiplied."""
    if (src is None) == (value is None):
        raise TypeError(f"{op}: expected one of src and value")
    given = value if src is None else src
    if reduce is None or reduce == "add":
        return _scatter(op, input, dim, index, given, ASSIGN if reduce is None else ADD, in_place)
    if reduce != "multiply":
        raise ValueError(f"{op}: reduce expects None, 'add' or 'multiply', got {reduce!r}")
    if isinstance(given, Number):
        given = view.expand(scalar_tensor(given, input.dtype, input.device), as_index(op, index).shape)
    result = scatter_reduce(input, dim, index, given, "prod")
    return input._assign(result) if in_place else result


@method
def scatter(
    input: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None, reduce: Any = None
) -> Tensor:
    """A copy of x with y[…, index[…, j, …], …] = src[…, j, …] along `dim`; src is a tensor or a number.

    `reduce` "add" or "multiply" combines instead. x̄ = ȳ but for 0 where it was overwritten, src̅ = ȳ where it was written.
    Where an index repeats, the last value stays, and, as in PyTorch, each of them gets its gradient. IndexError out of
    range.
    """
    return _by_name("scatter", input, dim, index, src, value, reduce, False)


@method
def scatter_(
    self: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None, reduce: Any = None
) -> Tensor:
    """`scatter` in place."""
    return _by_name("scatter_", self, dim, index, src, value, reduce, True)


@method
@cast
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """A copy of x with y[…, index[…, j, …], …] += src[…, j, …] along `dim`. x̄ = ȳ, src̅ = ȳ where it was added."""
    return _scatter("scatter_add", input, dim, index, src, ADD, False)


@method
def scatter_add_(self: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """`scatter_add` in place."""
    return _scatter("scatter_add_", self, dim, index, src, ADD, True)


# --- scatter_reduce ---------------------------------------------------------------------------------------------------

_MODES = {"sum": ADD, "mean": ADD, "prod": 2, "amin": 3, "amax": 4}  # as in csrc/kernels/along.h
_NEUTRAL = {"sum": 0.0, "mean": 0.0, "prod": 1.0, "amin": float("inf"), "amax": float("-inf")}


def _extreme_ops(node: Node, dy: Tensor) -> list[Any]:
    """The extreme ones share ȳ: x̄ = ȳ [x = y] / n and src̅ = ȳ [src = y] / n, n being how many they are."""
    dim = node.args[0]
    x, src, index, y = [t.detach() for t in node.tensors()]
    own, theirs = (x == y).to(dy.dtype), (src == gather(y, dim, index)).to(dy.dtype)
    shared = dy / scatter_add(own, dim, index, theirs)
    return [shared * own, gather(shared, dim, index) * theirs]


def _prod_ops(node: Node, dy: Tensor) -> list[Any]:
    """x̄ = ȳ Π src and src̅ = ȳ y / src; a zero gets the product of the others where it is the only one."""
    dim = node.args[0]
    x, src, index, _ = node.tensors()
    x_zero, src_zero = (x == 0).detach(), (src == 0).detach()
    zeros = scatter_add(x_zero.to(dy.dtype), dim, index, src_zero.to(dy.dtype))
    x_rest, src_rest = x.masked_fill(x_zero, 1), src.masked_fill(src_zero, 1)
    rest = scatter_reduce(x_rest, dim, index, src_rest, "prod")  # of all that are not zero
    alone, none = (zeros == 1).to(dy.dtype), (zeros == 0).to(dy.dtype)
    of_zero, of_others = dy * rest * alone, dy * rest * none
    dx = of_zero * x_zero.to(dy.dtype) + of_others / x_rest
    d_src = gather(of_zero, dim, index) * src_zero.to(dy.dtype) + gather(of_others, dim, index) / src_rest
    return [dx, d_src]


def _on_arrays(in_ops: Any) -> Any:
    """A pullback on arrays by way of the ops, nothing of it going on the tape."""
    from pullback._tape import no_grad

    def pullback(node: Node, dy: Any) -> list[Any]:
        with no_grad():
            return [None if g is None else g._array for g in in_ops(node, Tensor._wrap(dy))]

    return pullback


_EXTREME = Rule("scatter_reduce", _on_arrays(_extreme_ops), _extreme_ops)
_PROD = Rule("scatter_reduce", _on_arrays(_prod_ops), _prod_ops)


def _counts(input: Tensor, dim: int, index: Tensor, include_self: bool) -> Tensor:
    """How many terms each element of a mean has."""
    own = Tensor._wrap(zeros_array(input._array.shape, input._array))
    own = own + 1 if include_self else own
    return _scatter("scatter_reduce", own, dim, index, 1.0, ADD, False).clamp(min=1)


@method
def scatter_reduce(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """Each y combines the sources that point to it along `dim` and, with `include_self`, x: "sum", "mean", "prod", "amin",
    "amax". Elements to which nothing points stay x. IndexError out of range.

    For amin and amax the extreme terms share ȳ equally.
    """
    op = "scatter_reduce"
    if reduce not in _MODES:
        raise ValueError(f"{op}: reduce expects one of {', '.join(_MODES)}, got {reduce!r}")
    d, i = _check_index(op, input, dim, index)
    if i.ndim != input.ndim:
        return input.clone()  # an empty index
    values = _source(op, input, i, src)
    x = input if include_self else _scatter(op, input, d, i, _neutral(reduce, input), ASSIGN, False)
    if reduce in ("sum", "mean"):
        total = _scatter(op, x, d, i, values, ADD, False)
        if reduce == "sum":
            return total
        counts = _counts(input, d, i, include_self)
        return total / counts if input.dtype.is_floating_point else total.div(counts, rounding_mode="floor")
    y = copy_array(x._array)
    input.device.kernels.scatter(y, i._array, values._array, d, _MODES[reduce])
    rule = _PROD if reduce == "prod" else _EXTREME
    return record(rule, y, (x, values), (x, values, i, OUTPUT), (d,))


def _neutral(reduce: str, input: Tensor) -> Any:
    """What changes nothing: where a reduction without `self` starts."""
    value = _NEUTRAL[reduce]
    if input.dtype.is_floating_point or abs(value) <= 1:
        return value if input.dtype.is_floating_point else int(value)
    from pullback.ops._elementwise import bounds_of

    return bounds_of(input.dtype)[reduce == "amin"]


@method
def scatter_reduce_(
    self: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """`scatter_reduce` in place."""
    return self._assign(scatter_reduce(self, dim, index, src, reduce, include_self=include_self))


# --- one_hot ----------------------------------------------------------------------------------------------------------


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """y[…, c] = 1 where tensor[…] = c, else 0; int64, [*, num_classes], which is by default the largest class and one.

    IndexError for a class that is negative or not below num_classes.
    """
    index = as_index("one_hot", tensor, "tensor")
    if num_classes == -1:
        if not index.numel():
            raise RuntimeError("one_hot: num_classes is needed for a tensor without elements")
        num_classes = int(index.max().item()) + 1
    if num_classes < 1:
        raise RuntimeError(f"one_hot: num_classes expects a value ≥ 1, or −1, got {num_classes}")
    on = index.device
    y = fill_array(on.empty((*index.shape, num_classes), int64.numpy), 0)
    if index.numel():
        one = broadcast_array(fill_array(on.empty((), int64.numpy), 1), (*index.shape, 1))
        on.kernels.scatter(y, index._array[..., None], one, index.ndim, ASSIGN)
    return Tensor._wrap(y)
