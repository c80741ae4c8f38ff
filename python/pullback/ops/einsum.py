"""Contractions: outer and inner products, tensordot, chains of matrices, and Einstein's summation. Everything is brought to
matrix products, and so has their derivatives.
"""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback._backend import cpu
from pullback._tape import Rule, record
from pullback._tensor import Tensor, method
from pullback.ops._broadcast import check_tensor, normalize_dims
from pullback.ops.binary import mul
from pullback.ops.matmul import check_dims, check_types, list_shapes, matmul, mm, multiply
from pullback.ops.view import copy_array

__all__ = ["chain_matmul", "einsum", "ger", "inner", "outer", "tensordot"]

_LETTERS = string.ascii_uppercase + string.ascii_lowercase  # in the order that numbers in lists stand for
_DOTS = "..."


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
    return tensordot(input, other, ([-1], [-1]))


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
    keep = [d for d in range(x.ndim) if d not in (i, j)]
    shape = [*[x.shape[d] for d in keep], x.shape[i]]
    return np.lib.stride_tricks.as_strided(x, shape, [*[x.strides[d] for d in keep], x.strides[i] + x.strides[j]])


def _on_diagonal(dy: Any, shape: tuple[int, ...], i: int, j: int) -> Any:
    """Zeros with dy on the diagonal."""
    out = cpu.empty(shape, dy.dtype)
    cpu.kernels.fill(out, 0.0)
    cpu.kernels.copy(dy, _diagonal_of(out, i, j))
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


# --- reading the equation -----------------------------------------------------------------------------------------------


def _letters(text: str, where: str) -> list[str]:
    """A letter for each dimension, and "..." once."""
    letters: list[str] = []
    i = 0
    while i < len(text):
        if text.startswith(_DOTS, i):
            letters.append(_DOTS)
            i += len(_DOTS)
            continue
        if text[i] not in _LETTERS:
            raise RuntimeError(f"einsum: {where} expects letters and one '...', got {text!r}")
        letters.append(text[i])
        i += 1
    if letters.count(_DOTS) > 1:
        raise RuntimeError(f"einsum: {where} expects '...' at most once, got {text!r}")
    return letters


def _from_lists(args: Sequence[Any]) -> tuple[str, list[Any]]:
    """`einsum(a, [0, 1], b, [1, 2], [0, 2])` as an equation and its operands."""

    def text(numbers: Sequence[Any]) -> str:
        if any(n is not Ellipsis and not (isinstance(n, int) and 0 <= n < len(_LETTERS)) for n in numbers):
            raise RuntimeError(
                f"einsum: lists expect numbers from 0 to {len(_LETTERS) - 1} or ..., got {list(numbers)}"
            )
        return "".join([_DOTS if n is Ellipsis else _LETTERS[n] for n in numbers])

    pairs = len(args) // 2
    equation = ",".join([text(args[2 * i + 1]) for i in range(pairs)])
    return equation + ("->" + text(args[-1]) if len(args) % 2 else ""), [args[2 * i] for i in range(pairs)]


def _output_letters(text: str | None, operands: list[list[str]]) -> list[str]:
    """Those after "->"; without it "..." and then, sorted, the letters that occur once."""
    every = [letter for letters in operands for letter in letters]
    if text is None:
        once = sorted([x for x in set(every) if x != _DOTS and every.count(x) == 1])
        return ([_DOTS] if _DOTS in every else []) + once
    out = _letters(text, "the result")
    for letter in out:
        if out.count(letter) > 1:
            raise RuntimeError(f"einsum: the result expects each letter once, got {text!r}")
        if letter not in every and letter != _DOTS:
            raise RuntimeError(f"einsum: letter {letter!r} of the result is in no operand")
    return out


Labels = list[Any]  # of each dimension: its letter, or for one behind "..." its distance from the last of them


def _label(x: Tensor, letters: list[str], where: str) -> tuple[Tensor, Labels]:
    """The operand with one label for each dimension, none twice."""
    given = len([c for c in letters if c != _DOTS])
    hidden = x.ndim - given
    if hidden < 0 or (hidden and _DOTS not in letters):
        raise RuntimeError(
            f"einsum: {where} expects {given} dimensions for {''.join(letters)!r}, got shape {list(x.shape)}"
        )
    labels: Labels = []
    for letter in letters:
        labels += range(-hidden, 0) if letter == _DOTS else [letter]
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            i = labels.index(label)
            j = labels.index(label, i + 1)
            if x.shape[i] != x.shape[j]:
                raise RuntimeError(
                    f"einsum: {where} expects one size for {label!r}, got {x.shape[i]} and {x.shape[j]} "
                    f"in shape {list(x.shape)}"
                )
            x = _diagonal(x, i, j)
            labels = [labels[d] for d in range(len(labels)) if d not in (i, j)] + [label]
    return x, labels


# --- contracting --------------------------------------------------------------------------------------------------------


def _arrange(x: Tensor, labels: Labels, order: Labels) -> Tensor:
    """Dimensions in the order of `order`, with size 1 for labels that x lacks."""
    x = x.permute([labels.index(label) for label in order if label in labels])
    return x.reshape([x.shape[[k for k in order if k in labels].index(k)] if k in labels else 1 for k in order])


def _sum_out(x: Tensor, labels: Labels, keep: set[Any]) -> tuple[Tensor, Labels]:
    """Summed over the labels that nobody asks for."""
    gone = [d for d, label in enumerate(labels) if label not in keep]
    return (x.sum(gone), [label for label in labels if label in keep]) if gone else (x, labels)


def _drop_ones(x: Tensor, labels: Labels, other: Labels, keep: set[Any]) -> tuple[Tensor, Labels]:
    """Without contracted dimensions of size 1: they stretch to the other operand's, which can then be summed alone."""
    gone = [d for d, label in enumerate(labels) if x.shape[d] == 1 and label in other and label not in keep]
    return (x.squeeze(gone), [label for d, label in enumerate(labels) if d not in gone]) if gone else (x, labels)


def _contract(a: Tensor, a_labels: Labels, b: Tensor, b_labels: Labels, keep: set[Any]) -> tuple[Tensor, Labels]:
    """Two operands into one: as a matrix product where they share a label that is summed, else elementwise."""
    a, a_labels = _drop_ones(a, a_labels, b_labels, keep)
    b, b_labels = _drop_ones(b, b_labels, a_labels, keep)
    a, a_labels = _sum_out(a, a_labels, keep | set(b_labels))
    b, b_labels = _sum_out(b, b_labels, keep | set(a_labels))
    batch = [label for label in a_labels if label in b_labels and label in keep]
    summed = [label for label in a_labels if label in b_labels and label not in keep]
    of_a = [label for label in a_labels if label not in b_labels]
    of_b = [label for label in b_labels if label not in a_labels]
    result = [*batch, *of_a, *of_b]
    if not summed:
        return _arrange(a, a_labels, result) * _arrange(b, b_labels, result), result
    a = _arrange(a, a_labels, [*batch, *of_a, *summed])
    b = _arrange(b, b_labels, [*batch, *summed, *of_b])
    n, m = len(batch), len(batch) + len(of_a)
    sizes_a, sizes_b = tuple(a.shape[n:m]), tuple(b.shape[n + len(summed) :])
    y = matmul(
        a.reshape(*a.shape[:n], math.prod(sizes_a), math.prod(a.shape[m:])),
        b.reshape(*b.shape[:n], math.prod(b.shape[n : n + len(summed)]), math.prod(sizes_b)),
    )
    return y.reshape(*y.shape[:n], *sizes_a, *sizes_b), result


def _check_sizes(operands: list[Tensor], labels: list[Labels]) -> None:
    """RuntimeError where one letter has two sizes, neither of them 1."""
    found: dict[Any, int] = {}
    for i, (x, own) in enumerate(zip(operands, labels)):
        for size, label in zip(x.shape, own):
            if found.get(label, 1) != 1 and size not in (1, found[label]):
                name = repr(label) if isinstance(label, str) else "'...'"
                raise RuntimeError(
                    f"einsum: operand {i} expects size {found[label]} for {name}, got {size} in shape {list(x.shape)}"
                )
            found[label] = size if size != 1 else found.get(label, 1)


def einsum(equation: Any, *operands: Any) -> Tensor:
    """The sum of products that the equation describes: `einsum("bij,bjk->bik", a, b)` is a batch of matrix products.

    One letter a dimension, the same letter for what is multiplied side by side; "..." stands for any dimensions, which
    broadcast. A letter twice in one operand is its diagonal. Letters that are not after "->" are summed; without "->"
    those are the ones that occur more than once. Lists of numbers may follow each operand in place of an equation.
    Operands are contracted from left to right. RuntimeError where equation and shapes do not fit.
    """
    if not isinstance(equation, str):
        equation, given = _from_lists((equation, *operands))
        operands = tuple(given)
    elif len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    left, arrow, right = equation.replace(" ", "").partition("->")
    texts = [_letters(text, f"operand {i}") for i, text in enumerate(left.split(","))]
    if len(texts) != len(operands):
        raise RuntimeError(f"einsum: {equation!r} expects {len(texts)} operands, got {len(operands)}")
    tensors, labels = [], []
    for i, (x, letters) in enumerate(zip(operands, texts)):
        x, own = _label(check_tensor("einsum", x, f"operand {i}"), letters, f"operand {i}")
        tensors.append(x)
        labels.append(own)
    _check_sizes(tensors, labels)
    hidden = -min([label for own in labels for label in own if not isinstance(label, str)], default=0)
    out: Labels = []
    for letter in _output_letters(right if arrow else None, texts):
        out += range(-hidden, 0) if letter == _DOTS else [letter]
    y, own = tensors[0], labels[0]
    for i in range(1, len(tensors)):
        keep = set(out).union(*labels[i + 1 :])
        y, own = _contract(y, own, tensors[i], labels[i], keep)
    y, own = _sum_out(y, own, set(out))
    return y.permute([own.index(label) for label in out])
