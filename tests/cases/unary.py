"""Elementwise functions of one operand. Gradients are written from calculus, not from the kernels' formulas."""

from __future__ import annotations

import math

import numpy as np

import pullback as pb
from harness import Case

_erf = np.vectorize(math.erf, otypes=[float])
_erfc = np.vectorize(math.erfc, otypes=[float])


def _normal(spread=1.0, shift=0.0):
    return lambda rng, shape: [rng.standard_normal(shape) * spread + shift]


def _positive(low=0.05, high=8.0):
    return lambda rng, shape: [rng.uniform(low, high, shape)]


def _between(low, high):
    return lambda rng, shape: [rng.uniform(low, high, shape)]


def _case(name, inputs, value, derivative, **options):
    """derivative(x) is f'(x)."""
    return Case(
        name=name,
        run=getattr(pb, name),
        inputs=inputs,
        value=value,
        vjp=lambda dy, x: (dy * derivative(x),),
        torch=f"torch.{name}(a)",
        **options,
    )


def _flat(name, value, **options):
    """A function whose derivative is zero; its inputs stay away from the steps."""
    return Case(
        name=name,
        run=getattr(pb, name),
        inputs=lambda rng, shape: [rng.integers(-9, 9, shape) + rng.uniform(0.1, 0.4, shape)],
        value=value,
        vjp=lambda dy, x: (0 * dy,),
        torch=f"torch.{name}(a)",
        **options,
    )


def _special(rng, shape):
    values = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.5, -2.5])
    return [values[rng.integers(0, len(values), shape)]]


CASES = [
    _case("neg", _normal(), lambda x: -x, lambda x: -np.ones_like(x)),
    _case("abs", _normal(), np.abs, np.sign),
    _case("square", _normal(), np.square, lambda x: 2 * x),
    _case("reciprocal", _positive(), lambda x: 1 / x, lambda x: -1 / x**2),
    _case("sqrt", _positive(), np.sqrt, lambda x: 0.5 / np.sqrt(x)),
    _case("rsqrt", _positive(), lambda x: 1 / np.sqrt(x), lambda x: -0.5 * x**-1.5),
    _case("exp", _normal(3), np.exp, np.exp),
    _case("exp2", _normal(3), np.exp2, lambda x: np.exp2(x) * np.log(2)),
    _case("expm1", _normal(2), np.expm1, np.exp, vjp_scale=lambda dy, x: (np.abs(dy) * (np.exp(x) + 1),)),
    _case("log", _positive(), np.log, lambda x: 1 / x),
    _case("log2", _positive(), np.log2, lambda x: 1 / (x * np.log(2))),
    _case("log10", _positive(), np.log10, lambda x: 1 / (x * np.log(10))),
    _case("log1p", _positive(-0.9), np.log1p, lambda x: 1 / (1 + x)),
    _case("sin", _normal(3), np.sin, np.cos),
    _case("cos", _normal(3), np.cos, lambda x: -np.sin(x)),
    _case("tan", _between(-1.3, 1.3), np.tan, lambda x: 1 / np.cos(x) ** 2),
    _case("asin", _between(-0.95, 0.95), np.arcsin, lambda x: 1 / np.sqrt(1 - x * x)),
    _case("acos", _between(-0.95, 0.95), np.arccos, lambda x: -1 / np.sqrt(1 - x * x)),
    _case("atan", _normal(2), np.arctan, lambda x: 1 / (1 + x * x)),
    _case("sinh", _normal(2), np.sinh, np.cosh),
    _case("cosh", _normal(2), np.cosh, np.sinh),
    _case("tanh", _normal(2), np.tanh, lambda x: 1 / np.cosh(x) ** 2),
    _case("asinh", _normal(3), np.arcsinh, lambda x: 1 / np.sqrt(x * x + 1)),
    _case("acosh", _between(1.1, 6), np.arccosh, lambda x: 1 / np.sqrt(x * x - 1)),
    _case("atanh", _between(-0.95, 0.95), np.arctanh, lambda x: 1 / (1 - x * x)),
    _case(
        "sigmoid",
        _normal(4),
        lambda x: 1 / (1 + np.exp(-x)),
        lambda x: np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))) ** 2,
    ),
    _case("erf", _normal(), _erf, lambda x: 2 / np.sqrt(np.pi) * np.exp(-x * x)),
    _case("erfc", _normal(), _erfc, lambda x: -2 / np.sqrt(np.pi) * np.exp(-x * x)),
    _flat("floor", np.floor),
    _flat("ceil", np.ceil),
    _flat("round", np.round),
    _flat("trunc", np.trunc),
    _flat("sign", np.sign),
    *[
        Case(
            name=name,
            run=getattr(pb, name),
            inputs=_special,
            value=getattr(np, name),
            torch=f"torch.{name}(a)",
        )
        for name in ("isnan", "isinf", "isfinite")
    ],
    *[
        Case(
            name=f"{name}[{dtype}]",
            run=getattr(pb, name),
            inputs=lambda rng, shape, dtype=dtype: [rng.integers(-11, 11, shape).astype(dtype)],
            value=getattr(np, numpy_name),
            dtypes=("float32",),
            torch=f"torch.{name}(a)",
        )
        for name, numpy_name in (("neg", "negative"), ("abs", "abs"), ("sign", "sign"), ("square", "square"))
        for dtype in ("int64", "int32", "int16", "int8")
    ],
]
