"""The students of seed 000, section 5: success by hours of study and absences, linear but for a few; a polynomial of high
degree classifies the training students without error and new ones worse than the line.

The classes lie on the two sides of a line, but for noise. Logistic regression on all monomials up to degree k draws
algebraic curves of degree k. Definition 5.4 asks for the lowest degree that classifies a share r of the students.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from _common import BLUE, INK, ORANGE, RED, main, show_classes, show_regions

from pullback.models import classical

DEGREES = tuple(range(1, 10))


def students(n: int, seed: int) -> tuple[Any, Any]:
    """Hours a week in [0, 20] and absences in [0, 15], and who succeeded: 0.15 hours − 0.2 absences + noise > 0."""
    rng = np.random.default_rng(seed)
    x = np.stack([rng.uniform(0, 20, n), rng.uniform(0, 15, n)], 1)
    return x, (0.15 * x[:, 0] - 0.2 * x[:, 1] + rng.normal(scale=0.5, size=n) > 0).astype(int)


def monomials(x: Any, degree: int) -> Any:
    """All u^i v^j with 1 ≤ i + j ≤ degree of features brought to [−1, 1]."""
    u, v = (x / [10, 7.5] - 1).T
    return np.stack([u**i * v**j for i in range(degree + 1) for j in range(degree + 1 - i) if i + j], 1)


def numbers(n: int = 60) -> dict[str, Any]:
    """Training and validation accuracy by degree, the fits, and the lowest degree for each share r."""
    x, y = students(n, 1)
    new_x, new_y = students(2000, 7)
    found: dict[str, Any] = {"x": x, "y": y, "train": [], "valid": [], "fits": {}}
    for degree in DEGREES:
        with warnings.catch_warnings():  # of high degree the classes become separable
            warnings.simplefilter("ignore", classical.ConvergenceWarning)
            fit = classical.logistic_regression(monomials(x, degree), y, l2=1e-9, max_steps=200)
        found["fits"][degree] = fit
        for part, (a, b) in (("train", (x, y)), ("valid", (new_x, new_y))):
            found[part].append(classical.accuracy((score(fit, a, degree) > 0).astype(int), b))
    found["good"] = {
        r: next((d for d, share in zip(DEGREES, found["train"]) if share >= r), None) for r in (0.8, 0.9, 1.0)
    }
    return found


def score(fit: Any, x: Any, degree: int) -> Any:
    """The polynomial's value at each student."""
    return monomials(x, degree) @ fit.weight.numpy() + fit.bias.item()


def draw(plt: Any, found: dict[str, Any]) -> Any:
    """Line, curve of the highest degree, and the accuracies by degree."""
    figure, panels = plt.subplots(1, 3, figsize=(11, 3.6))
    hours, absences = np.linspace(0, 20, 300), np.linspace(0, 15, 300)
    grid = np.stack(np.meshgrid(hours, absences), -1).reshape(-1, 2)
    for axes, degree in zip(panels, (DEGREES[0], DEGREES[-1])):
        show_regions(axes, (hours, absences), score(found["fits"][degree], grid, degree), level=0.0)
        show_classes(axes, found["x"], found["y"])
        i = DEGREES.index(degree)
        shares = f"{100 * found['train'][i]:.0f} % of these, {100 * found['valid'][i]:.0f} % of new students"
        axes.set(title=f"degree {degree}: {shares}", xlabel="hours a week", ylabel="absences (orange: succeeded)")
    last = panels[2]
    last.plot(DEGREES, found["train"], "o-", color=BLUE, label="60 training students")
    last.plot(DEGREES, found["valid"], "o-", color=ORANGE, label="2000 new students")
    for r, degree in found["good"].items():
        if degree is not None:
            share = found["train"][DEGREES.index(degree)]
            last.annotate(f"order {r:g}", (degree, share), (6, -11), textcoords="offset points", fontsize=8, color=RED)
    last.set(title="share classified correctly", xlabel="degree of the boundary", ylim=(0.7, 1.04))
    last.legend(fontsize=8, loc="center right")
    last.axhline(1, color=INK, lw=0.5)
    return figure


if __name__ == "__main__":
    main("students", numbers, draw)
