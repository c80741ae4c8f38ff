"""Putting tensors together along a dimension, and taking them apart into views.

The pullback of one is the other. Kernels: csrc/kernels/shape.cpp and, for parts of gradients, copy.cpp.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pullback import _dtype
from pullback._autocast import cast
from pullback._backend import device_of
from pullback._tape import Node, Rule, record, record_many
from pullback._tensor import Tensor, method
from pullback.ops import view
from pullback.ops._arrays import empty_ordered
from pullback.ops._broadcast import check_devices, check_tensor, normalize_dim

__all__ = [
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "cat",
    "chunk",
    "column_stack",
    "concat",
    "concatenate",
    "dsplit",
    "dstack",
    "hsplit",
    "hstack",
    "row_stack",
    "split",
    "stack",
    "tensor_split",
    "unbind",
    "vsplit",
    "vstack",
]

Key = tuple[Any, ...]


def _along(dim: int, part: Any) -> Key:
    """The basic index that takes `part` of one dimension; with the Ellipsis an array is what it gives, never a number."""
    return (*[slice(None)] * dim, part, ...)


def _tensors(op: str, tensors: Any) -> list[Tensor]:
    """The operands in their common dtype. TypeError for what is no sequence of tensors, RuntimeError for none."""
    if isinstance(tensors, Tensor) or not isinstance(tensors, (tuple, list)):
        raise TypeError(f"{op}: tensors expects a tuple or list of Tensors, got {type(tensors).__name__}")
    if not tensors:
        raise RuntimeError(f"{op}: tensors expects at least one Tensor")
    common = None
    same = True
    for i, t in enumerate(tensors):
        if not isinstance(t, Tensor):
            raise TypeError(f"{op}: tensors[{i}] expects a Tensor, got {type(t).__name__}")
        if t.device is not tensors[0].device:
            check_devices(op, **{f"tensors[{k}]": x for k, x in enumerate(tensors)})
        if common is None:
            common = t.dtype
        elif t.dtype is not common:
            common, same = _dtype.promote_types(common, t.dtype), False
    assert common is not None
    return list(tensors) if same else [view.to_dtype(t, common) for t in tensors]


def _empty(shape: Sequence[int], like: Any) -> Any:
    """An uninitialised array whose dimensions have the order in memory that those of `like` have."""
    if like.flags.c_contiguous or like.ndim != len(shape):
        return device_of(like).empty(tuple(shape), like.dtype)
    return empty_ordered(shape, like)


# --- together ---------------------------------------------------------------------------------------------------------


def _parts(lengths: Sequence[int]) -> list[slice]:
    """Consecutive ranges of these lengths."""
    result, start = [], 0
    for n in lengths:
        result.append(slice(start, start + n))
        start += n
    return result


def _layers(axis: int, count: int) -> list[Key]:
    """The keys of a stack's parts."""
    return [_along(axis, k) for k in range(count)]


def _slices(axis: int, lengths: Sequence[int]) -> list[Key]:
    """The keys of parts with these lengths."""
    return [_along(axis, p) for p in _parts(lengths)]


def _pullback(node: Node, dy: Any) -> list[Any]:
    keys, *where = node.args
    return [dy[k] if node.needs(i) else None for i, k in enumerate(keys(*where))]


def _pullback_ops(node: Node, dy: Tensor) -> list[Any]:
    keys, *where = node.args
    return [view.slice_view(dy, k[:-1]) if node.needs(i) else None for i, k in enumerate(keys(*where))]


_CAT = Rule("cat", _pullback, _pullback_ops)


def _joined(
    tensors: list[Tensor], arrays: list[Any], shape: tuple[int, ...], axis: int, args: tuple[Any, ...]
) -> Tensor:
    out = _empty(shape, arrays[0])
    device_of(out).kernels.cat(arrays, out, axis)
    return record(_CAT, out, tensors, (), args)


@cast
def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The tensors one behind the other along `dim`; shapes agree in the other dimensions. x̄_k is ȳ's part.

    Dtypes are promoted; tensors of shape [0] are skipped, as in PyTorch. RuntimeError for other shapes, IndexError for `dim`.
    """
    given = _tensors("cat", tensors)
    kept = [t for t in given if t._array.shape != (0,)] or given[:1]
    arrays = [t._array for t in kept]
    first = arrays[0].shape
    if not first:
        raise RuntimeError("cat: tensors without dimensions cannot be joined; use stack()")
    d = normalize_dim("cat", dim, len(first))
    before, behind = first[:d], first[d + 1 :]
    lengths = []
    for a in arrays:
        shape = a.shape
        if len(shape) != len(first) or shape[:d] != before or shape[d + 1 :] != behind:
            raise RuntimeError(f"cat: shapes {list(first)} and {list(shape)} differ in another dimension than {d}")
        lengths.append(shape[d])
    return _joined(kept, arrays, (*before, sum(lengths), *behind), d, (_slices, d, lengths))


concat = concatenate = cat


@cast
def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors of one shape along a new dimension `dim`. x̄_k is ȳ's k-th part. RuntimeError for different shapes."""
    given = _tensors("stack", tensors)
    arrays = [t._array for t in given]
    shape = arrays[0].shape
    for a in arrays:
        if a.shape != shape:
            raise RuntimeError(f"stack: tensors expects one shape, got {list(shape)} and {list(a.shape)}")
    d = normalize_dim("stack", dim, len(shape) + 1)
    return _joined(given, arrays, (*shape[:d], len(given), *shape[d:]), d, (_layers, d, len(given)))


def _each(op: str, tensors: Any, f: Callable[[Tensor], Tensor]) -> Any:
    """f of one tensor, or of each of several."""
    if len(tensors) == 1 and isinstance(tensors[0], Tensor):
        return f(tensors[0])
    several = tensors[0] if len(tensors) == 1 else tensors
    return tuple([f(check_tensor(op, t)) for t in several])


def _with_dims(t: Tensor, ndim: int) -> Tensor:
    """At least ndim dimensions, as NumPy's atleast_nd puts them."""
    if t.ndim >= ndim:
        return t
    if not t.ndim:
        return t.reshape((1,) * ndim)
    if ndim == 2:
        return t.unsqueeze(0)
    return t.reshape((1, *t.shape, 1)) if t.ndim == 1 else t.unsqueeze(-1)


def atleast_1d(*tensors: Any) -> Any:
    """With at least one dimension."""
    return _each("atleast_1d", tensors, lambda t: _with_dims(t, 1))


def atleast_2d(*tensors: Any) -> Any:
    """With at least two dimensions: a vector becomes a row."""
    return _each("atleast_2d", tensors, lambda t: _with_dims(t, 2))


def atleast_3d(*tensors: Any) -> Any:
    """With at least three dimensions: a vector becomes [1, n, 1], a matrix [m, n, 1]."""
    return _each("atleast_3d", tensors, lambda t: _with_dims(t, 3))


def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """`cat` along dimension 1, or 0 for vectors."""
    given = atleast_1d(_tensors("hstack", tensors))
    return cat(given, 0 if given[0].ndim == 1 else 1)


def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """`cat` along dimension 0, vectors being rows."""
    return cat(atleast_2d(_tensors("vstack", tensors)), 0)


row_stack = vstack


def dstack(tensors: Sequence[Tensor]) -> Tensor:
    """`cat` along dimension 2, vectors being [1, n, 1] and matrices [m, n, 1]."""
    return cat(atleast_3d(_tensors("dstack", tensors)), 2)


def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    """`cat` along dimension 1, vectors being columns."""
    return cat([t if t.ndim > 1 else t.reshape(-1, 1) for t in _tensors("column_stack", tensors)], 1)


# --- apart ------------------------------------------------------------------------------------------------------------


def _split_pullback(node: Node, dys: Sequence[Any]) -> tuple[Any]:
    keys, shape, _ = node.args
    like = next(dy for dy in dys if dy is not None)
    on = device_of(like)
    dx = on.empty(shape, like.dtype)
    for k, dy in zip(keys, dys):
        if dy is None:
            on.kernels.fill(dx[k], 0.0)
        else:
            on.kernels.copy(dy, dx[k])
    return (dx,)


def _split_pullback_ops(node: Node, dys: Sequence[Any]) -> tuple[Tensor]:
    together = node.args[2]
    like = next(dy for dy in dys if dy is not None)
    return (together([like.new_zeros(o[0]) if dy is None else dy for dy, o in zip(dys, node.outputs)]),)


_SPLIT = Rule("split", _split_pullback, _split_pullback_ops)


def _views(input: Tensor, keys: list[Key], together: Callable[[list[Tensor]], Tensor]) -> tuple[Tensor, ...]:
    """Views of one tensor that make up all of it, on one node."""
    if not keys:
        return ()
    x = input._array
    outs = record_many(_SPLIT, [x[k] for k in keys], (input,), (), (keys, x.shape, together))
    base = input if input._base is None else input._base
    for out in outs:
        out._version, out._base, out._generation = input._version, base, base._generation
    return outs


def _split_at(input: Tensor, lengths: Sequence[int], dim: int) -> tuple[Tensor, ...]:
    return _views(input, _slices(dim, lengths), lambda dys: cat(dys, dim))


def _split_dim(op: str, input: Tensor, dim: int) -> int:
    if not check_tensor(op, input).ndim:
        raise RuntimeError(f"{op}: input expects at least one dimension")
    return normalize_dim(op, dim, input.ndim)


@method
def split(tensor: Tensor, split_size_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Views of this length (the last may be shorter), or of these lengths, along `dim`. x̄ is the ȳ one behind the other.

    RuntimeError for lengths that are negative or do not add up.
    """
    d = _split_dim("split", tensor, dim)
    n, size = tensor.shape[d], split_size_or_sections
    if isinstance(size, int):
        if size < 0 or (size == 0 and n):
            raise RuntimeError(f"split: split_size expects a value > 0, got {size} for a dimension of {n}")
        lengths = [min(size, n - at) for at in range(0, n, size or 1)] or [0]
    else:
        lengths = [int(s) for s in size]
        if min(lengths, default=0) < 0 or sum(lengths) != n:
            raise RuntimeError(f"split: sections expects lengths that add up to {n}, got {lengths}")
    return _split_at(tensor, lengths, d)


@method
def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most this many views of equal length ⌈n / chunks⌉ (the last may be shorter) along `dim`."""
    d = _split_dim("chunk", input, dim)
    if chunks < 1:
        raise RuntimeError(f"chunk: chunks expects a value ≥ 1, got {chunks}")
    n = input.shape[d]
    return split(input, -(-n // chunks), d) if n else _split_at(input, [0] * chunks, d)


@method
def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """That many views whose lengths differ by at most one, or views that begin at 0 and at these indices, along `dim`."""
    d = _split_dim("tensor_split", input, dim)
    n = input.shape[d]
    given = indices_or_sections.tolist() if isinstance(indices_or_sections, Tensor) else indices_or_sections
    if isinstance(given, int):
        if given < 1:
            raise RuntimeError(f"tensor_split: sections expects a value ≥ 1, got {given}")
        return _split_at(input, [n // given + (k < n % given) for k in range(given)], d)
    starts = [slice(i, None).indices(n)[0] for i in given]
    keys = [_along(d, slice(a, max(a, b))) for a, b in zip([0, *starts], [*starts, n])]
    return tuple([view.slice_view(input, k[:-1]) for k in keys])


def _split_in(op: str, input: Tensor, indices_or_sections: Any, dim: int) -> tuple[Tensor, ...]:
    n = input.shape[dim]
    if isinstance(indices_or_sections, int) and (indices_or_sections < 1 or n % indices_or_sections):
        raise RuntimeError(f"{op}: sections expects a divisor of {n}, got {indices_or_sections}")
    return tensor_split(input, indices_or_sections, dim)


@method
def hsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """`tensor_split` along dimension 1, or 0 for a vector. RuntimeError where sections do not divide it."""
    d = _split_dim("hsplit", input, 0)
    return _split_in("hsplit", input, indices_or_sections, d if input.ndim == 1 else 1)


@method
def vsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """`tensor_split` along dimension 0 of at least two. RuntimeError where sections do not divide it."""
    if check_tensor("vsplit", input).ndim < 2:
        raise RuntimeError(f"vsplit: input expects at least 2 dimensions, got shape {list(input.shape)}")
    return _split_in("vsplit", input, indices_or_sections, 0)


@method
def dsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """`tensor_split` along dimension 2. RuntimeError where sections do not divide it."""
    if check_tensor("dsplit", input).ndim < 3:
        raise RuntimeError(f"dsplit: input expects at least 3 dimensions, got shape {list(input.shape)}")
    return _split_in("dsplit", input, indices_or_sections, 2)


@method
def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The views at each index of `dim`, which goes. x̄ is the ȳ stacked."""
    d = _split_dim("unbind", input, dim)
    return _views(input, _layers(d, input.shape[d]), lambda dys: stack(dys, d))


@method(name="__iter__")
def _iterate(self: Tensor) -> Iterator[Tensor]:
    """The views at each index of the first dimension. TypeError for a tensor without dimensions."""
    if not self.ndim:
        raise TypeError("iter: a tensor without dimensions cannot be iterated over")
    return iter(unbind(self, 0))
