"""Einstein's summation: letters in every role, diagonals, "...", sizes of 1, several operands."""

from __future__ import annotations

import numpy as np

import pullback as pb
from harness import Case


def _gradient(equation, dy, arrays, which):
    """Σ dy · value, differentiated by arrays[which], one element at a time along a basis: the map is linear in each."""
    x = arrays[which]
    g = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        basis = np.zeros_like(x)
        basis[i] = 1
        g[i] = (dy * np.einsum(equation, *[basis if j == which else a for j, a in enumerate(arrays)])).sum()
    return g


def _case(equation, *shapes, run=None, name=None):
    """`shapes` of the operands for sizes (i, j, k)."""

    def vjp(dy, *arrays):
        return [_gradient(equation, dy, arrays, which) for which in range(len(arrays))]

    return Case(
        name=f"einsum[{name or equation}]",
        run=run or (lambda *operands: pb.einsum(equation, *operands)),
        inputs=lambda rng, s: [rng.standard_normal(f(*s)) for f in shapes],
        value=lambda *arrays: np.einsum(equation, *arrays),
        vjp=vjp,
        scale=lambda *arrays: np.einsum(equation, *[np.abs(a) for a in arrays]),
        vjp_scale=lambda dy, *arrays: vjp(np.abs(dy), *[np.abs(a) for a in arrays]),
        shapes=((2, 3, 4), (3, 2, 2), (5, 1, 3), (0, 2, 3), (3, 5, 9)),
        bench=((64, 64, 64),),
        torch=f"torch.einsum({equation!r}, {', '.join('abcd'[: len(shapes)])})",
    )


def ij(i, j, k):
    return (i, j)


def jk(i, j, k):
    return (j, k)


def ii(i, j, k):
    return (i, i)


def ijk(i, j, k):
    return (i, j, k)


CASES = [
    _case("ij,jk->ik", ij, jk),
    _case("ij,jk", ij, jk),
    _case("ij,jk->ki", ij, jk),
    _case("ij,jk->", ij, jk),
    _case("ij,jk->ijk", ij, jk),
    _case("ij,jk->k", ij, jk),
    _case("ij->ji", ij),
    _case("ij->", ij),
    _case("ij->j", ij),
    _case("ba", ij),
    _case("ii", ii),
    _case("ii->i", ii),
    _case("iji->ji", lambda i, j, k: (i, j, i)),
    _case("ii,ij->j", ii, ij),
    _case("iii->i", lambda i, j, k: (i, i, i)),
    _case("i,i->", lambda i, j, k: (i,), lambda i, j, k: (i,)),
    _case("i,j->ij", lambda i, j, k: (i,), lambda i, j, k: (j,)),
    _case("ij,ij->ij", ij, ij),
    _case("ijk,ikl->ijl", ijk, lambda i, j, k: (i, k, 2)),
    _case("bhqd,bhkd->bhqk", lambda i, j, k: (2, i, j, k), lambda i, j, k: (2, i, 3, k)),
    _case("ijk,jil->kl", ijk, lambda i, j, k: (j, i, 2)),
    _case("ijk,lk->lij", ijk, lambda i, j, k: (2, k)),
    _case("...ij,...jk->...ik", lambda i, j, k: (2, i, j), lambda i, j, k: (3, 1, j, k)),
    _case("i...j,j->...i", lambda i, j, k: (i, k, 2, j), lambda i, j, k: (j,)),
    _case("...,...->...", ij, lambda i, j, k: (j,)),
    _case("ij,j,jk->ik", ij, lambda i, j, k: (j,), jk),
    _case("ik,jk,lk,k->ijl", lambda i, j, k: (i, k), jk, lambda i, j, k: (2, k), lambda i, j, k: (k,)),
    _case("ij,jk->ik", lambda i, j, k: (i, 1), jk, name="size 1, ij,jk->ik"),
    _case("bij,bjk->bik", lambda i, j, k: (1, i, j), lambda i, j, k: (2, j, k), name="size 1, bij,bjk->bik"),
    _case(" i j , j k -> i k ", ij, jk, name="spaces"),
    _case("ij,jk->ik", ij, jk, run=lambda a, b: pb.einsum(a, [0, 1], b, [1, 2], [0, 2]), name="lists"),
    _case("ij,jk", ij, jk, run=lambda a, b: pb.einsum("ij,jk", [a, b]), name="list of operands"),
]
