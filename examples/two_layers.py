"""Two-layer networks f(x) = Σ_s a_s σ(⟨x, w_s⟩ + b_s) with 6, 30 and 100 neurons fitting a function in 1-d and in 2-d.

Seed 003, section 2, "two layers perceptron": a sum of ridge functions, which fits better the more there are. σ = ReLU,
Adam on all points of a grid, the best of two starts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from _common import BLUE, INK, ORANGE, main

import pullback
from pullback import nn
from pullback.models import classical
from pullback.nn import functional as F

NEURONS = (6, 30, 100)


def target_1d(x: Any) -> Any:
    """A wave of growing frequency, with a kink."""
    return np.sin(4 * (x + 1) ** 2) * np.exp(-(x**2)) + np.abs(x - 0.2)


def target_2d(x: Any) -> Any:
    """Two bumps and a wave, x [N, 2]."""
    bump = np.exp(-6 * ((x - [0.4, 0.3]) ** 2).sum(1)) - np.exp(-9 * ((x + [0.4, 0.4]) ** 2).sum(1))
    return bump + 0.3 * np.sin(4 * x[:, 0]) * np.cos(3 * x[:, 1])


def fit(x: Any, y: Any, neurons: int, steps: int, seed: int) -> tuple[float, Any]:
    """Root of the mean squared error at the end, and the fitted values."""
    pullback.manual_seed(seed)
    first, last = nn.Linear(x.shape[1], neurons), nn.Linear(neurons, 1)
    with pullback.no_grad():  # hinges ⟨x, w⟩ + b = 0 that cross the square: |b| up to |w|
        nn.init.normal_(first.weight, std=2)
        first.bias.copy_(nn.init.uniform_(pullback.empty(neurons), -1, 1) * first.weight.norm(dim=1))
    model = nn.Sequential(first, nn.ReLU(), last)
    a, b = pullback.tensor(x, dtype=pullback.float32), pullback.tensor(y, dtype=pullback.float32).unsqueeze(1)
    optimizer = pullback.optim.Adam(model.parameters(), lr=0.02)
    schedule = pullback.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)

    def loss() -> Any:
        schedule.step()
        return F.mse_loss(model(a), b)

    optimizer.step()  # nothing to do yet, but schedules count from the first step
    losses = classical.descend(loss, optimizer, steps)
    with pullback.no_grad():
        return losses[-1] ** 0.5, model(a).squeeze(1).numpy().copy()


def numbers(steps: int = 2500, side: int = 24, starts: int = 2) -> dict[str, Any]:
    """For 1-d (200 points of [−1, 1]) and 2-d (side² of the square): the target, and error and values by neurons."""
    line = np.linspace(-1, 1, 200)[:, None]
    axis = np.linspace(-1, 1, side)
    square = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    found = {}
    for name, x, y in (("1-d", line, target_1d(line[:, 0])), ("2-d", square, target_2d(square))):
        fits = {p: min((fit(x, y, p, steps, s) for s in range(starts)), key=lambda r: r[0]) for p in NEURONS}
        found[name] = {"x": x, "y": y, "fits": fits}
    return found


def draw(plt: Any, found: dict[str, Any]) -> Any:
    """A row for each dimension: the function, then the fits."""
    figure, (above, below) = plt.subplots(2, 4, figsize=(11, 5.4))
    one, two = found["1-d"], found["2-d"]
    side = int(len(two["y"]) ** 0.5)
    look = {"extent": (-1, 1, -1, 1), "origin": "lower", "cmap": "RdBu_r", "vmin": -1.1, "vmax": 1.1}
    above[0].plot(one["x"], one["y"], color=INK)
    above[0].set(title="f on [−1, 1]")
    below[0].imshow(two["y"].reshape(side, side), **look)
    below[0].set(title="f on [−1, 1]²")
    for p, line, square in zip(NEURONS, above[1:], below[1:]):
        error, values = one["fits"][p]
        line.plot(one["x"], one["y"], color=BLUE, lw=1)
        line.plot(one["x"], values, color=ORANGE)
        line.set(title=f"p = {p}: rms error {error:.3f}", ylim=above[0].get_ylim())
        error, values = two["fits"][p]
        square.imshow(values.reshape(side, side), **look)
        square.set(title=f"p = {p}: rms error {error:.3f}")
    for axes in below:
        axes.grid(False)
    return figure


if __name__ == "__main__":
    main("two_layers", numbers, draw)
