"""Gathering and scattering along a dimension. Indices repeat where sums are taken, and are distinct where values are
assigned."""

from __future__ import annotations

import numpy as np

import pullback as pb
from cases.index import SHAPES, accumulated, added, case, put, without


def _grid(i, dim):
    """The key that gathers along a dimension."""
    key = list(np.indices(i.shape))
    key[dim] = i
    return tuple(key)


def _elements(dim, count, distinct=False):
    """x, an index of another length along a dimension (and shorter by one in the first other one), a source."""

    def inputs(rng, shape):
        index = list(shape)
        other = 1 if dim == 0 else 0
        index[other] = max(index[other] - 1, min(index[other], 1))
        index[dim] = min(count, shape[dim]) if distinct else count
        if distinct:
            full = [n if d != dim else shape[dim] for d, n in enumerate(index)]
            i = np.take(np.argsort(rng.random(full), axis=dim), range(index[dim]), axis=dim)
        else:
            i = rng.integers(0, shape[dim], index)
        return [rng.standard_normal(shape), i, rng.standard_normal(index)]

    return inputs


def _reduced(op, start=None):
    """The reference of scatter_reduce."""

    def value(x, i, s):
        y = x.copy()
        key = _grid(i, 1)
        if start is not None:
            y[key] = start
        op.at(y, key, s)
        return y

    return value


def _extreme_vjp(value, with_self=True):
    """Those that are equal share."""

    def vjp(dy, x, i, s):
        y, key = value(x, i, s), _grid(i, 1)
        count = 1.0 * (x == y) if with_self else np.zeros_like(x)
        np.add.at(count, key, s == y[key])
        share = dy / np.maximum(count, 1)
        return share * (x == y) if with_self else without(dy, key), None, share[key] * (s == y[key])

    return vjp


def _prod_vjp(dy, x, i, s):
    y, key = _reduced(np.multiply)(x, i, s), _grid(i, 1)
    return dy * y / x, None, dy[key] * y[key] / s


def _away_from_zero(rng, shape):
    x, i, s = _elements(1, 5)(rng, shape)
    return [x + np.sign(x), i, s + np.sign(s)]


def _counts(x, i, own):
    return np.maximum(accumulated(np.full(x.shape, float(own)), _grid(i, 1), 1.0), 1)


CASES = [
    *[
        case(
            f"gather[{dim}]",
            lambda x, i, dim=dim: pb.gather(x, dim, i),
            lambda rng, shape, dim=dim: _elements(dim, 6)(rng, shape)[:2],
            lambda x, i, dim=dim: x[_grid(i, dim)],
            lambda dy, x, i, dim=dim: (added(x.shape, _grid(i, dim), dy), None),
            vjp_scale=lambda dy, x, i, dim=dim: (added(x.shape, _grid(i, dim), np.abs(dy)), None),
            shapes=[s for s in SHAPES if s[dim]],
            torch=f"torch.gather(a, {dim}, b)",
        )
        for dim in (0, 1, 2)
    ],
    case(
        "take_along_dim",
        lambda x, i: pb.take_along_dim(x, i, 1),
        lambda rng, shape: [rng.standard_normal(shape), rng.integers(0, shape[1], (shape[0], 3, 1))],
        lambda x, i: np.take_along_axis(x, i, 1),
        lambda dy, x, i: (added(x.shape, _grid(np.broadcast_to(i, dy.shape), 1), dy), None),
        vjp_scale=lambda dy, x, i: (added(x.shape, _grid(np.broadcast_to(i, dy.shape), 1), np.abs(dy)), None),
        torch="torch.take_along_dim(a, b, 1)",
    ),
    case(
        "scatter",
        lambda x, i, s: pb.scatter(x, 1, i, s),
        _elements(1, 3, distinct=True),
        lambda x, i, s: put(x, _grid(i, 1), s),
        lambda dy, x, i, s: (without(dy, _grid(i, 1)), None, dy[_grid(i, 1)]),
        torch="torch.scatter(a, 1, b, c)",
    ),
    case(
        "scatter[value]",
        lambda x, i: pb.scatter(x, -1, i, 2.5),
        lambda rng, shape: _elements(2, 3)(rng, shape)[:2],
        lambda x, i: put(x, _grid(i, 2), 2.5),
        lambda dy, x, i: (without(dy, _grid(i, 2)), None),
        torch="torch.scatter(a, -1, b, 2.5)",
    ),
    *[
        case(
            f"scatter_add[{dim}]",
            lambda x, i, s, dim=dim: pb.scatter_add(x, dim, i, s),
            _elements(dim, 25),
            lambda x, i, s, dim=dim: accumulated(x, _grid(i, dim), s),
            lambda dy, x, i, s, dim=dim: (dy, None, dy[_grid(i, dim)]),
            scale=lambda x, i, s, dim=dim: accumulated(np.abs(x), _grid(i, dim), np.abs(s)),
            shapes=[s for s in SHAPES if s[dim]],
            torch=f"torch.scatter_add(a, {dim}, b, c)",
        )
        for dim in (0, 1, 2)
    ],
    *[
        case(
            f"scatter_reduce[{name}]",
            lambda x, i, s, name=name: pb.scatter_reduce(x, 1, i, s, name),
            _elements(1, 9),
            _reduced(op),
            _extreme_vjp(_reduced(op)),
            torch=f"torch.scatter_reduce(a, 1, b, c, '{name}')",
        )
        for name, op in (("amax", np.maximum), ("amin", np.minimum))
    ],
    case(
        "scatter_reduce[amax, without self]",
        lambda x, i, s: pb.scatter_reduce(x, 1, i, s, "amax", include_self=False),
        _elements(1, 9),
        _reduced(np.maximum, -np.inf),
        _extreme_vjp(_reduced(np.maximum, -np.inf), with_self=False),
        torch="torch.scatter_reduce(a, 1, b, c, 'amax', include_self=False)",
    ),
    case(
        "scatter_reduce[prod]",
        lambda x, i, s: pb.scatter_reduce(x, 1, i, s, "prod"),
        _away_from_zero,
        _reduced(np.multiply),
        _prod_vjp,
        ulps=16,
        vjp_ulps=32,
        torch="torch.scatter_reduce(a, 1, b, c, 'prod')",
    ),
    case(
        "scatter_reduce[mean, without self]",
        lambda x, i, s: pb.scatter_reduce(x, 1, i, s, "mean", include_self=False),
        _elements(1, 9),
        lambda x, i, s: _reduced(np.add, 0)(x, i, s) / _counts(x, i, 0),
        lambda dy, x, i, s: (without(dy, _grid(i, 1)), None, (dy / _counts(x, i, 0))[_grid(i, 1)]),
        scale=lambda x, i, s: _reduced(np.add, 0)(np.abs(x), i, np.abs(s)),
        torch="torch.scatter_reduce(a, 1, b, c, 'mean', include_self=False)",
    ),
    *[
        case(
            f"scatter_add[{dtype}]",
            lambda x, i, s: pb.scatter_add(x, 1, i, s),
            lambda rng, shape, dtype=dtype: [
                (a * 50).astype(dtype) if a.dtype.kind == "f" else a for a in _elements(1, 25)(rng, shape)
            ],
            lambda x, i, s: accumulated(x, _grid(i, 1), s),
            dtypes=("float32",),
            torch="torch.scatter_add(a, 1, b, c)",
        )
        for dtype in ("int64", "int32", "int16", "int8")
    ],
    case(
        "one_hot",
        lambda i: pb.one_hot(i, 7),
        lambda rng, shape: [rng.integers(0, 7, shape)],
        lambda i: np.eye(7, dtype=np.int64)[i],
        dtypes=("float32",),
        torch="torch.nn.functional.one_hot(a, 7)",
    ),
]
