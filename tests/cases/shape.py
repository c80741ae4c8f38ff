"""Joining, splitting, rearranging, repeating and padding: elements move, and gradients move back."""

from __future__ import annotations

import numpy as np

import pullback as pb
from harness import Case
from pullback.ops.padding import pad

SHAPES = ((3, 4, 5), (2, 1, 7), (1, 1, 1), (0, 3, 2), (8, 16, 33))


def _case(name, run, value, vjp, torch, shapes=SHAPES, operands=1, **options):
    return Case(
        name=name,
        run=run,
        inputs=lambda rng, shape: [rng.standard_normal(shape) for _ in range(operands)],
        value=value,
        vjp=vjp,
        shapes=shapes,
        torch=torch,
        **{"bench": ((64, 64, 256),), **options},
    )


def _at(shape, key, dy):
    """Zeros but for dy at a key."""
    g = np.zeros(shape)
    g[key] = dy
    return g


# --- joining and splitting --------------------------------------------------------------------------------------------


def _cat(dim):
    def vjp(dy, *xs):
        return tuple(np.split(dy, np.cumsum([x.shape[dim] for x in xs])[:-1], dim))

    return Case(
        name=f"cat[{dim}]",
        run=lambda *xs: pb.cat(xs, dim),
        inputs=lambda rng, shape: [
            rng.standard_normal([n if d != dim % 3 else k for d, n in enumerate(shape)]) for k in (shape[dim], 0, 3)
        ],
        value=lambda *xs: np.concatenate(xs, dim),
        vjp=vjp,
        shapes=SHAPES,
        bench=((64, 64, 256),),
        torch=f"torch.cat([a, b, c], {dim})",
    )


def _stack(dim):
    return _case(
        f"stack[{dim}]",
        lambda *xs: pb.stack(xs, dim),
        lambda *xs: np.stack(xs, dim),
        lambda dy, *xs: tuple([dy.take(k, dim) for k in range(3)]),
        f"torch.stack([a, b, c], {dim})",
        operands=3,
    )


def _part(name, pick, key, torch, shapes=SHAPES):
    """One of the views that an op gives."""
    return _case(name, pick, lambda x: x[key], lambda dy, x: (_at(x.shape, key, dy),), torch, shapes)


def _all_parts(x):
    """Every part, each used differently; the last one not at all."""
    a, b, c = x.split([2, 1, 1], 1)
    return a.sum(1) * b.squeeze(1)


JOIN = [
    *[_cat(dim) for dim in (0, 1, -1)],
    *[_stack(dim) for dim in (0, 2, -1)],
    Case(
        name="cat[promoted]",
        run=lambda x, i: pb.cat([x, i], 0),
        inputs=lambda rng, shape: [rng.standard_normal(shape), rng.integers(-9, 9, shape)],
        value=lambda x, i: np.concatenate([x, i], 0),
        vjp=lambda dy, x, i: (dy[: len(x)], None),
        shapes=SHAPES,
        torch="torch.cat([a, b], 0)",
    ),
    _part(
        "split", lambda x: x.split(2, 2)[-1], np.s_[..., 4:], "a.split(2, 2)[-1]", ((3, 4, 5), (2, 1, 6), (7, 16, 5))
    ),
    _part("chunk", lambda x: x.chunk(2, 1)[1], np.s_[:, 2:], "a.chunk(2, 1)[1]", ((3, 4, 5), (2, 3, 7))),
    _part("tensor_split", lambda x: pb.tensor_split(x, (1, 3), 1)[1], np.s_[:, 1:3], "a.tensor_split((1, 3), 1)[1]"),
    _part("unbind", lambda x: x.unbind(1)[-1], np.s_[:, -1], "a.unbind(1)[-1]"),
    _part("iterate", lambda x: list(x)[0], np.s_[0], "list(a)[0]", [s for s in SHAPES if s[0]]),
    _case(
        "split[all parts]",
        _all_parts,
        lambda x: x[:, :2].sum(1) * x[:, 2],
        lambda dy, x: (np.stack([dy * x[:, 2], dy * x[:, 2], dy * x[:, :2].sum(1), 0 * dy], 1),),
        "(lambda p: p[0].sum(1) * p[1].squeeze(1))(a.split([2, 1, 1], 1))",
        shapes=((3, 4, 5), (1, 4, 1), (9, 4, 33)),
        bench=((512, 4, 512),),
        scale=lambda x: np.abs(x[:, :2]).sum(1) * np.abs(x[:, 2]),
        vjp_scale=lambda dy, x: (np.abs(dy)[:, None] * (np.abs(x).sum(1, keepdims=True) + 0 * x),),
    ),
]

# --- rearranging ------------------------------------------------------------------------------------------------------


def _triangle(name, k):
    f = getattr(np, name)
    return _case(
        f"{name}[{k}]",
        lambda x: getattr(pb, name)(x, k),
        lambda x: f(x, k),
        lambda dy, x: (f(dy, k),),
        f"torch.{name}(a, {k})",
    )


def _in_place(x):
    y = x * 2
    y.tril_(-1)
    return y


def _diagonal(offset, dim1, dim2):
    def vjp(dy, x):
        g = np.zeros_like(x)
        i = np.arange(dy.shape[-1])
        view = np.moveaxis(g, (dim1, dim2), (-2, -1))
        view[..., i + max(-offset, 0), i + max(offset, 0)] = dy
        return (g,)

    return _case(
        f"diagonal[{offset}, {dim1}, {dim2}]",
        lambda x: pb.diagonal(x, offset, dim1, dim2),
        lambda x: np.diagonal(x, offset, dim1, dim2),
        vjp,
        f"torch.diagonal(a, {offset}, {dim1}, {dim2})",
        shapes=((3, 4, 5), (4, 2, 7), (8, 16, 33)),
    )


def _embed(x, offset):
    n = x.shape[-1] + abs(offset)
    y = np.zeros((*x.shape[:-1], n, n))
    i = np.arange(x.shape[-1])
    y[..., i + max(-offset, 0), i + max(offset, 0)] = x
    return y


REARRANGE = [
    *[_triangle(name, k) for name in ("tril", "triu") for k in (-2, 0, 1)],
    _case(
        "tril_",
        _in_place,
        lambda x: np.tril(2 * x, -1),
        lambda dy, x: (2 * np.tril(dy, -1),),
        "(a * 2).tril_(-1)",
    ),
    *[
        Case(
            name=f"triu[{dtype}]",
            run=lambda x: pb.triu(x, 1),
            inputs=lambda rng, shape, dtype=dtype: [rng.integers(0, 100, shape).astype(dtype)],
            value=lambda x: np.triu(x, 1),
            shapes=SHAPES,
            dtypes=("float32",),
            torch="torch.triu(a, 1)",
        )
        for dtype in ("int64", "int32", "int16", "int8", "bool")
    ],
    *[_diagonal(*d) for d in ((0, 0, 1), (1, 1, 2), (-1, 0, 2), (-2, 2, 0))],
    *[
        _case(
            f"diag_embed[{offset}]",
            lambda x, offset=offset: pb.diag_embed(x, offset),
            lambda x, offset=offset: _embed(x, offset),
            lambda dy, x, offset=offset: (np.diagonal(dy, offset, -2, -1),),
            f"torch.diag_embed(a, {offset})",
            shapes=((3, 4), (5,), (0, 3), (17, 9)),
            bench=((64, 256),),
        )
        for offset in (-1, 0, 2)
    ],
    _case(
        "diag",
        lambda x: pb.diag(x, 1),
        lambda x: np.diag(x, 1),
        lambda dy, x: (np.eye(*x.shape, 1) * np.concatenate([[0], dy, np.zeros(9)])[: x.shape[1]],),
        "torch.diag(a, 1)",
        shapes=((4, 5), (7, 3), (1, 2)),
        bench=((1024, 1024),),
    ),
    _case(
        "trace",
        pb.trace,
        lambda x: np.asarray(np.trace(x)),
        lambda dy, x: (dy * np.eye(*x.shape),),
        "torch.trace(a)",
        shapes=((4, 5), (7, 3), (1, 2), (40, 40)),
        bench=((1024, 1024),),
        scale=lambda x: np.abs(np.diag(x)).sum(),
    ),
    _case(
        "flip",
        lambda x: pb.flip(x, (0, 2)),
        lambda x: np.flip(x, (0, 2)),
        lambda dy, x: (np.flip(dy, (0, 2)),),
        "torch.flip(a, (0, 2))",
    ),
    _case(
        "roll",
        lambda x: pb.roll(x, (1, -3), (0, 2)),
        lambda x: np.roll(x, (1, -3), (0, 2)),
        lambda dy, x: (np.roll(dy, (-1, 3), (0, 2)),),
        "torch.roll(a, (1, -3), (0, 2))",
    ),
    _case(
        "roll[flat]",
        lambda x: pb.roll(x, 2),
        lambda x: np.roll(x, 2),
        lambda dy, x: (np.roll(dy, -2),),
        "torch.roll(a, 2)",
    ),
    *[
        _case(
            f"rot90[{k}]",
            lambda x, k=k: pb.rot90(x, k, (1, 2)),
            lambda x, k=k: np.rot90(x, k, (1, 2)),
            lambda dy, x, k=k: (np.rot90(dy, -k, (1, 2)),),
            f"torch.rot90(a, {k}, (1, 2))",
        )
        for k in (-1, 0, 1, 2)
    ],
]

# --- repetition -------------------------------------------------------------------------------------------------------


def _summed(dy, x, times, axes):
    return dy.reshape(times).sum(axes).reshape(x.shape)


REPEAT = [
    _case(
        "repeat",
        lambda x: x.repeat(2, 1, 3, 2),
        lambda x: np.tile(x, (2, 1, 3, 2)),
        lambda dy, x: (_summed(dy, x, (2, 1, x.shape[0], 3, x.shape[1], 2, x.shape[2]), (0, 1, 3, 5)),),
        "a.repeat(2, 1, 3, 2)",
        vjp_scale=lambda dy, x: (
            _summed(np.abs(dy), x, (2, 1, x.shape[0], 3, x.shape[1], 2, x.shape[2]), (0, 1, 3, 5)),
        ),
    ),
    _case(
        "repeat_interleave",
        lambda x: pb.repeat_interleave(x, 3, 1),
        lambda x: np.repeat(x, 3, 1),
        lambda dy, x: (dy.reshape(x.shape[0], x.shape[1], 3, x.shape[2]).sum(2),),
        "torch.repeat_interleave(a, 3, 1)",
        vjp_scale=lambda dy, x: (np.abs(dy).reshape(x.shape[0], x.shape[1], 3, x.shape[2]).sum(2),),
    ),
    _case(
        "repeat_interleave[counts]",
        lambda x: pb.repeat_interleave(x, pb.tensor([2, 0, 1, 3]), 1),
        lambda x: np.repeat(x, [2, 0, 1, 3], 1),
        lambda dy, x: (np.stack([dy[:, :2].sum(1), 0 * x[:, 1], dy[:, 2], dy[:, 3:].sum(1)], 1),),
        "torch.repeat_interleave(a, torch.tensor([2, 0, 1, 3]), 1)",
        shapes=((3, 4, 5), (9, 4, 33)),
        bench=((512, 4, 512),),
        vjp_scale=lambda dy, x: (np.abs(dy).sum(1, keepdims=True) + 0 * x,),
    ),
    _case(
        "meshgrid",
        lambda x, y: pb.meshgrid(x, y, indexing="ij"),
        lambda x, y: tuple(np.meshgrid(x, y, indexing="ij")),
        lambda dy, x, y: (dy.sum(1), None),
        "torch.meshgrid(a, b, indexing='ij')",
        shapes=((4,), (1,), (17,)),
        bench=((1024,),),
        operands=2,
        vjp_scale=lambda dy, x, y: (np.abs(dy).sum(1), None),
    ),
]

# --- padding ----------------------------------------------------------------------------------------------------------

NUMPY = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def _pad(mode, widths, shapes):
    """`widths` in PyTorch's order, last dimension first."""
    flat = [max(w, 0) for w in widths]
    before = [(a, b) for a, b in zip(flat[::2], flat[1::2])][::-1]

    def cropped(x):
        for k, (a, b) in enumerate(zip(widths[::2], widths[1::2])):
            d = x.ndim - 1 - k
            x = x.take(range(max(-a, 0), x.shape[d] - max(-b, 0)), d)
        return x

    def value(x):
        every = [(0, 0)] * (x.ndim - len(before)) + before
        extra = {"constant_values": 1.5} if mode == "constant" else {}
        return np.pad(cropped(x), every, NUMPY[mode], **extra)

    def vjp(dy, x):
        """Every element of y is one of x: where it came from is padded as it was."""
        if x.size == 0:
            return (x,)
        from_where = np.arange(x.size).reshape(x.shape)
        every = [(0, 0)] * (x.ndim - len(before)) + before
        extra = {"constant_values": -1} if mode == "constant" else {}
        source = np.pad(cropped(from_where), every, NUMPY[mode], **extra)
        g = np.zeros(x.size)
        np.add.at(g, source[source >= 0], dy[source >= 0])
        return (g.reshape(x.shape),)

    extra = ", value=1.5" if mode == "constant" else ""
    return _case(
        f"pad[{mode}, {widths}]",
        (lambda x: pad(x, widths, value=1.5)) if mode == "constant" else (lambda x: pad(x, widths, mode)),
        value,
        vjp,
        f"torch.nn.functional.pad(a, {widths}, '{mode}'{extra})",
        shapes,
        vjp_scale=lambda dy, x: vjp(np.abs(dy), x),
    )


PAD = [
    _pad("constant", (1, 2), SHAPES),
    _pad("constant", (0, 1, 2, 3, 1, 0), SHAPES),
    _pad("constant", (-1, 2, 0, 1), ((3, 4, 5), (2, 1, 7), (8, 16, 33))),
    *[
        _pad(mode, widths, ((2, 3, 4, 5), (1, 2, 4, 7), (3, 2, 8, 17)))
        for mode in ("reflect", "replicate", "circular")
        for widths in ((1, 2, 0, 0), (2, 0, 3, 1), (-1, 2, 1, 1))
    ],
]

CASES = [*JOIN, *REARRANGE, *REPEAT, *PAD]
