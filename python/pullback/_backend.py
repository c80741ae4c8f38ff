"""Devices, and the kernel module behind each: the only file that knows which module holds an array."""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback import _cpu


class device:
    """Where a tensor lives: `device("cpu")`.

    Raises RuntimeError for a device that this build does not have.
    """

    __slots__ = ("type", "index", "kernels", "empty")
    type: str
    index: int | None

    def __init__(self, type: str | device, index: int | None = None) -> None:
        if isinstance(type, device):
            index = type.index
            type = type.type
        if not isinstance(type, str):
            raise TypeError(f"device: expected a string such as 'cpu', got {type!r}")
        name, _, number = type.partition(":")
        if name != "cpu" or (number and number != "0") or index not in (None, 0):
            raise RuntimeError(f"device: expected 'cpu', the only device of this build, got {type!r}")
        self.type = name
        self.index = index
        self.kernels: Any = _cpu  # every kernel under its own name
        self.empty: Any = _cpu.empty  # empty(shape, numpy dtype): uninitialised, from the caching allocator

    def __repr__(self) -> str:
        return f"device(type={self.type!r})"

    def __str__(self) -> str:
        return self.type

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and self.type == other.type

    def __hash__(self) -> int:
        return hash(self.type)

    def __reduce__(self) -> tuple[Any, ...]:
        return (device, (self.type,))


cpu = device("cpu")
BLOCK = type(cpu.empty((), np.dtype(np.float32)).base)  # what owns the memory of an array that `empty` made


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
