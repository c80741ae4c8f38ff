"""Products of float16 and bfloat16 on the CUDA kernels, emulated: own kernel and what is handed to cuBLASLt, against float64.

Tolerance: the sums are floats of at most k + 3 terms, each rounding 2⁻²³ of S = Σ|α a b| + |β c| + |bias| (tensor cores cut
off); f changes by at most 1.13 of that, and by 2⁻²¹ of itself; then one rounding to the half. A second one would show.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from math import erfc
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from gpu_modules import Array, emulated, on_emulation, reconnect, stand_in
from test_cases import EVERYTHING

__all__ = ["stand_in"]

pytestmark = on_emulation

HALVES = {"float16": np.dtype(np.float16), "bfloat16": np.dtype(ml_dtypes.bfloat16)}
each_half = pytest.mark.parametrize("dtype", HALVES)
slow = pytest.mark.skipif(not EVERYTHING, reason="slow: make test-all")

# An activation by its number in the contract.
ACTIVATIONS = [
    lambda z: z,
    lambda z: np.maximum(z, 0),
    lambda z: 1 / (1 + np.exp(-z)),
    np.tanh,
    lambda z: z * normal_cdf(z),
    lambda z: z / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3))),
    lambda z: z / (1 + np.exp(-z)),
]


def normal_cdf(z: Any) -> Any:
    return np.vectorize(lambda x: 0.5 * erfc(-x / 2**0.5), otypes=[float])(z)


@pytest.fixture(autouse=True)
def connected() -> Iterator[None]:
    """No scratch memory: a kernel that had its operands widened would ask for some."""
    emulated.connect(lambda: 0, lambda bytes: None, print)
    yield
    reconnect()


LAYOUTS = ("rows", "columns", "wide", "odd", "gaps", "reversed", "moved")


def halves(rng: Any, shape: tuple[int, ...], dtype: str, layout: str = "rows") -> Any:
    """Random ones: row by row, column by column, with gaps of 8 or of 1 between rows, or of 1 between elements, from the
    end, or from an address that is no multiple of 4."""
    x = rng.standard_normal(shape).astype(HALVES[dtype])
    if layout == "columns":
        return np.ascontiguousarray(x.swapaxes(-1, -2)).swapaxes(-1, -2)
    if layout in ("wide", "odd"):
        gap = np.full((*shape[:-1], 8 if layout == "wide" else 1), np.nan, x.dtype)
        return np.concatenate([x, gap], -1)[..., : shape[-1]]
    if layout == "gaps":
        return np.repeat(x, 2, -1)[..., ::2]
    if layout == "reversed":
        return np.array(x[..., ::-1, ::-1])[..., ::-1, ::-1]
    if layout == "moved":
        flat = np.empty(x.size + 1, x.dtype)
        flat[1:] = x.ravel()
        return flat[1:].reshape(shape)
    return x


def on_gpu(x: Any) -> Array:
    """The very memory, as the binding reads it; bfloat16 as uint16."""
    array = Array([])
    array.host = x.view(np.uint16) if x.dtype == HALVES["bfloat16"] else x
    return array


def check(a: Any, b: Any, c: Any, bias: Any = None, alpha: float = 1, beta: float = 0, f: int = 0) -> None:
    """c = f(α a b + β c + bias), c being what it was before."""
    a64, b64, c64 = (x.astype(np.float64) for x in (a, b, c))
    added = 0.0 if bias is None else bias.astype(np.float64)
    z = alpha * (a64 @ b64) + added
    scale = abs(alpha) * (abs(a64) @ abs(b64)) + abs(added)
    if beta:
        z, scale = z + beta * c64, scale + abs(beta * c64)
    want = ACTIVATIONS[f](z)
    emulated.matmul(on_gpu(a), on_gpu(b), on_gpu(c), None if bias is None else on_gpu(bias), alpha, beta, f)
    info = ml_dtypes.finfo(c.dtype)
    of_sum = 1.13 * (a.shape[-1] + 3) * 2.0**-23 * scale + 2.0**-21 * abs(want)
    bound = of_sum + float(info.eps) / 2 * (abs(want) + of_sum) + float(info.smallest_subnormal)
    got = c.astype(np.float64)
    wrong = ~(abs(got - want) <= bound)
    assert not wrong.any(), (
        f"{a.shape} {b.shape} {c.dtype}: {wrong.sum()} of {wrong.size} elements off, the first at "
        f"{np.argwhere(wrong)[0]}: {got[wrong][0]}, expected {want[wrong][0]}"
    )


def poisoned(shape: tuple[int, ...], dtype: str) -> Any:
    return np.full(shape, np.nan, HALVES[dtype])


# --- own kernel ---------------------------------------------------------------------------------------------------------

SIZES = (1, 2, 63, 64, 65)
# Around chunks, fragments and slabs, and more slabs than there are stages.
DEPTHS = (0, 1, 8, 15, 16, 17, 31, 32, 33, 64, 104, 131)


@each_half
@pytest.mark.parametrize("k", DEPTHS)
def test_shapes_around_tiles(dtype: str, k: int) -> None:
    rng = np.random.default_rng(k)
    sizes = list(itertools.product(SIZES, SIZES))
    for i, (m, n) in enumerate(sizes if EVERYTHING else sizes[k % 3 :: 3]):
        layouts = [LAYOUTS[(i + k) % 2], LAYOUTS[(i + k) // 2 % 2]]
        a, b = (halves(rng, s, dtype, layout) for s, layout in zip(((m, k), (k, n)), layouts))
        check(a, b, poisoned((m, n), dtype))


@each_half
@pytest.mark.parametrize("layout_a", LAYOUTS)
@pytest.mark.parametrize("layout_b", LAYOUTS)
def test_layouts(dtype: str, layout_a: str, layout_b: str) -> None:
    """Of sizes that move by chunks and of sizes that do not; results in every layout."""
    rng = np.random.default_rng(1)
    turn = LAYOUTS.index(layout_a) + LAYOUTS.index(layout_b)
    for m, k, n in ((72, 40, 24), (33, 19, 41))[: 2 if EVERYTHING or turn % 2 else 1]:
        a, b = halves(rng, (m, k), dtype, layout_a), halves(rng, (k, n), dtype, layout_b)
        check(a, b, halves(rng, (m, n), dtype, LAYOUTS[turn % len(LAYOUTS)]), beta=-0.5, alpha=2)


@each_half
@pytest.mark.parametrize("f", range(len(ACTIVATIONS)))
def test_epilogues(dtype: str, f: int) -> None:
    rng = np.random.default_rng(2)
    for bias_shape in (None, (18,), (5, 1), (1, 1), (5, 18)):
        bias = None if bias_shape is None else halves(rng, bias_shape, dtype)
        a, b, c = (halves(rng, s, dtype) for s in ((5, 7), (7, 18), (5, 18)))
        check(a, b, c, bias, alpha=0.75, beta=0.5 if f % 2 else 0, f=f)


BATCHES = (
    ((3, 9, 16), (3, 16, 10)),
    ((3, 9, 16), (16, 10)),
    ((9, 16), (3, 16, 10)),
    ((2, 1, 9, 8), (3, 8, 10)),
    ((3, 1, 8), (8, 10)),
    ((0, 9, 8), (8, 10)),
    ((3, 9, 0), (3, 0, 10)),
)


@each_half
@pytest.mark.parametrize("shapes", BATCHES, ids=str)
def test_batches(dtype: str, shapes: Any) -> None:
    rng = np.random.default_rng(3)
    a, b = (halves(rng, s, dtype) for s in shapes)
    of_c = (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1])
    check(a, b, poisoned(of_c, dtype), halves(rng, (10,), dtype), f=1)
    check(a, b, halves(rng, of_c, dtype), halves(rng, (of_c[0], *[1] * (len(of_c) - 1)), dtype), beta=1)


@each_half
def test_matrices_that_are_aligned_while_their_batch_is_not(dtype: str) -> None:
    rng = np.random.default_rng(8)
    a = np.lib.stride_tricks.as_strided(halves(rng, (3, 148), dtype), (3, 9, 16), (296, 32, 2))
    c = np.lib.stride_tricks.as_strided(halves(rng, (3, 91), dtype), (3, 9, 10), (182, 20, 2))
    check(a, halves(rng, (16, 10), dtype), c)


@each_half
def test_more_rows_of_tiles_than_a_band(dtype: str) -> None:
    rng = np.random.default_rng(9)
    check(halves(rng, (580, 8), dtype), halves(rng, (8, 72), dtype), poisoned((580, 72), dtype))


@each_half
@pytest.mark.parametrize("layouts", [("rows", "columns"), ("rows", "rows"), ("columns", "rows"), ("odd", "gaps")])
def test_long_sums_are_cut(dtype: str, layouts: tuple[str, str]) -> None:
    """Products of which blocks share the terms: one, two, one that is turned round."""
    rng = np.random.default_rng(10)
    for m, k, n, of_c in ((9, 3000, 11, "rows"), (9, 2568, 16, "columns"), (65, 2048, 1, "rows")):
        a, b = halves(rng, (m, k), dtype, layouts[0]), halves(rng, (2, k, n), dtype, layouts[1])
        check(a, b[0], halves(rng, (m, n), dtype, of_c), halves(rng, (n,), dtype), 0.5, -1, 1)
        check(a, b, poisoned((2, m, n), dtype))


@pytest.mark.parametrize(
    ("dtype", "layouts", "m", "k", "n"),
    [
        ("float16", ("rows", "columns"), 129, 40, 65),
        pytest.param("bfloat16", ("rows", "rows"), 72, 136, 128, marks=slow),
        pytest.param("float16", ("columns", "rows"), 136, 33, 72, marks=slow),
        pytest.param("bfloat16", ("columns", "columns"), 66, 100, 130, marks=slow),
    ],
)
def test_many_tiles_are_large_ones(dtype: str, layouts: Any, m: int, k: int, n: int) -> None:
    rng = np.random.default_rng(4)
    tiles = -(-m // 128) * -(-n // 128)
    a = np.broadcast_to(halves(rng, (m, k), dtype, layouts[0]), (-(-132 // tiles), m, k))
    b = halves(rng, (len(a), k, n), dtype, layouts[1])
    check(a, b, poisoned((len(a), m, n), dtype), halves(rng, (n,), dtype), f=3)


@each_half
def test_order_of_threads_changes_no_bit(dtype: str) -> None:
    rng = np.random.default_rng(5)
    a, b = halves(rng, (70, 72), dtype), halves(rng, (72, 80), dtype, "columns")
    made = set()
    for order in ("forward", "reversed", "shuffled"):
        emulated.set_thread_order(order, 3)
        c = poisoned((70, 80), dtype)
        check(a, b, c)
        made.add(c.tobytes())
    emulated.set_thread_order("forward")
    assert len(made) == 1


@each_half
def test_what_is_not_a_number_stays_where_it_is(dtype: str) -> None:
    """Zeros past the ends meet no infinity of another row, and c is not read where β is 0."""
    rng = np.random.default_rng(6)
    a, b = halves(rng, (9, 12), dtype), halves(rng, (12, 11), dtype)
    a[2, 3], b[4, 5] = np.inf, np.nan
    c = poisoned((9, 11), dtype)
    emulated.matmul(on_gpu(a), on_gpu(b), on_gpu(c), None, 1.0, 0.0, 0)
    special = ~np.isfinite(c.astype(np.float64))
    expected = np.zeros((9, 11), bool)
    expected[2], expected[:, 5] = True, True
    assert (special == expected).all() and np.isinf(c[2, 0].astype(float)) and np.isnan(c[0, 5].astype(float))


# --- what is handed to cuBLASLt -----------------------------------------------------------------------------------------


@each_half
@pytest.mark.parametrize("f", range(len(ACTIVATIONS)))
def test_products_are_handed_over_and_rounded_once(stand_in: None, dtype: str, f: int) -> None:
    """What its epilogues lack is done by a kernel on a product in float."""
    rng = np.random.default_rng(7)
    for layout, bias_shape, beta in itertools.product(LAYOUTS[:5], (None, (10,), (9, 1), (9, 10)), (0, 0.5)):
        bias = None if bias_shape is None else halves(rng, bias_shape, dtype)
        a, b, c = (
            halves(rng, s, dtype, of) for s, of in zip(((9, 16), (16, 10), (9, 10)), ("rows", "columns", layout))
        )
        before = emulated.cublaslt_products()
        check(a, b, c, bias, 0.5, beta, f)
        assert emulated.cublaslt_products() == before + 1


@each_half
@pytest.mark.parametrize("shapes", BATCHES, ids=str)
def test_batches_are_handed_over(stand_in: None, dtype: str, shapes: Any) -> None:
    test_batches(dtype, shapes)
