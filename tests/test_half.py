"""float16 and bfloat16: conversions of every pattern of bits, promotion, what NumPy lacks, and ops, which compute in float32."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import pullback as pb

HALVES = {pb.float16: np.dtype(np.float16), pb.bfloat16: np.dtype(ml_dtypes.bfloat16)}
each_half = pytest.mark.parametrize("dtype", HALVES, ids=lambda d: d.name)


def rounded(array: Any, dtype: Any) -> Any:
    """The float32 values of an array's elements in a half."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(array, np.float32).astype(HALVES[dtype]).astype(np.float32)


def all_halves(dtype: Any) -> Any:
    return np.arange(65536, dtype=np.uint16).view(HALVES[dtype])


def same(a: Any, b: Any) -> None:
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(np.signbit(a), np.signbit(b))


# --- conversions ------------------------------------------------------------------------------------------------------


@each_half
def test_every_half_becomes_its_float_and_comes_back(dtype: Any) -> None:
    halves = all_halves(dtype)
    x = pb.from_numpy(halves)
    assert x.dtype is dtype and x.itemsize == 2
    wide = x.float()
    numbers = ~np.isnan(wide.numpy())
    same(wide.numpy()[numbers], halves.astype(np.float32)[numbers])
    assert (
        np.isnan(wide.numpy()[~numbers]).all()
        and (~numbers).sum() == {5: 2046, 8: 254}[5 if dtype is pb.float16 else 8]
    )
    back = wide.to(dtype).view(pb.int16).numpy()
    np.testing.assert_array_equal(back[numbers], x.view(pb.int16).numpy()[numbers])


@each_half
def test_rounding_is_to_the_nearest_and_to_even_between_any_two_halves(dtype: Any) -> None:
    values = all_halves(dtype).astype(np.float32)
    values = np.sort(values[np.isfinite(values)])
    with np.errstate(over="ignore"):
        middle = (values[1:].astype(np.float64) + values[:-1]) / 2
        around = [middle, np.nextafter(middle.astype(np.float32), np.float32(np.inf)), values * np.float32(1.0001)]
    for x in [np.asarray(a, np.float32) for a in around]:
        same(pb.from_numpy(x).to(dtype).float().numpy(), rounded(x, dtype))


@each_half
def test_beyond_the_range(dtype: Any) -> None:
    x = np.array([65519.0, 65520.0, 3.4e38, -3.4e38, np.inf, -np.inf, 1e-45, -1e-8, 6e-8, 2.9e-8], np.float32)
    same(pb.from_numpy(x).to(dtype).float().numpy(), rounded(x, dtype))
    assert pb.tensor(float("nan")).to(dtype).isnan().item()


@each_half
@pytest.mark.parametrize("other", [pb.float64, pb.int64, pb.int32, pb.int8, pb.uint8, pb.bool], ids=lambda d: d.name)
def test_to_and_from_other_types(dtype: Any, other: Any) -> None:
    x = pb.tensor([0.0, 1.0, -2.5, 100.0, 0.3]).to(dtype)
    np.testing.assert_array_equal(x.to(other).numpy(), x.float().to(other).numpy())
    y = pb.tensor([0, 1, 77, 100, 3]).to(other)
    np.testing.assert_array_equal(y.to(dtype).float().numpy(), rounded(y.numpy(), dtype))


def test_between_the_halves_goes_through_float() -> None:
    x = pb.from_numpy(all_halves(pb.float16))
    np.testing.assert_array_equal(x.bfloat16().float().numpy(), rounded(x.float().numpy(), pb.bfloat16))
    y = pb.from_numpy(all_halves(pb.bfloat16))
    np.testing.assert_array_equal(y.half().float().numpy(), rounded(y.float().numpy(), pb.float16))


# --- what a tensor of halves is ---------------------------------------------------------------------------------------


def test_promotion() -> None:
    h, b, i = pb.ones(2).half(), pb.ones(2).bfloat16(), pb.ones(2, dtype=pb.int64)
    assert (h + b).dtype is pb.float32 and (h + i).dtype is pb.float16 and (i + b).dtype is pb.bfloat16
    assert (h + 1.5).dtype is pb.float16 and (b * 2).dtype is pb.bfloat16
    assert (h + pb.ones(2)).dtype is pb.float32 and (b + pb.ones(2).double()).dtype is pb.float64
    assert (h + pb.tensor(1.0)).dtype is pb.float16  # a tensor without dimensions does not widen
    assert pb.promote_types(pb.float16, pb.bfloat16) is pb.float32


def test_making_them() -> None:
    for dtype in HALVES:
        assert pb.zeros(3, dtype=dtype).tolist() == [0.0, 0.0, 0.0]
        assert pb.full((2,), 0.1, dtype=dtype).tolist() == rounded([0.1, 0.1], dtype).tolist()
        assert pb.tensor([1.0, 2.5], dtype=dtype).tolist() == [1.0, 2.5]
        assert pb.tensor([pb.tensor(3.0).to(dtype), 4.0]).dtype is dtype
        assert pb.arange(5, dtype=dtype).tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
        assert pb.ones_like(pb.zeros(2, dtype=dtype)).dtype is dtype
        pb.set_default_dtype(dtype)
        try:
            assert (
                pb.zeros(1).dtype is dtype and pb.tensor([0.5, 1.5]).dtype is dtype and pb.tensor(1).dtype is pb.int64
            )
            assert pb.tensor([0.5, 1.5]).tolist() == [0.5, 1.5]
        finally:
            pb.set_default_dtype(pb.float32)


class Exporter:
    """A library with bfloat16, whose capsules have a version or not."""

    def __init__(self, tensor: pb.Tensor, version: tuple[int, int] | None) -> None:
        self.tensor, self.version = tensor, version

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)

    def __dlpack__(self, **options: Any) -> Any:
        return self.tensor.__dlpack__(max_version=self.version)


@pytest.mark.parametrize("version", [None, (1, 0)])
def test_dlpack_shares_bfloat16(version: tuple[int, int] | None) -> None:
    b = pb.tensor([[1.0, -0.5], [3.0, 4.0]]).bfloat16().t()
    shared = pb.from_dlpack(Exporter(b, version))
    assert shared.dtype is pb.bfloat16 and shared.tolist() == [[1.0, 3.0], [-0.5, 4.0]]
    b[0, 0] = 7  # without a version NumPy takes what it is given for read-only
    assert shared[0, 0].item() == 7
    with pytest.raises((BufferError, TypeError, RuntimeError)):  # whose type it cannot name
        np.from_dlpack(Exporter(b, version))
    with pytest.raises(BufferError, match="expected a capsule of DLPack"):
        pb._cpu.exchange_bfloat16(None, to_bfloat16=True)
    with pytest.raises(TypeError, match="uint16"):
        pb.from_dlpack(np.ones(2, np.uint16))


def test_numpy_and_others() -> None:
    b = pb.tensor([1.0, -0.5]).bfloat16()
    with pytest.raises(TypeError, match=r"numpy: NumPy has no bfloat16; use float\(\)\.numpy\(\)"):
        b.numpy()
    with pytest.raises(TypeError, match="uint16"):
        pb.tensor(np.ones(2, np.uint16))
    assert b.half().numpy().dtype == np.float16
    assert b.item.__self__ is b and b[1].item() == -0.5 and float(b[0]) == 1.0 and bool(b[0])
    assert repr(b) == "tensor([ 1.0000, -0.5000], dtype=pullback.bfloat16)".replace("1.0000", "1.0").replace(
        "0.5000", "0.5"
    )
    assert pb.from_numpy(np.array([2.0], ml_dtypes.bfloat16)).tolist() == [2.0]
    assert b.type() == "pullback.bfloat16" and b.is_floating_point()


def test_copies_and_pickles() -> None:
    b = pb.tensor([1.0, -0.5]).bfloat16()
    for again in (copy.deepcopy(b), pickle.loads(pickle.dumps(b)), b.clone()):
        assert again.dtype is pb.bfloat16 and again.tolist() == [1.0, -0.5]


@pytest.mark.parametrize("dtype", [pb.float16, pb.bfloat16, pb.float32, pb.float64], ids=lambda d: d.name)
def test_finfo(dtype: Any) -> None:
    want = ml_dtypes.finfo(HALVES.get(dtype, dtype.numpy))
    got = pb.finfo(dtype)
    for name in ("bits", "eps", "max", "min", "tiny", "smallest_normal", "resolution"):
        assert float(getattr(got, name)) == pytest.approx(float(getattr(want, name)), rel=1e-3), name
    assert (got.eps, got.max, got.tiny) == (float(want.eps), float(want.max), float(want.tiny))
    assert pb.iinfo(pb.int8).max == 127
    with pytest.raises(TypeError, match="finfo: expected a floating-point dtype"):
        pb.finfo(pb.int8)


# --- ops --------------------------------------------------------------------------------------------------------------


@each_half
@pytest.mark.parametrize(
    "op",
    [
        lambda x, y: x + y,
        lambda x, y: (x.t() * y.t()).t(),
        lambda x, y: x.exp(),
        lambda x, y: x.softmax(1),
        lambda x, y: x.sum(0),
        lambda x, y: x.mean(),
        lambda x, y: x @ y.t(),
        lambda x, y: x[:, ::2] - y[:, 1::2],
        lambda x, y: pb.where(x > y, x, y[0]),
        lambda x, y: pb.cat([x, y]),
        lambda x, y: x.index_select(0, pb.tensor([2, 0, 2])),
        lambda x, y: x.cumsum(1),
        lambda x, y: x.sort(1)[0],
        lambda x, y: x.expand(2, 3, 4) + y,
    ],
)
def test_an_op_is_float32_rounded_once(dtype: Any, op: Any) -> None:
    rng = np.random.default_rng(3)
    x, y = [pb.from_numpy(rounded(rng.normal(size=(3, 4)), dtype)) for _ in range(2)]
    got = op(x.to(dtype), y.to(dtype))
    assert got.dtype is dtype
    np.testing.assert_array_equal(got.float().numpy(), rounded(op(x, y).numpy(), dtype))


@each_half
def test_gradients_are_halves(dtype: Any) -> None:
    x = pb.tensor([[0.5, -1.0, 2.0]]).to(dtype).requires_grad_()
    w = pb.full((3, 3), 0.25, dtype=dtype).requires_grad_()
    (x @ w).relu().sum().backward()
    assert x.grad.dtype is dtype and w.grad.dtype is dtype
    assert x.grad.tolist() == [[0.75, 0.75, 0.75]] and w.grad.tolist() == [[0.5] * 3, [-1.0] * 3, [2.0] * 3]


@each_half
def test_in_place_and_views(dtype: Any) -> None:
    x = pb.zeros(4, 6, dtype=dtype)
    x[1:3, ::2] = 1.5
    x.add_(1)
    x.t()[0].mul_(2)
    want = np.ones((4, 6), np.float32)
    want[1:3, ::2] = 2.5
    want[:, 0] *= 2
    np.testing.assert_array_equal(x.float().numpy(), want)


def test_modules_and_optimizers() -> None:
    pb.manual_seed(0)
    for dtype in HALVES:
        model = pb.nn.Sequential(pb.nn.Linear(4, 8), pb.nn.ReLU(), pb.nn.Linear(8, 3)).to(dtype)
        optimizer = pb.optim.Adam(model.parameters(), lr=0.01, eps=1e-4)  # a square may be 0 in float16
        x, y = pb.randn(16, 4).to(dtype), pb.randint(0, 3, (16,))
        losses = []
        for _ in range(30):
            optimizer.zero_grad()
            loss = pb.nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert all(p.dtype is dtype for p in model.parameters()) and losses[-1] < 0.9 * losses[0]
