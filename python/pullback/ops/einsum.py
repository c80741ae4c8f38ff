"""Contractions: outer and inner products, tensordot, chains of matrices, and Einstein's summation. Everything is brought to
matrix products, and so has their derivatives.

What an equation asks for with operands of given shapes is planned once, and kept: ops/einsum_plan.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pullback._autocast import cast
from pullback._backend import device_of
from pullback._tape import Rule, record
from pullback._tensor import Tensor, method
from pullback.ops._arrays import copy_array, zeros_array
from pullback.ops._broadcast import check_tensor, normalize_dims
from pullback.ops.binary import mul
from pullback.ops.einsum_plan import DOTS, LETTERS, Form, plan
from pullback.ops.matmul import check_dims, check_types, dot, list_shapes, matmul, mm, multiply
from pullback.ops.reduce import sum
from pullback.ops.view import permuted, reshape

__all__ = ["chain_matmul", "einsum", "ger", "inner", "outer", "tensordot"]


# --- fixed patterns ---------------------------------------------------------------------------------------------------


@method
def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """y_mn = a_m b_n of two vectors."""
    check_types("outer", input=input, vec2=vec2)
    check_dims("outer", (1, 1), input=input, vec2=vec2)
    return multiply(input.unsqueeze(1), vec2.unsqueeze(0))


ger = method(name="ger")(outer)


@method
def inner(input: Tensor, other: Tensor) -> Tensor:
    """y_{i…j…} = Σ_k a_{i…k} b_{j…k}: the last dimensions are contracted; a single number scales."""
    check_types("inner", input=input, other=other)
    if input.ndim == 0 or other.ndim == 0:
        return mul(input, other)
    if input.shape[-1] != other.shape[-1]:
        raise RuntimeError(
            f"inner: other expects {input.shape[-1]} elements in its last dimension, got {other.shape[-1]} "
            + list_shapes(input=input, other=other)
        )
    return dot(input, other) if input.ndim == 1 == other.ndim else tensordot(input, other, ([-1], [-1]))


@cast
def tensordot(a: Tensor, b: Tensor, dims: int | Sequence[Sequence[int]] = 2) -> Tensor:
    """The sum over dimensions of a and b that are paired: the last n of a with the first n of b, or two lists of them.

    The result has the other dimensions of a, then those of b. RuntimeError where paired sizes differ.
    """
    check_types("tensordot", a=a, b=b)
    pairs = (range(a.ndim - dims, a.ndim), range(dims)) if isinstance(dims, int) else dims
    if isinstance(dims, int) and not 0 <= dims <= min(a.ndim, b.ndim):
        raise RuntimeError(
            f"tensordot: dims expects 0 to {min(a.ndim, b.ndim)} dimensions, got {dims} {list_shapes(a=a, b=b)}"
        )
    of_a, of_b = [normalize_dims("tensordot", tuple(d), x.ndim, "dims") for d, x in zip(pairs, (a, b))]
    if [a.shape[d] for d in of_a] != [b.shape[d] for d in of_b]:
        raise RuntimeError(
            f"tensordot: dims {list(of_b)} of b expect sizes {[a.shape[d] for d in of_a]}, "
            f"got {[b.shape[d] for d in of_b]} {list_shapes(a=a, b=b)}"
        )
    free_a = [d for d in range(a.ndim) if d not in of_a]
    free_b = [d for d in range(b.ndim) if d not in of_b]
    m, n, k = [math.prod([x.shape[i] for i in d]) for x, d in ((a, free_a), (b, free_b), (a, of_a))]
    y = multiply(a.permute(*free_a, *of_a).reshape(m, k), b.permute(*of_b, *free_b).reshape(k, n))
    return y.reshape([*[a.shape[d] for d in free_a], *[b.shape[d] for d in free_b]])


@cast
def chain_matmul(*matrices: Tensor) -> Tensor:
    """The product of several matrices, in the order that needs the fewest multiplications."""
    if not matrices:
        raise RuntimeError("chain_matmul: expected at least one matrix")
    for i, m in enumerate(matrices):
        if check_tensor("chain_matmul", m, f"matrices[{i}]").ndim != 2:
            raise RuntimeError(f"chain_matmul: matrices[{i}] expects 2 dimensions, got shape {list(m.shape)}")
    sizes = [matrices[0].shape[0], *[m.shape[1] for m in matrices]]
    best: dict[tuple[int, int], tuple[int, int]] = {}  # (multiplications, where to cut) of matrices i … j
    for length in range(2, len(matrices) + 1):
        for i in range(len(matrices) - length + 1):
            j = i + length - 1
            best[i, j] = min(
                (
                    best.get((i, s), (0, 0))[0]
                    + best.get((s + 1, j), (0, 0))[0]
                    + sizes[i] * sizes[s + 1] * sizes[j + 1],
                    s,
                )
                for s in range(i, j)
            )

    def multiply(i: int, j: int) -> Tensor:
        return matrices[i] if i == j else mm(multiply(i, best[i, j][1]), multiply(best[i, j][1] + 1, j))

    return multiply(0, len(matrices) - 1)


# --- diagonals: one letter twice in one operand -------------------------------------------------------------------------


def _diagonal_of(x: Any, i: int, j: int) -> Any:
    """The view x[…, d, …, d, …] with d last; its two dimensions go."""
    rest = [d for d in range(x.ndim) if d not in (i, j)]
    shape, strides = [x.shape[d] for d in rest], [x.strides[d] for d in rest]
    return device_of(x).as_strided(x, (*shape, x.shape[i]), (*strides, x.strides[i] + x.strides[j]))


def _on_diagonal(dy: Any, shape: tuple[int, ...], i: int, j: int) -> Any:
    """Zeros with dy on the diagonal."""
    out = zeros_array(shape, dy)
    device_of(dy).kernels.copy(dy, _diagonal_of(out, i, j))
    return out


def _diagonal(x: Tensor, i: int, j: int) -> Tensor:
    return record(_DIAGONAL, copy_array(_diagonal_of(x._array, i, j)), (x,), (), (x._array.shape, i, j))


def _embed(dy: Tensor, shape: tuple[int, ...], i: int, j: int) -> Tensor:
    return record(_EMBED, _on_diagonal(dy._array, shape, i, j), (dy,), (), (shape, i, j))


_DIAGONAL = Rule(
    "diagonal",
    lambda node, dy: (_on_diagonal(dy, *node.args),),
    lambda node, dy: (_embed(dy, *node.args),),
)
_EMBED = Rule(
    "diagonal_backward",
    lambda node, dy: (copy_array(_diagonal_of(dy, *node.args[1:])),),
    lambda node, dy: (_diagonal(dy, *node.args[1:]),),
)


# --- Einstein's summation -----------------------------------------------------------------------------------------------


def _from_lists(args: Sequence[Any]) -> tuple[str, list[Any]]:
    """`einsum(a, [0, 1], b, [1, 2], [0, 2])` as an equation and its operands."""

    def text(numbers: Sequence[Any]) -> str:
        if any(n is not Ellipsis and not (isinstance(n, int) and 0 <= n < len(LETTERS)) for n in numbers):
            raise RuntimeError(f"einsum: lists expect numbers from 0 to {len(LETTERS) - 1} or ..., got {list(numbers)}")
        return "".join([DOTS if n is Ellipsis else LETTERS[n] for n in numbers])

    pairs = len(args) // 2
    equation = ",".join([text(args[2 * i + 1]) for i in range(pairs)])
    return equation + ("->" + text(args[-1]) if len(args) % 2 else ""), [args[2 * i] for i in range(pairs)]


def _formed(x: Tensor, form: Form) -> Tensor:
    """The operand as its next product wants it."""
    if form.summed is not None:
        x = sum(x) if len(form.summed) == x._array.ndim else sum(x, form.summed)
    if form.order is not None:
        x = permuted(x, form.order)
    return x if form.shape is None else reshape(x, form.shape)


@cast
def einsum(equation: Any, *operands: Any) -> Tensor:
    """The sum of products that the equation describes: `einsum("bij,bjk->bik", a, b)` is a batch of matrix products.

    One letter a dimension, the same letter for what is multiplied side by side; "..." stands for any dimensions, which
    broadcast. A letter twice in one operand is its diagonal. Letters that are not after "->" are summed; without "->"
    those are the ones that occur more than once. Lists of numbers may follow each operand in place of an equation.
    Of several operands those two are contracted first whose product is smallest, compared with them. RuntimeError where
    equation and shapes do not fit.
    """
    if not isinstance(equation, str):
        equation, given = _from_lists((equation, *operands))
        operands = tuple(given)
    elif len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    terms = [check_tensor("einsum", x, f"operand {i}") for i, x in enumerate(operands)]
    diagonals, products, last = plan(equation, tuple([x._array.shape for x in terms]))
    for k, i, j in diagonals:
        terms[k] = _diagonal(terms[k], i, j)
    for p in products:
        a, b = _formed(terms[p.first], p.a), _formed(terms.pop(p.second), p.b)
        y = matmul(a, b) if p.contracts else mul(a, b)
        terms[p.first] = y if p.shape is None else reshape(y, p.shape)
    return _formed(terms[0], last)
