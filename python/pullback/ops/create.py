"""Making tensors: from data, of one value, of a sequence. Kernels: csrc/kernels/copy.cpp."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pullback import _backend, _dtype
from pullback._backend import adopt, as_device, cpu, is_gpu_array
from pullback._dtype import bfloat16, dtype as DType, get_default_dtype
from pullback._tensor import Tensor, method
from pullback.ops import view
from pullback.ops._arrays import copy_array, fill_array
from pullback.ops._broadcast import check_tensor
from pullback.ops._elementwise import bounds_of, recording
from pullback.ops.strided import check_overlap

__all__ = [
    "arange",
    "as_tensor",
    "asarray",
    "empty",
    "empty_like",
    "eye",
    "from_dlpack",
    "from_numpy",
    "full",
    "full_like",
    "linspace",
    "logspace",
    "ones",
    "ones_like",
    "tensor",
    "zeros",
    "zeros_like",
]


def _options(op: str, t: Tensor, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    t = t.to(device=device, dtype=None if dtype is None else _dtype.as_dtype(dtype, op))
    return t.requires_grad_() if requires_grad else t


def _to_numpy(op: str, data: Any, dtype: Any = None) -> Any:
    """Nested lists as an array; Python floats become the default dtype, or stay doubles for `dtype` to be made of.
    Where the first element brings a floating-point dtype of its own, the array has that."""
    if isinstance(data, (np.ndarray, np.generic)) or hasattr(data, "__array_interface__"):
        return np.asarray(data)
    try:
        array = np.array(_plain(data))
    except ValueError as e:
        raise ValueError(f"{op}: data expects nested sequences of equal lengths ({e})") from None
    if array.dtype.kind not in "bif":
        if array.dtype.kind == "u" and array.size:
            raise OverflowError(f"{op}: data expects integers that fit into int64")
        raise TypeError(f"{op}: data expects numbers, got {array.dtype} from {type(data).__name__}")
    if array.dtype.kind != "f" or dtype is not None:
        return array
    first = data
    while isinstance(first, (list, tuple)) and first:
        first = first[0]
    own = getattr(first, "dtype", None)
    if isinstance(own, DType):
        own = _readable(own)
    return array.astype(own if own is not None and own.kind == "f" else _readable(get_default_dtype()))


def _readable(d: DType) -> Any:
    """The dtype of NumPy that holds all of its values."""
    return np.dtype(np.float32) if d is bfloat16 else d.numpy


def _is_bfloat16(data: Any) -> bool:
    """Whether what nested lists make is bfloat16: by their first tensor, or because Python's floats are."""
    while isinstance(data, (list, tuple)) and data:
        data = data[0]
    return (
        data.dtype is bfloat16
        if isinstance(data, Tensor)
        else isinstance(data, float) and get_default_dtype() is bfloat16
    )


def _plain(data: Any) -> Any:
    if isinstance(data, Tensor):
        return data.tolist()
    if isinstance(data, (list, tuple)):
        return [_plain(d) for d in data]
    return data


def tensor(
    data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False
) -> Tensor:
    """A new leaf tensor with a copy of `data`: a number, nested lists, a NumPy array, a tensor.

    Python floats give the default dtype, ints int64; arrays keep theirs. ValueError for ragged lists, TypeError for
    what is no number.
    """
    if isinstance(data, Tensor):
        made = data.detach().clone()
    elif is_gpu_array(data):
        made = from_dlpack(data).clone()
    else:
        array = _to_numpy("tensor", data, dtype)
        _dtype.from_numpy(array.dtype)
        array, on = adopt(array, "tensor"), as_device(device)
        made = Tensor._wrap(copy_array(array) if on is cpu else on.from_host(array))
        if dtype is None and _is_bfloat16(data):
            dtype = bfloat16
    return _options("tensor", made, dtype, device, requires_grad)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """`data` as a tensor, sharing memory where it can."""
    if isinstance(data, Tensor):
        t = data
    elif isinstance(data, np.ndarray):
        t = from_numpy(data)
    elif is_gpu_array(data):
        t = from_dlpack(data)
    else:
        return tensor(data, dtype=dtype, device=device)
    return _options("as_tensor", t, dtype, device, False)


asarray = as_tensor


def from_numpy(ndarray: Any) -> Tensor:
    """A tensor over a NumPy array's memory: a change of one is seen in the other. TypeError for other types of object
    and for dtypes that pullback lacks."""
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"from_numpy: expected a NumPy array, got {type(ndarray).__name__}")
    _dtype.from_numpy(ndarray.dtype)
    return Tensor._wrap(adopt(ndarray, "from_numpy"))


def from_dlpack(ext_tensor: Any) -> Tensor:
    """A tensor over the memory of any object that speaks DLPack, on the CPU or a GPU. TypeError for other objects."""
    if not hasattr(ext_tensor, "__dlpack_device__"):
        raise TypeError(f"from_dlpack: expected an object with __dlpack__, got {type(ext_tensor).__name__}")
    return Tensor._wrap(_backend.from_dlpack(ext_tensor))


def _size(op: str, size: tuple[Any, ...]) -> tuple[int, ...]:
    shape = view.sizes(op, size)
    if any(n < 0 for n in shape):
        raise RuntimeError(f"{op}: size expects values ≥ 0, got {list(shape)}")
    return shape


def _new(op: str, size: tuple[Any, ...], dtype: Any, device: Any) -> Tensor:
    d = get_default_dtype() if dtype is None else _dtype.as_dtype(dtype, op)
    return Tensor._wrap(as_device(device).empty(_size(op, size), d.numpy))


def empty(
    *size: Any,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """An uninitialised tensor."""
    return _options("empty", _new("empty", size, dtype, device), None, None, requires_grad)


def zeros(*size: Any, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of zeros."""
    t = _new("zeros", size, dtype, device)
    fill_array(t._array, 0)
    return _options("zeros", t, None, None, requires_grad)


def ones(*size: Any, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of ones."""
    t = _new("ones", size, dtype, device)
    fill_array(t._array, 1)
    return _options("ones", t, None, None, requires_grad)


def _check_value(op: str, value: Any, d: DType) -> None:
    """RuntimeError where an integer type cannot hold a value. Negative integers wrap in an unsigned one."""
    if d.category == 1:
        low, high = bounds_of(d)
        if not (min(low, -high) if isinstance(value, (int, np.integer)) else low) <= value <= high:
            raise RuntimeError(f"{op}: fill_value {value} does not fit into {d}")


def full(
    size: Any,
    fill_value: Any,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor filled with one value, of that value's dtype unless told otherwise."""
    value = fill_value.item() if isinstance(fill_value, Tensor) else fill_value
    t = _new("full", (size,), _dtype.of_scalar(value) if dtype is None else dtype, device)
    _check_value("full", value, t.dtype)
    fill_array(t._array, value)
    return _options("full", t, None, None, requires_grad)


def _like(op: str, input: Tensor, dtype: Any) -> tuple[tuple[int, ...], DType]:
    check_tensor(op, input)
    return input._array.shape, input.dtype if dtype is None else _dtype.as_dtype(dtype, op)


def empty_like(
    input: Tensor,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """An uninitialised tensor of the input's shape, dtype and device."""
    shape, d = _like("empty_like", input, dtype)
    return empty(shape, dtype=d, device=device or input.device, requires_grad=requires_grad)


def zeros_like(
    input: Tensor,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """Zeros of the input's shape, dtype and device."""
    shape, d = _like("zeros_like", input, dtype)
    return zeros(shape, dtype=d, device=device or input.device, requires_grad=requires_grad)


def ones_like(
    input: Tensor,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """Ones of the input's shape, dtype and device."""
    shape, d = _like("ones_like", input, dtype)
    return ones(shape, dtype=d, device=device or input.device, requires_grad=requires_grad)


def full_like(
    input: Tensor,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """One value in the input's shape, dtype and device."""
    shape, d = _like("full_like", input, dtype)
    return full(shape, fill_value, dtype=d, device=device or input.device, requires_grad=requires_grad)


def arange(
    start: Any,
    end: Any = None,
    step: Any = 1,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """start, start + step, … below `end`: ⌈(end − start)/step⌉ values. int64 where all three are ints.

    RuntimeError where step is 0 or leads away from `end`.
    """
    if end is None:
        start, end = 0, start
    values = [v.item() if isinstance(v, Tensor) else v for v in (start, end, step)]
    start, end, step = values
    if step == 0 or (end - start) / step < 0 or not all(math.isfinite(v) for v in values):
        raise RuntimeError(f"arange: expected a step that leads from start to end, got ({start}, {end}, {step})")
    whole = all(isinstance(v, (int, np.integer)) for v in values)
    d = _dtype.as_dtype(dtype if dtype is not None else int if whole else float, "arange")
    if d is _dtype.int64 and int(step):
        start, end, step = [int(v) for v in values]
        whole = True
    n = max(0, -((start - end) // step)) if whole else math.ceil((end - start) / step)
    t = _new("arange", (int(n),), d, device)
    if d.category < 2:  # whole numbers cross the door as such, and exactly
        start, step = int(start), int(step)
    t.device.kernels.arange(t._array, start, step)
    return _options("arange", t, None, None, requires_grad)


def linspace(
    start: Any,
    end: Any,
    steps: int,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """`steps` values from start to end, both included, at equal distances."""
    if steps < 0:
        raise RuntimeError(f"linspace: steps expects a value ≥ 0, got {steps}")
    start, end = [float(v) for v in (start, end)]
    t = _new("linspace", (steps,), dtype, device)
    if t.dtype.is_floating_point:
        t.device.kernels.arange(t._array, start, (end - start) / (steps - 1) if steps > 1 else 0.0)
    else:
        t.device.kernels.copy(linspace(start, end, steps, dtype=_dtype.float64, device=t.device)._array, t._array)
    if steps > 1:
        fill_array(t._array[-1:], end if t.dtype.is_floating_point else int(end))
    return _options("linspace", t, None, None, requires_grad)


def logspace(
    start: Any,
    end: Any,
    steps: int,
    base: float = 10.0,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """base^v for v in linspace(start, end, steps)."""
    exponents = linspace(start, end, steps, dtype=_dtype.float64, device=device)
    t = (exponents * math.log(base)).exp()
    return _options("logspace", view.to_dtype(t, get_default_dtype()), dtype, device, requires_grad)


def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """The n × m matrix with ones on its diagonal."""
    t = zeros(n, n if m is None else m, dtype=dtype, device=device)
    fill_array(t.device.as_strided(t._array, (min(t.shape),), (sum(t._array.strides),)), 1)
    return _options("eye", t, None, None, requires_grad)


# --- tensors like another, as methods ---------------------------------------------------------------------------------


@method
def new_tensor(
    self: Tensor, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """`tensor(data)` with this tensor's dtype, on its device."""
    return tensor(data, dtype=dtype or self.dtype, device=device or self.device, requires_grad=requires_grad)


@method
def new_empty(self: Tensor, *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """`empty(size)` with this tensor's dtype, on its device."""
    return empty(*size, dtype=dtype or self.dtype, device=device or self.device, requires_grad=requires_grad)


@method
def new_zeros(self: Tensor, *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """`zeros(size)` with this tensor's dtype, on its device."""
    return zeros(*size, dtype=dtype or self.dtype, device=device or self.device, requires_grad=requires_grad)


@method
def new_ones(self: Tensor, *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """`ones(size)` with this tensor's dtype, on its device."""
    return ones(*size, dtype=dtype or self.dtype, device=device or self.device, requires_grad=requires_grad)


@method
def new_full(
    self: Tensor,
    size: Any,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """`full(size, fill_value)` with this tensor's dtype, on its device."""
    return full(size, fill_value, dtype=dtype or self.dtype, device=device or self.device, requires_grad=requires_grad)


@method
def fill_(self: Tensor, value: Any) -> Tensor:
    """Every element set to one value, in place; no gradient flows through it."""
    if recording(self):
        return self._assign(full(self._array.shape, value, dtype=self.dtype, device=self.device))
    value = value.item() if isinstance(value, Tensor) else value
    _check_value("fill_", value, self.dtype)
    check_overlap(self)
    fill_array(self._array, value)
    self._version[0] += 1
    return self


@method
def zero_(self: Tensor) -> Tensor:
    """Every element set to 0, in place."""
    return fill_(self, 0)
