"""Element types, and the type that an operation on several of them has (PyTorch's promotion)."""

from __future__ import annotations

from typing import Any

import numpy as np


class dtype:
    """The type of a tensor's elements: `pullback.float32`, `pullback.int64`, …

    A tensor carries its own dtype beside its array's, so that types which NumPy lacks can lie in arrays of another.
    """

    __slots__ = ("name", "numpy", "itemsize", "category", "is_floating_point", "is_signed")

    def __init__(self, name: str, category: int) -> None:
        self.name = name
        self.numpy = np.dtype(name)
        self.itemsize: int = self.numpy.itemsize
        self.category = category  # 0 bool, 1 integer, 2 floating point: a higher one wins
        self.is_floating_point = category == 2
        self.is_signed = self.numpy.kind in "if"

    def __repr__(self) -> str:
        return f"pullback.{self.name}"

    def __reduce__(self) -> str | tuple[Any, ...]:
        return (_by_name, (self.name,))

    def __deepcopy__(self, memo: dict[int, Any]) -> dtype:
        return self


float32 = dtype("float32", 2)
float64 = dtype("float64", 2)
int8 = dtype("int8", 1)
int16 = dtype("int16", 1)
int32 = dtype("int32", 1)
int64 = dtype("int64", 1)
uint8 = dtype("uint8", 1)
bool_ = dtype("bool", 0)

ALL = (float32, float64, int8, int16, int32, int64, uint8, bool_)
_FROM_NUMPY: dict[Any, dtype] = {d.numpy: d for d in ALL}
_default = float32


def _by_name(name: str) -> dtype:
    return next(d for d in ALL if d.name == name)


def from_numpy(numpy_dtype: Any) -> dtype:
    """The dtype of an array; TypeError where pullback has none for it."""
    found = _FROM_NUMPY.get(numpy_dtype)
    if found is None:
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
    """Set the type of tensors made from Python floats: float32 or float64."""
    global _default
    if d not in (float32, float64):
        raise TypeError(f"set_default_dtype: expected pullback.float32 or pullback.float64, got {d!r}")
    _default = d


def of_scalar(value: Any) -> dtype:
    """The dtype that a Python number has by itself."""
    if isinstance(value, (bool, np.bool_)):
        return bool_
    if isinstance(value, (int, np.integer)):
        return int64
    return _default


def promote_types(a: dtype, b: dtype) -> dtype:
    """The smallest type that both convert to: floats over integers, wider over narrower."""
    if a is b:
        return a
    if a.category != b.category:
        return a if a.category > b.category else b
    if a.category == 2:
        return float64
    return from_numpy(np.promote_types(a.numpy, b.numpy))
