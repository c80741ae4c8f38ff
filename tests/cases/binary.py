"""Elementwise arithmetic on two operands, also of different shapes."""

from __future__ import annotations

import numpy as np

import pullback as pb
from harness import SHAPES, Case

# The second operand's shape for a given first one: equal, a row, a column, a single number.
PARTNERS = {
    "same": lambda shape: shape,
    "row": lambda shape: shape[-1:],
    "column": lambda shape: (*shape[:-1], 1) if shape else (),
    "scalar": lambda shape: (),
}


def unbroadcast(g, like):
    """Summed over the dimensions that broadcasting stretched."""
    g = g.sum(tuple(range(g.ndim - like.ndim)))
    return g.sum(tuple(d for d in range(like.ndim) if like.shape[d] == 1), keepdims=True)


def _values(kind):
    def draw(rng, shape):
        if kind == "positive":
            return rng.uniform(0.3, 3, shape)
        if kind == "away":  # from zero, either sign
            return rng.uniform(0.4, 3, shape) * rng.choice([-1.0, 1.0], shape)
        return rng.standard_normal(shape)

    return draw


def _pair(name, value, da, db, *, kinds=("normal", "normal"), **options):
    def vjp(dy, a, b):
        return unbroadcast(dy * da(a, b), a), unbroadcast(dy * db(a, b), b)

    def vjp_scale(dy, a, b):
        both = (np.abs(dy * da(a, b)) + np.abs(dy), np.abs(dy * db(a, b)) + np.abs(dy))
        return unbroadcast(both[0] + 0 * b, a), unbroadcast(both[1] + 0 * a, b)

    return [
        Case(
            name=f"{name}[{partner}]",
            run=getattr(pb, name),
            inputs=lambda rng, shape, partner=partner: [
                _values(kinds[0])(rng, shape),
                _values(kinds[1])(rng, PARTNERS[partner](shape)),
            ],
            value=value,
            vjp=vjp,
            vjp_scale=vjp_scale,
            torch=f"torch.{name}(a, b)",
            **options,
        )
        for partner in PARTNERS
    ]


def _quotients(rng, shape):
    """a and b with a / b well between integers, where floor and trunc have a derivative."""
    b = _values("away")(rng, shape)
    return [b * (rng.integers(-5, 5, shape) + rng.uniform(0.2, 0.8, shape)), b]


def _rounding(name, value, vjp):
    return Case(
        name=name,
        run=getattr(pb, name),
        inputs=_quotients,
        value=value,
        vjp=vjp,
        scale=lambda a, b: np.abs(a) + np.abs(b) if name != "floor_divide" else value(a, b),
        torch=f"torch.{name}(a, b)",
    )


def _integers(name, dtype, numpy_name, low=-9, divisor=False):
    def inputs(rng, shape):
        b = rng.integers(1 if divisor or name == "pow" else low, 5, shape)
        if divisor:
            b = b * rng.choice([-1, 1], shape)
        return [rng.integers(low, 9, shape).astype(dtype), b.astype(dtype)]

    return Case(
        name=f"{name}[{dtype}]",
        run=getattr(pb, name),
        inputs=inputs,
        value=getattr(np, numpy_name),
        dtypes=("float32",),
        torch=f"torch.{name}(a, b)",
    )


CASES = [
    *_pair("add", np.add, lambda a, b: 1 + 0 * (a + b), lambda a, b: 1 + 0 * (a + b)),
    *_pair("sub", np.subtract, lambda a, b: 1 + 0 * (a + b), lambda a, b: -1 + 0 * (a + b)),
    *_pair("mul", np.multiply, lambda a, b: b + 0 * a, lambda a, b: a + 0 * b),
    *_pair("div", np.divide, lambda a, b: 1 / b + 0 * a, lambda a, b: -a / b**2, kinds=("normal", "away")),
    *_pair(
        "pow",
        np.power,
        lambda a, b: b * a ** (b - 1),
        lambda a, b: a**b * np.log(a),
        kinds=("positive", "normal"),
        vjp_ulps=32,
    ),
    *_pair("maximum", np.maximum, lambda a, b: np.heaviside(a - b, 0.5), lambda a, b: np.heaviside(b - a, 0.5)),
    *_pair("minimum", np.minimum, lambda a, b: np.heaviside(b - a, 0.5), lambda a, b: np.heaviside(a - b, 0.5)),
    *_pair(
        "atan2",
        np.arctan2,
        lambda a, b: b / (a * a + b * b),
        lambda a, b: -a / (a * a + b * b),
        kinds=("away", "away"),
    ),
    *_pair(
        "hypot",
        np.hypot,
        lambda a, b: a / np.hypot(a, b),
        lambda a, b: b / np.hypot(a, b),
        kinds=("away", "away"),
    ),
    _rounding("floor_divide", np.floor_divide, lambda dy, a, b: (0 * dy, 0 * dy)),
    _rounding("remainder", np.remainder, lambda dy, a, b: (dy, -dy * np.floor(a / b))),
    _rounding("fmod", np.fmod, lambda dy, a, b: (dy, -dy * np.trunc(a / b))),
    *[
        _integers(name, dtype, numpy_name, divisor=name in ("floor_divide", "remainder", "fmod"))
        for name, numpy_name in (
            ("add", "add"),
            ("sub", "subtract"),
            ("mul", "multiply"),
            ("floor_divide", "floor_divide"),
            ("remainder", "remainder"),
            ("fmod", "fmod"),
            ("pow", "power"),
            ("maximum", "maximum"),
            ("minimum", "minimum"),
        )
        for dtype in ("int64", "int32", "int16", "int8")
    ],
    Case(
        name="maximum[ties]",
        run=pb.maximum,
        inputs=lambda rng, shape: [np.floor(rng.uniform(0, 3, shape)), np.floor(rng.uniform(0, 3, shape))],
        value=np.maximum,
        vjp=lambda dy, a, b: (dy * ((a > b) + 0.5 * (a == b)), dy * ((b > a) + 0.5 * (a == b))),
        differences=False,  # at a tie the function has a kink
        shapes=SHAPES,
        torch="torch.maximum(a, b)",
    ),
]
