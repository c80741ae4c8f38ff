"""Arrays of the device "cuda-emulated", which test builds have: host memory behind the part of CuPy's interface that pullback
uses, so that ops, tape, nn and optimizers run on the CUDA kernels without a GPU.

They compute nothing and never become NumPy arrays by themselves: an op that goes around the kernels fails.
"""

from __future__ import annotations

import ctypes
import math
import weakref
from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np

from pullback import _cuda_emulated as kernels
from pullback._gpu_memory import again

_STREAM = 0


class Pool:
    """What CuPy's pool says of itself: bytes in use, and with them blocks that are kept for others of their size. In truth
    every array has memory of its own, so that AddressSanitizer sees its end."""

    def __init__(self) -> None:
        self._used = self._total = self._limit = 0
        self._kept: Counter[int] = Counter()
        self._c = ctypes.CDLL(None)
        self._c.malloc.argtypes, self._c.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
        self._c.free.argtypes, self._c.free.restype = [ctypes.c_void_p], None

    def set_limit(self, size: int = 0) -> None:
        """Bytes that the pool may hold; 0 for as many as there are."""
        self._limit = size

    def used_bytes(self) -> int:
        return self._used

    def total_bytes(self) -> int:
        return self._total

    def free_all_blocks(self) -> None:
        self._kept.clear()
        self._total = self._used

    def free_and_total(self) -> tuple[int, int]:
        """As of a GPU that has the limit for its memory."""
        return max(self._limit - self._total, 0), self._limit

    def empty(self, shape: Any, dtype: Any) -> np.ndarray[Any, Any]:
        """An array of the host in memory that counts until its last view is gone. MemoryError beyond the limit."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        reused = self._kept[size] > 0
        address = self._c.malloc(size) if reused or not self._limit or self._total + size <= self._limit else None
        if address is None:
            raise MemoryError
        self._kept[size] -= reused
        self._total += 0 if reused else size
        self._used += size
        host: np.ndarray[Any, Any] = np.ndarray(shape, dtype, (ctypes.c_char * size).from_address(address))
        weakref.finalize(host, self._free, address, size).atexit = False
        return host

    def _free(self, address: int, size: int) -> None:
        self._c.free(address)
        self._used -= size
        self._kept[size] += 1


pool = Pool()


def _empty(shape: Any, dtype: Any) -> np.ndarray[Any, Any]:
    try:
        return pool.empty(shape, dtype)
    except MemoryError:
        size = math.prod(shape) * np.dtype(dtype).itemsize
        return again(lambda: pool.empty(shape, dtype), size, pool, "cuda-emulated", pool.free_and_total)  # type: ignore[no-any-return]


def _scratch(size: int) -> Any:
    memory = _empty((size,), np.uint8)
    return SimpleNamespace(ptr=memory.ctypes.data, memory=memory)


class Array:
    """A view of host memory that says it were a GPU's."""

    __slots__ = ("__weakref__", "_host", "base", "device", "owner")
    __array_ufunc__ = None  # NumPy's operators give way, and fail

    def __init__(self, host: np.ndarray[Any, Any], index: int, base: Array | None = None, owner: Any = None) -> None:
        self._host = host
        self.device = SimpleNamespace(id=index)
        self.base = base  # the array that it is a view of; None for a window of any strides, as in CuPy
        self.owner = owner  # of the memory, where that is the allocator's

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

    def empty(shape: Any, dtype: Any) -> Array:
        host = _empty(shape, dtype)
        return Array(host, index, owner=host)

    return empty


def over(owner: Any, pointer: int, dtype: Any, shape: Any, strides: Any, index: int) -> Array:
    """An array in memory that `owner` keeps alive: a block, or what holds several."""
    low = sum((n - 1) * s for n, s in zip(shape, strides) if s < 0) if 0 not in shape else 0
    high = sum((n - 1) * s for n, s in zip(shape, strides) if s > 0) if 0 not in shape else -dtype.itemsize
    memory = (ctypes.c_char * (high - low + dtype.itemsize)).from_address(pointer + low)
    memory.owner = owner  # for windows, which hold no more than the memory
    return Array(np.ndarray(shape, dtype, memory, -low, strides), index, owner=owner)


def connect() -> None:
    """Let kernels run on a stream of no meaning, with scratch memory from the pool."""
    kernels.connect(lambda: _STREAM, _scratch, over)


connect()


def upload(array: Array, host: np.ndarray[Any, Any]) -> None:
    """The elements of a row-major NumPy array."""
    array.set(host)


def download(array: Array) -> Any:
    """The elements of a row-major array in a NumPy array."""
    return array.get()


def as_strided(array: Array, shape: Any, strides: Any) -> Array:
    """The memory under another shape and strides."""
    return Array(np.lib.stride_tricks.as_strided(array._host, shape, strides), array.device.id)


def is_allocated(array: Array) -> bool:
    """Whether the memory of an array without base is the allocator's."""
    return bool(getattr(array.owner, "nbytes", -1) == array.nbytes)
