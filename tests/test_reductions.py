"""Reductions, scans, softmax and cross-entropy: what the cases cannot say. Arguments as PyTorch takes them, errors, dtypes,
edges, accuracy; and, where PyTorch is installed, its own results for every form of call."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import pullback as pb
from harness import threads
from pullback._walk import gradients

INF, NAN = math.inf, math.nan


def grad(f, x):
    """The gradient of Σ f(x)."""
    t = pb.tensor(x, dtype=pb.float64, requires_grad=True)
    f(t).sum().backward()
    return t.grad.numpy()


# --- shapes, dtypes and errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [None, (), 0, -1, (0, 2), [1, -1]])
@pytest.mark.parametrize("keepdim", [False, True])
def test_dims_and_keepdim(dim, keepdim: bool) -> None:
    x = np.arange(24.0).reshape(2, 3, 4)
    axes = None if dim is None or dim == () else tuple(dim) if isinstance(dim, (list, tuple)) else dim
    np.testing.assert_array_equal(pb.tensor(x).sum(dim, keepdim).numpy(), x.sum(axes, keepdims=keepdim))
    np.testing.assert_array_equal(pb.tensor(x).mean(dim, keepdim).numpy(), x.mean(axes, keepdims=keepdim))


@pytest.mark.parametrize("dtype", ["int64", "int32", "int16", "int8", "uint8", "bool"])
def test_integers_are_summed_in_int64(dtype: str) -> None:
    x = pb.tensor([1, 1, 0, 1]).to(getattr(pb, dtype))
    assert x.sum().dtype is pb.int64 and x.prod().dtype is pb.int64 and x.cumsum(0).dtype is pb.int64
    assert x.sum(dtype=pb.float32).dtype is pb.float32 and x.sum(dtype=pb.int16).dtype is pb.int16
    assert x.max().dtype is x.dtype and x.amin().dtype is x.dtype
    with pytest.raises(RuntimeError, match=r"mean: input expects a floating-point dtype"):
        x.mean()


def test_truth_keeps_uint8() -> None:
    x = pb.tensor([0, 3], dtype=pb.uint8)
    assert x.any().dtype is pb.uint8 and x.any().item() == 1 and x.all().item() == 0
    assert pb.tensor([NAN]).all().item() is True


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda x: x.sum(2), IndexError),
        (lambda x: x.sum((0, -2)), RuntimeError),
        (lambda x: x.prod((0, 1)), TypeError),
        (lambda x: x.max((0, 1)), TypeError),
        (lambda x: x.norm("nuc"), ValueError),
        (lambda x: x.softmax(2), IndexError),
        (lambda x: x.long().softmax(0), RuntimeError),
        (lambda x: x.bool().argmax(), RuntimeError),
        (lambda x: x.var(0, True, correction=2), TypeError),
        (lambda x: x[:0].max(), RuntimeError),
        (lambda x: x[:0].max(0), IndexError),
        (lambda x: x[:0].amax(0), IndexError),
        (lambda x: x[:0].argmin(0), IndexError),
        (lambda x: x[:0].norm(INF), RuntimeError),
        (lambda x: x.cumsum(2), IndexError),
    ],
)
def test_errors(call, error) -> None:
    with pytest.raises(error):
        call(pb.ones(2, 3))


def test_nothing_to_reduce() -> None:
    x = pb.zeros(0, 3)
    assert x.sum().item() == 0 and x.prod().item() == 1 and math.isnan(x.mean().item())
    assert x.logsumexp(0).tolist() == [-INF] * 3 and x.norm(dim=0).tolist() == [0] * 3
    assert x.max(1).values.shape == (0,) and x.argmax(1).shape == (0,)
    assert bool(x.all()) and not bool(x.any())
    assert np.isnan(x.var(0).numpy()).all()


@pytest.mark.parametrize("dim", [0, 1, (0, 1)])
def test_any_byte_that_is_not_0_is_true(dim):
    """As in NumPy's masks; along columns, too, where bytes are read one by one."""
    bits = np.full((40, 30), 199, np.uint8)
    bits[::3] = 0
    x, y = pb.from_numpy(bits.view(bool)), pb.from_numpy(bits != 0)
    for op in (pb.sum, pb.any, pb.all, pb.amax):
        assert (op(x, dim) == op(y, dim)).all()


# --- values at the edges ----------------------------------------------------------------------------------------------


def test_a_long_sum_keeps_its_digits() -> None:
    """Ten million float32 numbers of one sign: added in a row they would be off by more than 1e-4."""
    x = np.random.default_rng(0).random(10_000_000, dtype=np.float32)
    exact = x.sum(dtype=np.float64)
    assert abs(pb.tensor(x).sum().item() - exact) < 2e-7 * exact
    assert abs(pb.tensor(x.reshape(-1, 10)).sum(0).numpy() - x.reshape(-1, 10).sum(0, dtype=np.float64)).max() < 1


def test_var_far_from_zero() -> None:
    x = (np.random.default_rng(0).standard_normal(1_000_000) + 1e4).astype(np.float32)
    assert abs(pb.tensor(x).var().item() - x.astype(np.float64).var(ddof=1)) < 1e-4


def test_few_outputs_are_cut_alike_for_any_number_of_threads() -> None:
    x = pb.tensor(np.random.default_rng(0).standard_normal((999, 777)).astype(np.float32))
    for op, dim in itertools.product((pb.sum, pb.logsumexp, pb.var, pb.argmax), (0, 1)):
        results = []
        for n in (1, 2, 3, 5):
            with threads(n):
                results.append((op(x, dim).numpy().tobytes(), op(x.reshape(-1), 0).numpy().tobytes()))
        assert len(set(results)) == 1


def test_infinities_and_nan() -> None:
    x = pb.tensor([[-INF, -INF], [INF, 1], [-INF, 2], [NAN, 1]])
    np.testing.assert_array_equal(x.logsumexp(1).numpy(), [-INF, INF, 2, NAN])
    np.testing.assert_array_equal(x.amax(1).numpy(), [-INF, INF, 2, NAN])
    np.testing.assert_array_equal(x.argmax(1).numpy(), [0, 0, 1, 0])
    np.testing.assert_array_equal(x.nansum(1).numpy(), [-INF, INF, -INF, 1])
    np.testing.assert_array_equal(x.softmax(1).numpy(), [[NAN, NAN], [NAN, NAN], [0, 1], [NAN, NAN]])


def test_gradients_where_formulas_divide_by_zero() -> None:
    np.testing.assert_array_equal(grad(lambda x: x.norm(dim=1), [[0.0, 0], [3, 4]]), [[0, 0], [0.6, 0.8]])
    np.testing.assert_array_equal(grad(lambda x: x.norm(3), [0.0, -2]), [0, -1])
    np.testing.assert_array_equal(grad(lambda x: x.std(), [2.0, 2, 2]), [0, 0, 0])
    np.testing.assert_array_equal(grad(lambda x: x.prod(), [0.0, 3, 2]), [6, 0, 0])
    np.testing.assert_array_equal(grad(lambda x: x.norm(INF), [3.0, -3]), [0.5, -0.5])
    np.testing.assert_array_equal(grad(lambda x: x.max(), [1.0, NAN, 2, NAN]), [0, 0.5, 0, 0.5])


def test_vector_norm() -> None:
    x = pb.tensor([[3.0, 4.0], [0.0, -1.0]])
    assert pb.linalg.vector_norm(x, dim=1).tolist() == [5, 1]
    assert pb.linalg.vector_norm(x, INF).item() == 4 and pb.linalg.vector_norm(x, 0).item() == 3
    with pytest.raises(TypeError, match="vector_norm: ord expects a number, got str"):
        pb.linalg.vector_norm(x, "fro")


def test_dimensions_of_size_one_have_second_derivatives() -> None:
    x = pb.tensor([[[2.0], [3.0]]], dtype=pb.float64, requires_grad=True)
    for dim in (0, 2):
        (g,) = gradients([x.prod(dim)], [x], [pb.ones_like(x.prod(dim))], None, True, True)
        np.testing.assert_array_equal(g.detach().numpy(), np.ones((1, 2, 1)))


# --- cross-entropy ----------------------------------------------------------------------------------------------------


def test_backward_twice_gives_the_same_bits() -> None:
    """The first pass takes the gradient that forward left, the second one computes it."""
    x = pb.tensor(np.random.default_rng(0).standard_normal((5, 7)).astype(np.float32), requires_grad=True)
    loss = pb.cross_entropy(x, pb.tensor([0, 3, 6, 1, 1])) * 3
    loss.backward(retain_graph=True)
    first = x.grad.numpy().copy()
    x.grad = None
    loss.backward()
    assert first.tobytes() == x.grad.numpy().tobytes()


@pytest.mark.parametrize("loss", [pb.cross_entropy, pb.nll_loss])
@pytest.mark.parametrize("target", [3, -1])
def test_a_class_out_of_range(loss, target: int) -> None:
    with pytest.raises(IndexError, match=rf"target {target} is out of range, expected a class from 0 to 2"):
        loss(pb.zeros(2, 3), pb.tensor([0, target]))


def test_all_ignored() -> None:
    x, target = pb.zeros(2, 3, requires_grad=True), pb.tensor([-100, -100])
    assert math.isnan(pb.cross_entropy(x, target).item())
    loss = pb.cross_entropy(x, target, reduction="sum")
    loss.backward()
    assert loss.item() == 0 and not x.grad.numpy().any()


@pytest.mark.parametrize(
    ("options", "target", "error"),
    [
        ({}, [0, 1, 2], ValueError),
        ({}, [[0], [1]], RuntimeError),
        ({}, np.array([0, 1], np.int32), RuntimeError),
        ({}, [[0.1, 0.9]], RuntimeError),
        ({"label_smoothing": 1.5}, [0, 1], RuntimeError),
        ({"reduction": "avg"}, [0, 1], ValueError),
        ({"weight": [1.0, 2.0]}, [0, 1], RuntimeError),
        ({"ignore_index": 1}, np.full((2, 3), 1 / 3, np.float32), RuntimeError),
    ],
)
def test_cross_entropy_checks_its_arguments(options, target, error) -> None:
    options = {k: pb.tensor(v) if k == "weight" else v for k, v in options.items()}
    with pytest.raises(error, match="cross_entropy: "):
        pb.cross_entropy(pb.zeros(2, 3), pb.tensor(target), **options)


# --- against PyTorch --------------------------------------------------------------------------------------------------

CALLS = {
    "sum": lambda L, x, d, k: x.sum(d, k),
    "mean": lambda L, x, d, k: x.mean(d, k),
    "var": lambda L, x, d, k: x.var(d or None, keepdim=k),
    "std": lambda L, x, d, k: L.std(x, d or None, correction=0, keepdim=k) if d is not None else L.std(x, False),
    "logsumexp": lambda L, x, d, k: x.logsumexp(tuple(range(x.ndim)) if d in (None, ()) else d, k),
    "norm1": lambda L, x, d, k: x.norm(1, d, k),
    "norm": lambda L, x, d, k: L.norm(x, dim=d, keepdim=k),
    "norm3": lambda L, x, d, k: x.norm(3, d, k),
    "norm-inf": lambda L, x, d, k: x.norm(-INF, d, k),
    "amax": lambda L, x, d, k: x.amax(() if d is None else d, k),
    "prod": lambda L, x, d, k: x.prod() if d is None else x.prod(d, k),
    "max": lambda L, x, d, k: x.max() if d is None else x.max(d, k),
    "min": lambda L, x, d, k: L.min(x) if d is None else L.min(x, dim=d, keepdim=k),
    "argmax": lambda L, x, d, k: x.argmax(d, k),
    "all": lambda L, x, d, k: x.all() if d is None else x.all(d, k),
    "aminmax": lambda L, x, d, k: L.aminmax(x, dim=d, keepdim=k),
    "cumsum": lambda L, x, d, k: x.cumsum(d or 0),
    "cumprod": lambda L, x, d, k: x.cumprod(d or 0),
    "cummin": lambda L, x, d, k: x.cummin(d or 0),
    "softmax": lambda L, x, d, k: L.softmax(x, d or 0),
    "log_softmax": lambda L, x, d, k: x.log_softmax(d or 0),
}
ONE_DIM = {"prod", "max", "min", "argmax", "aminmax", "cumsum", "cumprod", "cummin", "softmax", "log_softmax"}


def results(library, call, x, d, k):
    """What a call gives: arrays of results and of the gradient of the first, or the type of the error."""
    try:
        found = call(library, x, d, k)
    except (RuntimeError, IndexError, TypeError, ValueError) as error:
        return type(error)
    found = list(found) if isinstance(found, tuple) else [found]
    arrays = [f.detach().numpy() for f in found]
    if found[0].requires_grad:
        found[0].sum().backward()
        arrays.append(x.grad.numpy())
    return arrays


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CALLS)
def test_gives_pytorchs_results(name: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (make peers)")
    rng = np.random.default_rng(3)
    for shape in ((), (1,), (5,), (3, 4), (2, 3, 4), (1, 3, 1), (0,), (0, 3)):
        n = max(len(shape), 1)
        dims = [None, *range(-n, n + 1), *([] if name in ONE_DIM else [(0, -1), ()])]
        for d, k in itertools.product(dims, (False, True)):
            if 0 in shape and (name, d) in (("cummin", n), ("amax", (0, -1))):
                continue  # PyTorch lets the first pass, and takes the second for another error
            x = rng.standard_normal(shape)
            ours = results(pb, CALLS[name], pb.tensor(x, requires_grad=True), d, k)
            theirs = results(torch, CALLS[name], torch.tensor(x, requires_grad=True), d, k)
            where = f"{name} {shape} dim {d} keepdim {k}"
            if isinstance(theirs, type) or isinstance(ours, type):
                assert ours is theirs, where
                continue
            for a, b in zip(ours, theirs, strict=True):
                assert a.shape == b.shape and a.dtype == b.dtype, where
                np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12, err_msg=where)
