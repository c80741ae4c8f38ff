"""Choosing elements, bounding them, and the fused ternary functions."""

from __future__ import annotations

import numpy as np

import pullback as pb
from cases.binary import PARTNERS, unbroadcast
from harness import Case

INTEGERS = ("int64", "int32", "int16", "int8", "uint8")


def _sums(*pairs):
    """Each gradient summed to its operand's shape, and Σ|terms| with it as what rounding acts on."""
    return tuple(unbroadcast(g, x) for g, x in pairs)


def _mask(rng, shape):
    return rng.random(shape) < 0.6


# --- where, masked_fill -----------------------------------------------------------------------------------------------


def _where_vjp(dy, c, a, b):
    return None, *_sums((np.where(c, dy, 0), a), (np.where(c, 0, dy), b))


def _where(partner):
    shape_of = PARTNERS[partner]
    return Case(
        name=f"where[{partner}]",
        run=pb.where,
        inputs=lambda rng, shape: [
            _mask(rng, shape),
            rng.standard_normal(shape_of(shape)),
            rng.standard_normal(shape),
        ],
        value=np.where,
        vjp=_where_vjp,
        vjp_scale=lambda dy, c, a, b: _where_vjp(np.abs(dy), c, a, b),
        torch="torch.where(a, b, c)",
    )


def _integers(dtype, rng, shape):
    if dtype == "bool":
        return rng.random(shape) < 0.5
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype=dtype)


def _masked_fill_vjp(dy, x, m, v):
    return np.where(m, 0, dy), None, np.where(m, dy, 0).sum()


WHERE = [
    *[_where(partner) for partner in PARTNERS],
    Case(
        name="where[row condition]",
        run=pb.where,
        inputs=lambda rng, shape: [
            _mask(rng, shape[-1:]),
            rng.standard_normal(shape),
            rng.standard_normal((*shape[:-1], 1) if shape else ()),
        ],
        value=np.where,
        vjp=_where_vjp,
        vjp_scale=lambda dy, c, a, b: _where_vjp(np.abs(dy), c, a, b),
        torch="torch.where(a, b, c)",
    ),
    Case(
        name="where[number]",
        run=lambda c, a: pb.where(c, a, -1.5),
        inputs=lambda rng, shape: [_mask(rng, shape), rng.standard_normal(shape)],
        value=lambda c, a: np.where(c, a, -1.5),
        vjp=lambda dy, c, a: (None, np.where(c, dy, 0)),
        torch="torch.where(a, b, -1.5)",
    ),
    *[
        Case(
            name=f"where[{dtype}]",
            run=pb.where,
            inputs=lambda rng, shape, dtype=dtype: [
                _mask(rng, shape),
                _integers(dtype, rng, shape),
                _integers(dtype, rng, shape[-1:]),
            ],
            value=np.where,
            dtypes=("float32",),
            torch="torch.where(a, b, c)",
        )
        for dtype in (*INTEGERS, "bool")
    ],
    Case(
        name="masked_fill",
        run=lambda x, m: x.masked_fill(m, -np.inf),
        inputs=lambda rng, shape: [rng.standard_normal(shape), _mask(rng, shape)],
        value=lambda x, m: np.where(m, -np.inf, x),
        vjp=lambda dy, x, m: (np.where(m, 0, dy), None),
        differences=False,  # of two infinities
        torch="a.masked_fill(b, -float('inf'))",
    ),
    Case(
        name="masked_fill[tensor]",
        run=lambda x, m, v: x.masked_fill(m, v),
        inputs=lambda rng, shape: [rng.standard_normal(shape), _mask(rng, shape), np.array(rng.standard_normal())],
        value=lambda x, m, v: np.where(m, v, x),
        vjp=_masked_fill_vjp,
        vjp_scale=lambda dy, x, m, v: _masked_fill_vjp(np.abs(dy), x, m, v),
        torch="a.masked_fill(b, c)",
    ),
    Case(
        name="masked_fill[row]",
        run=lambda x, m: x.masked_fill(m, 2),
        inputs=lambda rng, shape: [rng.standard_normal(shape), _mask(rng, shape[-1:])],
        value=lambda x, m: np.where(m, 2, x),
        vjp=lambda dy, x, m: (np.where(m, 0, dy), None),
        torch="a.masked_fill(b, 2)",
    ),
    Case(
        name="masked_fill[in place]",
        run=lambda x, m: (x * 1).masked_fill_(m, 2.5),
        inputs=lambda rng, shape: [rng.standard_normal(shape), _mask(rng, shape[-1:])],
        value=lambda x, m: np.where(m, 2.5, x),
        vjp=lambda dy, x, m: (np.where(m, 0, dy), None),
        torch="(a * 1).masked_fill_(b, 2.5)",
    ),
]

# --- clamp ------------------------------------------------------------------------------------------------------------


def _away(rng, shape, *corners):
    """Normal numbers, none nearer to a corner than 0.05."""
    x = rng.standard_normal(shape)
    for c in corners:
        x = np.where(np.abs(x - c) < 0.05, c + np.where(x < c, -0.05, 0.05), x)
    return x


def _clamp(name, low, high, run, torch):
    bounds = [b for b in (low, high) if b is not None]
    return Case(
        name=f"clamp[{name}]",
        run=run,
        inputs=lambda rng, shape: [_away(rng, shape, *bounds)],
        value=lambda x: np.clip(x, low, high),
        vjp=lambda dy, x: (dy * (np.clip(x, low, high) == x),),
        torch=torch,
    )


def _between(x, low, high):
    return np.minimum(np.maximum(x, low), high)


def _between_vjp(dy, x, low, high):
    """To x where it lies between, to a bound where the bound was taken; where they cross that is `high`."""
    return _sums(
        (dy * ((x >= low) & (x <= high)), x),
        (dy * ((x < low) & (low < high)), low),
        (dy * ((x > high) | (low > high)), high),
    )


def _bounds(rng, shape, partner, crossing):
    """Bounds apart from each other and from x by 0.05, crossing here and there."""
    partner_shape = PARTNERS[partner](shape)
    x = 0.4 * rng.integers(-4, 5, shape) + rng.uniform(-0.05, 0.05, shape)
    low = 0.4 * rng.integers(-3, 2, shape) - 0.15 + rng.uniform(-0.02, 0.02, shape)
    high = 0.4 * rng.integers(-1 if crossing else 2, 4, partner_shape) + 0.15 + rng.uniform(-0.02, 0.02, partner_shape)
    return [x, low, high]


_EDGES = np.array([np.nan, np.inf, -np.inf, -1.0, 1.0, 0.0, 0.5, 2.0])

CLAMP = [
    _clamp("both", -0.5, 0.8, lambda x: x.clamp(-0.5, 0.8), "a.clamp(-0.5, 0.8)"),
    _clamp("min", 0.1, None, lambda x: x.clamp(min=0.1), "a.clamp(min=0.1)"),
    _clamp("max", None, 0.2, lambda x: x.clamp_max(0.2), "a.clamp_max(0.2)"),
    _clamp("in place", -0.5, 0.8, lambda x: (x * 1).clamp_(-0.5, 0.8), "(a * 1).clamp_(-0.5, 0.8)"),
    Case(
        name="clamp[edges]",
        run=lambda x: pb.clamp(x, -1, 1),
        inputs=lambda rng, shape: [_EDGES[rng.integers(0, len(_EDGES), shape)]],
        value=lambda x: np.clip(x, -1, 1),
        vjp=lambda dy, x: (np.where(np.abs(x) <= 1, dy, 0),),
        differences=False,  # at the bounds
        torch="torch.clamp(a, -1, 1)",
    ),
    Case(
        name="clamp[nan bound]",
        run=lambda x: pb.clamp(x, float("nan"), 1.0),
        inputs=lambda rng, shape: [rng.standard_normal(shape)],
        value=lambda x: np.full_like(x, np.nan),
        torch="torch.clamp(a, float('nan'), 1.0)",
    ),
    *[
        Case(
            name=f"clamp[tensors, {partner}{', crossing' if crossing else ''}]",
            run=pb.clamp,
            inputs=lambda rng, shape, partner=partner, crossing=crossing: _bounds(rng, shape, partner, crossing),
            value=_between,
            vjp=_between_vjp,
            vjp_scale=lambda dy, x, low, high: _between_vjp(np.abs(dy), x, low, high),
            torch="torch.clamp(a, b, c)",
        )
        for partner, crossing in (("same", False), ("same", True), ("row", False), ("scalar", False))
    ],
    Case(
        name="clamp[tensors, edges]",
        run=pb.clamp,
        inputs=lambda rng, shape: [_EDGES[rng.integers(0, len(_EDGES), shape)] for _ in range(3)],
        value=_between,
        vjp=_between_vjp,
        differences=False,  # at the bounds
        torch="torch.clamp(a, b, c)",
    ),
    Case(
        name="clamp[tensor min]",
        run=lambda x, low: x.clamp(min=low),
        inputs=lambda rng, shape: _bounds(rng, shape, "same", False)[:2],
        value=np.maximum,
        vjp=lambda dy, x, low: (dy * (x >= low), dy * (x < low)),
        torch="a.clamp(min=b)",
    ),
    Case(
        name="clamp[tensor max]",
        run=lambda x, high: x.clamp(max=high),
        inputs=lambda rng, shape: _bounds(rng, shape, "row", True)[::2],
        value=np.minimum,
        vjp=lambda dy, x, high: _sums((dy * (x <= high), x), (dy * (x > high), high)),
        vjp_scale=lambda dy, x, high: _sums((np.abs(dy), x), (np.abs(dy) * (x > high), high)),
        torch="a.clamp(max=b)",
    ),
    *[
        Case(
            name=f"clamp[{dtype}]",
            run=lambda x: pb.clamp(x, 2, 100),
            inputs=lambda rng, shape, dtype=dtype: [_integers(dtype, rng, shape)],
            value=lambda x: np.clip(x, 2, 100),
            dtypes=("float32",),
            torch="torch.clamp(a, 2, 100)",
        )
        for dtype in INTEGERS
    ],
    Case(
        name="clamp[int64, max]",
        run=lambda x: pb.clamp(x, max=2**62),
        inputs=lambda rng, shape: [_integers("int64", rng, shape)],
        value=lambda x: np.minimum(x, 2**62),
        dtypes=("float32",),
        torch="torch.clamp(a, max=2**62)",
    ),
]

# --- lerp, addcmul, addcdiv, nan_to_num -------------------------------------------------------------------------------


def _lerp_vjp(dy, a, b, w):
    return _sums((dy * (1 - w), a), (dy * w, b), (dy * (b - a), w))


def _lerp_scale(dy, a, b, w):
    return _sums(
        (np.abs(dy) * (1 + np.abs(w)), a), (np.abs(dy * w) + 0 * a, b), (np.abs(dy) * (np.abs(a) + np.abs(b)), w)
    )


def _three(rng, shape, partner):
    return [rng.standard_normal(shape), rng.standard_normal(shape), rng.standard_normal(PARTNERS[partner](shape))]


def _away_from_zero(rng, shape, partner):
    x, a, b = _three(rng, shape, partner)
    return [x, a, np.sign(b) * (0.5 + np.abs(b))]


def _addcmul_vjp(dy, x, a, b):
    return _sums((dy, x), (1.5 * dy * b, a), (1.5 * dy * a, b))


def _addcdiv_vjp(dy, x, a, b):
    return _sums((dy, x), (1.5 * dy / b, a), (-1.5 * dy * a / b**2, b))


def _absolute(vjp):
    return lambda dy, *arrays: tuple(np.abs(g) for g in vjp(np.abs(dy), *[np.abs(a) for a in arrays]))


_NUMBERS = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.5, -2.5, 1e30])
_INTEGER_PARTNERS = ("same", "row")

TERNARY = [
    *[
        Case(
            name=f"lerp[{partner}]",
            run=pb.lerp,
            inputs=lambda rng, shape, partner=partner: _three(rng, shape, partner),
            value=lambda a, b, w: a + w * (b - a),
            vjp=_lerp_vjp,
            scale=lambda a, b, w: (np.abs(a) + np.abs(b)) * (1 + np.abs(w)),
            vjp_scale=_lerp_scale,
            torch="torch.lerp(a, b, c)",
        )
        for partner in PARTNERS
    ],
    Case(
        name="lerp[number]",
        run=lambda a, b: pb.lerp(a, b, 0.1),
        inputs=lambda rng, shape: [rng.standard_normal(shape), rng.standard_normal(PARTNERS["row"](shape))],
        value=lambda a, b: a + 0.1 * (b - a),
        vjp=lambda dy, a, b: _sums((0.9 * dy, a), (0.1 * dy, b)),
        scale=lambda a, b: np.abs(a) + np.abs(b),
        vjp_scale=lambda dy, a, b: _sums((np.abs(dy), a), (np.abs(dy), b)),
        torch="torch.lerp(a, b, 0.1)",
    ),
    *[
        Case(
            name=f"addcmul[{partner}]",
            run=lambda x, a, b: pb.addcmul(x, a, b, value=1.5),
            inputs=lambda rng, shape, partner=partner: _three(rng, shape, partner),
            value=lambda x, a, b: x + 1.5 * a * b,
            vjp=_addcmul_vjp,
            scale=lambda x, a, b: np.abs(x) + np.abs(1.5 * a * b),
            vjp_scale=_absolute(_addcmul_vjp),
            torch="torch.addcmul(a, b, c, value=1.5)",
        )
        for partner in PARTNERS
    ],
    *[
        Case(
            name=f"addcmul[{dtype}]",
            run=lambda x, a, b: pb.addcmul(x, a, b, value=3),
            inputs=lambda rng, shape, dtype=dtype: [rng.integers(0, 6, shape).astype(dtype) for _ in range(3)],
            value=lambda x, a, b: x + (3 * a * b).astype(x.dtype),
            dtypes=("float32",),
            torch="torch.addcmul(a, b, c, value=3)",
        )
        for dtype in INTEGERS
    ],
    *[
        Case(
            name=f"addcdiv[{partner}]",
            run=lambda x, a, b: pb.addcdiv(x, a, b, value=1.5),
            inputs=lambda rng, shape, partner=partner: _away_from_zero(rng, shape, partner),
            value=lambda x, a, b: x + 1.5 * a / b,
            vjp=_addcdiv_vjp,
            scale=lambda x, a, b: np.abs(x) + np.abs(1.5 * a / b),
            vjp_scale=_absolute(_addcdiv_vjp),
            torch="torch.addcdiv(a, b, c, value=1.5)",
        )
        for partner in PARTNERS
    ],
    *[
        Case(
            name=f"{name}_[not recorded]",
            run=run,
            inputs=lambda rng, shape: _away_from_zero(rng, shape, "row"),
            value=value,
            scale=lambda x, a, b: (np.abs(x) + np.abs(a)) * (1 + np.abs(b) + 1 / np.abs(b)),
            torch=f"a.clone().{name}_(b, c)",
        )
        for name, run, value in (
            ("lerp", lambda a, b, w: a.clone().lerp_(b, w), lambda a, b, w: a + w * (b - a)),
            ("addcmul", lambda x, a, b: x.clone().addcmul_(a, b), lambda x, a, b: x + a * b),
            ("addcdiv", lambda x, a, b: x.clone().addcdiv_(a, b), lambda x, a, b: x + a / b),
        )
    ],
    Case(
        name="nan_to_num",
        run=lambda x: pb.nan_to_num(x, 0.5, 7.0, -9.0),
        inputs=lambda rng, shape: [_NUMBERS[rng.integers(0, len(_NUMBERS), shape)]],
        value=lambda x: np.nan_to_num(x, nan=0.5, posinf=7, neginf=-9),
        vjp=lambda dy, x: (np.where(np.isfinite(x), dy, 0),),
        differences=False,  # of infinities
        torch="torch.nan_to_num(a, 0.5, 7.0, -9.0)",
    ),
]

CASES = [*WHERE, *CLAMP, *TERNARY]
