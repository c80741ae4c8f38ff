"""A Python number beside float16 and bfloat16: one that multiplies or divides stays a float32, every other one is rounded
first, as in PyTorch on the CPU."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback import _cpu
from pullback._dtype import rounded as rounded_number
from test_device import EMULATED, emulated
from test_half import HALVES, each_half, rounded

F = pb.nn.functional
each_device = pytest.mark.parametrize("device", ["cpu", pytest.param(EMULATED, marks=emulated)])
f32 = np.float32
NUMBERS = [0.30001234, -1.2345678, 1e5, 3e-7, 70001, 3]

# name: the op on a tensor and a number, its value in float32, and its derivative where that is a number
EXACT: dict[str, tuple[Any, Any, Any]] = {
    "mul": (lambda x, s: x * s, lambda x, s: x * s, lambda s: s),
    "rmul": (lambda x, s: s * x, lambda x, s: x * s, lambda s: s),
    "multiply": (lambda x, s: x.multiply(s), lambda x, s: x * s, lambda s: s),
    "mul_": (lambda x, s: x.clone().mul_(s), lambda x, s: x * s, lambda s: s),
    "div": (lambda x, s: x / s, lambda x, s: x / s, lambda s: 1 / s),
    "div_": (lambda x, s: x.clone().div_(s), lambda x, s: x / s, lambda s: 1 / s),
    "rdiv": (lambda x, s: s / x, lambda x, s: s / x, None),
    "floor": (lambda x, s: x // s, lambda x, s: np.floor(x / s), None),
    "floor_": (lambda x, s: x.clone().floor_divide_(s), lambda x, s: np.floor(x / s), None),
    "trunc": (lambda x, s: x.div(s, rounding_mode="trunc"), lambda x, s: np.trunc(x / s), None),
}
ROUNDED: dict[str, tuple[Any, Any]] = {
    "add": (lambda x, s: x + s, lambda x, s: x + s),
    "radd": (lambda x, s: s + x, lambda x, s: s + x),
    "add_": (lambda x, s: x.clone().add_(s), lambda x, s: x + s),
    "sub": (lambda x, s: x - s, lambda x, s: x - s),
    "rsub": (lambda x, s: s - x, lambda x, s: s - x),
    "rfloor": (lambda x, s: s // x, lambda x, s: np.floor(s / x)),
    "fmod": (lambda x, s: x.fmod(s), np.fmod),
    "remainder": (lambda x, s: x % s, lambda x, s: np.fmod(np.fmod(x, s) + s, s)),
    "lt": (lambda x, s: x < s, np.less),
    "eq": (lambda x, s: x == s, np.equal),
    "clamp": (lambda x, s: x.clamp(max=s), np.minimum),
    "where": (lambda x, s: pb.where(x < 1, x, s), lambda x, s: np.where(x < 1, x, s)),
    "fill": (lambda x, s: x.clone().fill_(s), lambda x, s: s + 0 * x),
}


def elements(dtype: Any) -> Any:
    return rounded(np.random.default_rng(5).uniform(0.01, 3, 37), dtype)


# --- against float32, rounded once ------------------------------------------------------------------------------------


@each_device
@each_half
@pytest.mark.parametrize("name", EXACT)
def test_a_factor_or_divisor_is_not_rounded(name: str, dtype: Any, device: str) -> None:
    op, value, derivative = EXACT[name]
    for s in NUMBERS:
        x = elements(dtype)
        t = pb.from_numpy(x).to(device, dtype).requires_grad_()
        with np.errstate(over="ignore"):
            y, dx = value(x, f32(s)), derivative(f32(s)) if derivative else None
        got = op(t, s)
        assert got.dtype is dtype
        np.testing.assert_array_equal(got.float().tolist(), rounded(y, dtype))
        with pb.no_grad():
            np.testing.assert_array_equal(op(t, s).float().tolist(), rounded(y, dtype))
        if derivative is not None:
            seed = pb.full((37,), 0.5, dtype=dtype, device=device)
            for create_graph in (False, True):
                (g,) = pb.autograd.grad(got, t, seed, retain_graph=True, create_graph=create_graph)
                assert g.dtype is dtype
                assert set(g.float().tolist()) == {float(rounded(f32(0.5) * dx, dtype))}


@each_device
@each_half
def test_the_derivative_of_a_number_divided_by_halves(dtype: Any, device: str) -> None:
    x, s = elements(dtype) + f32(1), f32(1.2345678)
    t = pb.from_numpy(x).to(device, dtype).requires_grad_()
    x = rounded(x, dtype)
    (plain,) = pb.autograd.grad(float(s) / t, t, pb.ones_like(t))
    np.testing.assert_array_equal(plain.float().tolist(), rounded(-(s / x) / x, dtype))
    (in_ops,) = pb.autograd.grad(float(s) / t, t, pb.ones_like(t), create_graph=True)
    np.testing.assert_allclose(in_ops.float().tolist(), -s / x / x, rtol=2 * pb.finfo(dtype).eps)  # rounded 3 times


@each_device
@each_half
@pytest.mark.parametrize("name", ROUNDED)
def test_any_other_number_is_rounded_first(name: str, dtype: Any, device: str) -> None:
    op, value = ROUNDED[name]
    x = elements(dtype)
    t = pb.from_numpy(x).to(device, dtype)
    for s in (0.30001234, 1.2345678, float(x[3]) * (1 + 1e-4), float(x[3]) * (2 - 1e-4), 3):
        want = value(x, rounded(s, dtype))
        got = op(t, s)
        if got.dtype is pb.bool:
            np.testing.assert_array_equal(got.tolist(), want)
        else:
            assert got.dtype is dtype
            np.testing.assert_array_equal(got.float().tolist(), rounded(want, dtype))


@each_device
def test_what_float16_cannot_hold(device: str) -> None:
    x = pb.tensor([0.001, 0.5]).to(device, pb.float16)
    assert (x * 1e5).tolist() == pytest.approx([100.0625, 5e4], rel=1e-3)
    assert (x / 1e-5).tolist() == pytest.approx([100.0625, 5e4], rel=1e-3)
    assert ((x * 1e-8) * 1e8).tolist() == [0, 0]  # the product underflows, the number does not
    assert (x * 1e-8 / 1e-8).tolist() == [0, 0] and (x / 1e5 > 0).tolist() == [False, True]
    loss = x[1].requires_grad_()
    assert (loss * 65536.0).tolist() == 32768 and (loss * 65536.0).dtype is pb.float16
    assert pb.autograd.grad(loss * 30000.0, loss)[0].item() == 30000


@each_device
@each_half
def test_without_dimensions(dtype: Any, device: str) -> None:
    x = pb.tensor(0.625).to(device, dtype).requires_grad_()
    for y, want in ((x * 0.1, 0.0625), (0.1 * x, 0.0625), (x / 3, 0.625 / 3), (0.1 / x, 0.16)):
        assert y.dtype is dtype and y.item() == rounded(want, dtype)
        (g,) = pb.autograd.grad(y, x, create_graph=True)
        assert g.dtype is dtype and g.device is x.device
    (g,) = pb.autograd.grad(0.1 / x, x, create_graph=True)
    (second,) = pb.autograd.grad(g, x)  # 2 · 0.1 / x³
    assert second.item() == pytest.approx(0.2 / 0.625**3, rel=8 * pb.finfo(dtype).eps)


@each_device
@each_half
def test_lerp_and_its_weight(dtype: Any, device: str) -> None:
    a, b = [
        pb.from_numpy(x).to(device, dtype).requires_grad_() for x in (elements(dtype), elements(dtype)[::-1].copy())
    ]
    w = 0.30001234
    low, high = [np.array(t.float().tolist(), np.float64) for t in (a, b)]
    want = rounded(low + np.float64(f32(w)) * (high - low), dtype)
    y = a.lerp(b, w)
    np.testing.assert_array_equal(y.float().tolist(), want)
    np.testing.assert_array_equal(a.detach().clone().lerp_(b.detach(), w).float().tolist(), want)
    dy = rounded(0.7, dtype)
    for create_graph in (False, True):
        da, db = pb.autograd.grad(y, (a, b), pb.full_like(y, 0.7), create_graph=create_graph, retain_graph=True)
        assert da.dtype is dtype and set(da.tolist()) == {float(rounded(dy * (f32(1) - f32(w)), dtype))}
        assert db.dtype is dtype and set(db.tolist()) == {float(rounded(dy * f32(w), dtype))}


@each_device
@each_half
def test_bounds_are_numbers_of_the_dtype(dtype: Any, device: str) -> None:
    """y is at a bound where x is beyond it, so that no gradient passes."""
    x = pb.tensor([-2.0, 0.5, 2.0]).to(device, dtype).requires_grad_()
    for s in (1.2345, 1.2339, 0.70001):
        for op in (lambda x: F.hardtanh(x, -s, s), lambda x: x.clamp(-s, s)):
            y = op(x)
            assert y.tolist() == [-rounded(s, dtype), 0.5, rounded(s, dtype)]
            assert pb.autograd.grad(y.sum(), x)[0].tolist() == [0, 1, 0]
    want = rounded(np.array([-2 + f32(0.30001234), 0.5 - f32(0.30001234), 2 - f32(0.30001234)], f32), dtype)
    assert F.softshrink(x, 0.30001234).tolist() == want.tolist()


@each_half
def test_captured_and_under_autocast(dtype: Any) -> None:
    def step(x: Any) -> Any:
        x = x.detach().requires_grad_()
        y = (x * 1e3 / 3e2 + 0.1) * 0.1
        return y, pb.autograd.grad(y.sum(), x)[0]

    captured = pb.capture(step)
    for k in range(5):
        x = pb.from_numpy(elements(dtype) + k).to(dtype)
        for got, want in zip(captured(x), step(x)):
            assert got.dtype is dtype and got.tolist() == want.tolist()
    with pb.autocast("cpu", dtype=dtype):
        y = pb.full((2, 2), 0.5) @ pb.ones(2, 2)
        assert y.dtype is dtype and (y * 0.30001234).tolist() == [[rounded(0.30001234, dtype)] * 2] * 2


@each_half
def test_large_captured_chains_are_tiled_alike(dtype: Any) -> None:
    def chain(x: Any) -> Any:
        return (x * 0.30001234 + x) / 1.2345678 * 0.7

    captured, x = pb.capture(chain), pb.rand(1 << 17).to(dtype)
    want = chain(x)
    for _ in range(4):
        assert captured(x).equal(want)


# --- the contract -----------------------------------------------------------------------------------------------------


def test_who_takes_a_number() -> None:
    h, s, wide = np.ones(3, np.float16), np.full((), 0.1, f32), np.ones(3)
    out = np.empty(3, np.float16)
    _cpu.mul(s, h, out)
    assert out.tolist() == [np.float16(f32(0.1))] * 3
    for call, words in (
        (lambda: _cpu.mul(wide, s, np.empty(3)), "mul: b expects float64 as its other operands, got float32"),
        (lambda: _cpu.mul(s, wide, np.empty(3)), "mul: a expects float64"),
        (lambda: _cpu.mul(s, s, out), "mul: b expects float16"),
        (lambda: _cpu.mul(s, h, np.empty(3, f32)), "mul: y expects float16"),
        (lambda: _cpu.mul(np.ones(1, f32), h, out), "mul: b expects float32"),
        (lambda: _cpu.add(h, s, out), "add: b expects float16 as its other operands, got float32"),
    ):
        with pytest.raises(TypeError, match=words):
            call()


@each_half
def test_rounding_a_number(dtype: Any) -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=500) * 10.0 ** rng.integers(-9, 6, 500)
    edges = [0.0, -0.0, 65519.99, 65520, 2.98e-8, 2.99e-8, 1e300, 1e-320, 1.00048828125, math.inf, -math.inf]
    for v in [*values.tolist(), *edges]:
        with np.errstate(over="ignore"):
            got, want = rounded_number(v, dtype), float(np.float64(v).astype(HALVES[dtype]))
        assert got == want and math.copysign(1, got) == math.copysign(1, want), v
    assert math.isnan(rounded_number(math.nan, dtype)) and rounded_number(0.1, pb.float32) == 0.1


# --- against PyTorch --------------------------------------------------------------------------------------------------

# Of x, y and s. Bitwise PyTorch's, gradients too.
EQUAL = (
    ["x + s", "s + x", "x - s", "s - x", "t.rsub(x, s)", "x * s", "s * x", "x / s", "t.addcmul(x, y, y, value=s)"]
    + ["t.fmod(x, s)", "t.remainder(x, s)", "x % s", "x.clamp(-s, s)", "t.where(x > 1, x, s)", "t.lerp(x, y, s)"]
    + ["x.masked_fill(x > 1, s)", "F.leaky_relu(x - 1.5, s)", "F.elu(x - 1.5, s)", "F.softplus(x, 1, s)"]
    + ["F.threshold(x, s, s)", "F.hardshrink(x, s)", "x * 1e5", "x * 1e-8", "x * 70001", "x / 1e-5", "x - 70001"]
    + ["x.clone().mul_(s)", "x.clone().div_(s)", "x.clone().add_(s)", "t.sub(x, s, alpha=2)"]
)
# Only their values are: PyTorch's have no derivative, or one that rounds after every step.
VALUES = (
    ["x // s", "s // x", "x < s", "x <= s", "x == s", "x != s", "x ** s", "s ** x", "F.softshrink(x, s)"]
    + ["t.div(x, s, rounding_mode='floor')", "t.div(x, s, rounding_mode='trunc')", "t.addcdiv(x, y, y + 1, value=s)"]
    + ["t.full((3,), s, dtype=x.dtype)", "s % x"]
)


def evaluated(library: Any, text: str, dtype: str, s: float) -> tuple[str, list[Any]]:
    rng = np.random.default_rng(len(text))
    x, y = [library.from_numpy(rng.uniform(0.2, 3, 61)).to(getattr(library, dtype)).requires_grad_() for _ in range(2)]
    z = eval(text, {"t": library, "F": library.nn.functional, "x": x, "y": y, "s": s})
    found = [z.detach().double().numpy()]
    if text in EQUAL:
        z.sum().backward()
        found += [v.grad.double().numpy() for v in (x, y) if v.grad is not None]
    return str(z.dtype).split(".")[1], found


@each_half
def test_gives_pytorchs_bits(dtype: Any) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (make peers)")
    for text in (*EQUAL, *VALUES):
        for s in (1.2345678, 0.30001234):
            ours, theirs = evaluated(pb, text, dtype.name, s), evaluated(torch, text, dtype.name, s)
            assert ours[0] == theirs[0] and len(ours[1]) == len(theirs[1]), text
            for a, b in zip(ours[1], theirs[1]):
                np.testing.assert_array_equal(a, b, err_msg=text)


@each_half
def test_a_number_divided_by_halves_is_rounded_once_where_pytorch_rounds_twice(dtype: Any) -> None:
    """There s / x is s times the rounded reciprocal: two roundings of half a unit each against one."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (make peers)")
    (a,), (b,) = evaluated(pb, "s / x", dtype.name, 1.2345678)[1], evaluated(torch, "s / x", dtype.name, 1.2345678)[1]
    np.testing.assert_allclose(a, b, rtol=1.5 * pb.finfo(dtype).eps)
