"""Reading and writing at index arrays. Indices repeat where sums are taken, and are distinct where values are assigned."""

from __future__ import annotations

import numpy as np

import pullback as pb
from harness import Case
from pullback.ops.index import embedding

SHAPES = ((3, 4, 5), (1, 2, 1), (2, 7, 17), (0, 3, 2), (9, 16, 33))
BENCH = ((256, 64, 64),)


def case(name, run, inputs, value, vjp=None, **options):
    return Case(
        name=name,
        run=run,
        inputs=inputs,
        value=value,
        vjp=vjp,
        **{"shapes": SHAPES, "bench": BENCH, **options},
    )


def added(shape, key, dy):
    """Zeros with dy added at a key, and Σ|dy| there."""
    g = np.zeros(shape)
    np.add.at(g, key, dy)
    return g


def without(dy, key):
    g = dy.copy()
    g[key] = 0
    return g


def _key(dim, i):
    return (*[slice(None)] * dim, i)


def _read(name, run, key, inputs, torch, **options):
    """y = x[key(indices)]; the gradient is added up where it was read."""
    return case(
        name,
        run,
        inputs,
        lambda x, *i: x[key(*i)],
        lambda dy, x, *i: (added(x.shape, key(*i), dy), *[None] * len(i)),
        vjp_scale=lambda dy, x, *i: (added(x.shape, key(*i), np.abs(dy)), *[None] * len(i)),
        torch=torch,
        **options,
    )


def _with_index(dim, count, dtype="int64"):
    return lambda rng, shape: [rng.standard_normal(shape), rng.integers(0, max(shape[dim], 1), count).astype(dtype)]


READ = [
    *[
        _read(
            f"index_select[{dim}]",
            lambda x, i, dim=dim: pb.index_select(x, dim, i),
            lambda i, dim=dim: _key(dim, i),
            _with_index(dim, 11),
            f"torch.index_select(a, {dim}, b)",
            shapes=[s for s in SHAPES if s[dim]],
        )
        for dim in (0, 1, 2)
    ],
    _read(
        "getitem[tensor]",
        lambda x, i: x[i],
        lambda i: i,
        lambda rng, shape: [rng.standard_normal(shape), rng.integers(-shape[0], shape[0], (3, 5))],
        "a[b]",
        shapes=[s for s in SHAPES if s[0]],
    ),
    _read(
        "getitem[neighbours]",
        lambda x, i, j: x[:, i, j],
        lambda i, j: np.s_[:, i, j],
        lambda rng, shape: [
            rng.standard_normal(shape),
            rng.integers(-shape[1], shape[1], (4, 1)),
            rng.integers(0, shape[2], 3),
        ],
        "a[:, b, c]",
    ),
    _read(
        "getitem[apart]",
        lambda x, i, j: x[i, :, j],
        lambda i, j: np.s_[i, :, j],
        lambda rng, shape: [rng.standard_normal(shape), rng.integers(0, shape[0], 6), rng.integers(0, shape[2], 6)],
        "a[b, :, c]",
        shapes=[s for s in SHAPES if s[0]],
    ),
    _read(
        "getitem[all]",
        lambda x, i, j, k: x[i, j, k],
        lambda i, j, k: (i, j, k),
        lambda rng, shape: [rng.standard_normal(shape), *[rng.integers(0, n, 50) for n in shape]],
        "a[b, c, d]",
        shapes=[s for s in SHAPES if s[0]],
    ),
    _read(
        "getitem[mask]",
        lambda x, m: x[:, m],
        lambda m: np.s_[:, m],
        lambda rng, shape: [rng.standard_normal(shape), rng.random(shape[1:]) < 0.4],
        "a[:, b]",
    ),
    _read(
        "getitem[basic]",
        lambda x: x[..., None, ::2, -1],
        lambda: np.s_[..., None, ::2, -1],
        lambda rng, shape: [rng.standard_normal(shape)],
        "a[..., None, ::2, -1]",
    ),
    case(
        "take",
        pb.take,
        lambda rng, shape: [rng.standard_normal(shape), rng.integers(-np.prod(shape), np.prod(shape), (5, 8))],
        lambda x, i: np.take(x, i),
        lambda dy, x, i: (added(x.size, i, dy).reshape(x.shape), None),
        vjp_scale=lambda dy, x, i: (added(x.size, i, np.abs(dy)).reshape(x.shape), None),
        shapes=[s for s in SHAPES if s[0]],
        torch="torch.take(a, b)",
    ),
    *[
        _read(
            f"embedding[{index}]",
            lambda w, i: embedding(i, w),
            lambda i: i,
            lambda rng, shape, index=index: [
                rng.standard_normal(shape),
                rng.integers(0, shape[0], (6, 7)).astype(index),
            ],
            "torch.nn.functional.embedding(b, a)",
            shapes=((4, 3), (1, 1), (11, 17), (50, 64), (7, 130)),
            bench=((32000, 256),),
        )
        for index in ("int64", "int32")
    ],
    case(
        "embedding[padding]",
        lambda w, i: embedding(i, w, padding_idx=1),
        lambda rng, shape: [rng.standard_normal(shape), rng.integers(0, shape[0], 20)],
        lambda w, i: w[i],
        lambda dy, w, i: (without(added(w.shape, i, dy), 1), None),
        vjp_scale=lambda dy, w, i: (added(w.shape, i, np.abs(dy)), None),
        shapes=((4, 3), (11, 17)),
        bench=((32000, 256),),
        differences=False,  # the row's gradient is left out on purpose
        torch="torch.nn.functional.embedding(b, a, padding_idx=1)",
    ),
    *[
        case(
            f"index_select[{dtype}]",
            lambda x, i: pb.index_select(x, 1, i),
            lambda rng, shape, dtype=dtype: [
                rng.integers(0, 100, shape).astype(dtype),
                rng.integers(0, shape[1], 9),
            ],
            lambda x, i: x[:, i],
            dtypes=("float32",),
            torch="torch.index_select(a, 1, b)",
        )
        for dtype in ("int64", "int32", "int16", "int8", "uint8", "bool")
    ],
]


# --- writing ----------------------------------------------------------------------------------------------------------


def put(x, key, v):
    y = x.copy()
    y[key] = v
    return y


def accumulated(x, key, v):
    y = x.copy()
    np.add.at(y, key, v)
    return y


def _values(dim, count):
    """x, distinct indices along a dimension, and a source."""

    def inputs(rng, shape):
        n = min(count, shape[dim])
        source = (*shape[:dim], n, *shape[dim + 1 :])
        return [rng.standard_normal(shape), rng.permutation(shape[dim])[:n], rng.standard_normal(source)]

    return inputs


def _repeating(dim, count):
    def inputs(rng, shape):
        source = (*shape[:dim], count, *shape[dim + 1 :])
        return [rng.standard_normal(shape), rng.integers(0, shape[dim], count), rng.standard_normal(source)]

    return inputs


def _in_place(change):
    def run(x, *others):
        y = x.clone()
        change(y, *others)
        return y

    return run


def _set_item(x, i, v):
    x[:, i] = v


def _set_mask(x, m, v):
    x[:, m] = v


def _add_to_view(x, i, v):
    x[..., 1:].index_add_(1, i, v[..., 1:])


WRITE = [
    *[
        case(
            f"index_add[{dim}]",
            lambda x, i, s, dim=dim: pb.index_add(x, dim, i, s, alpha=2),
            _repeating(dim, 13),
            lambda x, i, s, dim=dim: accumulated(x, _key(dim, i), 2 * s),
            lambda dy, x, i, s, dim=dim: (dy, None, 2 * dy[_key(dim, i)]),
            scale=lambda x, i, s, dim=dim: accumulated(np.abs(x), _key(dim, i), 2 * np.abs(s)),
            shapes=[s for s in SHAPES if s[dim]],
            torch=f"torch.index_add(a, {dim}, b, c, alpha=2)",
        )
        for dim in (0, 1, 2)
    ],
    case(
        "index_add[many]",
        lambda x, i, s: pb.index_add(x, 0, i, s),
        _repeating(0, 1500),
        lambda x, i, s: accumulated(x, i, s),
        lambda dy, x, i, s: (dy, None, dy[i]),
        scale=lambda x, i, s: accumulated(np.abs(x), i, np.abs(s)),
        shapes=((3, 5), (700, 2), (4, 40)),
        bench=((1024, 256),),
        torch="torch.index_add(a, 0, b, c)",
    ),
    case(
        "index_add_[view]",
        _in_place(_add_to_view),
        _repeating(1, 13),
        lambda x, i, s: np.concatenate([x[..., :1], accumulated(x, _key(1, i), s)[..., 1:]], 2),
        lambda dy, x, i, s: (dy, None, np.concatenate([0 * s[..., :1], dy[:, i, 1:]], 2)),
        scale=lambda x, i, s: accumulated(np.abs(x), _key(1, i), np.abs(s)),
        torch="(lambda y: (y[..., 1:].index_add_(1, b, c[..., 1:]), y)[1])(a.clone())",
    ),
    case(
        "index_copy",
        lambda x, i, s: pb.index_copy(x, 1, i, s),
        _values(1, 3),
        lambda x, i, s: put(x, _key(1, i), s),
        lambda dy, x, i, s: (without(dy, _key(1, i)), None, dy[:, i]),
        torch="torch.index_copy(a, 1, b, c)",
    ),
    case(
        "index_copy[of many]",
        lambda x, i, s: pb.index_copy(x, 0, i, s),
        _values(0, 20),
        lambda x, i, s: put(x, i, s),
        lambda dy, x, i, s: (without(dy, i), None, dy[i]),
        shapes=((200, 3), (30, 40), (90, 1), (21, 3)),
        bench=((1024, 256),),
        torch="torch.index_copy(a, 0, b, c)",
    ),
    case(
        "index_fill",
        lambda x, i: pb.index_fill(x, 2, i, 1.5),
        lambda rng, shape: _values(2, 3)(rng, shape)[:2],
        lambda x, i: put(x, _key(2, i), 1.5),
        lambda dy, x, i: (without(dy, _key(2, i)), None),
        torch="torch.index_fill(a, 2, b, 1.5)",
    ),
    case(
        "index_put",
        lambda x, i, j, v: pb.index_put(x, (i, j), v),
        lambda rng, shape: [
            rng.standard_normal(shape),
            rng.permutation(shape[0])[:3],
            rng.integers(0, shape[1], 1),
            rng.standard_normal((1, shape[2])),
        ],
        lambda x, i, j, v: put(x, (i, j), v),
        lambda dy, x, i, j, v: (without(dy, (i, j)), None, None, dy[i, j].sum(0, keepdims=True)),
        vjp_scale=lambda dy, x, i, j, v: (np.abs(dy), None, None, np.abs(dy[i, j]).sum(0, keepdims=True)),
        shapes=[s for s in SHAPES if s[0]],
        torch="torch.index_put(a, (b, c), d)",
    ),
    case(
        "index_put[accumulate]",
        lambda x, i, j, v: pb.index_put(x, (i, j), v, accumulate=True),
        lambda rng, shape: [
            rng.standard_normal(shape),
            rng.integers(0, shape[0], (20, 1)),
            rng.integers(-shape[1], shape[1], 4),
            rng.standard_normal((20, 4, shape[2])),
        ],
        lambda x, i, j, v: accumulated(x, (i, j), v),
        lambda dy, x, i, j, v: (dy, None, None, dy[i, j]),
        scale=lambda x, i, j, v: accumulated(np.abs(x), (i, j), np.abs(v)),
        shapes=[s for s in SHAPES if s[0]],
        torch="torch.index_put(a, (b, c), d, accumulate=True)",
    ),
    case(
        "put_[accumulate]",
        _in_place(lambda y, i, s: y.put_(i, s, accumulate=True)),
        lambda rng, shape: [
            rng.standard_normal(shape),
            rng.integers(0, np.prod(shape), 30),
            rng.standard_normal(30),
        ],
        lambda x, i, s: accumulated(x.ravel(), i, s).reshape(x.shape),
        lambda dy, x, i, s: (dy, None, dy.ravel()[i]),
        scale=lambda x, i, s: accumulated(np.abs(x).ravel(), i, np.abs(s)).reshape(x.shape),
        shapes=[s for s in SHAPES if s[0]],
        torch="a.clone().put_(b, c, accumulate=True)",
    ),
    *[
        case(
            f"put_[{count}, repeating]",  # the last value of a place stays
            _in_place(lambda y, i, s: y.put_(i, s)),
            lambda rng, shape, count=count: [
                rng.standard_normal(shape),
                rng.integers(0, np.prod(shape) // 2, count) * 2,
                rng.standard_normal(count),
            ],
            lambda x, i, s: put(x.ravel(), i, s).reshape(x.shape),
            lambda dy, x, i, s: (without(dy.ravel(), i).reshape(x.shape), None, dy.ravel()[i]),
            shapes=shapes,
            differences=False,  # a value that did not stay gets a gradient all the same, as in PyTorch
        )
        for count, shapes in ((30, ((3, 4), (20, 9))), (1500, ((3, 4), (80, 90))))
    ],
    case(
        "setitem[tensor]",
        _in_place(_set_item),
        _values(1, 3),
        lambda x, i, v: put(x, np.s_[:, i], v),
        lambda dy, x, i, v: (without(dy, np.s_[:, i]), None, dy[:, i]),
    ),
    case(
        "setitem[mask]",
        _in_place(_set_mask),
        lambda rng, shape: [
            rng.standard_normal(shape),
            rng.random(shape[1:]) < 0.5,
            rng.standard_normal((shape[0], 1)),
        ],
        lambda x, m, v: put(x, np.s_[:, m], v),
        lambda dy, x, m, v: (without(dy, np.s_[:, m]), None, dy[:, m].sum(1, keepdims=True)),
        vjp_scale=lambda dy, x, m, v: (np.abs(dy), None, np.abs(dy[:, m]).sum(1, keepdims=True)),
    ),
    case(
        "setitem[basic]",
        _in_place(lambda y, v: y.__setitem__(np.s_[..., 1:, ::2], v)),
        lambda rng, shape: [rng.standard_normal(shape), rng.standard_normal((1, 1))],
        lambda x, v: put(x, np.s_[..., 1:, ::2], v),
        lambda dy, x, v: (without(dy, np.s_[..., 1:, ::2]), dy[..., 1:, ::2].sum(keepdims=True)[0]),
        vjp_scale=lambda dy, x, v: (np.abs(dy), np.abs(dy[..., 1:, ::2]).sum(keepdims=True)[0]),
    ),
]

CASES = [*READ, *WRITE]
