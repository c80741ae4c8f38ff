"""What elementwise ops share: shapes and dtypes of several operands, and the way back (x̄ summed to x's shape)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback import _dtype
from pullback._backend import cpu, device, device_of
from pullback._dtype import dtype
from pullback._tensor import Tensor
from pullback.ops._arrays import fill_array

Number = (bool, int, float)


def broadcast_shapes(op: str, *shapes: Sequence[int]) -> tuple[int, ...]:
    """The common shape, dimensions aligned at the right, size 1 stretching; RuntimeError where they do not fit."""
    ndim = max([len(s) for s in shapes])
    result = []
    for d in range(-ndim, 0):
        size = 1
        for s in shapes:
            if len(s) >= -d and s[d] != 1:
                if size not in (1, s[d]):
                    listed = " and ".join(str(list(t)) for t in shapes)
                    raise RuntimeError(
                        f"{op}: shapes {listed} do not broadcast: {size} against {s[d]} in dimension {d}"
                    )
                size = s[d]
        result.append(size)
    return tuple(result)


def scalar_tensor(value: Any, like: dtype, device: device) -> Tensor:
    """A Python number as a tensor without dimensions."""
    array = device.empty((), like.numpy)
    # Of the halves NumPy lacks one, and warns where a number overflows in the other.
    if device is not cpu or like.itemsize < _dtype.of_computing(like).itemsize:
        return Tensor._wrap(fill_array(array, value))
    try:
        array[()] = value
    except OverflowError:  # an integer that does not fit wraps around, as in PyTorch
        array[()] = np.int64(value).astype(like.numpy)
    return Tensor._wrap(array)


def result_type(*operands: Any) -> dtype:
    """PyTorch's promotion: tensors with dimensions decide, then tensors without, then Python numbers, unless one of the
    later ones is of a higher category (bool < integer < floating point)."""
    by_rank: list[dtype | None] = [None, None, None]
    for x in operands:
        rank, d = (2, _dtype.of_scalar(x)) if not isinstance(x, Tensor) else (0 if x._array.ndim else 1, x.dtype)
        before = by_rank[rank]
        by_rank[rank] = d if before is None else _dtype.promote_types(before, d)
    result: dtype | None = None
    for d_ in by_rank:
        if d_ is not None and (result is None or d_.category > result.category):
            result = d_
    assert result is not None
    return result


def promote(op: str, a: Any, b: Any, floating: bool = False, exact: bool = False) -> tuple[Tensor, Tensor]:
    """Two operands (one at least a tensor) as tensors of their common dtype; of a floating-point one if `floating`. If
    `exact`, a number beside halves is a tensor of float32, and not rounded."""
    if type(b) in (float, int) and isinstance(a, Tensor):  # the common case, which changes nothing about a
        if a.dtype.category == 2 or (a.dtype.category == 1 and type(b) is int and not floating):
            return a, scalar_tensor(b, _dtype.of_computing(a.dtype) if exact else a.dtype, a.device)
    if floating or type(a) is not type(b) or not isinstance(a, Tensor) or a.dtype is not b.dtype:
        a, b = [x.item() if isinstance(x, np.generic) else x for x in (a, b)]
        if isinstance(a, Number) and isinstance(b, Number):
            raise TypeError(
                f"{op}: expected a Tensor among the operands, got {type(a).__name__} and {type(b).__name__}"
            )
        for name, x in (("input", a), ("other", b)):
            if not isinstance(x, (Tensor, *Number)) and not hasattr(x, "__array__"):
                raise TypeError(f"{op}: {name} expects a Tensor or a number, got {type(x).__name__}")
        if not isinstance(a, (Tensor, *Number)):
            a = from_array(a)
        if not isinstance(b, (Tensor, *Number)):
            b = from_array(b)
        common = result_type(a, b)
        if floating and not common.is_floating_point:
            common = _dtype.get_default_dtype()
        of_number = _dtype.of_computing(common) if exact else common
        a = a.to(common) if isinstance(a, Tensor) else scalar_tensor(a, of_number, b.device)
        b = b.to(common) if isinstance(b, Tensor) else scalar_tensor(b, of_number, a.device)
    if a.device is not b.device:
        a, b = on_one_device(op, ("input", "other"), (a, b))
    return a, b


def on_one_device(op: str, names: Sequence[str], tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    """The tensors, those without dimensions on the CPU being moved to the device of the others.

    RuntimeError where there is more than one device.
    """
    first = tensors[0].device
    for t in tensors:
        if t.device is not first:
            break
    else:
        return tensors
    others = {t.device for t in tensors} - {cpu}
    if len(others) > 1 or any(t._array.ndim for t in tensors if t.device is cpu):
        check_devices(op, **dict(zip(names, tensors)))
    return [t.to(*others) for t in tensors]


def check_devices(op: str, **named: Tensor) -> None:
    """RuntimeError where tensors live on different devices."""
    if len({t.device for t in named.values()}) > 1:
        found = ", ".join([f"{name} on {t.device}" for name, t in named.items()])
        raise RuntimeError(f"{op}: expected all tensors on one device, got {found}")


def from_array(value: Any) -> Tensor:
    """A NumPy array or number as a tensor."""
    from pullback.ops import create

    return create.as_tensor(value)


def to_float(x: Tensor) -> Tensor:
    """x itself, or an integer tensor converted to the default floating-point type."""
    return x if x.dtype.is_floating_point else x.to(_dtype.get_default_dtype())


def sum_array_to(g: Any, shape: tuple[int, ...]) -> Any:
    """The pullback of broadcasting on arrays: g summed over the dimensions that were stretched."""
    if g.shape == shape:
        return g
    lead = g.ndim - len(shape)
    kept = (1,) * lead + tuple([1 if n == 1 else m for n, m in zip(shape, g.shape[lead:])])
    out = device_of(g).empty(shape, g.dtype)  # not a view, so that a leaf may keep it
    device_of(g).kernels.sum(g, out.reshape(kept))
    return out


def sum_to(g: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The same in ops."""
    if g.shape == shape:
        return g
    lead = g.ndim - len(shape)
    dims = [*range(lead), *[lead + i for i, n in enumerate(shape) if n == 1 and g.shape[lead + i] != 1]]
    return g.sum(dims, keepdim=True).reshape(shape)


def normalize_dim(op: str, dim: int, ndim: int, what: str = "dim") -> int:
    """`dim` counted from the front; IndexError where it is out of range."""
    if not isinstance(dim, int):
        if not hasattr(dim, "__index__"):
            raise TypeError(f"{op}: {what} expects an int, got {type(dim).__name__}")
        dim = dim.__index__()
    n = max(ndim, 1)
    if not -n <= dim < n:
        raise IndexError(f"{op}: {what} expects a value from {-n} to {n - 1} for {ndim} dimensions, got {dim}")
    return dim % n


def normalize_dims(op: str, dims: Any, ndim: int, what: str = "dim") -> tuple[int, ...]:
    """Several dimensions, each once, counted from the front; None means all."""
    if dims is None:
        return tuple(range(ndim))
    given = (dims,) if isinstance(dims, int) else tuple(dims)
    normal = tuple([normalize_dim(op, d, ndim, what) for d in given])
    if len(set(normal)) != len(normal):
        raise RuntimeError(f"{op}: {what} expects each dimension once, got {list(given)}")
    return normal


def check_tensor(op: str, x: Any, name: str = "input") -> Tensor:
    """x, or TypeError where it is no tensor."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{op}: {name} expects a Tensor, got {type(x).__name__}")
    return x
