"""Comparisons, logic, and the bits of integers."""

from __future__ import annotations

import numpy as np

import pullback as pb
from cases.binary import PARTNERS
from harness import Case

INTEGERS = ("int64", "int32", "int16", "int8", "uint8")
_VALUES = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 2.5])
_BITS = {"int64": 64, "int32": 32, "int16": 16, "int8": 8, "uint8": 8}


def _few(rng, shape):
    """Few values, so that many are equal; NaN and the infinities among them."""
    return _VALUES[rng.integers(0, len(_VALUES), shape)]


def _draw(dtype):
    """Values of one dtype: for an integer one its extremes, and some small ones."""

    def draw(rng, shape):
        if dtype == "float":
            return _few(rng, shape)
        if dtype == "bool":
            return rng.random(shape) < 0.5
        limits = np.iinfo(dtype)
        values = np.array([limits.min, limits.max, limits.max - 1, 0, 1, 2, 3], dtype)
        return values[rng.integers(0, len(values), shape)]

    return draw


def _case(name, dtype, value, partner="same", *, draw_b=None, torch=None, run=None):
    draw = _draw(dtype)
    return Case(
        name=f"{name}[{dtype}{'' if partner == 'same' else ', ' + partner}]",
        run=run or getattr(pb, name),
        inputs=lambda rng, shape: [draw(rng, shape), (draw_b or draw)(rng, PARTNERS[partner](shape))],
        value=value,
        dtypes=("float32", "float64") if dtype == "float" else ("float32",),
        torch=torch or f"torch.{name}(a, b)",
    )


def _single(name, dtype, value):
    return Case(
        name=f"{name}[{dtype}]",
        run=getattr(pb, name),
        inputs=lambda rng, shape: [_draw(dtype)(rng, shape)],
        value=value,
        dtypes=("float32", "float64") if dtype == "float" else ("float32",),
        torch=f"torch.{name}(a)",
    )


TESTS = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
}


def _near(rng, shape):
    """Pairs within 1e-3 relatively, or clearly not, or special."""
    a = rng.standard_normal(shape)
    b = a * (1 + rng.choice([0, 1e-5, 9e-4, 1.1e-3, 0.5], shape) * rng.choice([-1, 1], shape))
    special = rng.random(shape) < 0.3
    return [np.where(special, _few(rng, shape), a), np.where(special, _few(rng, shape), b)]


def _isclose(a, b, equal_nan=False):
    a, b = np.float64(a), np.float64(b)
    error = np.abs(a - b)
    near = np.isfinite(error) & (error <= 1e-6 + 1e-3 * np.abs(b))
    return (a == b) | near | (equal_nan & np.isnan(a) & np.isnan(b))


def _counts(dtype):
    """How far to shift: within the width, beyond it, and below zero."""
    low = 0 if dtype == "uint8" else -3
    return lambda rng, shape: rng.integers(low, _BITS[dtype] + 4, shape).astype(dtype)


def _left(dtype):
    def value(a, b):
        within = (b >= 0) & (b < _BITS[dtype])
        return np.where(within, np.left_shift(a, np.where(within, b, 0)), 0).astype(dtype)

    return value


def _right(dtype):
    def value(a, b):
        within = (b >= 0) & (b < _BITS[dtype])
        return np.where(within, np.right_shift(a, np.where(within, b, 0)), -1 * (a < 0)).astype(dtype)

    return value


CASES = [
    *[_case(name, dtype, value) for name, value in TESTS.items() for dtype in ("float", *INTEGERS, "bool")],
    *[
        _case(name, "float", value, partner)
        for name, value in TESTS.items()
        for partner in PARTNERS
        if partner != "same"
    ],
    *[_single("logical_not", dtype, np.logical_not) for dtype in ("float", *INTEGERS, "bool")],
    *[
        Case(
            name=f"isclose[{name}]",
            run=lambda a, b, equal_nan=equal_nan: pb.isclose(a, b, 1e-3, 1e-6, equal_nan),
            inputs=_near,
            value=lambda a, b, equal_nan=equal_nan: _isclose(a, b, equal_nan),
            torch=f"torch.isclose(a, b, 1e-3, 1e-6, {equal_nan})",
        )
        for name, equal_nan in (("float", False), ("equal_nan", True))
    ],
    *[
        _case(
            "isclose",
            dtype,
            lambda a, b: (a == b) | (np.abs(np.float64(a) - np.float64(b)) <= 0.5 + 0.6 * np.abs(np.float64(b))),
            run=lambda a, b: pb.isclose(a, b, 0.6, 0.5),
            torch="torch.isclose(a, b, 0.6, 0.5)",
        )
        for dtype in (*INTEGERS, "bool")
    ],
    *[
        _case(name, dtype, value)
        for name, value in (
            ("bitwise_and", np.bitwise_and),
            ("bitwise_or", np.bitwise_or),
            ("bitwise_xor", np.bitwise_xor),
        )
        for dtype in (*INTEGERS, "bool")
    ],
    *[_single("bitwise_not", dtype, np.bitwise_not) for dtype in (*INTEGERS, "bool")],
    *[
        _case(name, dtype, value(dtype), draw_b=_counts(dtype))
        for name, value in (("bitwise_left_shift", _left), ("bitwise_right_shift", _right))
        for dtype in INTEGERS
    ],
]
