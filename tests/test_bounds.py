"""Values that an op does not take: the same error at once, after a replay, and when somebody waits for a GPU."""

from __future__ import annotations

import math

import pytest

import pullback as pb
from pullback import nn, optim
from pullback.nn import functional as F
from test_device import EMULATED, emulated


def bce(p, y):
    return F.binary_cross_entropy(p, y)


def gaussian(v, y):
    return F.gaussian_nll_loss(y * 0.5, y, v)


def quantile(q, y):
    return pb.quantile(y, q).sum()


REFUSED = {
    "below": (
        bce,
        -0.5,
        RuntimeError,
        r"^binary_cross_entropy: input expects probabilities in \[0, 1\], got values in \[-0.5, 0.25\]; ",
    ),
    "above": (
        bce,
        1.5,
        RuntimeError,
        r"got values in \[0.25, 1.5\]; for logits take binary_cross_entropy_with_logits$",
    ),
    "nan": (bce, math.nan, RuntimeError, r"got values in \[-?nan, -?nan\]"),
    "variance": (gaussian, -2.0, ValueError, r"^gaussian_nll_loss: var expects numbers ≥ 0, got -2$"),
    "quantile": (quantile, 1.5, RuntimeError, r"^quantile: q expects values from 0 to 1, got values in \[0.25, 1.5\]"),
}


def arguments(value, device="cpu"):
    x = pb.full((8,), 0.25, device=device)
    x[3] = value
    return x, pb.full((8,), 0.5, device=device)


@pytest.mark.parametrize("name", REFUSED)
def test_an_ordinary_call_raises_at_once(name):
    function, value, error, words = REFUSED[name]
    with pytest.raises(error, match=words):
        function(*arguments(value))
    function(*arguments(0.75))


@pytest.mark.parametrize("name", REFUSED)
def test_a_captured_call_raises_after_its_replay(name):
    function, value, error, words = REFUSED[name]
    step = pb.capture(function)
    for _ in range(4):
        step(*arguments(0.75))
    with pytest.raises(error, match=words):
        step(*arguments(value))
    assert step.stats()["replayed"] > 0
    assert step(*arguments(0.75)).item() == function(*arguments(0.75)).item()


@emulated
@pytest.mark.parametrize("name", REFUSED)
def test_a_gpu_raises_when_somebody_waits(name):
    function, value, error, words = REFUSED[name]
    result = function(*arguments(value, EMULATED))
    with pytest.raises(error, match=words):
        result.item()
    function(*arguments(0.75, EMULATED)).item()


class Step:
    """A model whose loss is `loss(prediction, y)`; clipping refuses a norm that is no number."""

    def __init__(self, loss):
        pb.manual_seed(3)
        self.model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 1))
        self.optimizer = optim.Adam(self.model.parameters(), lr=0.05)
        self.loss = loss

    def __call__(self, x, y, bias):
        self.optimizer.zero_grad()
        loss = self.loss(self.model(x) + bias, y)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0, error_if_nonfinite=True)
        self.optimizer.step()
        return loss

    def state(self):
        return [p.detach().numpy().tobytes() for p in self.model.parameters()]


LOSSES = {
    "binary_cross_entropy": (
        lambda out, y: F.binary_cross_entropy(out.sigmoid() * (1 + (out > 50)), y),  # 2 for a large one
        RuntimeError,
        "probabilities",
    ),
    "gaussian_nll_loss": (lambda out, y: F.gaussian_nll_loss(out, y, 60 - out), ValueError, "var expects"),
    "total_norm": (lambda out, y: ((out - y) / (out < 50)).sum(), RuntimeError, "order 2 of the gradients"),
}


@pytest.mark.parametrize("name", LOSSES)
def test_captured_training_is_the_ordinary_one_and_refuses_before_it_moves(name):
    loss, error, words = LOSSES[name]
    eager, captured = Step(loss), Step(loss)
    step = pb.capture(captured)
    pb.manual_seed(5)
    batches = [(pb.randn(6, 5), pb.rand(6, 1)) for _ in range(10)]
    for x, y in batches:
        assert eager(x, y, pb.zeros(1)).item() == step(x, y, pb.zeros(1)).item()
        assert eager.state() == captured.state()
    assert step.stats()["replayed"] == 7
    before = captured.state()
    with pytest.raises(error, match=words):
        step(*batches[0], pb.full((1,), 100.0))
    assert captured.state() == before
    assert step(*batches[0], pb.zeros(1)).item() == eager(*batches[0], pb.zeros(1)).item()
    assert eager.state() == captured.state()


def test_a_quantile_given_as_a_number_can_be_captured():
    step = pb.capture(lambda x: pb.quantile(x, 0.5))
    for k in range(5):
        assert step(pb.arange(5.0) + k).item() == 2 + k
