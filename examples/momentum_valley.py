"""Momentum in a long, shallow valley: v ← γv + α∇f(x), x ← x − v (seed 000, section 1.1.2), against plain descent.

The valley f(x, y) = ½ (x² + 50 y²) is narrow in y, so plain descent must take small steps and creeps along x. Its error
shrinks by (κ − 1)/(κ + 1) a step at best, momentum's by (√κ − 1)/(√κ + 1) (Polyak 1964).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from _common import BLUE, GREY, INK, ORANGE, main

import pullback

KAPPA = 50.0
START = (-10.0, 1.0)


def run(lr: float, momentum: float, steps: int) -> Any:
    """The path [steps + 1, 2]."""
    scale = pullback.tensor([1.0, KAPPA], dtype=pullback.float64)
    x = pullback.tensor(START, dtype=pullback.float64).requires_grad_()
    optimizer = pullback.optim.SGD([x], lr=lr, momentum=momentum)
    path = [x.tolist()]

    @pullback.capture
    def update() -> None:
        optimizer.zero_grad()
        (0.5 * scale * x**2).sum().backward()
        optimizer.step()

    for _ in range(steps):
        update()
        path.append(x.tolist())
    return np.array(path)


def numbers(steps: int = 120) -> dict[str, Any]:
    """Both at their best constants: paths, values of f, and the measured shrinking of the error in one step."""
    root = math.sqrt(KAPPA)
    best = {"descent": (2 / (1 + KAPPA), 0.0), "momentum": ((2 / (root + 1)) ** 2, ((root - 1) / (root + 1)) ** 2)}
    paths = {name: run(*options, steps) for name, options in best.items()}
    lengths = {name: np.linalg.norm(path, axis=1) for name, path in paths.items()}
    return {
        "options": best,
        "paths": paths,
        "values": {name: (path**2 @ [1.0, KAPPA]) / 2 for name, path in paths.items()},
        "rates": {n: float((v[-1] / v[steps // 3]) ** (1 / (steps - steps // 3))) for n, v in lengths.items()},
        "theory": {"descent": (KAPPA - 1) / (KAPPA + 1), "momentum": (root - 1) / (root + 1)},
    }


def draw(plt: Any, found: dict[str, Any]) -> Any:
    """The valley with both paths, and f by step."""
    figure, (valley, fall) = plt.subplots(1, 2, figsize=(9.5, 3.6), width_ratios=[1.5, 1])
    x, y = np.meshgrid(np.linspace(-11, 5, 120), np.linspace(-3, 3, 120))
    valley.contour(x, y, (x**2 + KAPPA * y**2) / 2, levels=np.geomspace(0.5, 250, 11), colors="#cccccc", linewidths=0.8)
    for name, colour in (("descent", BLUE), ("momentum", ORANGE)):
        lr, gamma = found["options"][name]
        label = f"{name}: α = {lr:.3f}" + (f", γ = {gamma:.2f}" if gamma else "")
        valley.plot(*found["paths"][name][:41].T, "o-", ms=2.5, lw=1, color=colour, label=label)
        fall.semilogy(found["values"][name], color=colour, label=f"{name}: × {found['rates'][name]:.3f} a step")
        slope = found["theory"][name] ** np.arange(len(found["values"][name]))
        fall.semilogy(found["values"][name][0] * slope**2, ":", color=INK, lw=1)
    fall.plot([], [], ":", color=INK, lw=1, label="theory")
    valley.plot(0, 0, "x", color=GREY)
    valley.set(title="first 40 steps", xlabel="x", ylabel="y")
    fall.set(title="f = ½ (x² + 50 y²)", xlabel="step", ylabel="f")
    valley.legend(fontsize=8, loc="lower right")
    fall.legend(fontsize=8, loc="lower left")
    return figure


if __name__ == "__main__":
    main("momentum_valley", numbers, draw)
