"""L-BFGS: its directions against a transcription in NumPy, the conditions of its line search, and where it ends."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest

import pullback as pb
from pullback.optim import LBFGS
from pullback.optim._line_search import CURVATURE, SUFFICIENT, Trial, strong_wolfe


def rosenbrock(x):
    return ((1 - x[:-1]) ** 2 + 100 * (x[1:] - x[:-1] ** 2) ** 2).sum()


def minimize(function, start, steps=1, **options):
    """The parameter, its optimizer, and the losses at the start of each step."""
    x = pb.tensor(np.asarray(start, np.float64), requires_grad=True)
    made = LBFGS([x], **options)

    def closure():
        made.zero_grad()
        loss = function(x)
        loss.backward()
        return loss

    return x, made, [made.step(closure).item() for _ in range(steps)]


def transcribed(gradient, x, iterations, history, lr):
    """x ← x − lr H∇f, with H as a matrix: H ← (1 − ρsyᵀ)H(1 − ρysᵀ) + ρssᵀ over the pairs, from ys/yy times 1."""
    pairs, g = [], gradient(x)
    for k in range(iterations):
        H = np.eye(len(x))
        if pairs:
            s, y = pairs[-1]
            H *= s @ y / (y @ y)
        for s, y in pairs:
            rho = 1 / (s @ y)
            V = np.eye(len(x)) - rho * np.outer(y, s)
            H = V.T @ H @ V + rho * np.outer(s, s)
        t = lr * min(1, 1 / np.abs(g).sum()) if k == 0 else lr
        new = x - t * H @ g
        pairs = [*pairs, (new - x, gradient(new) - g)][-history:]
        x, g = new, gradient(new)
    return x


@pytest.mark.parametrize("history", [1, 3, 100])
def test_directions_against_numpy(history):
    rng = np.random.default_rng(0)
    root = rng.standard_normal((6, 6))
    A, b = root @ root.T + 0.5 * np.eye(6), rng.standard_normal(6)

    def quartic(x):
        return 0.5 * x @ (pb.tensor(A) @ x) - x @ pb.tensor(b) + (x**4).sum() / 4

    for iterations in (1, 2, 5, 9):
        x, made, _ = minimize(quartic, np.ones(6), max_iter=iterations, max_eval=99, history_size=history, lr=0.6)
        want = transcribed(lambda x: A @ x - b + x**3, np.ones(6), iterations, history, 0.6)
        # H is as ill-conditioned as A, about 100, and each iteration passes its rounding on
        np.testing.assert_allclose(x.detach().numpy(), want, rtol=1e-9, atol=1e-11)
        state = made.state[x]
        assert state["n_iter"] == iterations and state["func_evals"] == iterations
        assert len(state["old_dirs"]) == min(iterations - 1, history)


def test_a_step_goes_on_where_the_last_one_ended():
    once, _, _ = minimize(rosenbrock, [-1.2, 1.0], max_iter=8, max_eval=100, lr=0.05)
    twice, _, _ = minimize(rosenbrock, [-1.2, 1.0], steps=2, max_iter=4, max_eval=100, lr=0.05)
    np.testing.assert_allclose(twice.detach().numpy(), once.detach().numpy(), rtol=1e-12)


def test_the_line_search_finds_the_minimum_of_the_valley():
    options = {"line_search_fn": "strong_wolfe", "max_iter": 100, "max_eval": 200, "tolerance_change": 0.0}
    x, made, losses = minimize(rosenbrock, [-1.2, 1.0, -0.5, 0.8], **options)
    np.testing.assert_allclose(x.detach().numpy(), 1, atol=1e-6)
    assert losses[0] == pytest.approx(rosenbrock(np.array([-1.2, 1.0, -0.5, 0.8])))
    assert made.state[x]["n_iter"] < 60


@pytest.mark.parametrize("t", [1e-3, 0.1, 1.0, 7.0, 100.0])
@pytest.mark.parametrize(
    "phi, slope",
    [
        (lambda t: (t - 2) ** 2 - 4, lambda t: 2 * (t - 2)),
        (lambda t: -t / (t * t + 2), lambda t: (t * t - 2) / (t * t + 2) ** 2),  # Moré and Thuente 1994, (5.1)
        (lambda t: math.exp(t) - 3 * t - 1 if t < 50 else math.inf, lambda t: math.exp(min(t, 700)) - 3),
        (lambda t: (t + 0.004) ** 5 - 2 * (t + 0.004) ** 4, lambda t: 5 * (t + 0.004) ** 4 - 8 * (t + 0.004) ** 3),
    ],
)
def test_wolfe_conditions_hold(phi, slope, t):
    made = []

    def evaluate(t):
        made.append(Trial(t, phi(t), None, slope(t)))
        return made[-1]

    start = Trial(0.0, phi(0.0), None, slope(0.0))
    found, count = strong_wolfe(evaluate, start, t, 1.0, 1e-9, 60)
    assert count == len(made) and found in made
    assert found.loss <= start.loss + SUFFICIENT * found.t * start.slope
    assert abs(found.slope) <= CURVATURE * abs(start.slope)


def test_a_search_that_gives_up_keeps_the_lowest():
    def evaluate(t):
        return Trial(t, -t, None, -1.0)  # falls forever

    found, count = strong_wolfe(evaluate, Trial(0.0, 0.0, None, -1.0), 1.0, 1.0, 1e-9, 3)
    assert found.t == 1000 and count == 4


def test_where_a_step_ends():
    x, made, _ = minimize(lambda x: (x**2).sum(), [0.0, 0.0])
    assert made.state[x]["func_evals"] == 1 and made.state[x]["n_iter"] == 0  # the gradient is 0 at the start
    x, made, _ = minimize(lambda x: (x**2).sum(), [3.0, 4.0], max_eval=2, max_iter=50)
    assert made.state[x]["func_evals"] == 2
    x, made, _ = minimize(lambda x: (x**2).sum(), [3.0, 4.0], tolerance_change=200.0)
    assert made.state[x]["n_iter"] == 1 and x.tolist() == [3, 4]


def test_parameters_without_gradient_and_state():
    a, b = (pb.ones(2, dtype=pb.float64, requires_grad=True) for _ in range(2))
    made = LBFGS([a, b], max_iter=2, max_eval=9)

    def closure():
        made.zero_grad()
        loss = ((a - 3) ** 2).sum()
        loss.backward()
        return loss

    made.step(closure)
    assert b.tolist() == [1, 1] and b.grad is None and a.tolist() != [1, 1]
    state = copy.deepcopy(made.state_dict())
    other = LBFGS([a, b])
    other.load_state_dict(state)
    assert other.state[a]["n_iter"] == 2 and other.param_groups[0]["max_iter"] == 2
    other.step(closure)
    np.testing.assert_allclose(a.detach().numpy(), 3, atol=1e-6)


def test_hooks_run_around_it():
    seen = []
    x = pb.ones(1, requires_grad=True)
    made = LBFGS([x])
    made.register_step_pre_hook(lambda *args: seen.append("before"))
    made.register_step_post_hook(lambda *args: seen.append("after"))

    def closure():
        made.zero_grad()
        loss = (x * x).sum()
        loss.backward()
        return loss

    with pb.no_grad():  # the closure is recorded all the same
        made.step(closure)
    assert seen == ["before", "after"] and x.item() != 1


def test_bad_input():
    x = pb.ones(2, requires_grad=True)
    for options, message in (
        ({"lr": -1}, "lr expects"),
        ({"max_iter": 0}, "max_iter expects"),
        ({"history_size": math.nan}, "history_size expects"),
        ({"line_search_fn": "golden"}, "line_search_fn expects None or 'strong_wolfe', got 'golden'"),
    ):
        with pytest.raises(ValueError, match=message):
            LBFGS([x], **options)
    with pytest.raises(ValueError, match="one group, got 2"):
        LBFGS([{"params": [x]}, {"params": [pb.ones(1)]}])
    with pytest.raises(ValueError, match="one dtype"):
        LBFGS([x, pb.ones(1, dtype=pb.float64)])
    with pytest.raises(TypeError, match="expects a closure"):
        LBFGS([x]).step()
    with pytest.raises(FloatingPointError, match="finite loss, got nan"):
        minimize(lambda x: (x / 0 * 0).sum(), [1.0, 2.0])
    with pytest.raises(FloatingPointError, match="stopped being finite, its last value was"):
        minimize(lambda x: (x**4).sum().exp(), [1.0, 1.1], lr=100.0)
