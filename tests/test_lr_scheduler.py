"""Schedules against their closed forms."""

from __future__ import annotations

import copy
import math

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


@pytest.mark.parametrize("name", sorted(set(CLOSED_FORMS) - {"LambdaLR"}))
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
    with pytest.raises(ValueError, match="expects 2 functions, got 1"):
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
        (lambda: schedules.ReduceLROnPlateau(optimizer(), "down"), ValueError, "mode expects"),
        (lambda: schedules.ReduceLROnPlateau(optimizer(), threshold_mode="x"), ValueError, "threshold_mode"),
        (lambda: schedules.ReduceLROnPlateau(optimizer(), min_lr=[1, 2]), ValueError, "expects 1 rates, got 2"),
    ],
)
def test_bad_options(make, error, message):
    with pytest.raises(error, match=message):
        make()
