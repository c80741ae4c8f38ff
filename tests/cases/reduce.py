"""Reductions over every set of axes, and of sizes around vectors, blocks and pieces. A sum of K terms taken pairwise errs
by a few ulp of Σ|terms|, whatever K is: a block adds 16 to 64 terms to one lane in a row, but four lanes at a time."""

from __future__ import annotations

import numpy as np

import pullback as pb
from harness import Case

AXES = (None, 0, 1, 2, (0, 1), (0, 2), (1, 2))
SHAPES = ((2, 3, 5), (1, 7, 1), (3, 1, 2), (17, 3, 33), (2, 65, 16), (5, 1030, 3), (40, 37, 41))
WITH_EMPTY = (*SHAPES, (2, 0, 3), (0, 3, 2))
LINES = ((), (1,), (5,), (16,), (33,), (1025,), (70_001,))  # over all axes; the last is cut into pieces


def _normal(rng, shape):
    return [rng.standard_normal(shape) + 0.5]


def _kept(dy, x, axes):
    """dy as it broadcasts against x."""
    if axes is None:
        return np.reshape(dy, (1,) * x.ndim)
    return np.expand_dims(dy, axes)


def _n(x, axes):
    return x.size if axes is None else int(np.prod([x.shape[a] for a in np.atleast_1d(axes)]))


def _family(name, run, value, vjp, *, axes=AXES, shapes=SHAPES, lines=LINES, inputs=_normal, torch=None, **options):
    """One case for each set of axes, and one over all of a line. Functions of (array or tensor, axes) and (dy, x, axes);
    scales too."""
    scales = {k: options.pop(k) for k in ("scale", "vjp_scale") if k in options}
    cases = []
    for where, tried in [(a, shapes) for a in axes] + ([(None, lines)] if lines else []):
        at = {k: (lambda *arrays, f=f, d=where: f(*arrays, d)) for k, f in scales.items()}
        cases.append(
            Case(
                name=f"{name}[{'line' if tried is lines else where}]",
                run=lambda x, d=where: run(x, d),
                inputs=inputs,
                value=lambda x, d=where: value(x, d),
                vjp=None if vjp is None else (lambda dy, x, d=where: (vjp(dy, x, d),)),
                shapes=tried,
                bench=((1 << 20,),) if tried is lines else ((64, 128, 128),),
                torch=torch and torch.format("None" if where is None else where).replace("prod(a, None)", "prod(a)"),
                **at,
                **options,
            )
        )
    return cases


def _sum(x, axes, **options):
    """NumPy adds in a row along outer axes, which errs more than what is tested: the reference needs more digits."""
    return x.astype(np.longdouble).sum(axes, **options)


def _var(x, axes, correction=0):
    d = x - _sum(x, axes, keepdims=True) / _n(x, axes)
    return (d * d).sum(axes) / (_n(x, axes) - correction)


def _sizes(x, axes):
    return np.abs(x).sum(axes)


def _spread(x, axes):
    return np.broadcast_to(_kept(np.abs(x).max(axes), x, axes), x.shape) if x.size else x


def _var_vjp(correction):
    def vjp(dy, x, axes):
        n = _n(x, axes)
        return 2 / (n - correction) * _kept(dy, x, axes) * (x - x.mean(axes, keepdims=True))

    return vjp


def _std_vjp(dy, x, axes):
    y = x.std(axes, ddof=1, keepdims=True)
    return _kept(dy, x, axes) * (x - x.mean(axes, keepdims=True)) / (y * (_n(x, axes) - 1))


def _logsumexp(x, axes):
    if not x.size:
        return np.full(x.sum(axes).shape, -np.inf)
    m = x.max(axes, keepdims=True)
    return (m + np.log(np.exp(x - m).sum(axes, keepdims=True))).reshape(x.sum(axes).shape)


def _norm(p):
    return lambda x, axes: _sum(np.abs(x) ** p, axes) ** (1 / p)


def _norm_vjp(p):
    def vjp(dy, x, axes):
        y = _kept(_norm(p)(x, axes), x, axes)
        return _kept(dy, x, axes) * np.sign(x) * (np.abs(x) / y) ** (p - 1)

    return vjp


def _others(x, axes):
    """Π_{s ≠ r} x_s, without division."""
    axes = tuple(range(x.ndim)) if axes is None else (axes,)
    moved = np.moveaxis(x, axes, range(-len(axes), 0))
    flat = moved.reshape(*moved.shape[: x.ndim - len(axes)], -1)
    result = np.stack([np.delete(flat, r, -1).prod(-1) for r in range(flat.shape[-1])], -1)
    return np.moveaxis(result.reshape(moved.shape), range(-len(axes), 0), axes)


def _with_zeros(rng, shape):
    x = rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape)
    return [np.where(rng.random(shape) < 0.1, 0.0, x)]


def _ties(rng, shape):
    return [rng.integers(0, 4, shape).astype(float)]


def _shared(best):
    def vjp(dy, x, axes):
        mask = (x == best(x, axes, keepdims=True)).astype(float)
        return _kept(dy, x, axes) * mask / mask.sum(axes, keepdims=True)

    return vjp


def _first(best):
    """The gradient goes to the first of equals."""

    def vjp(dy, x, axes):
        g = np.zeros_like(x)
        np.put_along_axis(g, np.expand_dims(best(x, axes), axes), np.expand_dims(dy, axes), axes)
        return g

    return vjp


def _special(rng, shape):
    values = np.array([np.nan, np.inf, -np.inf, 0.0, 1.5, -2.5])
    chance = np.array([0.02, 0.1, 0.1, 0.28, 0.25, 0.25])
    return [values[rng.choice(len(values), shape, p=chance)]]


def _integers(dtype):
    info = None if dtype == "bool" else np.iinfo(dtype)
    low, high = (0, 2) if info is None else (max(-50, info.min), 50)
    return lambda rng, shape: [rng.integers(low, high, shape).astype(dtype)]


CASES = [
    *_family(
        "sum",
        lambda x, d: pb.sum(x, d),
        _sum,
        lambda dy, x, d: np.broadcast_to(_kept(dy, x, d), x.shape),
        shapes=WITH_EMPTY,
        scale=_sizes,
        torch="torch.sum(a, {})",
    ),
    *_family(
        "mean",
        lambda x, d: x.mean(d),
        lambda x, d: _sum(x, d) / _n(x, d),
        lambda dy, x, d: np.broadcast_to(_kept(dy, x, d), x.shape) / _n(x, d),
        scale=lambda x, d: _sizes(x, d) / _n(x, d),
        torch="torch.mean(a, {})",
    ),
    *_family(
        "var",
        lambda x, d: pb.var(x, d, correction=0),
        _var,
        _var_vjp(0),
        scale=lambda x, d: np.square(x).mean(d),
        torch="torch.var(a, {}, correction=0)",
    ),
    *_family(
        "std",
        lambda x, d: pb.std(x, d),
        lambda x, d: np.sqrt(_var(x, d, 1)),
        _std_vjp,
        shapes=((2, 3, 5), (3, 7, 2), (17, 3, 33), (5, 1030, 3)),
        lines=((2,), (5,), (1025,)),
        scale=lambda x, d: np.square(x).mean(d) / x.std(d) + x.std(d),
        vjp_scale=lambda dy, x, d: (np.abs(_kept(dy, x, d)) * (1 + _spread(x, d) / x.std(d, keepdims=True)),),
        torch="torch.std(a, {})",
    ),
    *_family(
        "logsumexp",
        lambda x, d: pb.logsumexp(x, () if d is None else d),
        _logsumexp,
        lambda dy, x, d: _kept(dy, x, d) * np.exp(x - _kept(_logsumexp(x, d), x, d)),
        shapes=WITH_EMPTY,
        inputs=lambda rng, shape: [rng.standard_normal(shape) * 20],
        scale=lambda x, d: np.abs(x).max(d, initial=0) + np.log(_n(x, d) + 2),
        vjp_scale=lambda dy, x, d: (np.abs(_kept(dy, x, d)) * (1 + _spread(x, d)),),
        torch="torch.logsumexp(a, {})",
    ),
    *[
        case
        for p in (1, 2, 3, 0.5)
        for case in _family(
            f"norm{p}",
            lambda x, d, p=p: pb.norm(x, p, d),
            _norm(p),
            _norm_vjp(p),
            axes=(None, 1, (0, 2)) if p in (1, 2) else (1,),
            lines=LINES[:-1] if p in (1, 2) else None,
            inputs=lambda rng, shape: [rng.uniform(0.3, 3, shape) * rng.choice([-1.0, 1.0], shape)],
            ulps=8,
            torch=f"torch.norm(a, {p}, {{}})",
        )
    ],
    *_family(
        "prod",
        lambda x, d: pb.prod(x, d),
        lambda x, d: x.prod(d),
        lambda dy, x, d: _kept(dy, x, d) * _others(x, d),
        axes=(None, 0, 1, 2),
        shapes=((2, 3, 5), (1, 7, 1), (17, 3, 20), (3, 65, 4)),
        lines=((), (1,), (5,), (33,)),
        inputs=_with_zeros,
        scale=lambda x, d: np.abs(x.prod(d)) * _n(x, d),
        vjp_scale=lambda dy, x, d: (np.abs(_kept(dy, x, d) * _others(x, d)) * _n(x, d),),
        torch="torch.prod(a, {})",
    ),
    *_family(
        "amax",
        lambda x, d: pb.amax(x, () if d is None else d),
        lambda x, d: x.max(d),
        _shared(np.max),
        torch="torch.amax(a, {})",
    ),
    *_family(
        "amin[ties]",
        lambda x, d: pb.amin(x, () if d is None else d),
        lambda x, d: x.min(d),
        _shared(np.min),
        axes=(None, 1, (0, 2)),
        inputs=_ties,
        differences=False,
        torch="torch.amin(a, {})",
    ),
    *_family(
        "max",
        lambda x, d: tuple(pb.max(x, d)),
        lambda x, d: (x.max(d), x.argmax(d)),
        _first(np.argmax),
        axes=(0, 1, 2),
        lines=None,
        torch="torch.max(a, {})",
    ),
    *_family(
        "min[ties]",
        lambda x, d: tuple(pb.min(x, d)),
        lambda x, d: (x.min(d), x.argmin(d)),
        _first(np.argmin),
        axes=(0, 1, 2),
        lines=None,
        inputs=_ties,
        differences=False,
        torch="torch.min(a, {})",
        differs="PyTorch may take another one of equal elements",
    ),
    *[
        case
        for name in ("argmax", "argmin")
        for case in _family(
            f"{name}[special]",
            lambda x, d, name=name: getattr(pb, name)(x, d),
            lambda x, d, name=name: getattr(x, name)(d),
            None,
            axes=(None, 0, 1, 2),
            inputs=_special,
            torch=f"torch.{name}(a, {{}})",
        )
    ],
    *[
        case
        for name in ("amax", "amin")
        for case in _family(
            f"{name}[special]",
            lambda x, d, name=name: getattr(pb, name)(x.detach(), () if d is None else d),
            lambda x, d, name=name: getattr(np, name)(x, d),
            None,
            axes=(None, 0, 2),
            inputs=_special,
            torch=f"torch.{name}(a, {{}})",
        )
    ],
    *[
        case
        for name in ("all", "any")
        for case in _family(
            name,
            lambda x, d, name=name: getattr(pb, name)(x, d),
            lambda x, d, name=name: getattr(x, name)(d),
            None,
            shapes=WITH_EMPTY,
            inputs=lambda rng, shape: [(rng.random(shape) < 0.5).astype(float) * rng.choice([1, np.nan, -2], shape)],
            torch=f"torch.{name}(a, {{}})",
        )
    ],
    *_family(
        "count_nonzero",
        lambda x, d: pb.count_nonzero(x, d),
        lambda x, d: np.count_nonzero(x, d),
        None,
        shapes=WITH_EMPTY,
        inputs=_ties,
        torch="torch.count_nonzero(a, {})",
    ),
    *[
        case
        for dtype in ("int64", "int32", "int16", "int8", "uint8", "bool")
        for name in ("sum", "prod", "amax", "argmin", "any")
        if (dtype, name) != ("bool", "argmin")
        for case in _family(
            f"{name}[{dtype}]",
            lambda x, d, name=name: getattr(pb, name)(x, () if d is None and name == "amax" else d),
            lambda x, d, name=name: getattr(
                x.astype("int64") if name in ("sum", "prod") else x, {"amax": "max"}.get(name, name)
            )(d),
            None,
            axes=(0, 2),
            shapes=((2, 3, 5), (17, 3, 33), (5, 1030, 3)),
            lines=((5,), (1025,)),
            inputs=_integers(dtype),
            dtypes=("float32",),
            torch=f"torch.{name}(a, {{}})",
        )
    ],
]
