"""Matrix products of all shapes and layouts. A shape lists the sizes that the operands are made of: (M, K, N) and so on.

Tolerance: each of K roundings is at most eps/2 of a partial sum, and they are of random sign; so their sum stays within a
few eps of Σ|a_k b_k|, whatever K is.
"""

from __future__ import annotations

import numpy as np

import pullback as pb
from harness import Case

# (M, K, N): empty ones, around the widths of vectors and the heights of tiles, several tiles, several slabs of K (more
# than 384), and so many rows that both operands are packed ahead.
SHAPES = (
    (0, 3, 4),
    (3, 0, 4),
    (3, 4, 0),
    (1, 1, 1),
    (2, 3, 4),
    (3, 2, 5),
    (4, 7, 3),
    (5, 8, 9),
    (6, 9, 8),
    (7, 15, 17),
    (13, 17, 31),
    (14, 16, 32),
    (15, 33, 33),
    (29, 1, 65),
    (2, 40, 70),
    (65, 40, 130),
    (33, 800, 70),
    (3, 17, 600),
    (230, 390, 300),
)
SOME = (
    (0, 3, 4),
    (3, 0, 4),
    (3, 4, 0),
    (1, 1, 1),
    (2, 3, 4),
    (3, 2, 5),
    (5, 8, 9),
    (13, 17, 31),
    (14, 500, 33),
    (65, 40, 130),
)
FEW = ((0, 3, 4), (3, 0, 4), (2, 3, 4), (3, 2, 5), (17, 33, 9), (5, 3, 32))  # the last: whole vectors everywhere
BATCHES = ((2, 0, 3, 4), (0, 2, 3, 4), (2, 2, 3, 2), (3, 5, 4, 2), (3, 17, 9, 33))
# Few results of long sums, which blocks of a GPU share.
CUT, CUT_BATCH = (5, 2500, 19), (2, 3, 2100, 4)


def t(x):
    """The transpose of the last two dimensions; of a vector as a row, its column."""
    return x.swapaxes(-1, -2)


def to_shape(g, like):
    """Summed over the dimensions in which `like` was stretched."""
    g = g.sum(tuple(range(g.ndim - like.ndim)))
    return g.sum(tuple(d for d in range(like.ndim) if like.shape[d] == 1 and g.shape[d] != 1), keepdims=True)


def matrices(a, b):
    return (a[None] if a.ndim == 1 else a), (b[:, None] if b.ndim == 1 else b)


def pull(dy, a, b):
    """ā = ȳ bᵀ and b̄ = aᵀ ȳ."""
    x, y = matrices(a, b)
    dy = dy[..., None] if b.ndim == 1 else dy
    dy = dy[..., None, :] if a.ndim == 1 else dy
    return to_shape(dy @ t(y), x).reshape(a.shape), to_shape(t(x) @ dy, y).reshape(b.shape)


def pull_scale(dy, a, b):
    return pull(np.abs(dy), np.abs(a), np.abs(b))


def value_scale(a, b):
    return np.abs(a) @ np.abs(b)


def work(a, b):
    """FLOPs and bytes of float32 for (…, M, K) times (…, K, N); a vector stands for a row a, or for a column b."""
    a, b = ((1, *a) if len(a) == 1 else a), ((*b, 1) if len(b) == 1 else b)
    c = (*np.broadcast_shapes(a[:-2], b[:-2]), a[-2], b[-1])
    moved = sum(int(np.prod(s)) for s in (a, b, c))
    return 2.0 * float(np.prod(c)) * a[-1], 4.0 * moved


def product(name, first, second, shapes=SHAPES, run=pb.matmul, **options):
    """A case of a @ b, the operands' shapes made from the sizes."""
    bench = options.pop("bench", ((64, 64, 64), (256, 256, 256), (1024, 1024, 1024)))
    options.setdefault("work", lambda *s: work(first(*s), second(*s)))
    return Case(
        name=name,
        run=run,
        inputs=lambda rng, s: [rng.standard_normal(first(*s)), rng.standard_normal(second(*s))],
        value=np.matmul,
        vjp=pull,
        scale=value_scale,
        vjp_scale=pull_scale,
        shapes=shapes,
        bench=bench,
        torch=options.pop("torch", "torch.matmul(a, b)"),
        **options,
    )


def _turned(which):
    """a @ b with one operand given as its transpose."""
    first = (lambda m, k, n: (k, m)) if which == "tn" else (lambda m, k, n: (m, k))
    second = (lambda m, k, n: (n, k)) if which == "nt" else (lambda m, k, n: (k, n))
    a_of, b_of = (t if which == "tn" else np.asarray), (t if which == "nt" else np.asarray)

    def vjp(dy, a, b):
        da, db = pull(dy, a_of(a), b_of(b))
        return a_of(da), b_of(db)

    return Case(
        name=f"matmul[{which}]",
        run=(lambda a, b: a.t() @ b) if which == "tn" else (lambda a, b: a @ b.t()),
        inputs=lambda rng, s: [rng.standard_normal(first(*s)), rng.standard_normal(second(*s))],
        value=lambda a, b: a_of(a) @ b_of(b),
        vjp=vjp,
        scale=lambda a, b: np.abs(a_of(a)) @ np.abs(b_of(b)),
        vjp_scale=lambda dy, a, b: vjp(np.abs(dy), np.abs(a), np.abs(b)),
        shapes=SHAPES,
        bench=((64, 784, 256), (256, 256, 256)),
        work=lambda m, k, n: work((m, k), (k, n)),
        torch="a.t() @ b" if which == "tn" else "a @ b.t()",
    )


_BATCHED = ((64, 256, 256),)
_VECTORS = ((0, 3), (3, 0), (1, 1), (3, 4), (5, 8), (17, 9), (33, 65), (130, 300), (1100, 33), (20, 1100), (600, 600))


def _vector(name, first, second, run, torch):
    return product(
        name,
        first,
        second,
        _VECTORS,
        run,
        torch=torch,
        bench=((256, 784), (4096, 4096)),
    )


def _added(name, run, shape_c, shape_a, shape_b, alpha, beta, shapes, torch, turn=lambda x: x, join=np.matmul):
    """β c + α a b; `join` is the product, `turn` undoes what it does to shapes on the way back."""

    def value(c, a, b):
        return (beta * c if beta else 0) + alpha * join(a, b)

    def vjp(dy, c, a, b):
        da, db = turn(dy, a, b)
        return to_shape(beta * dy, c), alpha * da, alpha * db

    def moved(*s):
        flops, product_moves = work(shape_a(*s), shape_b(*s))
        return flops, product_moves + 4.0 * float(np.prod(shape_c(*s)))

    return Case(
        name=name,
        run=lambda c, a, b: run(c, a, b, beta=beta, alpha=alpha),
        inputs=lambda rng, s: [rng.standard_normal(f(*s)) for f in (shape_c, shape_a, shape_b)],
        value=value,
        vjp=vjp,
        scale=lambda c, a, b: abs(beta) * np.abs(c) + abs(alpha) * join(np.abs(a), np.abs(b)),
        vjp_scale=lambda dy, c, a, b: [abs(g) for g in _absolute(vjp, dy, c, a, b)],
        shapes=shapes,
        bench=((256, 256, 256),)
        if len(shapes[0]) == 3
        else ((8, 128, 128, 128),)
        if len(shapes[0]) == 4
        else ((512, 512),),
        work=None if join is np.outer else moved,
        torch=torch,
    )


def _absolute(vjp, dy, *arrays):
    return vjp(np.abs(dy), *[np.abs(x) for x in arrays])


def _outer(dy, a, b):
    return dy @ b, a @ dy


def _summed(dy, a, b):
    return dy[None] @ t(b), t(a) @ dy[None]


def _inner(dy, a, b):
    return dy @ b, dy.reshape(-1, b.shape[0]).T @ a.reshape(-1, b.shape[1])


def _linear(name, lead, bias=True, shapes=SOME):
    """x Wᵀ + b; x has dimensions `lead` before the last two, or is one row."""
    rows = (lambda m: (1,)) if lead == "row" else (lambda m: (*lead, m))

    def value(x, w, *b):
        return x @ w.T + (b[0] if b else 0)

    def vjp(dy, x, w, *b):
        rows = dy.reshape(-1, w.shape[0]) if dy.size else np.zeros((int(np.prod(dy.shape[:-1])), w.shape[0]))
        return [dy @ w, rows.T @ x.reshape(rows.shape[0], w.shape[1]), *([rows.sum(0)] if b else [])]

    def inputs(rng, s):
        m, k, n = s
        made = [rng.standard_normal((*lead, m, k)), rng.standard_normal((n, k)), rng.standard_normal(n)]
        if lead == "row":
            made[0] = rng.standard_normal(k)
        return made[: 3 if bias else 2]

    if lead == "row":
        lead = ()
        base = inputs

        def inputs(rng, s):
            return [rng.standard_normal(s[1]), *base(rng, s)[1:]]

    return Case(
        name=name,
        run=pb.linear,
        inputs=inputs,
        value=value,
        vjp=vjp,
        scale=lambda x, w, *b: np.abs(x) @ np.abs(w).T + (np.abs(b[0]) if b else 0),
        vjp_scale=lambda dy, *arrays: _absolute(vjp, dy, *arrays),
        shapes=shapes,
        bench=((64, 784, 256), (8, 784, 256), (64, 128, 10)),
        work=lambda m, k, n: work((*rows(m), k), (k, n)),
        torch=f"torch.nn.functional.linear(a, b{', c' if bias else ''})",
    )


def _chain_vjp(dy, a, b, c):
    return dy @ (b @ c).T, a.T @ dy @ c.T, (a @ b).T @ dy


def _integers(name, dtype, first, second):
    return Case(
        name=name,
        run=pb.matmul,
        inputs=lambda rng, s: [rng.integers(0, 9, f(*s)).astype(dtype) for f in (first, second)],
        value=lambda a, b: np.matmul(a, b).astype(dtype),
        shapes=FEW,
        dtypes=("float32",),
        bench=((64, 64, 64),),
        torch="torch.matmul(a, b)",
    )


_MM = (lambda m, k, n: (m, k)), (lambda m, k, n: (k, n))

CASES = [
    product("matmul", *_MM),
    product("mm", *_MM, FEW, pb.mm, torch="torch.mm(a, b)"),
    product("matmul[operator]", *_MM, FEW, lambda a, b: a @ b),
    _turned("nt"),
    _turned("tn"),
    product(
        "matmul[batch]",
        lambda s, m, k, n: (s, m, k),
        lambda s, m, k, n: (s, k, n),
        BATCHES,
        bench=((32, 128, 64, 128),),
    ),
    product(
        "bmm", lambda s, m, k, n: (s, m, k), lambda s, m, k, n: (s, k, n), BATCHES, pb.bmm, bench=((32, 128, 64, 128),)
    ),
    product(
        "matmul[one b]", lambda s, m, k, n: (s, m, k), lambda s, m, k, n: (k, n), BATCHES, bench=((32, 128, 64, 128),)
    ),
    product(
        "matmul[one a]", lambda s, m, k, n: (m, k), lambda s, m, k, n: (s, k, n), BATCHES, bench=((32, 128, 64, 128),)
    ),
    product(
        "matmul[crossed]",
        lambda s, m, k, n: (s, 1, m, k),
        lambda s, m, k, n: (3, k, n),
        BATCHES,
        bench=((8, 128, 64, 128),),
    ),
    product(
        "matmul[sizes of 1]",
        lambda s, m, k, n: (1, s, m, k),
        lambda s, m, k, n: (2, 1, k, n),
        BATCHES,
        bench=((8, 128, 64, 128),),
    ),
    _vector("mv", lambda m, k: (m, k), lambda m, k: (k,), pb.mv, "torch.mv(a, b)"),
    _vector("matmul[row]", lambda m, k: (k,), lambda m, k: (k, m), pb.matmul, "torch.matmul(a, b)"),
    product("matmul[one row]", lambda m, k: (1, k), lambda m, k: (k, m), _VECTORS, bench=((256, 784),)),
    product(
        "dot",
        lambda k: (k,),
        lambda k: (k,),
        ((0,), (1,), (7,), (16,), (33,), (50000,)),
        pb.dot,
        bench=((1 << 20,),),
        torch="a.dot(b)",
    ),
    product("matmul[row, batch]", lambda s, k, n: (k,), lambda s, k, n: (s, k, n), FEW, bench=_BATCHED),
    product("matmul[batch, column]", lambda s, m, k: (s, m, k), lambda s, m, k: (k,), FEW, bench=_BATCHED),
    product("vdot", lambda k: (k,), lambda k: (k,), ((5,), (40,)), pb.vdot, bench=((4096,),), torch="torch.vdot(a, b)"),
    _added("addmm", pb.addmm, lambda m, k, n: (m, n), *_MM, 1, 1, SHAPES, "torch.addmm(a, b, c)", pull),
    _added(
        "addmm[scaled]",
        pb.addmm,
        lambda m, k, n: (m, n),
        *_MM,
        0.5,
        -2,
        SOME,
        "torch.addmm(a, b, c, beta=-2, alpha=.5)",
        pull,
    ),
    _added("addmm[row]", pb.addmm, lambda m, k, n: (n,), *_MM, 2, 1, FEW, "torch.addmm(a, b, c, alpha=2)", pull),
    _added("addmm[column]", pb.addmm, lambda m, k, n: (m, 1), *_MM, 1, 0.5, FEW, "torch.addmm(a, b, c, beta=.5)", pull),
    _added("addmm[number]", pb.addmm, lambda m, k, n: (), *_MM, 1, 1, FEW, "torch.addmm(a, b, c)", pull),
    _added(
        "addmm[beta 0]",
        pb.addmm,
        lambda m, k, n: (m, n),
        *_MM,
        3,
        0,
        FEW,
        "torch.addmm(a, b, c, beta=0, alpha=3)",
        pull,
    ),
    _added(
        "addmv",
        pb.addmv,
        lambda m, k: (m,),
        lambda m, k: (m, k),
        lambda m, k: (k,),
        1,
        1,
        _VECTORS,
        "torch.addmv(a, b, c)",
        pull,
    ),
    _added(
        "addmv[scaled]",
        pb.addmv,
        lambda m, k: (1,),
        lambda m, k: (m, k),
        lambda m, k: (k,),
        3,
        0.5,
        _VECTORS,
        "torch.addmv(a, b, c, beta=.5, alpha=3)",
        pull,
    ),
    _added(
        "addr",
        pb.addr,
        lambda m, n: (m, n),
        lambda m, n: (m,),
        lambda m, n: (n,),
        2,
        3,
        ((3, 4), (17, 33)),
        "torch.addr(a, b, c, beta=3, alpha=2)",
        _outer,
        np.outer,
    ),
    _added(
        "baddbmm",
        pb.baddbmm,
        lambda s, m, k, n: (s, m, n),
        lambda s, m, k, n: (s, m, k),
        lambda s, m, k, n: (s, k, n),
        1,
        1,
        (*BATCHES, CUT_BATCH),
        "torch.baddbmm(a, b, c)",
        pull,
    ),
    _added(
        "baddbmm[scaled]",
        pb.baddbmm,
        lambda s, m, k, n: (m, 1),
        lambda s, m, k, n: (s, m, k),
        lambda s, m, k, n: (s, k, n),
        2,
        -1,
        BATCHES,
        "torch.baddbmm(a, b, c, beta=-1, alpha=2)",
        pull,
    ),
    _added(
        "addbmm",
        pb.addbmm,
        lambda s, m, k, n: (m, n),
        lambda s, m, k, n: (s, m, k),
        lambda s, m, k, n: (s, k, n),
        2,
        0.5,
        BATCHES,
        "torch.addbmm(a, b, c, beta=.5, alpha=2)",
        _summed,
        lambda a, b: (a @ b).sum(0),
    ),
    _linear("linear", (), shapes=(*SHAPES, CUT)),
    _linear("linear[no bias]", (), bias=False),
    _linear("linear[batch]", (3,)),
    _linear("linear[row]", "row"),
    Case(
        name="linear[vector]",
        run=pb.linear,
        inputs=lambda rng, s: [rng.standard_normal(s), rng.standard_normal(s[-1]), rng.standard_normal(())],
        value=lambda x, w, b: x @ w + b,
        vjp=lambda dy, x, w, b: (dy[..., None] * w, (dy[..., None] * x).reshape(-1, w.size).sum(0), dy.sum()),
        scale=lambda x, w, b: np.abs(x) @ np.abs(w) + np.abs(b),
        vjp_scale=lambda dy, x, w, b: (
            np.abs(dy[..., None] * w),
            np.abs(dy[..., None] * x).reshape(-1, w.size).sum(0),
            np.abs(dy).sum(),
        ),
        shapes=((3, 4), (2, 3, 5), (17, 33)),
        torch="torch.nn.functional.linear(a, b, c)",
    ),
    Case(
        name="outer",
        run=pb.outer,
        inputs=lambda rng, s: [rng.standard_normal(s[0]), rng.standard_normal(s[1])],
        value=np.outer,
        vjp=_outer,
        vjp_scale=lambda dy, a, b: _outer(np.abs(dy), np.abs(a), np.abs(b)),
        shapes=((0, 3), (3, 4), (5, 7), (17, 33)),
        torch="torch.outer(a, b)",
    ),
    Case(
        name="inner",
        run=pb.inner,
        inputs=lambda rng, s: [rng.standard_normal(s), rng.standard_normal((3, s[-1]))],
        value=lambda a, b: np.inner(a, b),
        vjp=_inner,
        scale=lambda a, b: np.inner(np.abs(a), np.abs(b)),
        vjp_scale=lambda dy, *ab: _absolute(_inner, dy, *ab),
        shapes=((4,), (2, 5), (2, 3, 4), (17, 33)),
        torch="torch.inner(a, b)",
    ),
    Case(
        name="tensordot",
        run=lambda a, b: pb.tensordot(a, b, ([1, 0], [2, 0])),
        inputs=lambda rng, s: [rng.standard_normal(s), rng.standard_normal((s[0], 4, s[1]))],
        value=lambda a, b: np.einsum("xyi,xjy->ij", a, b),
        vjp=lambda dy, a, b: (np.einsum("ij,xjy->xyi", dy, b), np.einsum("ij,xyi->xjy", dy, a)),
        scale=lambda a, b: np.einsum("xyi,xjy->ij", np.abs(a), np.abs(b)),
        vjp_scale=lambda dy, a, b: (
            np.einsum("ij,xjy->xyi", np.abs(dy), np.abs(b)),
            np.einsum("ij,xyi->xjy", np.abs(dy), np.abs(a)),
        ),
        shapes=((2, 3, 2), (3, 2, 5), (7, 9, 17)),
        bench=((32, 32, 64),),
        torch="torch.tensordot(a, b, ([1, 0], [2, 0]))",
    ),
    Case(
        name="chain_matmul",
        run=pb.chain_matmul,
        inputs=lambda rng, s: [rng.standard_normal(s[i : i + 2]) for i in range(3)],
        value=lambda a, b, c: a @ b @ c,
        vjp=_chain_vjp,
        scale=lambda a, b, c: np.abs(a) @ np.abs(b) @ np.abs(c),
        vjp_scale=lambda dy, *abc: _absolute(_chain_vjp, dy, *abc),
        shapes=((2, 3, 2, 3), (3, 2, 4, 2), (9, 33, 5, 17)),
        bench=((256, 16, 256, 16),),
        torch="torch.chain_matmul(a, b, c)",
    ),
    *[_integers(f"matmul[{dtype}]", dtype, *_MM) for dtype in ("int64", "int32", "int8", "uint8")],
    _integers("matmul[int64 row]", "int64", lambda m, k, n: (k,), lambda m, k, n: (k, n)),
    _integers("matmul[int64 column]", "int64", lambda m, k, n: (n, m, k), lambda m, k, n: (k,)),
]
