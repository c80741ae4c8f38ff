"""The perceptron on separable points and on points that are not, and its number of updates against R²/d².

Left: it ends (seed 000, theorem 2.1). Middle: an overlap of the classes, and it goes on to its limit, the line
wandering. Right: updates against the bound for data of many margins; R and d are those of the embedded points (x, 1).
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from _common import BLUE, GREY, INK, RED, main, show_classes, show_line

from pullback.models import classical


def points(seed: int, gap: float, blur: float = 0.0, n: int = 120) -> tuple[Any, Any]:
    """Points of [−1, 1]² further than `gap` from a random line, labelled by their side of it; `blur` moves each one's line."""
    rng = np.random.default_rng(seed)
    x, w = rng.uniform(-1, 1, (n, 2)), rng.normal(size=2)
    side = (x @ w) / np.linalg.norm(w) - rng.uniform(-0.3, 0.3)
    y = np.where(side + blur * rng.uniform(-1, 1, n) > 0, 1, -1)
    kept = np.abs(side) > gap
    return x[kept], y[kept]


def numbers(datasets: int = 40, limit: int = 400) -> dict[str, Any]:
    """Both fits; for data sets of falling margin the updates made and the bound of the widest separator found."""
    separable, overlapping = points(3, 0.1), points(3, 0.0, blur=0.3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", classical.ConvergenceWarning)
        stopped = classical.perceptron(*overlapping, max_updates=limit)
    rows = []
    for seed, gap in enumerate(np.geomspace(0.3, 0.01, datasets)):
        x, y = points(seed, gap)
        bound = classical.update_bound(x, y, *classical.widest_separator(x, y, 4000))
        rows.append((classical.perceptron(x, y).updates, bound.updates, bound.margin))
    return {
        "separable": (*separable, classical.perceptron(*separable)),
        "overlapping": (*overlapping, stopped),
        "rows": np.array(rows),
    }


def draw(plt: Any, found: dict[str, Any]) -> Any:
    """Two fits, and updates against the bound."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 3.7))
    for axes, name in ((left, "separable"), (middle, "overlapping")):
        x, y, fit = found[name]
        show_classes(axes, x, y)
        show_line(axes, fit.weight.numpy(), fit.bias.item(), -1, 1, colors=INK, linewidths=1.2)
        wrong = y * (x @ fit.weight.numpy() + fit.bias.item()) <= 0
        axes.scatter(*x[wrong].T, s=50, facecolor="none", edgecolor=RED)
        said = (
            f"done after {fit.updates} updates" if fit.converged else f"stopped at {fit.updates}, {wrong.sum()} wrong"
        )
        axes.set(title=f"{name}: {said}", aspect="equal")
    updates, bound, _ = found["rows"].T
    right.loglog(bound, updates, "o", ms=4, color=BLUE, label="one data set each")
    ends = np.array([bound.min() / 1.5, bound.max() * 1.5])
    right.loglog(ends, ends, color=INK, lw=1, label="M = R²/d²")
    right.fill_between(ends, ends, ends.max(), color=GREY, alpha=0.15, lw=0, label="excluded by theorem 2.1")
    right.set(title="updates M against their bound", xlabel="R²/d²", ylabel="M", xlim=ends, ylim=(1, ends[1]))
    right.legend(fontsize=8, loc="upper left")
    return figure


if __name__ == "__main__":
    main("perceptron", numbers, draw)
