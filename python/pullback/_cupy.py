"""Arrays of the devices "cuda": CuPy's, in memory of CuPy's pool, on the stream that CuPy holds current."""

from __future__ import annotations

from typing import Any

import cupy

from pullback import _cuda as kernels

Array = cupy.ndarray
current_index = cupy.cuda.runtime.getDevice
kernels.connect(lambda: cupy.cuda.get_current_stream().ptr, cupy.cuda.alloc)


def allocator(index: int) -> Any:
    """empty(shape, dtype) of a GPU."""

    def empty(shape: Any, dtype: Any) -> Any:
        if current_index() == index:
            return cupy.ndarray(shape, dtype)
        with cupy.cuda.Device(index):
            return cupy.ndarray(shape, dtype)

    return empty


def as_strided(array: Any, shape: Any, strides: Any) -> Any:
    """The memory under another shape and strides; it keeps the array alive."""
    memory = cupy.cuda.UnownedMemory(array.data.ptr, array.nbytes, array, array.data.device_id)
    return cupy.ndarray(tuple(shape), array.dtype, cupy.cuda.MemoryPointer(memory, 0), tuple(strides))


def is_allocated(array: Any) -> bool:
    """Whether the memory of an array without base is the pool's."""
    return isinstance(array.data.mem, cupy.cuda.memory.PooledMemory)
