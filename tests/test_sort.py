"""Sorting and searching: what the cases cannot say. Directions and dtypes of all sizes, errors, and ops whose result's
shape depends on the data."""

from __future__ import annotations

import numpy as np
import pytest

import pullback as pb
from harness import threads
from pullback import _cpu

DTYPES = ("float32", "float64", "int64", "int32", "int16", "int8", "uint8", "bool")


def elements(rng, n, dtype):
    """Ties, both zeros, infinities and NaN; the ends of the range."""
    if dtype.startswith("float"):
        x = (np.round(rng.standard_normal(n) * 2) / 2 * rng.choice([1, -1], n)).astype(dtype)
        special = np.array([np.nan, np.inf, -np.inf, np.finfo(dtype).max, np.finfo(dtype).tiny, -0.0], dtype)
        return np.where(rng.random(n) < 0.2, rng.choice(special, n), x)
    low, high = (0, 1) if dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    wide = rng.integers(low, high, n, endpoint=True)
    return np.where(rng.random(n) < 0.5, rng.choice([low, high, 0, 1], n), wide).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("descending", [False, True])
def test_sort_is_stable_with_nan_the_largest(dtype: str, descending: bool) -> None:
    rng = np.random.default_rng(1)
    for n in (1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 257, 5000):
        x = elements(rng, n, dtype)
        order = np.argsort(x, kind="stable")
        if descending:
            order = n - 1 - np.argsort(x[::-1], kind="stable")[::-1]
        values, indices = pb.from_numpy(x).sort(descending=descending, stable=True)
        np.testing.assert_array_equal(indices.numpy(), order, err_msg=f"{n}")
        assert values.numpy().tobytes() == x[order].tobytes()  # −0 stays −0
        np.testing.assert_array_equal(pb.argsort(pb.from_numpy(x), descending=descending).numpy(), order)
        if dtype == "bool":
            continue
        for k in {1, min(n, 5), min(n, 16), (n + 1) // 2, n}:
            top = pb.topk(pb.from_numpy(x), k, largest=descending)
            np.testing.assert_array_equal(top.indices.numpy(), order[:k], err_msg=f"{n} {k}")
            if not descending:
                assert pb.kthvalue(pb.from_numpy(x), k).indices.item() == order[k - 1]


@pytest.mark.parametrize("order", ["ascending", "descending", "equal", "nan"])
def test_topk_whose_bound_moves_all_the_time(order: str) -> None:
    n = 4000
    x = {"ascending": np.arange(n), "descending": -np.arange(n), "equal": np.ones(n), "nan": np.full(n, np.nan)}[order]
    x = x.astype(np.float32)
    for k in (1, 7, 64, 300, 1999):
        for largest in (True, False):
            want = (
                np.arange(n)[::-1] if (order, largest) in (("ascending", True), ("descending", False)) else np.arange(n)
            )
            np.testing.assert_array_equal(pb.topk(pb.from_numpy(x), k, largest=largest).indices.numpy(), want[:k])


def test_long_lines_do_not_depend_on_threads() -> None:
    rng = np.random.default_rng(2)
    for dtype in ("float32", "float64", "int64"):
        x = elements(rng, 3 * 65536 + 17, dtype)
        want = np.argsort(x, kind="stable")
        for n in (1, 2, 3):
            with threads(n):
                np.testing.assert_array_equal(pb.sort(pb.from_numpy(x)).indices.numpy(), want)


def test_empty() -> None:
    for shape, dim in (((0,), 0), ((2, 0, 3), 1), ((0, 3), 1)):
        values, indices = pb.zeros(shape).sort(dim)
        assert values.shape == shape and indices.shape == shape and indices.dtype is pb.int64
    assert pb.topk(pb.zeros(3, 4), 0).values.shape == (3, 0)
    assert pb.topk(pb.zeros(0, 4), 2).values.shape == (0, 2)
    assert pb.median(pb.zeros(0, 3), 1).values.shape == (0,)
    assert np.isnan(pb.median(pb.zeros(0)).item())
    assert pb.unique(pb.zeros(0, 3)).shape == (0,)
    assert pb.searchsorted(pb.zeros(0), pb.ones(2)).tolist() == [0, 0]


def test_without_dimensions() -> None:
    x = pb.tensor(3.0, requires_grad=True)
    for result in (x.sort(), x.topk(1), x.kthvalue(1), x.median(0)):
        assert result.values.shape == () and result.indices.item() == 0
        x.grad = None
        result.values.backward()
        assert x.grad.item() == 1
    assert x.msort().item() == 3 and x.median().item() == 3


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: x.sort(2), IndexError, "sort: dim expects"),
        (lambda x: x.topk(5), RuntimeError, "topk: k expects a value from 0 to 4"),
        (lambda x: x.topk(-1), RuntimeError, "topk: k expects"),
        (lambda x: x.topk(1, 5), IndexError, "topk: dim expects"),
        (lambda x: pb.topk(x > 0, 1), RuntimeError, "topk: input expects a number's dtype"),
        (lambda x: x.kthvalue(0), RuntimeError, "kthvalue: k expects a value from 1 to 4"),
        (lambda x: x.kthvalue(5), RuntimeError, "kthvalue: k expects"),
        (lambda x: pb.kthvalue(x[:0], 1, 0), IndexError, "kthvalue: dim"),
        (lambda x: pb.median(x[:0], 0), IndexError, "median: dim"),
        (lambda x: pb.median(x[:0].long()), RuntimeError, "median: input expects at least one element"),
        (lambda x: pb.median(x > 0), RuntimeError, "median: input expects a number's dtype"),
        (lambda x: pb.quantile(x, 1.5), RuntimeError, "quantile: q expects values from 0 to 1, got 1.5"),
        (lambda x: pb.quantile(x, x), RuntimeError, "quantile: q expects one dimension at most"),
        (lambda x: pb.quantile(x.long(), 0.5), RuntimeError, "quantile: input expects a floating-point dtype"),
        (lambda x: pb.quantile(x, 0.5, interpolation="cubic"), RuntimeError, "quantile: interpolation expects"),
        (lambda x: pb.quantile(x[:0], 0.5), RuntimeError, "quantile: input expects at least one element"),
        (lambda x: pb.searchsorted(x, 1.0), RuntimeError, "searchsorted: sorted_sequence expects"),
        (lambda x: pb.searchsorted(x, pb.zeros(3, 4)), RuntimeError, "searchsorted: sorted_sequence expects"),
        (lambda x: pb.searchsorted(x, x, side="middle"), RuntimeError, "side expects 'left' or 'right'"),
        (lambda x: pb.searchsorted(x, x, side="left", right=True), RuntimeError, "side expects 'right'"),
        (lambda x: pb.searchsorted(x, x, sorter=pb.arange(4)), RuntimeError, "sorter expects shape"),
        (lambda x: pb.bucketize(x, x), RuntimeError, "bucketize: boundaries expects one dimension"),
        (lambda x: pb.unique(x, dim=2), IndexError, "unique: dim expects"),
        (lambda x: pb.unique(x[:, :0], dim=0), RuntimeError, "unique: input expects elements"),
        (lambda x: pb.sort([1.0]), TypeError, "sort: input expects a Tensor"),
    ],
)
def test_errors(call, error, words: str) -> None:
    with pytest.raises(error, match=words):
        call(pb.ones(2, 4))


def test_median_of_all_shares_between_equals() -> None:
    x = pb.tensor([1.0, 2.0, 2.0, 3.0, 2.0], requires_grad=True)
    pb.median(x).backward()
    np.testing.assert_allclose(x.grad.numpy(), [0, 1 / 3, 1 / 3, 0, 1 / 3], rtol=1e-6)


def test_median_and_nan() -> None:
    x = pb.tensor([[1.0, np.nan, 2.0, np.nan], [4.0, 3.0, 1.0, 2.0], [np.nan] * 4])
    assert x.median(1).indices.tolist() == [1, 3, 0]
    assert x.nanmedian(1).indices.tolist() == [0, 3, 0]
    assert np.isnan(x.median().item()) and x.nanmedian().item() == 2
    assert pb.median(x[1]).item() == 2  # the lower one of two


@pytest.mark.parametrize("method", ["linear", "lower", "higher", "nearest", "midpoint"])
@pytest.mark.parametrize("dim", [None, 0, 1])
def test_quantile(method: str, dim: int | None) -> None:
    rng = np.random.default_rng(3)
    x, q = rng.standard_normal((6, 9)), np.array([0.0, 0.21, 0.5, 0.77, 1.0])
    for keepdim in (False, True):
        got = pb.quantile(pb.from_numpy(x), pb.from_numpy(q), dim, keepdim, interpolation=method)
        np.testing.assert_allclose(got.numpy(), np.quantile(x, q, dim, method=method, keepdims=keepdim), rtol=1e-14)
    holes = np.where(rng.random(x.shape) < 0.3, np.nan, x)
    holes[0, :] = holes[:, 0] = 1.0  # no line is without a number
    got = pb.nanquantile(pb.from_numpy(holes), pb.from_numpy(q), dim, interpolation=method)
    np.testing.assert_allclose(got.numpy(), np.nanquantile(holes, q, dim, method=method), rtol=1e-14)
    some = pb.quantile(pb.from_numpy(holes), 0.5, dim).numpy()
    np.testing.assert_array_equal(np.isnan(some), np.isnan(holes).any(dim))
    assert np.isnan(pb.nanquantile(pb.tensor([np.nan, np.nan]), 0.5).item())


@pytest.mark.parametrize("dtype", DTYPES)
def test_unique(dtype: str) -> None:
    rng = np.random.default_rng(4)
    for shape in ((), (1,), (7,), (40, 3), (2, 0)):
        x = np.reshape(rng.integers(0, 5, shape), shape).astype(dtype)
        want = np.unique(x, return_inverse=True, return_counts=True)
        got = pb.unique(pb.from_numpy(x), return_inverse=True, return_counts=True)
        for a, b in zip(got, (want[0], want[1].reshape(shape), want[2]), strict=True):
            np.testing.assert_array_equal(a.numpy(), b)
        np.testing.assert_array_equal(pb.from_numpy(x).unique().numpy(), want[0])


def test_unique_along_a_dimension() -> None:
    x = np.random.default_rng(5).integers(0, 2, (9, 2, 4))
    for dim in range(3):
        want = np.unique(x, return_inverse=True, return_counts=True, axis=dim)
        got = pb.unique(pb.from_numpy(x), return_inverse=True, return_counts=True, dim=dim)
        for a, b in zip(got, (want[0], want[1].reshape(-1), want[2]), strict=True):
            np.testing.assert_array_equal(a.numpy(), b)


def test_unique_nan_and_neighbours() -> None:
    values, inverse, counts = pb.unique(pb.tensor([3.0, np.nan, np.nan, 1, 1]), True, True, True)
    np.testing.assert_array_equal(values.numpy(), np.float32([1, 3, np.nan, np.nan]))
    assert inverse.tolist() == [1, 2, 3, 0, 0] and counts.tolist() == [2, 1, 1, 1]
    values, inverse, counts = pb.unique_consecutive(pb.tensor([3, 3, 1, 3]), True, True)
    assert (values.tolist(), inverse.tolist(), counts.tolist()) == ([3, 1, 3], [0, 0, 1, 2], [2, 1, 1])
    assert pb.unique_consecutive(pb.tensor([[1, 1, 2], [0, 0, 5]]), dim=1).tolist() == [[1, 2], [0, 5]]


def test_searching() -> None:
    line = pb.tensor([1.0, 2.0, 2.0, 4.0])
    x = pb.tensor([[0.0, 2.0], [np.inf, np.nan]])
    assert pb.searchsorted(line, x).tolist() == [[0, 1], [4, 4]]
    assert pb.searchsorted(line, x, right=True).tolist() == [[0, 3], [4, 4]]
    assert pb.searchsorted(line, x, side="right", out_int32=True).dtype is pb.int32
    assert pb.searchsorted(line, 2).item() == 1 and pb.bucketize(2.5, line, right=True).item() == 3
    assert pb.bucketize(x, line).tolist() == [[0, 1], [4, 4]]
    assert pb.searchsorted(pb.tensor([1, 2, 3]), 2.5).item() == 2  # compared in the common dtype
    with_nan = pb.tensor([1.0, np.nan, np.nan])
    assert pb.searchsorted(with_nan, 1.0).item() == 0 and pb.searchsorted(with_nan, 1.0, right=True).item() == 1
    mixed = pb.tensor([4.0, 1.0, 2.0])
    assert pb.searchsorted(mixed, pb.tensor([3.0]), sorter=mixed.argsort()).tolist() == [2]


def test_sorting_is_one_kernel_call() -> None:
    before = _cpu.launch_counts()
    pb.ones(3, 4).sort(0)
    after = _cpu.launch_counts()
    assert after["sort"] - before["sort"] == 1
