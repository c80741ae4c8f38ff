"""Sorting and what stands at a place of the sorted line. Values and indices are exact: no rounding happens."""

from __future__ import annotations

import numpy as np

import pullback as pb
from harness import Case

SHAPES = ((2, 3, 5), (1, 7, 1), (33, 2, 17), (3, 130, 40), (0, 3, 2))
LINES = ((), (1,), (6,), (33,), (129,), (1030,))
LONG = (*LINES, (70001,))  # more than one thread sorts
# Lines that a GPU selects from, along dimension 1, and one that it sorts.
SELECTED = ((3, 2100, 2), (1, 2049, 1), (17, 2300, 1))
SELECTED_LINES = (*LINES, (5000,), (20_000,))


def _apart(rng, shape):
    """Elements that differ by more than finite differences move them."""
    n = int(np.prod(shape))
    return [np.reshape(rng.permutation(n) * (6 / max(n, 1)) - 3, shape)]


WHICH = "PyTorch may take another one of equal elements"


def _ties(rng, shape):
    return [np.round(rng.standard_normal(shape) * 2) / 2 * rng.choice([1.0, -1.0], shape)]


def _special(rng, shape):
    x = _ties(rng, shape)[0]
    return [np.where(rng.random(shape) < 0.4, rng.choice([np.nan, np.inf, -np.inf, -0.0], shape), x)]


def _integers(dtype):
    low, high = (0, 2) if dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    few = min(high, 4)
    return lambda rng, shape: [
        np.where(rng.random(shape) < 0.5, rng.integers(low, high, shape), rng.integers(0, few, shape)).astype(dtype)
    ]


def _order(x, d, descending=False):
    """The stable order along d; NaN is the largest."""
    if descending:
        return x.shape[d] - 1 - np.flip(np.argsort(np.flip(x, d), d, kind="stable"), d)
    return np.argsort(x, d, kind="stable")


def _median_place(x, d, skip_nan):
    """Where the median stands in the sorted line."""
    numbers = (
        (~np.isnan(x)).sum(d, keepdims=True)
        if x.dtype.kind == "f"
        else np.full_like(x.sum(d, keepdims=True), x.shape[d])
    )
    lower = np.maximum(numbers - 1, 0) // 2
    return lower.astype(int) if skip_nan else np.where(numbers == x.shape[d], lower, numbers).astype(int)


def _family(name, run, places, descending=False, keep=True, **options):
    """One case a dimension. places(x, d): which places of the sorted line are taken, as indices along d; `keep`: the
    dimension is kept."""
    inputs = options.pop("inputs", _apart)
    exact = options.pop("grad", True)
    shapes, lines = options.pop("shapes", SHAPES), options.pop("lines", LINES)
    longer = options.pop("longer", ())  # shapes along dimension 1
    torch, axes = options.pop("torch", None), options.pop("axes", (0, 1, 2))

    def found(x, d):
        line = x.reshape(1) if x.ndim == 0 else x
        return line, np.take_along_axis(_order(line, d, descending), places(line, d), d)

    def value(x, d):
        line, index = found(x, d)
        y = np.take_along_axis(line, index, d)
        if x.ndim == 0:
            return y.reshape(()), index.reshape(())
        return (y, index) if keep else (y.squeeze(d), index.squeeze(d))

    def vjp(dy, x, d):
        line, index = found(x, d)
        g = np.zeros_like(line)
        np.put_along_axis(g, index, dy.reshape(index.shape), d)
        return (g.reshape(x.shape),)

    return [
        Case(
            name=f"{name}[{'line' if line else d}]",
            run=lambda x, d=d: run(x, d),
            inputs=inputs,
            value=lambda x, d=d: value(x, d),
            vjp=(lambda dy, x, d=d: vjp(dy, x, d)) if exact else None,
            shapes=lines if line else (*shapes, *longer) if d == 1 else shapes,
            ulps=0,
            vjp_ulps=0,
            bench=((1 << 17,),) if line else ((64, 128, 64),),
            torch=torch and torch.format(d),
            **options,
        )
        for d, line in [*[(d, False) for d in axes], (-1, True)]
    ]


def _all(x, d):
    return np.broadcast_to(
        np.arange(x.shape[d]).reshape([-1 if e == d % x.ndim else 1 for e in range(x.ndim)]), x.shape
    )


def _first(k):
    return lambda x, d: np.moveaxis(np.moveaxis(_all(x, d), d, 0)[:k], 0, d)


def _at(k):
    return lambda x, d: np.moveaxis(np.moveaxis(_all(x, d), d, 0)[k : k + 1], 0, d)


def _everything(label, inputs, **options):
    """Every kernel of lines, on one kind of input."""
    flags = (False, True)
    return [
        *[
            case
            for down in flags
            for case in _family(
                f"sort[{'descending' if down else 'ascending'}{label}]",
                lambda x, d, down=down: pb.sort(x, d, down),
                _all,
                down,
                inputs=inputs,
                lines=LONG,
                torch=f"torch.sort(a, dim={{}}, descending={down}, stable=True)",
                **options,
            )
        ],
        *[
            case
            for k, largest in ((1, True), (2, False))
            for case in _family(
                f"topk[{k} {'largest' if largest else 'smallest'}{label}]",
                lambda x, d, k=k, largest=largest: pb.topk(x, min(k, x.shape[d] if x.ndim else 1), d, largest),
                _first(k),
                largest,
                inputs=inputs,
                lines=LONG,
                torch=f"torch.topk(a, {k}, {{}}, {largest})",
                **(options | {"shapes": options.get("shapes", tuple(s for s in SHAPES if 0 not in s))}),
            )
        ],
    ]


def _places(label, inputs, **options):
    """Every kernel of one place, on one kind of input."""
    return [
        *_family(
            f"kthvalue{label}",
            lambda x, d: pb.kthvalue(x, 1 if (x.shape[d] if x.ndim else 1) == 1 else 2, d, True),
            lambda x, d: _at(min(1, x.shape[d] - 1))(x, d),
            inputs=inputs,
            torch="torch.kthvalue(a, 2, {})",
            **({"shapes": SHAPES[:-1], "longer": SELECTED, "lines": SELECTED_LINES} | options),
        ),
        *[
            case
            for skip in (False, True)
            for case in _family(
                f"{'nan' * skip}median{label}",
                lambda x, d, skip=skip: (pb.nanmedian if skip else pb.median)(x, d),
                lambda x, d, skip=skip: _median_place(x, d, skip),
                keep=False,
                inputs=inputs,
                torch=f"torch.{'nan' * skip}median(a, {{}})",
                **({"shapes": SHAPES[:-1], "longer": SELECTED, "lines": SELECTED_LINES} | options),
            )
        ],
    ]


# --- of all elements, and composed ------------------------------------------------------------------------------------


def _median_of_all(x):
    return np.sort(x, None)[(x.size - 1) // 2]


def _shared_vjp(dy, x):
    equal = x == _median_of_all(x)
    return (dy * equal / equal.sum(),)


def _quantile(x, q, d):
    """a + (p − ⌊p⌋)(b − a), and the indices of a and b, p"""
    order, p = _order(x, d), q * (x.shape[d] - 1)
    at = [np.take(order, [int(i)], d) for i in (np.floor(p), np.ceil(p))]
    a, b = [np.take_along_axis(x, i, d) for i in at]
    return (a + (p - np.floor(p)) * (b - a)).squeeze(d), at, p, (np.abs(a) + np.abs(b)).squeeze(d)


def _quantile_vjp(dy, x, q, d):
    _, (low, high), p, _ = _quantile(x, q, d)
    g, w = np.zeros_like(x), p - np.floor(p)
    dy = np.expand_dims(dy, d)
    np.put_along_axis(g, low, dy * (1 - w), d)
    np.put_along_axis(g, high, np.take_along_axis(g, high, d) + dy * w, d)
    return (g,)


def _search_inputs(rng, shape):
    """Sorted lines of 9 elements with ties, and what to look for, some of it among them."""
    lines = np.sort(np.round(rng.standard_normal((*shape[:-1], 9)) * 2) / 2, -1)
    return [lines, np.round(rng.standard_normal(shape) * 4) / 4]


def _search(lines, x, side):
    found = np.zeros(x.shape, np.int64)
    for i in np.ndindex(x.shape[:-1]):
        found[i] = np.searchsorted(lines[i], x[i], side)
    return found


CASES = [
    *_everything("", _apart),
    *_everything(" ties", _ties, differences=False, differs=WHICH),
    *_everything(" special", _special, grad=False, layouts=("contiguous", "strided"), differs=WHICH),
    *_places("", _apart),
    *_places("[ties]", _ties, differences=False, differs=WHICH),
    *_places("[special]", _special, grad=False, layouts=("contiguous", "strided"), differs=WHICH),
    *[
        case
        for dtype in ("int64", "int32", "int16", "int8", "uint8")
        for family, label in ((_everything, f" {dtype}"), (_places, f"[{dtype}]"))
        for case in family(label, _integers(dtype), grad=False, axes=(1,), dtypes=("float32",))
    ],
    *_family("sort[ascending bool]", pb.sort, _all, inputs=_integers("bool"), grad=False, dtypes=("float32",)),
    Case(
        name="median[all]",
        run=lambda x: pb.median(x),
        inputs=_apart,
        value=_median_of_all,
        vjp=_shared_vjp,
        shapes=((1,), (6,), (3, 5), (37, 41)),
        torch="torch.median(a)",
    ),
    Case(
        name="median[all ties]",
        run=lambda x: pb.nanmedian(x),
        inputs=_ties,
        value=_median_of_all,
        vjp=_shared_vjp,
        shapes=((1,), (6,), (3, 5), (37, 41)),
        differences=False,
        torch="torch.nanmedian(a)",
    ),
    *[
        Case(
            name=f"{name}[{d}]",
            run=lambda x, d=d, name=name: getattr(pb, name)(x, 0.3, d),
            inputs=_apart,
            value=lambda x, d=d: _quantile(x, 0.3, d)[0],
            vjp=lambda dy, x, d=d: _quantile_vjp(dy, x, 0.3, d),
            # p = 0.3 (n − 1) is rounded, and so is its distance from ⌊p⌋ by as much
            scale=lambda x, d=d: _quantile(x, 0.3, d)[3] * (1 + 0.3 * x.shape[d]),
            vjp_scale=lambda dy, x, d=d: [np.abs(dy).max() * (1 + 0.3 * x.shape[d])],
            shapes=((2, 3, 5), (5, 7, 3), (33, 130, 17)),
            bench=((64, 128, 64),),
            torch=f"torch.{name}(a, 0.3, {d})",
        )
        for name in ("quantile", "nanquantile")
        for d in (0, 1, 2)
    ],
    *[
        Case(
            name=f"searchsorted[{side}]",
            run=lambda lines, x, side=side: pb.searchsorted(lines, x, side=side),
            inputs=_search_inputs,
            value=lambda lines, x, side=side: _search(lines, x, side),
            shapes=((1,), (33,), (3, 0), (0, 3), (2, 3, 5), (7, 1300)),
            torch=f"torch.searchsorted(a, b, side={side!r})",
        )
        for side in ("left", "right")
    ],
]
