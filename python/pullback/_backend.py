"""Devices, and the kernel module behind each: the only file that knows which module holds an array."""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np

from pullback import _core, _cpu, _dtype
from pullback._core import as_strided, device_of as device_of
from pullback._cuda_state import cuda_problem
from pullback._session import marks

# What a device with an index takes its arrays from: its own module, which says what CuPy and its kernels lack.
_LIBRARIES = {"cuda": "pullback._cupy"}
if importlib.util.find_spec("pullback._cuda_emulated") is not None:
    _LIBRARIES["cuda-emulated"] = "pullback._emulated"


@functools.cache
def _library(type: str) -> Any:
    """RuntimeError where there is no GPU, saying what is missing and how to get it."""
    problem = cuda_problem() if type == "cuda" else None
    if problem is not None:
        raise RuntimeError(f"device: {problem}")
    return importlib.import_module(_LIBRARIES[type])


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
    "reserve",
    "overwrite",
    "snapshot",
)


class device:
    """Where a tensor lives: `device("cpu")`, `device("cuda")` for the current GPU, `device("cuda", 1)` or `device("cuda:1")`.

    There is one object for each, so that `is` compares them. RuntimeError for a name that means nothing here; a GPU that
    is not there is an error when somebody wants to use it.

    An op's kernels and memory are those of the device of the tensor or array at hand, `device_of(array)`, which offers
        kernels                            every kernel under its own name
        empty(shape, dtype)                an uninitialised array of a NumPy dtype, from the device's allocator
        as_strided(array, shape, strides)  the array's memory under another shape and strides (bytes)
        pointer(array)                     the address of its first element
        root(array)                        the array that owns its memory
        owns(array)                        whether its memory is the allocator's, and it is all of it, row-major
        may_share_memory(a, b)             whether the memory of two arrays of the device may overlap
        to_host(array), from_host(array)   to NumPy, and from it: a copy, but for NumPy's own arrays
    and to captured steps
        reserve(shape, dtype)              as empty, but not part of the step that is being recorded
        snapshot(array)                    a copy as a NumPy array
        overwrite(array, values)           give it the elements of a NumPy array of its shape, or one number
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
    reserve: Callable[[tuple[int, ...], Any], Any]
    snapshot: Callable[[Any], np.ndarray[Any, Any]]
    overwrite: Callable[[Any, Any], None]

    def __new__(cls, type: str | device | int, index: int | None = None) -> device:
        if isinstance(type, device):
            return type
        if isinstance(type, int) and not isinstance(type, bool):
            return device("cuda", type)
        if not isinstance(type, str):
            raise TypeError(f"device: expected a string such as 'cpu' or 'cuda:0', got {type!r}")
        key = _parse(type, index)
        if key not in _devices:
            made = object.__new__(cls)
            made.type, made.index = key
            _devices.setdefault(key, made)
        return _devices[key]

    def __getattr__(self, name: str) -> Any:
        """What it offers, when that is asked for first."""
        if name not in _OFFERS:
            raise AttributeError(f"'device' object has no attribute {name!r}")
        on = as_device(self)
        if on is self:
            _connect(self)
        return getattr(on, name)

    def __repr__(self) -> str:
        return f"device(type={self.type!r}{'' if self.index is None else f', index={self.index}'})"

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __reduce__(self) -> tuple[Any, ...]:
        return (device, (self.type, self.index))


_devices: dict[tuple[str, int | None], device] = {}


def _parse(text: str, index: int | None) -> tuple[str, int | None]:
    """("cuda", 1) of "cuda:1"; there is but one CPU."""
    name, colon, number = text.partition(":")
    known = name == "cpu" or name in _LIBRARIES
    if not known or (colon and (index is not None or not number.isdecimal())):
        names = " or ".join([repr(n) for n in ("cpu", *_LIBRARIES)])
        raise RuntimeError(f"device: expected {names}, with an index such as 'cuda:0' or without, got {text!r}")
    index = int(number) if colon else index
    if index is not None and (index < 0 or (name == "cpu" and index > 0)):
        raise RuntimeError(f"device: {name!r} has no index {index}")
    return name, None if name == "cpu" else index


def as_device(value: Any) -> device:
    """A device from a device, its name, or None (the CPU); of GPUs the current one, where no index says which.

    RuntimeError where there is no GPU, saying what is missing and how to get it.
    """
    if value is None or value is cpu:
        return cpu
    on = device(value)
    if on.index is None and on is not cpu:
        return device(on.type, _library(on.type).current_index())
    return on


# --- the CPU: NumPy arrays --------------------------------------------------------------------------------------------

cpu: device = device("cpu")
_BLOCK = type(_cpu.empty((), np.dtype(np.float32)).base)  # what owns the memory of an array that `empty` made


def _root(array: Any) -> Any:
    return array.base if isinstance(array.base, np.ndarray) and type(array.base.base) is _BLOCK else array


def _overwrite(array: Any, values: Any) -> None:
    array[...] = values


cpu.kernels = _cpu
cpu.empty = _cpu.empty  # from the caching allocator
cpu.as_strided = as_strided
cpu.pointer = lambda array: array.__array_interface__["data"][0]
cpu.root = _root
cpu.owns = lambda array: type(array.base) is _BLOCK and array.flags.c_contiguous
cpu.may_share_memory = np.may_share_memory
cpu.to_host = cpu.from_host = lambda array: array
cpu.reserve = np.empty
cpu.snapshot = np.copy
cpu.overwrite = _overwrite

_array_types: dict[type, Callable[[Any], device]] = {}
modules: dict[str, Any] = {"cpu": _cpu}  # the kernel modules in use, by their devices' type
_core.connect(device=cpu, devices=_array_types, block=_BLOCK)

# --- GPUs: CuPy's arrays, and the emulated ones that look like them ---------------------------------------------------


def _connect(on: device) -> None:
    """Fill in what a GPU offers; RuntimeError where it is not there."""
    library = _library(on.type)
    kernels = library.kernels
    count = kernels.device_count()
    if on.index not in range(count):
        raise RuntimeError(f"device: there is no {on}, the number of GPUs is {count}")
    on.kernels = kernels
    on.reserve = library.allocator(on.index)
    on.empty = _recorded(on)
    on.as_strided = library.as_strided
    on.pointer = lambda array: array.data.ptr
    on.root = lambda array: array if array.base is None else array.base

    def owns(array: Any) -> bool:
        root = on.root(array)
        return bool(root.nbytes == array.nbytes and array.flags.c_contiguous and library.is_allocated(root))

    def to_host(array: Any) -> Any:
        dense = array
        if not array.flags.c_contiguous:  # our kernel packs it: CuPy would compile its own first
            dense = on.empty(array.shape, array.dtype)
            kernels.copy(array, dense)
        host = library.download(dense)
        kernels.check_errors()  # the copy has waited for the kernels before it
        return host

    def overwrite(array: Any, host: Any) -> None:
        library.upload(array, np.require(host, requirements="C"))

    def from_host(host: Any) -> Any:
        array = on.empty(host.shape, host.dtype)
        overwrite(array, host)
        return array

    on.owns, on.may_share_memory = owns, _may_share_memory
    on.to_host = on.snapshot = to_host
    on.from_host, on.overwrite = from_host, overwrite
    modules[on.type] = kernels
    _array_types[library.Array] = lambda array: _devices[on.type, array.device.id]


def _recorded(on: device) -> Any:
    """A GPU's empty(): in a step that is being recorded, arrays whose memory the recording knows."""
    kernels, reserve, index = on.kernels, on.reserve, on.index

    def empty(shape: Any, dtype: Any) -> Any:
        if marks.sessions and kernels.recording():
            return kernels.empty(shape, dtype, index)
        return reserve(shape, dtype)

    return empty


def cupy() -> Any:
    """CuPy. RuntimeError where there is no GPU that pullback can use, saying what is missing."""
    return _library("cuda").cupy


def gpu_count() -> int:
    """The GPUs that pullback can use. Where there are some, what stands between is looked for once."""
    try:
        return int(_library("cuda").kernels.device_count())
    except RuntimeError:
        return 0


def _bounds(array: Any) -> tuple[int, int]:
    """The addresses between which an array's elements lie."""
    low = high = array.data.ptr
    for n, stride in zip(array.shape, array.strides):
        low, high = (low + (n - 1) * stride, high) if stride < 0 else (low, high + (n - 1) * stride)
    return low, high + array.itemsize


def _may_share_memory(a: Any, b: Any) -> bool:
    if not a.size or not b.size:
        return False
    (a_low, a_high), (b_low, b_high) = _bounds(a), _bounds(b)
    return a_low < b_high and b_low < a_high


# --- arrays from elsewhere --------------------------------------------------------------------------------------------


_DLPACK_CPU, _DLPACK_CUDA = 1, 2


class _InUint16:
    """What speaks DLPack, its bfloat16 as the uint16 that NumPy and CuPy know."""

    def __init__(self, source: Any) -> None:
        self.source, self.is_bfloat16 = source, False

    def __dlpack_device__(self) -> Any:
        return self.source.__dlpack_device__()

    def __dlpack__(self, **options: Any) -> Any:
        capsule = self.source.__dlpack__(**options)
        self.is_bfloat16 = _cpu.exchange_bfloat16(capsule, to_bfloat16=False)
        return capsule


def from_dlpack(source: Any) -> Any:
    """An array over the memory of an object that speaks DLPack. RuntimeError for memory that is neither a CPU's nor a GPU's,
    TypeError for elements that pullback has no dtype for."""
    kind, index = source.__dlpack_device__()
    if kind not in (_DLPACK_CPU, _DLPACK_CUDA):
        raise RuntimeError(f"from_dlpack: expected memory of the CPU or of a GPU, got DLPack's device type {int(kind)}")
    if kind == _DLPACK_CUDA:
        assert device("cuda", index).kernels  # the array's device is there, and known from now on
    readable = _InUint16(source)
    array = (np if kind == _DLPACK_CPU else cupy()).from_dlpack(readable)
    if not readable.is_bfloat16:
        _dtype.from_numpy(array.dtype)
    return adopt(array, "from_dlpack") if kind == _DLPACK_CPU else array


def to_dlpack(array: Any, **options: Any) -> Any:
    """A DLPack capsule over the memory of an array."""
    capsule = array.__dlpack__(**options)
    _cpu.exchange_bfloat16(capsule, to_bfloat16=True)
    return capsule


def is_gpu_array(value: Any) -> bool:
    """Whether an object is an array in GPU memory, whoever made it."""
    return hasattr(type(value), "__cuda_array_interface__") and hasattr(type(value), "__dlpack__")


def adopt(array: Any, op: str) -> np.ndarray[Any, Any]:
    """The array as kernels can read it: native byte order, aligned, strides of whole elements; a copy only if it must."""
    if array.dtype.name == "bfloat16":  # of ml_dtypes
        array = array.view(np.uint16)
    itemsize = array.dtype.itemsize
    if type(array) is not np.ndarray:
        array = array.view(np.ndarray)  # np.matrix and the like: what they change about shapes ends here
    if array.dtype.isnative and array.flags.aligned and not any(s % itemsize for s in array.strides):
        return array  # type: ignore[no-any-return]
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return np.require(array.copy(), requirements=["A"])
