"""Arrays of the devices "cuda": CuPy's, in memory of CuPy's pool, on the stream that CuPy holds current."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import cupy
import numpy as np

from pullback import _cuda as kernels
from pullback._gpu_memory import again

Array = cupy.ndarray
current_index = cupy.cuda.runtime.getDevice


def _again(make: Callable[[], Any], size: int) -> Any:
    index = current_index()
    pool = cupy.get_default_memory_pool()
    return again(make, size, pool, f"cuda:{index}", lambda: cupy.cuda.Device(index).mem_info)


def _scratch(size: int) -> Any:
    """Memory of the current GPU for a kernel's temporaries. OutOfMemoryError where there is none."""
    try:
        return cupy.cuda.alloc(size)
    except MemoryError:
        return _again(lambda: cupy.cuda.alloc(size), size)


class _Held(cupy.cuda.UnownedMemory):  # type: ignore[misc]
    """Memory that an object keeps alive: a block of a captured step, or what holds several."""

    def __init__(self, pointer: int, owner: Any, index: int) -> None:
        super().__init__(pointer, getattr(owner, "nbytes", 0), owner, index)
        self.owner = owner


def over(owner: Any, pointer: int, dtype: Any, shape: Any, strides: Any, index: int) -> Any:
    """An array in memory that `owner` keeps alive."""
    return cupy.ndarray(shape, dtype, cupy.cuda.MemoryPointer(_Held(pointer, owner, index), 0), strides)


kernels.connect(lambda: cupy.cuda.get_current_stream().ptr, _scratch, over)


def _new(shape: Any, dtype: Any) -> Any:
    """An array of the current GPU. OutOfMemoryError where there is no memory for it."""
    try:
        return cupy.ndarray(shape, dtype)
    except MemoryError:
        return _again(lambda: cupy.ndarray(shape, dtype), math.prod(shape) * np.dtype(dtype).itemsize)


def allocator(index: int) -> Any:
    """empty(shape, dtype) of a GPU."""

    def empty(shape: Any, dtype: Any) -> Any:
        if current_index() == index:
            return _new(shape, dtype)
        with cupy.cuda.Device(index):
            return _new(shape, dtype)

    return empty


# As much as CUDA has read of ordinary memory when it says that a copy will be made (programming guide, "concurrent
# execution between host and device").
_STAGED = 64 << 10


def upload(array: Any, host: Any) -> None:
    """The elements of a row-major NumPy array, whose memory may change or end afterwards."""
    stream = cupy.cuda.get_current_stream(array.device.id)  # of the array's GPU, which need not be the current one
    array.set(host, stream)
    if host.nbytes > _STAGED:
        stream.synchronize()


def download(array: Any) -> Any:
    """The elements of a row-major array in a NumPy array, after all that its GPU's current stream was given."""
    return array.get(cupy.cuda.get_current_stream(array.device.id))


def as_strided(array: Any, shape: Any, strides: Any) -> Any:
    """The memory under another shape and strides; it keeps the array alive."""
    memory = cupy.cuda.UnownedMemory(array.data.ptr, array.nbytes, array, array.data.device_id)
    return cupy.ndarray(tuple(shape), array.dtype, cupy.cuda.MemoryPointer(memory, 0), tuple(strides))


def is_allocated(array: Any) -> bool:
    """Whether the memory of an array without base is the pool's, and it is all of it."""
    memory = array.data.mem
    if isinstance(memory, _Held):
        return bool(getattr(memory.owner, "nbytes", -1) == array.nbytes)
    return isinstance(memory, cupy.cuda.memory.PooledMemory)
