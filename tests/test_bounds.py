"""Values that an op does not take: the same error at once, after a replay, and when somebody waits for a GPU."""

from __future__ import annotations

import contextlib
import math

import pytest

import pullback as pb
from captured import Place, on_each_device, put, same
from pullback import nn, optim
from pullback.nn import functional as F

__all__ = ["on_each_device"]
pytestmark = pytest.mark.usefixtures("on_each_device")


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


def arguments(value):
    x = pb.full((8,), 0.25)
    x[3] = value
    return put(x), put(pb.full((8,), 0.5))


@contextlib.contextmanager
def refusal(error, words):
    """At once on the CPU; on a GPU when somebody waits, and not before."""
    found = []
    with pytest.raises(error, match=words):
        yield found
        assert Place.device != "cpu", "no error"
        found[0].item()


@pytest.mark.parametrize("name", REFUSED)
def test_an_ordinary_call_raises(name):
    function, value, error, words = REFUSED[name]
    with refusal(error, words) as found:
        found.append(function(*arguments(value)))
    function(*arguments(0.75)).item()


@pytest.mark.parametrize("name", REFUSED)
def test_a_captured_call_raises_after_its_replay(name):
    function, value, error, words = REFUSED[name]
    step = pb.capture(function)
    for _ in range(4):
        step(*arguments(0.75))
    with refusal(error, words) as found:
        found.append(step(*arguments(value)))
    assert step.stats()["replayed"] > 0
    assert step(*arguments(0.75)).item() == function(*arguments(0.75)).item()


class Step:
    """A model whose loss is `loss(prediction, y)`; clipping refuses a norm that is no number."""

    def __init__(self, loss):
        pb.manual_seed(3)
        self.model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 1)).to(Place.device)
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
        return [p.detach().cpu().numpy().tobytes() for p in self.model.parameters()]


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
def test_captured_training_is_the_ordinary_one_and_refuses(name):
    """On the CPU before it moves a parameter; a GPU runs the step to its end."""
    loss, error, words = LOSSES[name]
    eager, captured = Step(loss), Step(loss)
    step = pb.capture(captured)
    pb.manual_seed(5)
    batches = [(put(pb.randn(6, 5)), put(pb.rand(6, 1)), put(pb.zeros(1))) for _ in range(10)]
    for batch in batches:
        assert same(eager(*batch), step(*batch))
        assert eager.state() == captured.state()
    assert step.stats()["replayed"] == 7
    before = captured.state()
    with refusal(error, words) as found:
        found.append(step(*batches[0][:2], put(pb.full((1,), 100.0))))
    if Place.device == "cpu":
        assert captured.state() == before
        assert same(eager(*batches[0]), step(*batches[0]))
        assert eager.state() == captured.state()


def test_a_quantile_given_as_a_number_can_be_captured():
    step = pb.capture(lambda x: pb.quantile(x, 0.5))
    for k in range(5):
        assert step(put(pb.arange(5.0) + k)).item() == 2 + k
