"""What ops do with arrays on whichever device holds them: new ones, copies, and views that strides can say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback._backend import device_of


def empty_as(x: Any) -> Any:
    """An uninitialised array of x's shape and dtype, its dimensions in memory in the order that x's have."""
    return device_of(x).empty(x.shape, x.dtype) if x.flags.c_contiguous else empty_ordered(x.shape, x)


def empty_ordered(shape: Sequence[int], like: Any) -> Any:
    """An uninitialised array of a shape, its dimensions in memory in the order that those of `like` have."""
    order = sorted(range(like.ndim), key=lambda d: -abs(like.strides[d]))
    inverse = [order.index(d) for d in range(like.ndim)]
    return device_of(like).empty(tuple([shape[d] for d in order]), like.dtype).transpose(inverse)


def fill_array(array: Any, value: Any) -> Any:
    """array_i = value; integers exactly."""
    kernels = device_of(array).kernels
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        kernels.fill_integer(array, int(value))
    else:
        kernels.fill(array, float(value))
    return array


def zeros_array(shape: Sequence[int], like: Any) -> Any:
    """Zeros beside an array, of its dtype."""
    on = device_of(like)
    out = on.empty(tuple(shape), like.dtype)
    on.kernels.fill(out, 0.0)
    return out


def copy_array(x: Any, dtype: Any = None) -> Any:
    """A row-major copy, converted to `dtype`."""
    on = device_of(x)
    out = on.empty(x.shape, x.dtype if dtype is None else dtype)
    on.kernels.copy(x, out)
    return out


def apart(a: Any, x: Any) -> Any:
    """a, or a copy of it where its memory may overlap x's, which is about to be written."""
    return copy_array(a) if device_of(x).may_share_memory(a, x) else a


def broadcast_array(x: Any, shape: Sequence[int]) -> Any:
    """A view in which dimensions of size 1, and new ones in front, are stretched (stride 0)."""
    lead = len(shape) - x.ndim
    strides = [0] * lead + [s if n == shape[lead + d] else 0 for d, (n, s) in enumerate(zip(x.shape, x.strides))]
    return device_of(x).as_strided(x, shape, strides)
