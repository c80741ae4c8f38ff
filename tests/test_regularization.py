"""Penalties, weight decay, early stopping and averages of weights."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest

import pullback as pb
from pullback import nn, optim
from pullback.nn.utils import lp_penalty
from pullback.optim import EarlyStopping, swa_utils

X = np.array([0.5, -2.0, 0.0, 1.5])


def leaf(values=X):
    return pb.tensor(np.asarray(values, np.float64), requires_grad=True)


# --- penalties --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [1, 1.5, 2, 2.5, 3, 4, 7.3])
def test_lp_penalty_and_its_gradient(p):
    """λ Σ |θ|ᵖ and λp|θ|ᵖ⁻¹ sign θ, also at θ = 0."""
    a, b = leaf(), leaf([[3.0], [-1.0]])
    found = lp_penalty([a, b], p, weight=0.3)
    found.backward()
    np.testing.assert_allclose(
        found.item(), 0.3 * sum((np.abs(t.detach().numpy()) ** p).sum() for t in (a, b)), rtol=1e-13
    )
    for t in (a, b):
        x = t.detach().numpy()
        np.testing.assert_allclose(t.grad.numpy(), 0.3 * p * np.abs(x) ** (p - 1) * np.sign(x), rtol=1e-13)


def test_the_square_is_weight_decay():
    one, two = leaf(), leaf()
    plain, decaying = optim.SGD([one], lr=0.1), optim.SGD([two], lr=0.1, weight_decay=0.4)
    for _ in range(5):
        for x, made, penalty in ((one, plain, 0.2), (two, decaying, 0.0)):
            made.zero_grad()
            ((x - 1) ** 2).sum().add(lp_penalty(x, 2, penalty)).backward()
            made.step()
    np.testing.assert_allclose(one.detach().numpy(), two.detach().numpy(), rtol=1e-14)


@pytest.mark.parametrize("p, fewer_small", [(1, True), (2, False)])
def test_p_1_makes_weights_vanish(p, fewer_small):
    """Least squares with one feature that matters: the others end near 0 under p = 1, and are only shrunk under p = 2."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((40, 6))
    x, y = pb.tensor(features), pb.tensor(3 * features[:, 0] + 0.3 * rng.standard_normal(40))
    w = leaf(np.zeros(6))
    made = optim.SGD([w], lr=0.05)
    schedule = optim.lr_scheduler.RobbinsMonroLR(made, delay=100)
    for _ in range(1500):
        made.zero_grad()
        (((x @ w - y) ** 2).mean() + lp_penalty(w, p, 0.5)).backward()
        made.step()
        schedule.step()
    rest = np.abs(w.detach().numpy()[1:])
    assert w[0].item() > 1.5 and (rest.max() < 5e-3) == fewer_small


@pytest.mark.parametrize("options", [{"p": 0.5}, {"p": math.inf}, {"weight": -1}, {"weight": math.nan}])
def test_penalties_that_make_no_sense(options):
    with pytest.raises(ValueError, match="lp_penalty: (p|weight) expects a finite number"):
        lp_penalty(leaf(), **options)
    with pytest.raises(ValueError, match="at least one tensor"):
        lp_penalty([])


# --- early stopping ---------------------------------------------------------------------------------------------------


def test_stops_after_patience_and_restores_the_best():
    model = nn.Linear(1, 1)
    stopping = EarlyStopping(model, patience=2)
    answers = []
    for epoch, loss in enumerate([5.0, 4.0, pb.tensor(3.0), 3.5, 3.0]):
        with pb.no_grad():
            model.weight.fill_(float(epoch))
        answers.append(stopping.step(loss))
    assert answers == [False, False, False, False, True] and stopping.stopped
    assert stopping.best == 3 and stopping.best_epoch == 2
    stopping.restore()
    assert model.weight.item() == 2 and model.weight.requires_grad
    again = EarlyStopping(model, patience=2)
    again.load_state_dict(pickle.loads(pickle.dumps(stopping.state_dict())))
    assert again.stopped and again.best_epoch == 2


@pytest.mark.parametrize(
    "options, metrics, best",
    [
        ({}, [1.0, 1.0, 0.99], 2),
        ({"threshold": 0.1}, [1.0, 0.95, 0.85], 2),
        ({"mode": "max"}, [1.0, 0.5, 1.5], 2),
        ({"mode": "max", "threshold": 0.1, "threshold_mode": "rel"}, [10.0, 10.9, 11.2], 2),
        ({"threshold": 0.1, "threshold_mode": "rel"}, [10.0, 9.5, 8.9], 2),
    ],
)
def test_what_counts_as_improvement(options, metrics, best):
    stopping = EarlyStopping(patience=9, **options)
    for metric in metrics:
        stopping.step(metric)
    assert stopping.best_epoch == best


def test_a_diverging_step_is_reported_with_its_last_finite_loss():
    x = leaf()
    made = optim.SGD([x], lr=3.0)
    stopping = EarlyStopping()
    with pytest.raises(FloatingPointError, match=r"in epoch \d+; its last finite value was [\d.]+e\+\d+: a smaller"):
        for _ in range(1000):
            made.zero_grad()
            loss = (x * x).sum()
            loss.backward()
            made.step()
            stopping.step(loss) if loss.item() < 1e300 else stopping.step(math.inf)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"patience": 0}, "patience expects a positive int, got 0"),
        ({"mode": "down"}, "mode expects 'min' or 'max'"),
        ({"threshold_mode": "x"}, "threshold_mode expects"),
        ({"threshold": -1}, "threshold expects a finite number"),
    ],
)
def test_stopping_that_makes_no_sense(options, message):
    with pytest.raises(ValueError, match=f"EarlyStopping: {message}"):
        EarlyStopping(**options)
    with pytest.raises(RuntimeError, match="expects a module"):
        EarlyStopping().restore()


# --- averages ---------------------------------------------------------------------------------------------------------


class Counted(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 1).double()
        self.register_buffer("seen", pb.zeros(1, dtype=pb.float64))

    def forward(self, x):
        return self.linear(x)


def trained(averaged, steps=6):
    """The weights after each step of a walk, and the averaged model."""
    model = averaged.module
    walk, weights = Counted(), []
    rng = np.random.default_rng(0)
    for i in range(steps):
        with pb.no_grad():
            walk.linear.weight.copy_(pb.tensor(rng.standard_normal((1, 2))))
            walk.seen.fill_(float(i))
        averaged.update_parameters(walk)
        weights.append(walk.linear.weight.detach().numpy().copy())
    return np.array(weights), model


def test_running_mean():
    averaged = swa_utils.AveragedModel(Counted())
    weights, model = trained(averaged)
    np.testing.assert_allclose(model.linear.weight.detach().numpy(), weights.mean(0), rtol=1e-14)
    assert averaged.n_averaged.item() == 6 and model.seen.item() == 5
    assert averaged(pb.ones(3, 2, dtype=pb.float64)).shape == (3, 1)


@pytest.mark.parametrize("kind", ["avg_fn", "multi_avg_fn"])
@pytest.mark.parametrize("use_buffers", [False, True])
def test_exponential_moving_average(kind, use_buffers):
    function = getattr(swa_utils, f"get_ema_{kind}")(0.8)
    averaged = swa_utils.AveragedModel(Counted(), use_buffers=use_buffers, **{kind: function})
    weights, model = trained(averaged)
    want, seen = weights[0], 0.0
    for i, w in enumerate(weights[1:], 1):
        want, seen = 0.8 * want + 0.2 * w, 0.8 * seen + 0.2 * i
    np.testing.assert_allclose(model.linear.weight.detach().numpy(), want, rtol=1e-13)
    assert model.seen.item() == pytest.approx(seen if use_buffers else 5)


def test_averages_behind_a_captured_step():
    runs = []
    for wrap in (lambda step: step, pb.capture):
        pb.manual_seed(0)
        model = nn.Linear(3, 1)
        averaged = swa_utils.AveragedModel(model, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.9))
        made = optim.SGD(model.parameters(), lr=0.1)

        def step(x):
            made.zero_grad()
            loss = (model(x) ** 2).mean()
            loss.backward()
            made.step()
            return loss

        train = wrap(step)
        for i in range(7):
            train(pb.full((4, 3), 1.0 + i))
            averaged.update_parameters(model)
        assert averaged.n_averaged.item() == 7
        runs.append(averaged.module.weight.detach().numpy().tobytes())
    assert runs[0] == runs[1]


def test_averages_that_make_no_sense():
    with pytest.raises(ValueError, match=r"decay expects a number in \[0, 1\], got 1.5"):
        swa_utils.get_ema_avg_fn(1.5)
    with pytest.raises(ValueError, match="one of avg_fn and multi_avg_fn"):
        swa_utils.AveragedModel(Counted(), avg_fn=print, multi_avg_fn=print)
    with pytest.raises(TypeError, match="model expects a Module, got int"):
        swa_utils.AveragedModel(3)
    made = optim.SGD([pb.ones(1)], lr=0.1)
    for options, message in (
        ({"swa_lr": math.nan}, "swa_lr expects"),
        ({"swa_lr": 0.1, "anneal_epochs": -1}, "anneal_epochs expects"),
        ({"swa_lr": 0.1, "anneal_strategy": "x"}, "anneal_strategy expects"),
    ):
        with pytest.raises(ValueError, match=message):
            swa_utils.SWALR(made, **options)


@pytest.mark.parametrize("strategy", ["cos", "linear"])
def test_swa_rate(strategy):
    made = optim.SGD([pb.ones(1)], lr=0.5)
    schedule = swa_utils.SWALR(made, 0.1, anneal_epochs=4, anneal_strategy=strategy)
    for t in range(7):
        share = min(t / 4, 1.0)
        share = share if strategy == "linear" else (1 - math.cos(math.pi * share)) / 2
        assert made.param_groups[0]["lr"] == pytest.approx(0.1 * share + 0.5 * (1 - share))
        made.step()
        schedule.step()
    at_once = optim.SGD([pb.ones(1)], lr=0.5)
    swa_utils.SWALR(at_once, 0.1, anneal_epochs=0)
    assert at_once.param_groups[0]["lr"] == 0.1
