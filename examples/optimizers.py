"""Adam against RMSProp against gradient descent where the curvatures of the parameters differ by 10⁴.

Least squares on features whose scales lie between 0.1 and 10: gradient descent must take the step of the largest
curvature, and hardly moves the parameters of the small features; RMSProp and Adam divide by each gradient's own size
(seed 000, sections 1.1.3 and 1.1.4). On features brought to one scale (seed 000, section 2, "standard scaler") descent
needs no help. Each method has the best of a grid of learning rates: the one that keeps the loss below 1/1000 of the
first one soonest.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from _common import BLUE, GREEN, ORANGE, RED, main

import pullback
from pullback.models import classical
from pullback.optim import SGD, Adam, RMSprop

METHODS = {
    "SGD": (lambda p, lr: SGD(p, lr=lr), BLUE),
    "momentum": (lambda p, lr: SGD(p, lr=lr, momentum=0.9), GREEN),
    "RMSProp": (lambda p, lr: RMSprop(p, lr=lr, alpha=0.9), RED),
    "Adam": (lambda p, lr: Adam(p, lr=lr), ORANGE),
}


def data(seed: int = 0) -> tuple[Any, Any]:
    """200 samples of 8 centred features of scales 0.1 to 10, and what a linear map with weights ±1/scale makes of them."""
    rng = np.random.default_rng(seed)
    scales = np.geomspace(0.1, 10, 8)
    x = rng.normal(size=(200, 8)) * scales
    x -= x.mean(0)
    return x, x @ (rng.choice([-1.0, 1.0], 8) / scales)


def train(make: Any, lr: float, x: Any, y: Any, steps: int) -> list[float]:
    """The losses of full-batch training from zero weights; infinite where it diverged."""
    a, b = pullback.tensor(x), pullback.tensor(y)
    w = a.new_zeros((a.shape[1],)).requires_grad_()
    try:
        return classical.descend(lambda: pullback.nn.functional.mse_loss(a @ w, b), make([w], lr), steps)
    except classical.DivergenceError:
        return [np.inf] * (steps + 1)


def steps_to(losses: list[float], part: float = 1e-3) -> float:
    """The step from which on the loss stays below that part of the first one; infinite where it does not."""
    above = [i for i, loss in enumerate(losses) if not loss < part * losses[0]]
    return float(above[-1] + 1) if above[-1] < len(losses) - 1 else np.inf


def numbers(steps: int = 400) -> dict[str, Any]:
    """For raw and for standardized features: each method's best learning rate and its losses."""
    x, y = data()
    found = {}
    for name, features in (("raw", x), ("standardized", classical.StandardScaler().fit_transform(x).numpy())):
        runs = {}
        for method, (make, _) in METHODS.items():
            grid = {lr: train(make, lr, features, y, steps) for lr in np.geomspace(1e-3, 1, 10)}
            best = min(grid, key=lambda lr: (steps_to(grid[lr]), grid[lr][-1]))
            runs[method] = (float(best), grid[best])
        found[name] = runs
    return found


def draw(plt: Any, found: dict[str, Any]) -> Any:
    """The losses by step."""
    figure, panels = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True)
    for axes, (name, runs) in zip(panels, found.items()):
        for method, (lr, losses) in runs.items():
            axes.semilogy(np.maximum(losses, 1e-16), color=METHODS[method][1], label=f"{method}, lr {lr:.2g}")
        axes.set(title=f"{name} features", xlabel="step", ylim=(1e-8, 30))
        axes.legend(fontsize=8)
    panels[0].set_ylabel("mean squared error")
    return figure


if __name__ == "__main__":
    main("optimizers", numbers, draw)
