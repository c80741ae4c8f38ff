"""Optimizers and parameters that are tied, frozen, unused or new: PyTorch's meaning of each."""

from __future__ import annotations

import numpy as np
import pytest

import pullback as pb
from optim_formulas import adam, adamw, rmsprop, sgd
from pullback import optim
from test_optim import parameters, set_gradients


@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "AdamW", "RMSprop"])
def test_parameters_without_gradient_are_left_alone(optimizer):
    used, unused, frozen = parameters()[:3]
    frozen.requires_grad_(False)
    options = {"weight_decay": 0.1, "lr": 0.1}
    made = getattr(optim, optimizer)([used, unused, frozen], **options)
    before = [p.detach().numpy().copy() for p in (unused, frozen)]
    (used * used).sum().backward()
    for _ in range(3):
        made.step()
    for p, want in zip((unused, frozen), before):
        np.testing.assert_array_equal(p.detach().numpy(), want)
        assert p not in made.state
    # its first gradient is its first step
    set_gradients([unused], [np.ones(unused.shape)])
    made.step()
    formula = {"SGD": sgd, "Adam": adam, "AdamW": adamw, "RMSprop": rmsprop}[optimizer]
    want = next(formula(before[0], [np.ones(unused.shape)], **options))
    np.testing.assert_allclose(unused.detach().numpy(), want, rtol=1e-12)


@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "AdamW", "RMSprop"])
def test_a_parameter_frozen_after_some_steps_rests_and_goes_on_where_it_was(optimizer):
    options = {"lr": 0.1, "weight_decay": 0.1, **({"momentum": 0.9} if optimizer in ("SGD", "RMSprop") else {})}
    frozen, other = parameters()[:2]
    start = frozen.detach().numpy().copy()
    made = getattr(optim, optimizer)([frozen, other], **options)
    formula = {"SGD": sgd, "Adam": adam, "AdamW": adamw, "RMSprop": rmsprop}[optimizer]
    wanted = list(formula(start, [np.full(frozen.shape, g) for g in (1.0, 2.0, 3.0)], **options))

    def step(value):
        made.zero_grad()
        loss = (frozen * value).sum() + (other * other).sum()
        loss.backward()
        made.step()

    step(1.0)
    step(2.0)
    frozen.requires_grad_(False)
    step(7.0)
    step(8.0)
    assert frozen.grad is None
    np.testing.assert_allclose(frozen.detach().numpy(), wanted[1], rtol=1e-12)
    frozen.requires_grad_(True)
    step(3.0)
    np.testing.assert_allclose(frozen.detach().numpy(), wanted[2], rtol=1e-12)


@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "AdamW", "RMSprop"])
def test_a_gradient_of_zero_is_a_gradient(optimizer):
    """Momentum and decay go on under it; without a gradient nothing happens."""
    options = {"lr": 0.1, "weight_decay": 0.1, **({"momentum": 0.9} if optimizer in ("SGD", "RMSprop") else {})}
    zero, none = parameters()[0], parameters()[0]
    start = zero.detach().numpy().copy()
    made = getattr(optim, optimizer)([zero, none], **options)
    ones = np.ones(zero.shape)
    set_gradients([zero, none], [ones, ones])
    made.step()
    made.zero_grad(set_to_none=False)
    none.grad = None
    made.step()
    formula = {"SGD": sgd, "Adam": adam, "AdamW": adamw, "RMSprop": rmsprop}[optimizer]
    once, twice = formula(start, [ones, 0 * ones], **options)
    np.testing.assert_allclose(zero.detach().numpy(), twice, rtol=1e-12)
    np.testing.assert_allclose(none.detach().numpy(), once, rtol=1e-12)


def test_a_tied_parameter_of_a_model_is_listed_and_decayed_once():
    class Tied(pb.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = pb.nn.Linear(4, 4, bias=False)
            self.second = pb.nn.Linear(4, 4, bias=False)
            self.second.weight = self.first.weight

        def forward(self, x):
            return self.second(self.first(x))

    net = Tied()
    start = net.first.weight.detach().numpy().copy()
    made = optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=0.5)
    assert len(made.param_groups[0]["params"]) == 1
    net(pb.ones(1, 4)).sum().backward()
    gradient = net.first.weight.grad.numpy().copy()
    made.step()
    want = next(sgd(start, [gradient], lr=0.1, momentum=0.9, weight_decay=0.5))
    np.testing.assert_allclose(net.second.weight.detach().numpy(), want, rtol=1e-5)


def test_groups_that_change_between_steps_are_read_anew():
    a, b = parameters()[:2]
    starts = [a.detach().numpy().copy(), b.detach().numpy().copy()]
    made = optim.SGD([a], lr=0.1)
    set_gradients([a, b], [np.ones(a.shape), np.ones(b.shape)])
    made.step()
    made.param_groups[0]["lr"] = 1.0
    made.add_param_group({"params": [b], "lr": 10.0})
    made.step()
    np.testing.assert_allclose(a.detach().numpy(), starts[0] - 1.1, rtol=1e-12)
    np.testing.assert_allclose(b.detach().numpy(), starts[1] - 10, rtol=1e-12)


def test_momentum_starts_with_each_parameters_first_gradient():
    a, b = parameters()[:2]
    starts = [a.detach().numpy().copy(), b.detach().numpy().copy()]
    made = optim.SGD([a, b], lr=0.1, momentum=0.9, dampening=0.5)
    g = [np.full(a.shape, 2.0), np.full(b.shape, 3.0)]
    a.grad = pb.tensor(g[0])
    made.step()
    b.grad = pb.tensor(g[1])
    made.step()
    options = {"lr": 0.1, "momentum": 0.9, "dampening": 0.5}
    np.testing.assert_allclose(a.detach().numpy(), list(sgd(starts[0], [g[0]] * 2, **options))[-1], rtol=1e-14)
    np.testing.assert_allclose(b.detach().numpy(), list(sgd(starts[1], [g[1]], **options))[-1], rtol=1e-14)


def test_a_tied_parameter_is_stepped_once_with_the_sum_of_its_gradients():
    w = pb.ones(3).requires_grad_()
    (w * 2 + w * 3).sum().backward()
    optim.SGD([w], lr=0.1).step()
    np.testing.assert_allclose(w.detach().numpy(), 1 - 0.1 * 5, rtol=1e-6)
    with pytest.warns(UserWarning, match="listed twice"):
        optim.SGD([w, w], lr=0.1)
