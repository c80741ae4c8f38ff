"""Padding: a tensor with more (or less) at its edges. The way back is made of strided copies and additions.

Kernels: csrc/kernels/shape.cpp.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback._autocast import cast
from pullback._backend import device_of
from pullback._tape import Node, Rule, record
from pullback._tensor import Tensor
from pullback.ops import view
from pullback.ops._arrays import copy_array, fill_array, zeros_array
from pullback.ops._broadcast import check_tensor

__all__: list[str] = []  # `pad` belongs to nn.functional

Pads = tuple[tuple[int, int], ...]
Key = tuple[slice, ...]


def _pads(op: str, x: Tensor, pad: Sequence[int]) -> Pads:
    """(left, right) of each dimension, from PyTorch's list, which begins with the last dimension."""
    flat = [int(p) for p in pad]
    if len(flat) % 2 or len(flat) > 2 * x.ndim:
        raise RuntimeError(f"{op}: pad expects 2 values for each of at most {x.ndim} dimensions, got {flat}")
    pairs = list(zip(flat[::2], flat[1::2]))[::-1]
    pads = (*[(0, 0)] * (x.ndim - len(pairs)), *pairs)
    if any(n + left + right < 0 for n, (left, right) in zip(x.shape, pads)):
        raise RuntimeError(f"{op}: pad {flat} leaves less than nothing of shape {list(x.shape)}")
    return pads


def _padded_shape(shape: Sequence[int], pads: Pads) -> tuple[int, ...]:
    return tuple([n + left + right for n, (left, right) in zip(shape, pads)])


def _kept(shape: Sequence[int], pads: Pads) -> tuple[Key, Key]:
    """What of x stays, and where it stands in y; both are of one shape."""
    source = tuple([slice(max(-a, 0), max(n - max(-b, 0), max(-a, 0))) for n, (a, b) in zip(shape, pads)])
    target = tuple([slice(max(a, 0), max(a, 0) + s.stop - s.start) for s, (a, _) in zip(source, pads)])
    return source, target


MODES = ("constant", "reflect", "replicate", "circular")  # by their numbers in csrc/kernels/shape.h


def _padded(x: Any, pads: Pads, mode: str, value: float = 0.0) -> Any:
    if not x.ndim:
        return copy_array(x)
    on = device_of(x)
    y = on.empty(_padded_shape(x.shape, pads), x.dtype)
    number = fill_array(on.empty((), x.dtype), value)
    on.kernels.pad(x, on.from_host(np.array(pads, np.int64)), number, y, MODES.index(mode))
    return y


# --- with a constant --------------------------------------------------------------------------------------------------


def _constant_pullback(node: Node, dy: Any) -> tuple[Any]:
    pads, shape = node.args
    source, target = _kept(shape, pads)
    if dy[target].shape == shape:
        return (dy[target],)
    dx = zeros_array(shape, dy)
    device_of(dy).kernels.copy(dy[target], dx[source])
    return (dx,)


_CONSTANT = Rule(
    "pad",
    _constant_pullback,
    lambda node, dy: (_pad_constant(dy, tuple([(-a, -b) for a, b in node.args[0]]), 0.0),),
)


def _pad_constant(x: Tensor, pads: Pads, value: float) -> Tensor:
    return record(_CONSTANT, _padded(x._array, pads, "constant", value), (x,), (), (pads, x._array.shape))


# --- with elements of the tensor itself -------------------------------------------------------------------------------


def _backwards(begin: int, count: int) -> slice:
    """begin, begin − 1, …: count indices ≥ 0."""
    end = begin - count
    return slice(begin, end if end >= 0 else None, -1)


def _edges(mode: str, n: int, left: int, right: int) -> list[tuple[slice, slice]]:
    """(to, from) of the two edges along a dimension of the result, whose middle is left … left + n − 1."""
    before, behind = slice(0, left), slice(left + n, left + n + right)
    if mode == "reflect":
        pairs = [(before, _backwards(2 * left, left)), (behind, _backwards(left + n - 2, right))]
    elif mode == "replicate":
        pairs = [(before, slice(left, left + 1)), (behind, slice(left + n - 1, left + n))]
    else:
        pairs = [(before, slice(n, n + left)), (behind, slice(left, left + right))]
    return [p for p in pairs if p[0].stop > p[0].start]


def _steps(mode: str, shape: Sequence[int], pads: Pads) -> list[tuple[Key, Key]]:
    """What is copied to where, dimension by dimension: a later one copies the edges that the earlier ones made."""
    middle = [slice(left, left + n) for n, (left, _) in zip(shape, pads)]
    steps = []
    for d, (n, (left, right)) in enumerate(zip(shape, pads)):
        for to, source in _edges(mode, n, left, right):
            around = [slice(None)] * d, middle[d + 1 :]
            steps.append(((*around[0], to, *around[1]), (*around[0], source, *around[1])))
    return steps


def _edged_backward(dy: Any, mode: str, pads: Pads, shape: tuple[int, ...]) -> Any:
    """The copies undone in reverse order: what an edge got is added to where it came from."""
    g = copy_array(dy)
    for to, source in _steps(mode, shape, pads)[::-1]:
        edge, origin = g[to], g[source]
        if edge.shape != origin.shape:  # replicate: one slice went everywhere
            total = device_of(g).empty(origin.shape, g.dtype)
            device_of(g).kernels.sum(edge, total)
            edge = total
        device_of(g).kernels.add(origin, edge, origin)
    return g[_kept(shape, pads)[1]]


def _edged_ops(node: Node, dy: Tensor) -> tuple[Tensor]:
    return (record(_EDGED_BACKWARD, _edged_backward(dy._array, *node.args), (dy,), (), node.args),)


_EDGED = Rule("pad", lambda node, dy: (_edged_backward(dy, *node.args),), _edged_ops)
_EDGED_BACKWARD = Rule(
    "pad_backward",
    lambda node, ddx: (_padded(ddx, node.args[1], node.args[0]),),
    lambda node, ddx: (_pad_edges(ddx, *node.args[:2]),),
)


def _pad_edges(x: Tensor, mode: str, pads: Pads) -> Tensor:
    return record(_EDGED, _padded(x._array, pads, mode), (x,), (), (mode, pads, x._array.shape))


_pad_edges_cast = cast("pad_edges")(_pad_edges)


def _crop(x: Tensor, pads: Pads) -> tuple[Tensor, Pads]:
    """Negative padding taken off first."""
    if min([min(p) for p in pads], default=0) >= 0:
        return x, pads
    return view.slice_view(x, _kept(x.shape, pads)[0]), tuple([(max(a, 0), max(b, 0)) for a, b in pads])


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """The input with pad[0] more elements before and pad[1] behind in the last dimension, pad[2] and pad[3] in the one before
    it, …; negative ones take away. `mode` says what they are: "constant" the value (0), "reflect" the elements mirrored at
    the edge, "replicate" the edge, "circular" those of the other end. x̄ is ȳ, with what the edges got added where it came from.

    RuntimeError for more padding than there are elements (reflect: n − 1, circular: n), NotImplementedError for other modes.
    """
    x = check_tensor("pad", input)
    pads = _pads("pad", x, pad)
    if mode == "constant":
        return _pad_constant(x, pads, 0.0 if value is None else value)
    if mode not in MODES:
        raise NotImplementedError(f"pad: mode expects 'constant', 'reflect', 'replicate' or 'circular', got {mode!r}")
    if value is not None:
        raise ValueError(f"pad: value expects None with mode {mode!r}, got {value}")
    x, pads = _crop(x, pads)
    for n, p in zip(x.shape, pads):
        most = {"reflect": n - 1, "circular": n, "replicate": max(p) if n else 0}[mode]
        if max(p) > max(most, 0):
            raise RuntimeError(
                f"pad: mode {mode!r} allows at most {max(most, 0)} for a dimension of {n}, got {list(p)}"
            )
    listed = mode == "replicate" or (mode == "reflect" and len(pad) < 6)  # in PyTorch's lists of autocast
    return (_pad_edges_cast if listed else _pad_edges)(x, mode, pads)
