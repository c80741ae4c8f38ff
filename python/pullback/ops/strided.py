"""Windows of any strides, and changes in place, which are such windows of a base.

A view shares its base's storage and version counter. A change in place through either, on the tape, moves the base onto
a new node; its views follow when they are used next (`Tensor._follow_base`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pullback._backend import device_of
from pullback._dtype import int64
from pullback._tape import Node, Rule, grad_enabled, record
from pullback._tensor import Tensor, method
from pullback.ops import view
from pullback.ops._arrays import apart, broadcast_array, copy_array, zeros_array
from pullback.ops._broadcast import check_tensor

__all__ = ["as_strided", "as_strided_scatter"]

_ADD = 1  # index_put's mode

# --- any strides ------------------------------------------------------------------------------------------------------


def _window(flat: Any, offset: int, shape: Sequence[int], strides: Sequence[int]) -> Any:
    """The part of a flat array at an offset (elements) with a shape and strides (elements)."""
    if 0 in shape:
        return flat[:0].reshape(shape)
    return device_of(flat).as_strided(flat[offset:], shape, [s * flat.itemsize for s in strides])


def _extent(shape: Sequence[int], strides: Sequence[int]) -> int:
    return 1 + sum((n - 1) * s for n, s in zip(shape, strides)) if 0 not in shape else 1


def _overlaps(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether an element may be reached twice: some stride is within the reach of the smaller ones."""
    reach = 0
    for s, n in sorted([(s, n) for n, s in zip(shape, strides) if n > 1]):
        if s <= reach:
            return True
        reach += (n - 1) * s
    return False


def _elements(array: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return array.shape, tuple([s // array.itemsize for s in array.strides])


def _scattered(dy: Any, offset: int, shape: Any, strides: Any, base_shape: Any, base_strides: Any) -> Any:
    """Zeros laid out as the base, with dy in the window."""
    on = device_of(dy)
    flat = zeros_array((max(_extent(base_shape, base_strides), offset + _extent(shape, strides)),), dy)
    if _overlaps(shape, strides):
        places = on.empty(flat.shape, int64.numpy)
        on.kernels.arange(places, 0, 1)
        on.kernels.index_put(flat, [_window(places, offset, shape, strides)], dy, _ADD, False)
    else:
        on.kernels.copy(dy, _window(flat, offset, shape, strides))
    return _window(flat, 0, base_shape, base_strides)


def _as_strided_ops(node: Node, dy: Tensor) -> tuple[Tensor]:
    offset, shape, strides, base_shape, base_strides = node.args
    if _overlaps(shape, strides):
        raise RuntimeError("as_strided: where elements overlap, its pullback cannot be differentiated again")
    zero = Tensor._wrap(_scattered(broadcast_array(zeros_array((), dy._array), shape), *node.args))
    return (as_strided_scatter(zero, dy, shape, strides, offset),)


_AS_STRIDED = Rule("as_strided", lambda node, dy: (_scattered(dy, *node.args),), _as_strided_ops)


def _check_window(op: str, x: Any, offset: int, shape: Sequence[int], strides: Sequence[int]) -> None:
    own_shape, own_strides = _elements(x)
    if min(own_strides, default=0) < 0 or min(strides, default=0) < 0:
        raise RuntimeError(f"{op}: negative strides are not supported, got {list(own_strides)} and {list(strides)}")
    if len(shape) != len(strides) or offset < 0:
        raise RuntimeError(
            f"{op}: expected one stride for each of {list(shape)} and an offset ≥ 0, got {list(strides)}, {offset}"
        )
    if 0 not in shape and (0 in own_shape or offset + _extent(shape, strides) > _extent(own_shape, own_strides)):
        raise RuntimeError(
            f"{op}: size {list(shape)}, stride {list(strides)}, offset {offset} reach beyond the storage"
        )


@method
def as_strided(input: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None) -> Tensor:
    """A view with any shape, strides and offset (elements, from the storage's first; None: the input's own).

    x̄ is the sum over all places where the view shows an element. RuntimeError for a window that reaches beyond the
    input, or for the gradient of an input whose own elements overlap.
    """
    x = check_tensor("as_strided", input)._array
    offset = 0 if storage_offset is None else storage_offset - storage_offset_of(input)
    _check_window("as_strided", x, offset, size, stride)
    if _overlaps(*_elements(x)) and input.requires_grad:
        raise RuntimeError("as_strided: the input's elements overlap, so that it has no gradient; clone() it first")
    on = input.device
    whole = on.as_strided(x, (0 if 0 in x.shape else _extent(*_elements(x)),), (x.itemsize,))
    array = on.as_strided(whole[offset:], size, [s * x.itemsize for s in stride])
    return view.make_view(_AS_STRIDED, array, input, (offset, tuple(size), tuple(stride), *_elements(x)))


@method(name="storage_offset")
def storage_offset_of(input: Tensor) -> int:
    """Where the first element lies in its storage, in elements."""
    x = input._array
    pointer, root = input.device.pointer, input.device.root(x)
    if root is x and input._base is not None:
        root = input._base._array
    return (pointer(x) - pointer(root)) // int(x.itemsize)


def _overwrite_pullback(node: Node, dy: Any) -> tuple[Any, Any]:
    """y = base with `src` in a window: base̅ = ȳ outside the window, src̅ = ȳ inside."""
    offset, shape, strides, base_shape, base_strides = node.args
    on = device_of(dy)
    flat = on.empty((_extent(base_shape, base_strides),), dy.dtype)
    base = _window(flat, 0, base_shape, base_strides)
    on.kernels.copy(dy, base)
    window = _window(flat, offset, shape, strides)
    d_src = copy_array(window)
    on.kernels.fill(window, 0.0)
    return base, d_src


def _overwrite_ops(node: Node, dy: Tensor) -> tuple[Tensor, Tensor]:
    offset, shape, strides, base_shape, base_strides = node.args
    dense = dy.contiguous()
    if _elements(dense._array)[1] != base_strides:
        raise RuntimeError("as_strided_scatter: its second derivative needs a row-major base")
    zero = Tensor._wrap(zeros_array(shape, dense._array))
    return as_strided_scatter(dense, zero, shape, strides, offset), as_strided(dense, shape, strides, offset)


_OVERWRITE = Rule("as_strided_scatter", _overwrite_pullback, _overwrite_ops)


@method
def as_strided_scatter(
    input: Tensor, src: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int = 0
) -> Tensor:
    """A copy of the input with `src` in the window that `as_strided` would show."""
    x = check_tensor("as_strided_scatter", input)._array
    _check_window("as_strided_scatter", x, storage_offset, size, stride)
    shape, strides = _elements(x)
    on = input.device
    flat = on.empty((_extent(shape, strides),), x.dtype)
    out = _window(flat, 0, shape, strides)
    on.kernels.copy(x, out)
    on.kernels.copy(src._array, _window(flat, storage_offset, size, stride))
    return record(_OVERWRITE, out, (input, src), (), (storage_offset, tuple(size), tuple(stride), shape, strides))


# --- changes in place -------------------------------------------------------------------------------------------------


def check_writable_leaf(t: Tensor) -> None:
    """RuntimeError where t, or what it is a view of, is a leaf that requires grad."""
    root = t if t._base is None else t._base
    if root._requires_grad and root._node is None:
        what = "a leaf" if root is t else "a view of a leaf"
        raise RuntimeError(
            f"in-place: {what} that requires grad (shape {list(root.shape)}) is changed in place; do it under no_grad()"
        )


def overwrite(t: Tensor, new: Tensor) -> None:
    """Write a result into t's storage; RuntimeError where its shape or kind of number does not fit."""
    if new._array.shape != t._array.shape and new._array.size != 1:
        raise RuntimeError(f"in-place: the result has shape {list(new.shape)}, expected {list(t.shape)}")
    if new.dtype.category > t.dtype.category:
        raise RuntimeError(f"in-place: a result of dtype {new.dtype} cannot be stored as {t.dtype}")
    check_overlap(t)
    source = new._array
    if source is not t._array:
        t.device.kernels.copy(apart(source, t._array), t._array)
    t._version[0] += 1


def check_overlap(t: Tensor) -> None:
    """RuntimeError where several elements of t share memory, as in an expanded tensor, or where a change in place would
    escape the tape: in a view made under no_grad() of what is on it."""
    if t._base is not None and t._base._requires_grad and not t._requires_grad and grad_enabled():
        raise RuntimeError(
            "in-place: a view made under no_grad() of a tensor that requires grad is changed in place; do both under "
            "no_grad(), or neither"
        )
    if (
        t._array.size
        and 0 in t._array.strides
        and any(s == 0 and n > 1 for n, s in zip(t._array.shape, t._array.strides))
    ):
        raise RuntimeError("in-place: several elements of the expanded tensor share memory; clone() it first")


def _geometry(t: Tensor, base: Tensor) -> tuple[Any, ...]:
    """Where a view lies in its base: offset, shape, strides of the view, shape and strides of the base, in elements."""
    pointer = t.device.pointer
    offset = (pointer(t._array) - pointer(base._array)) // t._array.itemsize
    return (offset, *_elements(t._array), *_elements(base._array))


def _folds(array: Any, most: int) -> bool:
    """Whether some dimension of more than one element has a stride of at most `most`; not where there is no element."""
    return array.size > 0 and any(n > 1 and s <= most for n, s in zip(array.shape, array.strides))


def _forget_pullback(node: Node, dy: Any) -> tuple[Any]:
    """y does not depend on what it overwrites: x̄ = 0."""
    return (zeros_array(dy.shape, dy),)


_FORGET = Rule("overwrite", _forget_pullback, lambda node, dy: (dy * 0,))


def move(t: Tensor, new: Tensor) -> None:
    """Put t, whose storage holds `new` now, onto new's node; where t is a view, its base with it."""
    if new.dtype is not t.dtype:
        new = new.to(t.dtype)
    if new.shape != t.shape:
        new = view.expand(new, t.shape)
    base = t if t._base is None else t._base
    old = Tensor._wrap(base._array)  # what the base was: its node without its value
    old._node, old._output, old._requires_grad = base._node, base._output, base._requires_grad
    if base is t:
        t._node, t._output, t._requires_grad = new._node, new._output, True
        if not new._requires_grad:
            t._node, t._output = Node(_FORGET, (old,), (), (), t), 0
        elif new._node is None:
            t._node, t._output = Node(view.IDENTITY, (new,), (), (), t), 0
        t._generation += 1
        return
    if _folds(t._array, 0) or _folds(base._array, -1):
        raise RuntimeError("in-place: a view with zero or negative strides cannot be changed in place on the tape")
    base._node = Node(_OVERWRITE, (old, new), (), _geometry(t, base), base)
    base._output, base._requires_grad = 0, True
    base._generation += 1
    rebase(t, base)


def rebase(t: Tensor, base: Tensor) -> None:
    """Make a view the view of what its base is now."""
    t._generation = base._generation
    t._requires_grad = base._requires_grad
    t._node, t._output = None, 0
    if base._requires_grad:
        t._node = Node(_AS_STRIDED, (base,), (), _geometry(t, base), t)
