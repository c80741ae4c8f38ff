"""Tensor's `[]`: x[key] and x[key] = value with PyTorch's keys.

Ints, slices, None and Ellipsis give a view. Integer tensors, arrays and lists, and bool masks, give a copy: they are broadcast
together, and their dimensions stand where the first of them did if they are neighbours, else in front. (As in PyTorch and
unlike NumPy, an int among them is applied first, and is no neighbour.)
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from pullback import _dtype
from pullback._backend import cpu
from pullback._tensor import Tensor, method
from pullback.ops import create, view
from pullback.ops._broadcast import Number, scalar_tensor
from pullback.ops.index import ASSIGN, Shape, check_values, common_shape, index_at, put_at_
from pullback.ops.masked import nonzero

__all__: list[str] = []  # methods only

_BASIC = frozenset([int, slice, type(None), type(Ellipsis)])
_ALL = slice(None)


def _as_part(part: Any) -> Any:
    """One part of a key: an int, slice, None or Ellipsis as it is, anything else as a tensor."""
    if part is None or part is Ellipsis or type(part) is int or isinstance(part, slice):
        return part
    if isinstance(part, (bool, np.bool_)):
        return scalar_tensor(bool(part), _dtype.bool_, cpu)
    if isinstance(part, (list, tuple, range, np.ndarray)):
        part = create.as_tensor(list(part) if isinstance(part, (tuple, range)) else part)
        part = part.to(_dtype.int64) if not part.numel() and part.dtype.is_floating_point else part
    if isinstance(part, Tensor):
        if part.dtype.is_floating_point:
            raise IndexError(f"getitem: index tensors expect an integer dtype or bool, got {part.dtype}")
        part = part.to(_dtype.bool_) if part.dtype is _dtype.uint8 else part
        return int(part.item()) if not part.ndim and part.dtype.category == 1 else part
    try:
        return operator.index(part)
    except TypeError:
        raise TypeError(
            f"getitem: expected ints, slices, None, Ellipsis, index tensors or masks, got {type(part).__name__}"
        ) from None


def _consumed(part: Any) -> int:
    """How many dimensions of the input a part speaks of."""
    if part is None or part is Ellipsis:
        return 0
    return part.ndim if isinstance(part, Tensor) and part.dtype is _dtype.bool_ else 1


def _parse(x: Tensor, key: Any) -> list[Any]:
    """The parts of a key, one or more for each dimension: Ellipsis replaced by slices, ints checked."""
    parts = [_as_part(p) for p in key] if type(key) is tuple else [_as_part(key)]
    missing = x.ndim - sum([_consumed(p) for p in parts])
    dots = [i for i, p in enumerate(parts) if p is Ellipsis]
    if missing < 0:
        raise IndexError(f"getitem: key expects at most {x.ndim} indices for shape {list(x.shape)}")
    if len(dots) > 1:
        raise IndexError("getitem: key expects at most one Ellipsis")
    at = dots[0] if dots else len(parts)
    parts = [*parts[:at], *[slice(None)] * missing, *parts[at + 1 :]]
    dim = 0
    for p in parts:
        if type(p) is int and not -x.shape[dim] <= p < x.shape[dim]:
            raise IndexError(f"getitem: index {p} is out of range for dimension {dim} of size {x.shape[dim]}")
        dim += _consumed(p)
    return parts


def _plain(x: Tensor, parts: tuple[Any, ...]) -> list[Tensor | None] | None:
    """What `_split` finds for a key of int64 tensors and whole slices only, sooner; None for any other key."""
    advanced: list[Tensor | None] = []
    for p in parts:
        if isinstance(p, Tensor):
            if p.dtype is not _dtype.int64 or not p._array.ndim:
                return None
            advanced.append(p)
        elif type(p) is slice and p == _ALL:
            advanced.append(None)
        else:
            return None
    return advanced if len(advanced) <= x._array.ndim else None


def _split(x: Tensor, key: Any) -> tuple[Tensor, list[Tensor | None]]:
    """The view that the basic parts give, and for each of its dimensions the tensor that indexes it, or None (a mask of
    several dimensions is followed by as many empty places)."""
    parts = _parse(x, key)
    basic: list[Any] = []
    advanced: list[Tensor | None] = []
    for p in parts:
        if isinstance(p, Tensor):
            n = _consumed(p)
            basic += [slice(None)] * n if n else [None]  # a bool by itself indexes a dimension of size 1
            advanced += [p if n else p.reshape(1), *[None] * (n - 1)]
        else:
            basic.append(p)
            advanced += [] if type(p) is int else [None]
    whole = all(type(p) is slice and p == slice(None) for p in basic)
    return (x if whole and any(a is not None for a in advanced) else view.slice_view(x, tuple(basic))), advanced


def _check_mask(op: str, mask: Tensor, x: Tensor, dim: int) -> None:
    expected = x.shape[dim : dim + mask.ndim]
    if mask.shape != expected:
        raise IndexError(f"{op}: mask expects shape {list(expected)} at dimension {dim}, got {list(mask.shape)}")


def _beside(op: str, index: Tensor, x: Tensor) -> Tensor:
    """An index on x's device, which one on the CPU is moved to. RuntimeError for one on another."""
    if index.device is not x.device and index.device is not cpu:
        raise RuntimeError(f"{op}: index expects device {x.device} as the tensor, or cpu, got {index.device}")
    return index.to(x.device)


def places(op: str, x: Tensor, advanced: list[Tensor | None]) -> tuple[list[Tensor], Shape, int]:
    """Integer indices, the dimensions they point into, and where their dimensions stand in the result."""
    indices: list[Tensor] = []
    dims: list[int] = []
    for d, a in enumerate(advanced):
        if a is None:
            continue
        a = _beside(op, a, x)
        if a.dtype is _dtype.bool_:
            _check_mask(op, a, x, d)
            indices += nonzero(a, as_tuple=True)
            dims += range(d, d + a.ndim)
        else:
            indices.append(a if a.dtype is _dtype.int64 else a.to(_dtype.int64))
            dims.append(d)
    try:
        common_shape(indices)
    except ValueError:
        shapes = ", ".join(str(list(i.shape)) for i in indices)
        raise IndexError(f"{op}: the shapes of the indices do not broadcast: {shapes}") from None
    neighbours = dims == list(range(dims[0], dims[0] + len(dims)))
    return indices, tuple(dims), dims[0] if neighbours else 0


def integer_indices(op: str, given: list[Any], x: Tensor) -> tuple[list[Tensor], Shape, int]:
    """`places` of a list of indices, one a dimension (None for all of it)."""
    parts = [None if g is None else _as_part(g) for g in given]
    advanced: list[Tensor | None] = []
    for p in parts:
        t = scalar_tensor(p, _dtype.int64, cpu) if type(p) is int else p
        advanced += [t, *[None] * (_consumed(t) - 1)] if isinstance(t, Tensor) else [None]
    if len(advanced) > x.ndim or not any(a is not None for a in advanced):
        raise IndexError(f"{op}: indices expects 1 to {x.ndim} index tensors, got {len(given)}")
    return places(op, x, advanced)


def _only_mask(advanced: list[Tensor | None]) -> int | None:
    """Where the only index is one mask, its dimension."""
    found = [d for d, a in enumerate(advanced) if a is not None]
    if len(found) != 1:
        return None
    mask = advanced[found[0]]
    return found[0] if mask is not None and mask.dtype is _dtype.bool_ else None


@method(name="__getitem__")
def getitem(self: Tensor, key: Any) -> Tensor:
    """x[key]: a view for a basic key, a copy where tensors, arrays, lists or masks index.

    x̄ is zero but for ȳ at the key, added up where an element was read more than once. IndexError out of range, for too many
    indices, and for masks or indices of shapes that do not fit; TypeError for other keys.
    """
    parts = key if type(key) is tuple else (key,)
    if _BASIC.issuperset(map(type, parts)):
        try:
            return view.slice_view(self, parts)
        except IndexError:
            _parse(self, key)  # says in our words what is wrong
    base, plain = self, _plain(self, parts)
    if plain is None:
        base, advanced = _split(self, key)
        if all(a is None for a in advanced):
            return base
    else:
        advanced = plain
    indices, dims, at = places("getitem", base, advanced)
    return index_at(base, indices, dims, at, True)


def _squeezed(value: Tensor, ndim: int) -> Tensor:
    """Without the leading dimensions of size 1 that exceed ndim."""
    extra = value.ndim - ndim
    return value.reshape(value.shape[extra:]) if extra > 0 and set(value.shape[:extra]) == {1} else value


@method(name="__setitem__")
def setitem(self: Tensor, key: Any, value: Any) -> None:
    """x[key] = value, the value being a number, a tensor or an array that broadcasts to x[key]. Where a place repeats, the
    last value stays. The errors of `x[key]`, and RuntimeError where the value does not fit."""
    target, advanced = _split(self, key)
    scalar = isinstance(value, Number)
    v = scalar_tensor(value, self.dtype, self.device) if scalar else create.as_tensor(value).to(self.device, self.dtype)
    if all(a is None for a in advanced):
        v = _squeezed(v, target.ndim)
        check_values("setitem", v, target._array.shape)
        target.copy_(v)
        return
    d = _only_mask(advanced)
    if d is not None and not v.ndim:
        mask = advanced[d]
        assert mask is not None
        _check_mask("setitem", mask, target, d)
        mask = _beside("setitem", mask, target)
        target.masked_fill_(mask.reshape((*mask.shape, *[1] * (target.ndim - d - mask.ndim))), v)
        return
    indices, dims, at = places("setitem", target, advanced)
    lead = common_shape(indices)
    put_at_(target, indices, dims, at, True, _squeezed(v, target.ndim - len(dims) + len(lead)), ASSIGN)


@method(name="__contains__")
def _contains(self: Tensor, value: Any) -> bool:
    """Whether any element equals the value."""
    return bool((self == value).any().item())
