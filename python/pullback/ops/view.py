"""Views: the same elements under another shape, and copies where strides cannot say it.

A view shares its base's storage and version counter; ops/strided.py has what changes in place do to both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pullback._backend import device_of
from pullback._tape import Node, Rule, record
from pullback._tensor import Tensor, method
from pullback.ops._arrays import broadcast_array, copy_array, zeros_array
from pullback.ops._broadcast import check_tensor, normalize_dim, normalize_dims, sum_array_to, sum_to

__all__ = [
    "broadcast_to",
    "clone",
    "flatten",
    "moveaxis",
    "movedim",
    "narrow",
    "permute",
    "ravel",
    "reshape",
    "select",
    "squeeze",
    "swapaxes",
    "swapdims",
    "t",
    "transpose",
    "unflatten",
    "unsqueeze",
]


def make_view(rule: Rule, array: Any, input: Tensor, args: tuple[Any, ...] = ()) -> Tensor:
    """A tensor over part of `input`'s storage."""
    out = record(rule, array, (input,), (), args)
    out._version = input._version
    out._base = input if input._base is None else input._base
    out._generation = out._base._generation
    return out


def sizes(op: str, args: tuple[Any, ...]) -> tuple[int, ...]:
    """`f(2, 3)` and `f((2, 3))` alike."""
    if len(args) == 1 and isinstance(args[0], (tuple, list)):
        args = tuple(args[0])
    try:
        return tuple([a if type(a) is int else a.__index__() for a in args])
    except (AttributeError, TypeError):
        raise TypeError(f"{op}: shape expects ints, got {args}") from None


# --- reshape ----------------------------------------------------------------------------------------------------------


def strides_for(shape: Sequence[int], strides: Sequence[int], new: Sequence[int], itemsize: int) -> list[int] | None:
    """The strides under which the same elements have shape `new`; None where only a copy can have it."""
    if 0 in new:
        return [itemsize] * len(new)
    result = [0] * len(new)
    at = len(new) - 1
    dims = [(n, s) for n, s in zip(shape, strides) if n != 1]
    i = len(dims) - 1
    while i >= 0:
        # A run of dimensions that lie side by side in memory…
        length, stride = dims[i]
        inner = stride
        while i > 0 and dims[i - 1][1] == length * inner:
            length *= dims[i - 1][0]
            i -= 1
        i -= 1
        # …is cut anew.
        while at >= 0 and (length > 1 or new[at] == 1):
            if length % new[at]:
                return None
            result[at] = stride
            stride *= new[at]
            length //= new[at]
            at -= 1
        if length != 1:
            return None
    while at >= 0:
        result[at] = itemsize
        at -= 1
    return result


def reshape_array(array: Any, new: tuple[int, ...]) -> Any:
    """The array under another shape: a view where strides can say it, else a copy."""
    if array.flags.c_contiguous:
        return array.reshape(new)
    strides = strides_for(array.shape, array.strides, new, array.itemsize)
    if strides is None:
        return copy_array(array).reshape(new)
    return device_of(array).as_strided(array, new, strides)


def infer_shape(op: str, shape: tuple[int, ...], numel: int) -> tuple[int, ...]:
    """A shape with one −1 filled in; RuntimeError where it cannot hold `numel` elements."""
    if shape.count(-1) == 1:
        rest = 1
        for n in shape:
            rest *= n if n != -1 else 1
        if rest > 0 and numel % rest == 0:
            return tuple([numel // rest if n == -1 else n for n in shape])
    else:
        product = 1
        for n in shape:
            product *= n
        if product == numel and min(shape, default=0) >= 0:
            return shape
    raise RuntimeError(f"{op}: shape {list(shape)} is invalid for {numel} elements")


_RESHAPE = Rule(
    "reshape",
    lambda node, dy: (reshape_array(dy, node.args[0]),),
    lambda node, dy: (dy.reshape(node.args[0]),),
)


@method
def reshape(input: Tensor, *shape: Any) -> Tensor:
    """The elements in row-major order under another shape, one size of which may be −1. A view where possible."""
    x = check_tensor("reshape", input)._array
    new = infer_shape("reshape", sizes("reshape", shape), x.size)
    array = reshape_array(x, new)
    if not x.flags.c_contiguous and not input.device.may_share_memory(array, x):
        return record(_RESHAPE, array, (input,), (), (x.shape,))
    return make_view(_RESHAPE, array, input, (x.shape,))


@method
def view(input: Tensor, *shape: Any) -> Tensor:
    """`reshape` that never copies: RuntimeError where the strides do not allow a view."""
    from pullback._dtype import dtype

    if len(shape) == 1 and isinstance(shape[0], dtype):
        return make_view(_no_gradient("view(dtype)"), input._array.view(shape[0].numpy), input.detach())
    x = check_tensor("view", input)._array
    new = infer_shape("view", sizes("view", shape), x.size)
    if strides_for(x.shape, x.strides, new, x.itemsize) is None:
        raise RuntimeError(
            f"view: shape {list(new)} is not a view of shape {list(x.shape)} with strides {list(input.stride())}; use reshape()"
        )
    return make_view(_RESHAPE, reshape_array(x, new), input, (x.shape,))


def _no_gradient(name: str) -> Rule:
    def refuse(node: Node, dy: Any) -> Any:
        raise RuntimeError(f"{name}: has no derivative")

    return Rule(name, refuse, refuse)


@method
def view_as(input: Tensor, other: Tensor) -> Tensor:
    """`view(other.shape)`."""
    return view(input, other.shape)


@method
def reshape_as(input: Tensor, other: Tensor) -> Tensor:
    """`reshape(other.shape)`."""
    return reshape(input, other.shape)


@method
def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Dimensions start_dim … end_dim merged into one."""
    n = check_tensor("flatten", input).ndim
    start = normalize_dim("flatten", start_dim, n, "start_dim")
    end = normalize_dim("flatten", end_dim, n, "end_dim")
    if start > end:
        raise RuntimeError(f"flatten: start_dim expects at most end_dim, got {start_dim} and {end_dim}")
    shape = input.shape
    merged = 1
    for size in shape[start : end + 1]:
        merged *= size
    return reshape(input, (*shape[:start], merged, *shape[end + 1 :]))


@method
def ravel(input: Tensor) -> Tensor:
    """One dimension."""
    return reshape(input, (input.numel(),))


@method
def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """One dimension cut into several, one of whose sizes may be −1."""
    d = normalize_dim("unflatten", dim, check_tensor("unflatten", input).ndim)
    shape = input.shape
    cut = infer_shape("unflatten", tuple(sizes), shape[d])
    return reshape(input, (*shape[:d], *cut, *shape[d + 1 :]))


# --- order of dimensions ----------------------------------------------------------------------------------------------


def _inverse(order: Sequence[int]) -> tuple[int, ...]:
    inverse = [0] * len(order)
    for to, source in enumerate(order):
        inverse[source] = to
    return tuple(inverse)


_PERMUTE = Rule(
    "permute",
    lambda node, dy: (dy.transpose(_inverse(node.args[0])),),
    lambda node, dy: (dy.permute(_inverse(node.args[0])),),
)


@method
def permute(input: Tensor, *dims: Any) -> Tensor:
    """y[i_{d0}, i_{d1}, …] = x[i_0, i_1, …]: dimension k of the view is dimension dims[k] of the input."""
    n = check_tensor("permute", input).ndim
    order = normalize_dims("permute", sizes("permute", dims), n, "dims")
    if len(order) != n:
        raise RuntimeError(f"permute: dims expects {n} dimensions for shape {list(input.shape)}, got {list(order)}")
    return permuted(input, order)


def permuted(input: Tensor, order: tuple[int, ...]) -> Tensor:
    """`permute` by an order that is known to be one."""
    return make_view(_PERMUTE, input._array.transpose(order), input, (order,))


@method(name=("transpose", "swapaxes", "swapdims"))
def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two dimensions exchanged."""
    n = check_tensor("transpose", input).ndim
    a, b = normalize_dim("transpose", dim0, n, "dim0"), normalize_dim("transpose", dim1, n, "dim1")
    order = list(range(n))
    if n:
        order[a], order[b] = b, a
    return permuted(input, tuple(order))


swapaxes = swapdims = transpose


@method
def t(input: Tensor) -> Tensor:
    """The transpose of a matrix; vectors and scalars as they are. RuntimeError for more than 2 dimensions."""
    if check_tensor("t", input).ndim > 2:
        raise RuntimeError(f"t: input expects at most 2 dimensions, got shape {list(input.shape)}")
    return transpose(input, 0, 1) if input.ndim == 2 else view(input, input.shape)


@method
def movedim(input: Tensor, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """Dimensions moved to new places, the others keeping their order."""
    n = check_tensor("movedim", input).ndim
    src, dst = (
        normalize_dims("movedim", source, n, "source"),
        normalize_dims("movedim", destination, n, "destination"),
    )
    if len(src) != len(dst):
        raise RuntimeError(f"movedim: destination expects {len(src)} dimensions as source, got {len(dst)}")
    rest = iter([d for d in range(n) if d not in src])
    return permute(input, [src[dst.index(d)] if d in dst else next(rest) for d in range(n)])


moveaxis = movedim
method(name="moveaxis")(movedim)


# --- dimensions of size 1, and stretched ones -------------------------------------------------------------------------


@method
def squeeze(input: Tensor, dim: int | Sequence[int] | None = None) -> Tensor:
    """Without the dimensions of size 1 (those of `dim` only, where given)."""
    dims = normalize_dims("squeeze", dim, check_tensor("squeeze", input).ndim)
    x = input._array
    keep = [d for d in range(x.ndim) if x.shape[d] != 1 or d not in dims]
    array = input.device.as_strided(x, [x.shape[d] for d in keep], [x.strides[d] for d in keep])
    return make_view(_RESHAPE, array, input, (x.shape,))


@method
def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """With a dimension of size 1 at `dim`."""
    d = normalize_dim("unsqueeze", dim, check_tensor("unsqueeze", input).ndim + 1)
    key = (slice(None),) * d + (None,)
    return make_view(_RESHAPE, input._array[key], input, (input._array.shape,))


_EXPAND = Rule(
    "expand",
    lambda node, dy: (sum_array_to(dy, node.args[0]),),
    lambda node, dy: (sum_to(dy, node.args[0]),),
)


@method
def expand(input: Tensor, *shape: Any) -> Tensor:
    """A view in which dimensions of size 1 are stretched (stride 0); −1 keeps a size. x̄ = ȳ summed over them."""
    x = check_tensor("expand", input)._array
    new = sizes("expand", shape)
    lead = len(new) - x.ndim
    full = tuple([x.shape[d - lead] if n == -1 and d >= lead else n for d, n in enumerate(new)])
    fits = lead >= 0 and -1 not in full and all(x.shape[i] in (1, full[lead + i]) for i in range(x.ndim))
    if not fits:
        raise RuntimeError(f"expand: shape {list(new)} does not stretch shape {list(x.shape)}")
    return make_view(_EXPAND, broadcast_array(x, full), input, (x.shape,))


@method
def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """`expand(other.shape)`."""
    return expand(input, other.shape)


@method
def broadcast_to(input: Tensor, shape: Sequence[int]) -> Tensor:
    """`expand(shape)`."""
    return expand(input, tuple(shape))


# --- basic indexing ---------------------------------------------------------------------------------------------------


def zeros_with(shape: tuple[int, ...], key: Any, values: Any) -> Any:
    """Zeros of a shape, with values at a basic index."""
    out = zeros_array(shape, values)
    device_of(out).kernels.copy(values, out[key])
    return out


_SLICE = Rule(
    "slice",
    lambda node, dy: (zeros_with(node.args[1], node.args[0], dy),),
    lambda node, dy: (slice_backward(dy, *node.args),),
)
_SLICE_BACKWARD = Rule(
    "slice_backward",
    lambda node, dy: (copy_array(dy[node.args[0]]),),
    lambda node, dy: (slice_view(dy, node.args[0]),),
)


def slice_view(input: Tensor, key: tuple[Any, ...]) -> Tensor:
    """The view at a basic index (ints, slices, None, Ellipsis; the caller has checked it)."""
    full = key if Ellipsis in key else (*key, Ellipsis)  # with an Ellipsis NumPy returns an array, never a scalar
    return make_view(_SLICE, input._array[full], input, (full, input._array.shape))


def slice_backward(dy: Tensor, key: tuple[Any, ...], shape: tuple[int, ...]) -> Tensor:
    """The pullback of `slice_view`: zeros but for dy at the index."""
    array = zeros_with(shape, key, dy._array)
    return record(_SLICE_BACKWARD, array, (dy,), (), (key,))


@method
def narrow(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    """Indices start … start + length − 1 of one dimension."""
    d = normalize_dim("narrow", dim, check_tensor("narrow", input).ndim)
    size = input.shape[d]
    start = start + size if start < 0 else start
    if not 0 <= start <= start + length <= size:
        raise RuntimeError(f"narrow: start {start} and length {length} exceed dimension {d} of size {size}")
    return slice_view(input, (slice(None),) * d + (slice(start, start + length),))


@method
def select(input: Tensor, dim: int, index: int) -> Tensor:
    """One index of one dimension, which goes."""
    d = normalize_dim("select", dim, check_tensor("select", input).ndim)
    size = input.shape[d] if input.ndim else 0
    if not -size <= index < size:
        raise IndexError(f"select: index {index} is out of range for dimension {d} of size {size}")
    return slice_view(input, (slice(None),) * d + (index,))


# --- copies -----------------------------------------------------------------------------------------------------------

IDENTITY = Rule("clone", lambda node, dy: (dy,), lambda node, dy: (dy,))


@method
def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """A row-major copy; x̄ = ȳ."""
    return record(IDENTITY, copy_array(check_tensor("clone", input)._array), (input,))


@method
def contiguous(input: Tensor, memory_format: Any = None) -> Tensor:
    """The tensor itself if it is row-major without gaps, else a copy that is."""
    return input if input._array.flags.c_contiguous else clone(input)


@method
def copy_(self: Tensor, src: Any, non_blocking: bool = False) -> Tensor:
    """Overwrite with src, broadcast and converted to this tensor's dtype."""
    from pullback.ops import create

    src = create.as_tensor(src)
    value = expand(src, self.shape) if src.shape != self.shape else src
    return self._assign(value.to(self.device, self.dtype))


_TO_DTYPE = Rule(
    "to",
    lambda node, dy: (copy_array(dy, node.args[0].numpy),),
    lambda node, dy: (to_dtype(dy, node.args[0]),),
)


def to_dtype(input: Tensor, dtype: Any) -> Tensor:
    """The elements converted; the tensor itself where nothing changes."""
    if input.dtype is dtype:
        return input
    out = record(
        _TO_DTYPE,
        copy_array(input._array, dtype.numpy),
        (input,) if dtype.is_floating_point else (),
        (),
        (input.dtype,),
    )
    return out
