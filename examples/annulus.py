"""A disc and the annulus around it: no line separates them; after the embedding (x, y) ↦ (x, y, x² + y²) a plane does.

Seed 000, section 3: 100 points of the disc of radius 1, label 0, and 100 of the annulus between the radii 1 and 2, label 1.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from _common import main, plane, show_classes, show_regions

from pullback.models import classical


def sample(n: int = 100, seed: int = 0) -> tuple[Any, Any]:
    """n points uniform in the disc, n in the annulus; labels 0 and 1."""
    rng = np.random.default_rng(seed)
    radius = np.sqrt(np.concatenate([rng.uniform(0, 1, n), rng.uniform(1, 4, n)]))
    angle = rng.uniform(0, 2 * np.pi, 2 * n)
    return radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1), np.repeat([0, 1], n)


def embed(x: Any) -> Any:
    """(x, y) ↦ (x, y, x² + y²)."""
    return np.hstack([x, (x**2).sum(1, keepdims=True)])


def numbers() -> dict[str, Any]:
    """Before and after: the fit, its accuracy, and whether the perceptron ends."""
    x, y = sample()
    found: dict[str, Any] = {"x": x, "y": y}
    for name, features in (("before", x), ("after", embed(x))):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", classical.ConvergenceWarning)
            separated = classical.perceptron(features, y, 100_000 if name == "after" else 2000)
        fit = classical.logistic_regression(features, y, l2=1e-5)
        scores = features @ fit.weight.numpy() + fit.bias.item()
        found[name] = {
            "fit": fit,
            "accuracy": classical.accuracy((scores > 0).astype(int), y),
            "area": classical.roc_curve(scores, y).area,
            "separable": separated.converged,
            "updates": separated.updates,
        }
    w, b = found["after"]["fit"].weight.numpy(), found["after"]["fit"].bias.item()
    # w₃ r² + w₁x + w₂y + b = 0 is a circle of centre −(w₁, w₂)/(2w₃).
    centre = -w[:2] / (2 * w[2])
    found["circle"] = (centre, float(np.sqrt(centre @ centre - b / w[2])))
    return found


def draw(plt: Any, found: dict[str, Any]) -> Any:
    """The plane before, the plane after, and the embedded points."""
    figure = plt.figure(figsize=(11, 3.8))
    grid, axis = plane(-2.2, 2.2)
    for i, (name, features) in enumerate((("before", grid), ("after", embed(grid))), 1):
        axes, one = figure.add_subplot(1, 3, i), found[name]
        show_regions(axes, axis, features @ one["fit"].weight.numpy() + one["fit"].bias.item(), level=0.0)
        show_classes(axes, found["x"], found["y"])
        axes.set(title=f"{name} the embedding: {100 * one['accuracy']:.1f} % right", aspect="equal")
    space = figure.add_subplot(1, 3, 3, projection="3d")
    show_classes(space, embed(found["x"]), found["y"])
    w, b = found["after"]["fit"].weight.numpy(), found["after"]["fit"].bias.item()
    u, v = np.meshgrid([-2, 2], [-2, 2])
    space.plot_surface(u, v, -(w[0] * u + w[1] * v + b) / w[2], color="#333333", alpha=0.25)
    space.set(title="(x, y, x² + y²), and the plane that separates", zlim=(0, 4))
    space.view_init(12, -60)
    return figure


if __name__ == "__main__":
    main("annulus", numbers, draw)
