"""Schedules against their closed forms."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest

import pullback as pb
from pullback import optim
from pullback.optim import lr_scheduler as schedules


def optimizer(*rates):
    return optim.SGD([{"params": [pb.ones(1)], "lr": lr} for lr in rates or (0.5,)])


def run(schedule, steps):
    """The rates of the first group at epochs 0 … steps."""
    rates = [schedule.get_last_lr()[0]]
    for _ in range(steps):
        schedule.optimizer.step()
        schedule.step()
        rates.append(schedule.get_last_lr()[0])
        assert schedule.optimizer.param_groups[0]["lr"] == rates[-1]
    return rates


CLOSED_FORMS = {
    "StepLR": (lambda o: schedules.StepLR(o, 3, gamma=0.5), lambda t: 0.5 * 0.5 ** (t // 3)),
    "MultiStepLR": (
        lambda o: schedules.MultiStepLR(o, [2, 5, 5], gamma=0.5),
        lambda t: 0.5 * 0.5 ** ((t >= 2) + 2 * (t >= 5)),
    ),
    "ExponentialLR": (lambda o: schedules.ExponentialLR(o, 0.9), lambda t: 0.5 * 0.9**t),
    "LambdaLR": (lambda o: schedules.LambdaLR(o, lambda t: 1 / (1 + t)), lambda t: 0.5 / (1 + t)),
    "LinearLR": (
        lambda o: schedules.LinearLR(o, 0.25, 0.75, total_iters=4),
        lambda t: 0.5 * (0.25 + 0.5 * min(t, 4) / 4),
    ),
    "CosineAnnealingLR": (
        lambda o: schedules.CosineAnnealingLR(o, 4, eta_min=0.1),
        lambda t: 0.1 + 0.4 * (1 + math.cos(math.pi * t / 4)) / 2,
    ),
    "MultiplicativeLR": (
        lambda o: schedules.MultiplicativeLR(o, lambda t: 1 / (1 + t)),
        lambda t: 0.5 / math.factorial(t + 1),
    ),
    "ConstantLR": (lambda o: schedules.ConstantLR(o, 0.25, 4), lambda t: 0.5 * (0.25 if t < 4 else 1)),
    "PolynomialLR": (lambda o: schedules.PolynomialLR(o, 6, 2.0), lambda t: 0.5 * (1 - min(t, 6) / 6) ** 2),
    "RobbinsMonroLR": (schedules.RobbinsMonroLR, lambda t: 0.5 / (t + 1)),
    "RobbinsMonroLR of 0.6": (
        lambda o: schedules.RobbinsMonroLR(o, delay=10.0, power=0.6),
        lambda t: 0.5 / (1 + t / 10) ** 0.6,
    ),
    "CosineAnnealingWarmRestarts": (
        lambda o: schedules.CosineAnnealingWarmRestarts(o, 2, T_mult=2, eta_min=0.1),
        lambda t: 0.1 + 0.4 * (1 + math.cos(math.pi * (t / 2 if t < 2 else (t - 2) / 4 if t < 6 else (t - 6) / 8))) / 2,
    ),
    "OneCycleLR": (
        lambda o: schedules.OneCycleLR(o, 0.5, 13, pct_start=4 / 13, cycle_momentum=False, anneal_strategy="linear"),
        lambda t: 0.02 + 0.48 * t / 3 if t <= 3 else 0.5 + (2e-6 - 0.5) * (t - 3) / 9,
    ),
    "SequentialLR": (
        lambda o: schedules.SequentialLR(
            o, [schedules.LinearLR(o, 0.25, total_iters=3), schedules.ExponentialLR(o, 0.9)], [3]
        ),
        lambda t: 0.5 * (0.25 + 0.75 * t / 3) if t < 3 else 0.5 * 0.9 ** (t - 3),
    ),
    "ChainedScheduler": (
        lambda o: schedules.ChainedScheduler([schedules.ConstantLR(o, 0.25, 4), schedules.ExponentialLR(o, 0.9)]),
        lambda t: 0.5 * (0.25 if t < 4 else 1) * 0.9**t,
    ),
}
WITHOUT_CLOSED_FORM = {
    "LambdaLR",
    "MultiplicativeLR",
    "SequentialLR",
    "ChainedScheduler",
    "CosineAnnealingWarmRestarts",
}


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_against_the_closed_form(name):
    make, rate = CLOSED_FORMS[name]
    assert run(make(optimizer()), 11) == pytest.approx([rate(t) for t in range(12)], abs=1e-12)


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_state_goes_on_where_it_was(name):
    make, rate = CLOSED_FORMS[name]
    first = make(optimizer())
    run(first, 5)
    state = copy.deepcopy(first.state_dict())
    assert "optimizer" not in state
    second = make(optimizer())
    second.optimizer.load_state_dict(first.optimizer.state_dict())
    second.load_state_dict(state)
    assert run(second, 3)[1:] == pytest.approx([rate(t) for t in (6, 7, 8)], abs=1e-12)


@pytest.mark.parametrize("name", sorted(set(CLOSED_FORMS) - WITHOUT_CLOSED_FORM))
def test_an_epoch_that_is_given(name):
    make, rate = CLOSED_FORMS[name]
    schedule = make(optimizer())
    with pytest.warns(UserWarning, match="deprecated"):
        schedule.step(7)
    assert schedule.get_last_lr() == pytest.approx([rate(7)], abs=1e-12)


def test_every_group_has_its_own_rate():
    made = optimizer(0.1, 0.2)
    schedule = schedules.LambdaLR(made, [lambda t: 1.0, lambda t: 0.5**t])
    schedule.step()
    assert schedule.get_last_lr() == [0.1, 0.1]
    with pytest.raises(ValueError, match="lr_lambda expects 2 values, got 1"):
        schedules.LambdaLR(made, [lambda t: 1.0])


def test_two_schedules_multiply():
    made = optimizer()
    one, two = schedules.ExponentialLR(made, 0.5), schedules.StepLR(made, 2, gamma=0.1)
    for _ in range(2):
        one.step()
        two.step()
    assert made.param_groups[0]["lr"] == pytest.approx(0.5 * 0.25 * 0.1)


def test_a_rate_in_a_tensor_stays_there():
    rate = pb.tensor(1.0)
    made = optim.SGD([pb.ones(1)], lr=rate)
    schedule = schedules.ExponentialLR(made, 0.5)
    schedule.step()
    assert made.param_groups[0]["lr"] is rate and rate.item() == 0.5
    assert made.param_groups[0]["initial_lr"].item() == 1.0


def test_resuming_wants_the_initial_rate():
    with pytest.raises(KeyError, match="initial_lr"):
        schedules.StepLR(optimizer(), 3, last_epoch=4)
    made = optimizer()
    made.param_groups[0].update(initial_lr=0.5, lr=0.25)
    assert run(schedules.StepLR(made, 3, gamma=0.5, last_epoch=4), 2) == [0.25, 0.125, 0.125]


@pytest.mark.parametrize(
    "epoch, since, period",
    [(0, 0, 2), (1.5, 1.5, 2), (2, 0, 4), (5.25, 3.25, 4), (6, 0, 8), (13.9, 7.9, 8), (14, 0, 16)],
)
def test_warm_restarts_at_fractions_of_an_epoch(epoch, since, period):
    schedule = schedules.CosineAnnealingWarmRestarts(optimizer(), 2, T_mult=2)
    schedule.step(epoch)
    assert schedule.get_last_lr() == pytest.approx([0.25 * (1 + math.cos(math.pi * since / period))], abs=1e-12)
    even = schedules.CosineAnnealingWarmRestarts(optimizer(), 2)
    even.step(epoch)
    assert even.get_last_lr() == pytest.approx([0.25 * (1 + math.cos(math.pi * (epoch % 2) / 2))], abs=1e-12)


@pytest.mark.parametrize("kind, momentum", [("SGD", lambda g: g["momentum"]), ("Adam", lambda g: g["betas"][0])])
def test_one_cycle_moves_the_momentum_the_other_way(kind, momentum):
    made = getattr(optim, kind)([pb.ones(1)], lr=0.5)
    schedule = schedules.OneCycleLR(made, 1.0, epochs=5, steps_per_epoch=4, three_phase=True)
    rates, momenta = [], []
    for _ in range(20):
        rates.append(made.param_groups[0]["lr"])
        momenta.append(momentum(made.param_groups[0]))
        schedule.step()
    assert rates[0] == pytest.approx(0.04) and rates[5] == pytest.approx(1.0) and rates[10] == pytest.approx(0.04)
    assert rates[19] == pytest.approx(0.04 / 1e4)
    assert momenta[0] == momenta[10] == momenta[19] == pytest.approx(0.95) and momenta[5] == pytest.approx(0.85)
    with pytest.raises(ValueError, match="expected at most 20 steps, got 21"):
        schedule.step()


def test_stochastic_approximation_converges_where_a_constant_rate_does_not():
    """θ ← θ − τ_ℓ (θ − x_ℓ) with τ_ℓ = 1/ℓ is the running mean of the x (seed 003, gradient descent)."""
    x = np.random.default_rng(0).standard_normal(300) + 2
    theta = pb.zeros((), dtype=pb.float64, requires_grad=True)
    made = optim.SGD([theta], lr=1.0)
    schedule = schedules.RobbinsMonroLR(made)
    for i, value in enumerate(x, 1):
        made.zero_grad()
        (0.5 * (theta - float(value)) ** 2).backward()
        made.step()
        schedule.step()
        assert theta.item() == pytest.approx(x[:i].mean(), rel=1e-12)


def test_sequences_nest():
    made = optimizer()
    warm = schedules.SequentialLR(
        made, [schedules.ConstantLR(made, 0.5, 9), schedules.ConstantLR(made, 0.25, 9)], milestones=[2]
    )
    schedule = schedules.SequentialLR(made, [warm, schedules.ExponentialLR(made, 0.9)], milestones=[4])
    assert run(schedule, 6) == pytest.approx([0.25, 0.25, 0.125, 0.125, 0.5, 0.45, 0.405])


def test_plateau():
    made = optimizer(1.0)
    schedule = schedules.ReduceLROnPlateau(made, factor=0.5, patience=1, cooldown=1, min_lr=0.2)
    rates = []
    for metric in [5, 4, 4, 4, 4, 4, pb.tensor(3.0), 3, 3, 3, 3, 3, 3, 3]:
        schedule.step(metric)
        rates.append(made.param_groups[0]["lr"])
    assert rates == [1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.2, 0.2, 0.2]
    assert schedule.get_last_lr() == [0.2]
    state = schedule.state_dict()
    again = schedules.ReduceLROnPlateau(optimizer(0.2))
    again.load_state_dict(state)
    assert again.best == 3 and again.factor == 0.5


@pytest.mark.parametrize(
    "mode, threshold_mode, values, better",
    [
        ("min", "rel", (1.0, 0.95), False),
        ("min", "rel", (1.0, 0.85), True),
        ("min", "abs", (1.0, 0.95), False),
        ("max", "rel", (1.0, 1.05), False),
        ("max", "rel", (1.0, 1.15), True),
        ("max", "abs", (1.0, 1.15), True),
    ],
)
def test_what_counts_as_better(mode, threshold_mode, values, better):
    schedule = schedules.ReduceLROnPlateau(optimizer(), mode, threshold=0.1, threshold_mode=threshold_mode)
    for value in values:
        schedule.step(value)
    assert schedule.num_bad_epochs == (0 if better else 1)


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: schedules.StepLR(None, 3), TypeError, "StepLR: optimizer expects an Optimizer, got NoneType"),
        (lambda: schedules.LinearLR(optimizer(), 0.0), ValueError, "start_factor"),
        (lambda: schedules.LinearLR(optimizer(), 1.0, 2.0), ValueError, "end_factor"),
        (lambda: schedules.ReduceLROnPlateau(optimizer(), factor=1.0), ValueError, "factor expects"),
        (lambda: schedules.ConstantLR(optimizer(), 1.5), ValueError, "ConstantLR: factor expects"),
        (lambda: schedules.RobbinsMonroLR(optimizer(), power=0.5), ValueError, r"power expects a number in \(1/2, 1\]"),
        (lambda: schedules.RobbinsMonroLR(optimizer(), delay=0), ValueError, "delay expects a finite number > 0"),
        (lambda: schedules.CosineAnnealingWarmRestarts(optimizer(), 0), ValueError, "T_0 expects a positive int"),
        (lambda: schedules.CosineAnnealingWarmRestarts(optimizer(), 2, 1.5), ValueError, "T_mult expects"),
        (lambda: schedules.CosineAnnealingWarmRestarts(optimizer(), 2).step(-1), ValueError, "epoch expects"),
        (lambda: schedules.OneCycleLR(optimizer(), 1.0), ValueError, "total_steps, or epochs and steps_per_epoch"),
        (lambda: schedules.OneCycleLR(optimizer(), 1.0, 0), ValueError, "total_steps expects a positive int, got 0"),
        (lambda: schedules.OneCycleLR(optimizer(), 1.0, 9, pct_start=2.0), ValueError, "pct_start expects"),
        (lambda: schedules.OneCycleLR(optimizer(), 1.0, 9, anneal_strategy="x"), ValueError, "anneal_strategy"),
        (lambda: schedules.OneCycleLR(optimizer(), [1.0, 2.0], 9), ValueError, "max_lr expects 1 values, got 2"),
        (
            lambda: schedules.OneCycleLR(optim.Adagrad([pb.ones(1)]), 1.0, 9),
            ValueError,
            "momentum or betas, got Adagrad",
        ),
        (lambda: schedules.SequentialLR(optimizer(), [], []), ValueError, "at least one, got none"),
        (lambda: schedules.ChainedScheduler([3]), TypeError, "expects schedules, got int at 0"),
        (
            lambda: schedules.ChainedScheduler([schedules.StepLR(optimizer(), 1), schedules.StepLR(optimizer(), 1)]),
            ValueError,
            "one optimizer, got another's at 1",
        ),
        (
            lambda: schedules.ChainedScheduler([schedules.ReduceLROnPlateau(optimizer())]),
            ValueError,
            "got ReduceLROnPlateau at 0",
        ),
        (lambda: schedules.ReduceLROnPlateau(optimizer(), "down"), ValueError, "mode expects"),
        (lambda: schedules.ReduceLROnPlateau(optimizer(), threshold_mode="x"), ValueError, "threshold_mode"),
        (lambda: schedules.ReduceLROnPlateau(optimizer(), min_lr=[1, 2]), ValueError, "min_lr expects 1 values, got 2"),
    ],
)
def test_bad_options(make, error, message):
    with pytest.raises(error, match=message):
        make()
