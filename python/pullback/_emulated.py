"""Arrays of the device "cuda-emulated", which test builds have: host memory behind the part of CuPy's interface that pullback
uses, so that ops, tape, nn and optimizers run on the CUDA kernels without a GPU.

They compute nothing and never become NumPy arrays by themselves: an op that goes around the kernels fails.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from pullback import _cuda_emulated as kernels

_STREAM = 0


def _allocate(size: int) -> Any:
    memory = np.empty(size, np.uint8)
    return SimpleNamespace(ptr=memory.ctypes.data, memory=memory)


kernels.connect(lambda: _STREAM, _allocate)


class Array:
    """A view of host memory that says it were a GPU's."""

    __slots__ = ("_host", "allocated", "base", "device")
    __array_ufunc__ = None  # NumPy's operators give way, and fail

    def __init__(
        self, host: np.ndarray[Any, Any], index: int, base: Array | None = None, allocated: bool = False
    ) -> None:
        self._host = host
        self.device = SimpleNamespace(id=index)
        self.base = base  # the array that it is a view of; None for a window of any strides, as in CuPy
        self.allocated = allocated

    def _view(self, host: np.ndarray[Any, Any]) -> Array:
        if host.size and not np.may_share_memory(host, self._host):
            raise AssertionError("a view of an emulated array would be a copy, which no kernel made")
        return Array(host, self.device.id, self if self.base is None else self.base)

    @property
    def data(self) -> Any:
        return SimpleNamespace(ptr=self._host.__array_interface__["data"][0], device_id=self.device.id)

    shape = property(lambda self: self._host.shape)
    strides = property(lambda self: self._host.strides)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    itemsize = property(lambda self: self._host.itemsize)
    nbytes = property(lambda self: self._host.nbytes)
    flags = property(lambda self: self._host.flags)
    T = property(lambda self: self._view(self._host.T))

    def reshape(self, *shape: Any) -> Array:
        return self._view(self._host.reshape(*shape))

    def transpose(self, *axes: Any) -> Array:
        return self._view(self._host.transpose(*axes))

    def swapaxes(self, axis1: int, axis2: int) -> Array:
        return self._view(self._host.swapaxes(axis1, axis2))

    def view(self, dtype: Any) -> Array:
        return self._view(self._host.view(dtype))

    def __getitem__(self, key: Any) -> Array:
        parts = key if isinstance(key, tuple) else (key,)
        if not all(part is None or part is Ellipsis or isinstance(part, (int, slice)) for part in parts):
            raise TypeError(f"an emulated array is indexed by ints, slices, None and Ellipsis only, got {key!r}")
        return self._view(self._host[(*parts, ...) if Ellipsis not in parts else parts])

    def get(self) -> Any:
        """A copy on the host; of row-major arrays only, since the rest would take a kernel of CuPy's."""
        if not self.flags.c_contiguous:
            raise AssertionError("get: expected a row-major array")
        return self._host.copy()

    def set(self, array: np.ndarray[Any, Any]) -> None:
        """Take over the elements of an array of the host."""
        if array.shape != self.shape or array.dtype != self.dtype or not self.flags.c_contiguous:
            raise AssertionError(f"set: expected {self.dtype} of shape {self.shape}, got {array.dtype}, {array.shape}")
        self._host[...] = array

    def __array__(self, *options: Any, **keywords: Any) -> Any:
        raise TypeError("an emulated array does not become a NumPy array; use get()")

    __iter__ = None


def current_index() -> int:
    """The GPU that "cuda-emulated" means."""
    return 0


def allocator(index: int) -> Any:
    """empty(shape, dtype) of a GPU."""
    return lambda shape, dtype: Array(np.empty(shape, dtype), index, allocated=True)


def as_strided(array: Array, shape: Any, strides: Any) -> Array:
    """The memory under another shape and strides."""
    return Array(np.lib.stride_tricks.as_strided(array._host, shape, strides), array.device.id)


def is_allocated(array: Array) -> bool:
    """Whether the memory of an array without base is the allocator's."""
    return array.allocated
