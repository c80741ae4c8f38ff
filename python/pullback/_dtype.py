"""Element types, and the type that an operation on several of them has (PyTorch's promotion)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pullback._session import toggled


class dtype:
    """The type of a tensor's elements: `pullback.float32`, `pullback.int64`, …

    A tensor carries its own dtype beside its array's: bfloat16, which NumPy lacks, lies in arrays of uint16, which
    pullback lacks. Every op on float16 and bfloat16 computes in float32 and rounds its result once.
    """

    __slots__ = ("name", "numpy", "itemsize", "category", "is_floating_point", "is_signed")

    def __init__(self, name: str, category: int, stored: str | None = None) -> None:
        self.name = name
        self.numpy = np.dtype(stored or name)
        self.itemsize: int = self.numpy.itemsize
        self.category = category  # 0 bool, 1 integer, 2 floating point: a higher one wins
        self.is_floating_point = category == 2
        self.is_signed = category == 2 or self.numpy.kind == "i"

    def __repr__(self) -> str:
        return f"pullback.{self.name}"

    def __reduce__(self) -> str | tuple[Any, ...]:
        return (_by_name, (self.name,))

    def __deepcopy__(self, memo: dict[int, Any]) -> dtype:
        return self


float32 = dtype("float32", 2)
float64 = dtype("float64", 2)
float16 = half = dtype("float16", 2)
bfloat16 = dtype("bfloat16", 2, stored="uint16")
int8 = dtype("int8", 1)
int16 = dtype("int16", 1)
int32 = dtype("int32", 1)
int64 = dtype("int64", 1)
uint8 = dtype("uint8", 1)
bool_ = dtype("bool", 0)

ALL = (float32, float64, float16, bfloat16, int8, int16, int32, int64, uint8, bool_)
_FROM_NUMPY: dict[Any, dtype] = {d.numpy: d for d in ALL}
_default = float32


def _by_name(name: str) -> dtype:
    return next(d for d in ALL if d.name == name)


def of_array(array: Any) -> dtype:
    """The dtype of an array of ours."""
    return _FROM_NUMPY[array.dtype]


def from_numpy(numpy_dtype: Any) -> dtype:
    """The dtype of an array from elsewhere (bfloat16 being that of ml_dtypes); TypeError where pullback has none for it."""
    if numpy_dtype.name == "bfloat16":
        return bfloat16
    found = _FROM_NUMPY.get(numpy_dtype.newbyteorder("="))
    if found is None or found is bfloat16:
        raise TypeError(f"dtype: expected one of {', '.join(d.name for d in ALL)}, got {numpy_dtype}")
    return found


def as_dtype(value: Any, op: str = "dtype") -> dtype:
    """A dtype from a dtype or from Python's `float`, `int`, `bool`; TypeError otherwise."""
    if isinstance(value, dtype):
        return value
    if value is float:
        return _default
    if value is int:
        return int64
    if value is bool:
        return bool_
    raise TypeError(f"{op}: dtype expects a pullback dtype, got {value!r}")


def get_default_dtype() -> dtype:
    """The floating-point type of tensors made from Python floats; float32 unless set."""
    return _default


def set_default_dtype(d: dtype) -> None:
    """Set the type of tensors made from Python floats: float32, float64, float16 or bfloat16."""
    global _default
    if not isinstance(d, dtype) or not d.is_floating_point:
        raise TypeError(f"set_default_dtype: expected a floating-point dtype, got {d!r}")
    toggled(_default)
    toggled(d)
    _default = d


def of_scalar(value: Any) -> dtype:
    """The dtype that a Python number has by itself."""
    if isinstance(value, (bool, np.bool_)):
        return bool_
    if isinstance(value, (int, np.integer)):
        return int64
    return _default


def of_computing(d: dtype) -> dtype:
    """What kernels compute in where numbers are stored as d: float32 for the halves."""
    return float32 if d is float16 or d is bfloat16 else d


def promote_types(a: dtype, b: dtype) -> dtype:
    """The smallest type that both convert to: floats over integers, wider over narrower; float32 for the two halves."""
    if a is b:
        return a
    if a.category != b.category:
        return a if a.category > b.category else b
    if a.category == 2:
        return float32 if a.itemsize == b.itemsize else max(a, b, key=lambda d: d.itemsize)
    return from_numpy(np.promote_types(a.numpy, b.numpy))


class finfo:
    """The limits of a floating-point dtype, by default the default one: `finfo(pullback.float16).max`.

    eps = 2⁻ᵖ for p bits of fraction, smallest_normal = tiny = 2^(2 − 2ᵉ⁻¹) for e bits of exponent, resolution the power of
    ten that decimals of this type tell apart. TypeError for other dtypes.
    """

    def __init__(self, type: dtype | None = None) -> None:
        self.dtype = _default if type is None else type
        if not isinstance(self.dtype, dtype) or not self.dtype.is_floating_point:
            raise TypeError(f"finfo: expected a floating-point dtype, got {type!r}")
        self.bits = 8 * self.dtype.itemsize
        exponent = {float16: 5, bfloat16: 8, float32: 8, float64: 11}[self.dtype]
        fraction = self.bits - 1 - exponent
        self.eps = 2.0**-fraction
        self.max = (2 - self.eps) * 2.0 ** (2 ** (exponent - 1) - 1)
        self.min = -self.max
        self.tiny = self.smallest_normal = 2.0 ** (2 - 2 ** (exponent - 1))
        self.resolution = 10.0 ** -int(fraction * math.log10(2))

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution}, min={self.min}, max={self.max}, eps={self.eps}, "
            f"smallest_normal={self.smallest_normal}, tiny={self.tiny}, dtype={self.dtype.name})"
        )


def rounded(value: float, d: dtype) -> float:
    """The number of dtype d that is nearest to a value, the even one of two; itself for float32 and float64."""
    if of_computing(d) is d or not math.isfinite(value):
        return value
    limits = finfo(d)
    unit = limits.eps * max(math.ldexp(0.5, math.frexp(value)[1]), limits.tiny)
    size = abs(round(value / unit) * unit)
    return math.copysign(size if size <= limits.max else math.inf, value)


class iinfo:
    """The limits of an integer dtype: `iinfo(pullback.int32).max`. TypeError for other dtypes."""

    def __init__(self, type: dtype) -> None:
        if not isinstance(type, dtype) or type.category != 1:
            raise TypeError(f"iinfo: expected an integer dtype, got {type!r}")
        limits = np.iinfo(type.numpy)
        self.dtype, self.bits, self.min, self.max = type, limits.bits, int(limits.min), int(limits.max)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype.name})"
