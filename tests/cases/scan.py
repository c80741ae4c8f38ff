"""Scans. Floating-point ones run in double inside, so that float32 results are rounded once."""

from __future__ import annotations

import numpy as np

import pullback as pb
from harness import Case
from pullback.ops.scan import linear_scan

SHAPES = ((2, 3, 5), (1, 7, 1), (33, 2, 17), (3, 130, 40), (0, 3, 2), (2, 0, 3))
AXES = (0, 1, 2)


def _family(name, run, value, vjp, **options):
    inputs = options.pop("inputs", lambda rng, shape: [rng.standard_normal(shape)])
    scales = {k: options.pop(k) for k in ("scale", "vjp_scale") if k in options}
    shapes = options.pop("shapes", SHAPES)
    return [
        Case(
            name=f"{name}[{'line' if line else d}]",
            run=lambda x, d=d: run(x, d),
            inputs=inputs,
            value=lambda x, d=d: value(x, d),
            vjp=None if vjp is None else (lambda dy, x, d=d: (vjp(dy, x, d),)),
            shapes=((), (1,), (6,), (50,), (2100,)) if line else shapes,
            bench=((1 << 16,),) if line else ((64, 128, 128),),
            torch=f"torch.{name.partition('[')[0]}(a, {d})",
            **{k: (lambda *arrays, f=f, d=d: f(*arrays, d)) for k, f in scales.items()},
            **options,
        )
        for d, line in [(d, False) for d in AXES] + [(-1, True)]
    ]


def _cumsum(x, d):
    return np.cumsum(x, d) if x.ndim else x


def _reversed_cumsum(dy, x, d):
    return np.flip(np.cumsum(np.flip(dy, d), d), d) if x.ndim else dy


def _cumprod(x, d):
    return np.cumprod(x, d) if x.ndim else x


def _cumprod_vjp(dy, x, d):
    """x̄_k = Σ_{i≥k} ȳ_i Π_{j≤i, j≠k} x_j"""
    if not x.ndim:
        return dy
    dy, x = np.moveaxis(dy, d, 0), np.moveaxis(x, d, 0)
    g = np.zeros_like(x)
    for k in range(len(x)):
        without = x.copy()
        without[k] = 1
        g[k] = (dy * np.cumprod(without, 0))[k:].sum(0)
    return np.moveaxis(g, 0, d)


def _with_zeros(rng, shape):
    x = rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape)
    return [np.where(rng.random(shape) < 0.1, 0.0, x)]


def _running(better):
    """(values, the last place of the best so far), NaN being the best of all."""

    def value(x, d):
        if not x.ndim:
            return x, np.zeros((), np.int64)
        x = np.moveaxis(x, d, 0)
        y, index = x.copy(), np.zeros(x.shape, np.int64)
        for k in range(1, len(x)):
            takes = better(x[k], y[k - 1]) | np.isnan(x[k])
            y[k] = np.where(takes, x[k], y[k - 1])
            index[k] = np.where(takes, k, index[k - 1])
        return np.moveaxis(y, 0, d), np.moveaxis(index, 0, d)

    return value


def _running_vjp(better):
    def vjp(dy, x, d):
        if not x.ndim:
            return dy
        index = np.moveaxis(_running(better)(x, d)[1], d, 0)
        dy = np.moveaxis(dy, d, 0)
        g = np.zeros_like(dy)
        for k in range(len(dy)):
            np.put_along_axis(g, index[k][None], np.take_along_axis(g, index[k][None], 0) + dy[k], 0)
        return np.moveaxis(g, 0, d)

    return vjp


def _special(rng, shape):
    return [rng.choice([np.nan, 0.0, 1.0, 1.0, 2.0, -1.0], shape, p=[0.02, 0.28, 0.2, 0.2, 0.1, 0.2])]


def _linear(a, b, reverse):
    """y_k = b_k + a_k y_{k−1} along dimension 1, or y_{k+1} in its place."""
    order = range(a.shape[1])
    y, before = np.zeros_like(b), np.zeros_like(b[:, 0])
    for k in reversed(order) if reverse else order:
        before = y[:, k] = b[:, k] + a[:, k] * before
    return y


def _next(x, reverse):
    """x_{k+1}, and 0 at the end; x_{k−1}, and 0 at the start, in reverse."""
    edge = np.zeros_like(x[:, :1])
    return np.concatenate([edge, x[:, :-1]] if reverse else [x[:, 1:], edge], 1)


def _linear_vjp(dy, a, b, reverse):
    s = _linear(_next(a, reverse), dy, not reverse)
    return s * _next(_linear(a, b, reverse), not reverse), s


CASES = [
    *[
        Case(
            name=f"linear_scan[{'reverse' if reverse else 'forward'}]",
            run=lambda a, b, reverse=reverse: linear_scan(a, b, 1, reverse),
            inputs=lambda rng, shape: [rng.uniform(-1, 1, shape), rng.standard_normal(shape)],
            value=lambda a, b, reverse=reverse: _linear(a, b, reverse),
            vjp=lambda dy, a, b, reverse=reverse: _linear_vjp(dy, a, b, reverse),
            scale=lambda a, b, reverse=reverse: _linear(np.abs(a), np.abs(b), reverse),
            vjp_scale=lambda dy, a, b, reverse=reverse: _linear_vjp(np.abs(dy), np.abs(a), np.abs(b), reverse),
            shapes=((2, 3), (1, 1), (4, 33), (3, 17, 5), (2, 2100), (2, 130, 40)),
            bench=((1024, 1024),),
        )
        for reverse in (False, True)
    ],
    *_family(
        "cumsum",
        pb.cumsum,
        _cumsum,
        _reversed_cumsum,
        scale=lambda x, d: _cumsum(np.abs(x), d),
        vjp_scale=lambda dy, x, d: (_reversed_cumsum(np.abs(dy), x, d),),
        ulps=8,
        vjp_ulps=16,
    ),
    *_family(
        "cumprod",
        pb.cumprod,
        _cumprod,
        _cumprod_vjp,
        inputs=_with_zeros,
        shapes=((2, 3, 5), (1, 7, 1), (20, 2, 17), (3, 30, 4), (0, 3, 2), (2, 0, 3)),
        scale=lambda x, d: np.abs(_cumprod(x, d)) * (x.shape[d] if x.ndim else 1),
        vjp_scale=lambda dy, x, d: (_cumprod_vjp(np.abs(dy), np.abs(x), d) * (x.shape[d] if x.ndim else 1),),
    ),
    *[
        case
        for name, better in (("cummax", np.greater_equal), ("cummin", np.less_equal))
        for case in _family(
            name,
            lambda x, d, name=name: tuple(getattr(pb, name)(x, d)),
            _running(better),
            _running_vjp(better),
            vjp_scale=lambda dy, x, d, better=better: (_running_vjp(better)(np.abs(dy), x, d),),
        )
    ],
    *_family(
        "cummax[special]",
        lambda x, d: tuple(pb.cummax(x.detach(), d)),
        _running(np.greater_equal),
        None,
        inputs=_special,
    ),
    *[
        case
        for dtype in ("int64", "int32", "uint8", "bool")
        for name, reference in (("cumsum", np.cumsum), ("cumprod", np.cumprod))
        for case in _family(
            f"{name}[{dtype}]",
            getattr(pb, name),
            lambda x, d, reference=reference: reference(x.astype("int64"), d).reshape(x.shape),
            None,
            inputs=lambda rng, shape, dtype=dtype: [rng.integers(0, 3, shape).astype(dtype)],
            dtypes=("float32",),
        )
    ],
]
