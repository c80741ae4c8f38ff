"""What the cases of losses of a difference cannot say: shapes that broadcast, numbers that are none, one side's gradient."""

from __future__ import annotations

import numpy as np
import pytest

import pullback as pb
import pullback.nn.functional as F

LOSSES = {
    "mse_loss": (lambda d: d * d, {}),
    "l1_loss": (np.abs, {}),
    "smooth_l1_loss": (lambda d: np.where(np.abs(d) < 0.7, d * d / 1.4, np.abs(d) - 0.35), {"beta": 0.7}),
    "huber_loss": (lambda d: np.where(np.abs(d) < 0.7, d * d / 2, 0.7 * np.abs(d) - 0.245), {"delta": 0.7}),
}
by_loss = pytest.mark.parametrize("name", LOSSES)


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


@by_loss
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("shapes", [((3, 1), (1, 4)), ((5,), (3, 5)), ((3, 5), ()), ((2, 1, 3), (4, 1))])
def test_operands_broadcast(name, reduction, shapes):
    of, options = LOSSES[name]
    x, y = normal(*shapes[0]), normal(*shapes[1], seed=1)
    a, b = (pb.from_numpy(np.asarray(v)).requires_grad_() for v in (x, y))
    with pytest.warns(UserWarning, match=f"{name}: input has shape .* they are broadcast"):
        loss = getattr(F, name)(a, b, reduction=reduction, **options)
    each = of(x - y)
    want = {"none": each, "mean": each.mean(), "sum": each.sum()}[reduction]
    np.testing.assert_allclose(loss.detach().numpy(), want, rtol=1e-12)
    loss.sum().backward()
    h = 1e-6
    slope = (of(x - y + h) - of(x - y - h)) / (2 * h) / (each.size if reduction == "mean" else 1)
    for t, sign in ((a, 1), (b, -1)):
        lead = slope.ndim - t.ndim
        stretched = [lead + d for d, n in enumerate(t.shape) if n == 1 and slope.shape[lead + d] != 1]
        summed = (sign * slope).sum((*range(lead), *stretched)).reshape(t.shape)
        np.testing.assert_allclose(t.grad.numpy(), summed, atol=1e-8)


@by_loss
def test_one_side_alone_gets_its_gradient(name):
    x, y = normal(40), normal(40, seed=1)
    both = [pb.from_numpy(v).requires_grad_() for v in (x, y)]
    getattr(F, name)(*both).backward()
    for side in (0, 1):
        alone = [pb.from_numpy(v) for v in (x, y)]
        alone[side].requires_grad_()
        getattr(F, name)(*alone).backward()
        assert alone[side].grad.tolist() == both[side].grad.tolist()
        assert alone[1 - side].grad is None


@by_loss
def test_numbers_that_are_none(name):
    x = pb.tensor([float("nan"), float("inf"), 1.0, 0.0], dtype=pb.float32).requires_grad_()
    loss = getattr(F, name)(x, pb.zeros(4), reduction="none")
    loss.sum().backward()
    assert np.isnan(loss.detach().numpy()).tolist() == [True, False, False, False]
    assert np.isposinf(loss.detach().numpy()).tolist() == [False, True, False, False]
    assert np.isnan(x.grad.numpy()).tolist() == [True, False, False, False]
    assert x.grad.numpy()[3] == 0
    assert np.isnan(getattr(F, name)(pb.zeros(0), pb.zeros(0)).item())
    assert getattr(F, name)(pb.zeros(0), pb.zeros(0), reduction="sum").item() == 0


def test_dtypes():
    assert F.mse_loss(pb.zeros(3, dtype=pb.float32), pb.ones(3, dtype=pb.float64)).dtype is pb.float64
    assert F.huber_loss(pb.zeros(3), pb.ones(3, dtype=pb.int64)).item() == 0.5
    assert F.l1_loss(pb.tensor([1, 5]), pb.tensor([4, 2]), reduction="sum").item() == 6
    with pytest.raises(RuntimeError, match="mse_loss: input expects a floating-point tensor, got dtype .*int64"):
        F.mse_loss(pb.tensor([1, 5]), pb.tensor([4, 2]))
