"""Devices, and the kernel module behind each: the only file that knows which module holds an array."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pullback import _core, _cpu
from pullback._core import as_strided, device_of as device_of

_OFFERS = (
    "kernels",
    "empty",
    "as_strided",
    "pointer",
    "root",
    "owns",
    "may_share_memory",
    "to_host",
    "from_host",
)


class device:
    """Where a tensor lives: `device("cpu")`. There is one object for each, so that `is` compares them.

    Raises RuntimeError for a device that this build does not have.

    An op's kernels and memory are those of the device of the tensor or array at hand, `device_of(array)`, which offers
        kernels                            every kernel under its own name
        empty(shape, dtype)                an uninitialised array of a NumPy dtype, from the device's allocator
        as_strided(array, shape, strides)  the array's memory under another shape and strides (bytes)
        pointer(array)                     the address of its first element
        root(array)                        the array that owns its memory
        owns(array)                        whether its memory is the allocator's, and it is all of it, row-major
        may_share_memory(a, b)             whether the memory of two arrays of the device may overlap
        to_host(array), from_host(array)   to NumPy, and from it: a copy, but for NumPy's own arrays
    """

    __slots__ = ("type", "index", *_OFFERS)
    type: str
    index: int | None
    kernels: Any
    empty: Callable[[tuple[int, ...], Any], Any]
    as_strided: Callable[[Any, Any, Any], Any]
    pointer: Callable[[Any], int]
    root: Callable[[Any], Any]
    owns: Callable[[Any], bool]
    may_share_memory: Callable[[Any, Any], bool]
    to_host: Callable[[Any], np.ndarray[Any, Any]]
    from_host: Callable[[np.ndarray[Any, Any]], Any]

    def __new__(cls, type: str | device, index: int | None = None) -> device:
        if isinstance(type, device):
            return type
        if not isinstance(type, str):
            raise TypeError(f"device: expected a string such as 'cpu', got {type!r}")
        name, _, number = type.partition(":")
        if name != "cpu" or (number and number != "0") or index not in (None, 0):
            raise RuntimeError(f"device: expected 'cpu', the only device of this build, got {type!r}")
        if (name, None) not in _devices:
            made = _devices[name, None] = object.__new__(cls)
            made.type, made.index = name, None
        return _devices[name, None]

    def __repr__(self) -> str:
        return f"device(type={self.type!r})"

    def __str__(self) -> str:
        return self.type

    def __reduce__(self) -> tuple[Any, ...]:
        return (device, (self.type,))


_devices: dict[tuple[str, int | None], device] = {}

# --- the CPU: NumPy arrays --------------------------------------------------------------------------------------------

cpu: device = device("cpu")
_BLOCK = type(_cpu.empty((), np.dtype(np.float32)).base)  # what owns the memory of an array that `empty` made


def _root(array: Any) -> Any:
    return array.base if isinstance(array.base, np.ndarray) and type(array.base.base) is _BLOCK else array


cpu.kernels = _cpu
cpu.empty = _cpu.empty  # from the caching allocator
cpu.as_strided = as_strided
cpu.pointer = lambda array: array.__array_interface__["data"][0]
cpu.root = _root
cpu.owns = lambda array: type(array.base) is _BLOCK and array.flags.c_contiguous
cpu.may_share_memory = np.may_share_memory
cpu.to_host = cpu.from_host = lambda array: array

_core.connect(device=cpu, devices={}, block=_BLOCK)


def as_device(value: Any) -> device:
    """A device from a device, its name, or None (the CPU)."""
    return cpu if value is None or value is cpu else device(value)


def adopt(array: Any, op: str) -> np.ndarray[Any, Any]:
    """The array as kernels can read it: native byte order, aligned, strides of whole elements; a copy only if it must."""
    itemsize = array.dtype.itemsize
    if type(array) is not np.ndarray:
        array = array.view(np.ndarray)  # np.matrix and the like: what they change about shapes ends here
    if array.dtype.isnative and array.flags.aligned and not any(s % itemsize for s in array.strides):
        return array  # type: ignore[no-any-return]
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return np.require(array.copy(), requirements=["A"])
