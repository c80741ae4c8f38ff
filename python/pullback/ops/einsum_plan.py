"""What einsum does for an equation and the shapes of its operands: which dimensions are summed, permuted and merged, and
in which order operands are multiplied. Nothing here sees an element, so a plan is made once for all calls alike.
"""

from __future__ import annotations

import functools
import itertools
import math
import string
from typing import Any, NamedTuple

LETTERS = string.ascii_uppercase + string.ascii_lowercase  # in the order that numbers in lists stand for
DOTS = "..."

Shape = tuple[int, ...]
Labels = list[Any]  # of each dimension: its letter, or for one behind "..." its distance from the last of them


class Form(NamedTuple):
    """How an operand is prepared: summed over dimensions, then permuted, then reshaped; None where nothing is to do."""

    summed: Shape | None
    order: Shape | None
    shape: Shape | None


class Product(NamedTuple):
    """Two terms become one, in the place of the first: a matrix product or an elementwise one, reshaped."""

    first: int
    second: int
    a: Form
    b: Form
    contracts: bool
    shape: Shape | None


class Plan(NamedTuple):
    diagonals: tuple[tuple[int, int, int], ...]  # (term, two dimensions of it)
    products: tuple[Product, ...]
    last: Form


class Term(NamedTuple):
    """What is known of an operand or of a product of some: a label for each dimension, none twice, and its size."""

    labels: Labels
    sizes: dict[Any, int]

    def numel(self) -> int:
        return math.prod(self.sizes.values())


# --- reading the equation -----------------------------------------------------------------------------------------------


def _letters(text: str, where: str) -> list[str]:
    """A letter for each dimension, and "..." once."""
    letters: list[str] = []
    i = 0
    while i < len(text):
        if text.startswith(DOTS, i):
            letters.append(DOTS)
            i += len(DOTS)
            continue
        if text[i] not in LETTERS:
            raise RuntimeError(f"einsum: {where} expects letters and one '...', got {text!r}")
        letters.append(text[i])
        i += 1
    if letters.count(DOTS) > 1:
        raise RuntimeError(f"einsum: {where} expects '...' at most once, got {text!r}")
    return letters


def _output_letters(text: str | None, operands: list[list[str]]) -> list[str]:
    """Those after "->"; without it "..." and then, sorted, the letters that occur once."""
    every = [letter for letters in operands for letter in letters]
    if text is None:
        once = sorted([x for x in set(every) if x != DOTS and every.count(x) == 1])
        return ([DOTS] if DOTS in every else []) + once
    out = _letters(text, "the result")
    for letter in out:
        if out.count(letter) > 1:
            raise RuntimeError(f"einsum: the result expects each letter once, got {text!r}")
        if letter not in every and letter != DOTS:
            raise RuntimeError(f"einsum: letter {letter!r} of the result is in no operand")
    return out


def _label(shape: Shape, letters: list[str], where: str) -> tuple[Term, list[tuple[int, int]]]:
    """A label for each dimension, and the pairs of dimensions whose diagonal is taken: it becomes the last dimension."""
    given = len([c for c in letters if c != DOTS])
    hidden = len(shape) - given
    if hidden < 0 or (hidden and DOTS not in letters):
        raise RuntimeError(
            f"einsum: {where} expects {given} dimensions for {''.join(letters)!r}, got shape {list(shape)}"
        )
    labels: Labels = []
    for letter in letters:
        labels += range(-hidden, 0) if letter == DOTS else [letter]
    sizes: dict[Any, int] = {}
    for label, size in zip(labels, shape):
        if sizes.setdefault(label, size) != size:
            raise RuntimeError(
                f"einsum: {where} expects one size for {label!r}, got {sizes[label]} and {size} in shape {list(shape)}"
            )
    pairs = []
    for label in sizes:
        while labels.count(label) > 1:
            i = labels.index(label)
            j = labels.index(label, i + 1)
            pairs.append((i, j))
            labels = [labels[d] for d in range(len(labels)) if d not in (i, j)] + [label]
    return Term(labels, sizes), pairs


def _check_sizes(terms: list[Term], shapes: tuple[Shape, ...]) -> None:
    """RuntimeError where one letter has two sizes, neither of them 1."""
    found: dict[Any, int] = {}
    for i, term in enumerate(terms):
        for label in term.labels:
            size = term.sizes[label]
            if found.get(label, 1) != 1 and size not in (1, found[label]):
                name = repr(label) if isinstance(label, str) else "'...'"
                raise RuntimeError(
                    f"einsum: operand {i} expects size {found[label]} for {name}, got {size} in shape {list(shapes[i])}"
                )
            found[label] = size if size != 1 else found.get(label, 1)


# --- contracting --------------------------------------------------------------------------------------------------------


def _form(term: Term, order: Labels, shape: list[int]) -> Form:
    """Summed over the labels that `order` lacks, the others in its order, and reshaped."""
    gone = [d for d, label in enumerate(term.labels) if label not in order]
    sums = any(term.sizes[term.labels[d]] != 1 for d in gone)  # else the reshaping drops them
    left = [label for label in term.labels if label in order] if sums else term.labels
    kept = [left.index(label) for label in order]
    dropped = [d for d in range(len(left)) if d not in kept]
    turns = kept != sorted(kept)
    after = [term.sizes[label] for label in (order if turns and not dropped else left)]
    return Form(
        tuple(gone) if sums else None,
        (*dropped, *kept) if turns else None,
        tuple(shape) if shape != after or dropped else None,
    )


def _sizes(term: Term, labels: Labels) -> list[int]:
    return [term.sizes[label] for label in labels]


def _pair(a: Term, b: Term, keep: set[Any]) -> tuple[Labels, Labels, Term]:
    """The labels of a and of b that enter their product, and what it is. Contracted dimensions of size 1 are dropped: they
    stretch to the other operand's, which can then be summed alone."""
    of_a = [x for x in a.labels if x in keep or (x in b.labels and a.sizes[x] != 1)]
    of_b = [x for x in b.labels if x in keep or (x in of_a and b.sizes[x] != 1)]
    of_a = [x for x in of_a if x in keep or x in of_b]
    batch = [x for x in of_a if x in of_b and x in keep]
    result = [*batch, *[x for x in of_a if x not in of_b], *[x for x in of_b if x not in of_a]]
    sizes = {x: b.sizes[x] if a.sizes.get(x, 1) == 1 and x in of_b else a.sizes[x] for x in result}
    return of_a, of_b, Term(result, sizes)


def _contract(terms: list[Term], i: int, j: int, keep: set[Any], out: Labels) -> Product:
    """Terms i and j into one: as a matrix product where they share a label that is summed, else elementwise, and then in
    the order of the result if they are the last two."""
    a, b = terms[i], terms.pop(j)
    of_a, of_b, result = _pair(a, b, keep)
    summed = [x for x in of_a if x in of_b and x not in keep]
    if not summed:
        order = [x for x in out if x in result.labels] if len(terms) == 1 else result.labels
        terms[i] = Term(order, {x: result.sizes[x] for x in order})
        forms = []
        for term, own in ((a, of_a), (b, of_b)):
            lead = next((k for k, x in enumerate(order) if x in own), len(order))
            shape = [term.sizes[x] if x in own else 1 for x in order[lead:]]
            forms.append(_form(term, [x for x in order if x in own], shape))
        return Product(i, j, forms[0], forms[1], False, None)
    batch = [x for x in of_a if x in of_b and x in keep]
    rows, columns = [x for x in of_a if x not in of_b], [x for x in of_b if x not in of_a]
    depth = math.prod(_sizes(a, summed))
    # Without a batch, an operand that is summed over all its dimensions stays a vector.
    m = [math.prod(_sizes(a, rows))] if rows or batch else []
    n = [math.prod(_sizes(b, columns))] if columns or batch else []
    of_batch = _sizes(result, batch)
    shape = _sizes(result, result.labels)
    terms[i] = result
    return Product(
        i,
        j,
        _form(a, [*batch, *rows, *summed], [*_sizes(a, batch), *m, depth]),
        _form(b, [*batch, *summed, *columns], [*_sizes(b, batch), depth, *n]),
        True,
        tuple(shape) if shape != [*of_batch, *m, *n] else None,
    )


def _kept(terms: list[Term], i: int, j: int, out: Labels) -> set[Any]:
    """What the result or other terms ask of the product of terms i and j."""
    return set(out).union(*[t.labels for k, t in enumerate(terms) if k not in (i, j)])


def _next_pair(terms: list[Term], out: Labels) -> tuple[int, int]:
    """The two terms whose product is smallest, compared with them; the first such."""

    def growth(pair: tuple[int, int]) -> int:
        a, b = terms[pair[0]], terms[pair[1]]
        return _pair(a, b, _kept(terms, *pair, out))[2].numel() - a.numel() - b.numel()

    return min(itertools.combinations(range(len(terms)), 2), key=growth)


@functools.lru_cache(maxsize=1024)
def plan(equation: str, shapes: tuple[Shape, ...]) -> Plan:
    """The plan for operands of these shapes. RuntimeError where they do not fit."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    texts = [_letters(text, f"operand {i}") for i, text in enumerate(left.split(","))]
    if len(texts) != len(shapes):
        raise RuntimeError(f"einsum: {equation!r} expects {len(texts)} operands, got {len(shapes)}")
    terms: list[Term] = []
    diagonals: list[tuple[int, int, int]] = []
    for i, (shape, letters) in enumerate(zip(shapes, texts)):
        term, pairs = _label(shape, letters, f"operand {i}")
        terms.append(term)
        diagonals += [(i, *pair) for pair in pairs]
    _check_sizes(terms, shapes)
    hidden = -min([x for term in terms for x in term.labels if not isinstance(x, str)], default=0)
    out: Labels = []
    for letter in _output_letters(right if arrow else None, texts):
        out += range(-hidden, 0) if letter == DOTS else [letter]
    products: list[Product] = []
    while len(terms) > 1:
        i, j = _next_pair(terms, out) if len(terms) > 2 else (0, 1)
        products.append(_contract(terms, i, j, _kept(terms, i, j, out), out))
    last = _form(terms[0], out, _sizes(terms[0], out))
    if last == Form(None, None, None) and not (products or diagonals):
        last = Form(None, tuple(range(len(out))), None)  # a view, not the operand itself
    return Plan(tuple(diagonals), tuple(products), last)
