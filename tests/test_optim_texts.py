"""Gradient descent, momentum, RMSProp and Adam as seed 000 (section 1.1) prints them, transcribed to NumPy, against the
optimizers: x_0, x_1, … of a function with curvature, its gradient taken on the tape."""

from __future__ import annotations

import numpy as np
import pytest

import pullback as pb
from pullback import optim

ALPHA, STEPS = 0.05, 25
A = np.array([[3.0, 1.0, 0.0], [1.0, 2.0, -0.5], [0.0, -0.5, 0.4]])
START = np.array([1.0, -2.0, 0.5])


def f(x):
    return 0.5 * x @ (pb.tensor(A) @ x) + (x**4).sum() / 4


def gradient(x):
    return A @ x + x**3


def descent(x):
    while True:
        x = x - ALPHA * gradient(x)
        yield x


def momentum(x, gamma=0.9, rate=lambda t: ALPHA):
    v = 0 * x
    for t in range(STEPS):
        v = gamma * v + rate(t) * gradient(x)
        x = x - v
        yield x


def rmsprop(x, beta=0.9, eps=1e-3):
    E = 0 * x
    while True:
        g = gradient(x)
        E = beta * E + (1 - beta) * g**2
        x = x - ALPHA / np.sqrt(E + eps) * g
        yield x


def adam(x, beta1=0.9, beta2=0.9, eps=1e-3):
    m, E, t = 0 * x, 0 * x, 0
    while True:
        g, t = gradient(x), t + 1
        m = beta1 * m + (1 - beta1) * g
        E = beta2 * E + (1 - beta2) * g**2
        x = x - m / (1 - beta1**t) / (np.sqrt(E / (1 - beta2**t)) + eps)
        yield x


def steps(make, schedule=None):
    x = pb.tensor(START, requires_grad=True)
    made = make([x])
    after = schedule(made) if schedule else None
    for _ in range(STEPS):
        made.zero_grad()
        f(x).backward()
        made.step()
        if after:
            after.step()
        yield x.detach().numpy().copy()


FORMS = {
    "gradient descent": (descent, lambda p: optim.SGD(p, lr=ALPHA)),
    "momentum": (momentum, lambda p: optim.SGD(p, lr=ALPHA, momentum=0.9)),
    "RMSProp": (rmsprop, lambda p: optim.RMSprop(p, lr=ALPHA, alpha=0.9, eps=1e-3, eps_inside_sqrt=True)),
    "Adam": (adam, lambda p: optim.Adam(p, lr=1, betas=(0.9, 0.9), eps=1e-3)),
}


@pytest.mark.parametrize("name", FORMS)
def test_step_by_step(name):
    form, make = FORMS[name]
    for t, (x, want) in enumerate(zip(steps(make), form(START))):
        # some 20 roundings a step, which the curvature of f, about 10, may carry on
        np.testing.assert_allclose(x, want, rtol=1e-11, atol=1e-13, err_msg=f"{name}, step {t}")


@pytest.mark.parametrize("inside", [True, False])
def test_the_place_of_epsilon_counts_where_gradients_are_small(inside):
    """The first step with g = 10⁻² and ε = 10⁻³: ηg/√(0.1g² + ε) against ηg/(√0.1 g + ε), an eighth of it."""
    x = pb.zeros(1, dtype=pb.float64, requires_grad=True)
    x.grad = pb.tensor([1e-2], dtype=pb.float64)
    optim.RMSprop([x], lr=ALPHA, alpha=0.9, eps=1e-3, eps_inside_sqrt=inside).step()
    size = np.sqrt(1e-5 + 1e-3) if inside else np.sqrt(1e-5) + 1e-3
    np.testing.assert_allclose(x.detach().numpy(), -ALPHA * 1e-2 / size, rtol=1e-13)


def test_velocities_differ_when_the_rate_changes():
    """v = ηb as long as η is constant; the text's v then keeps the past rates, PyTorch's ηb does not."""

    def halved(t):
        return ALPHA if t < 10 else ALPHA / 2

    text = list(momentum(START, rate=halved))
    peer = list(
        steps(
            lambda p: optim.SGD(p, lr=ALPHA, momentum=0.9),
            lambda o: optim.lr_scheduler.LambdaLR(o, lambda t: halved(t) / ALPHA),
        )
    )
    np.testing.assert_allclose(peer[9], text[9], rtol=1e-11)
    assert np.abs(peer[10] - text[10]).max() > 1e-3
