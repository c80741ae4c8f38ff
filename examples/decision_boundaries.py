"""The decision boundary of a deep network while it learns two spirals.

Seed 000, section 4: Ŷ = softmax(Z_d), the predicted class is the largest; the boundary is where the two are equal.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from _common import BLUE, ORANGE, main, plane, show_classes, show_regions
from relu_at_zero import spirals

import pullback
from pullback import nn
from pullback.models import classical

SNAPSHOTS = (0, 20, 60, 150, 400)


def numbers(snapshots: tuple[int, ...] = SNAPSHOTS, side: int = 120) -> dict[str, Any]:
    """Losses; at each snapshot the probability of class 1 on a grid of [−3, 3]², and the accuracy."""
    pullback.manual_seed(0)
    x, y = spirals()
    kaiming = lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu")  # noqa: E731
    network = classical.DeepNetwork([2, 32, 32, 2], kaiming, dtype=pullback.float64)
    optimizer = pullback.optim.Adam(network.parameters(), lr=0.01)
    grid, axis = plane(-3, 3, side)
    losses: list[float] = []
    maps, accuracies = [], []
    for before, now in zip((0, *snapshots), snapshots):
        losses = [*losses[:-1], *network.fit(x, y, now - before, optimizer=optimizer)]
        with pullback.no_grad():
            maps.append(network(pullback.tensor(grid))[:, 1].numpy().copy())
        accuracies.append(classical.accuracy(network.predict(x), y))
    return {"x": x.numpy(), "y": y.numpy(), "axis": axis, "maps": maps, "accuracies": accuracies, "losses": losses}


def draw(plt: Any, found: dict[str, Any]) -> Any:
    """A panel for each snapshot, and the loss."""
    figure, panels = plt.subplots(2, 3, figsize=(9, 6))
    steps = len(found["losses"]) - 1
    for axes, step, one, share in zip(panels.flat, SNAPSHOTS, found["maps"], found["accuracies"]):
        show_regions(axes, found["axis"], one)
        show_classes(axes, found["x"], found["y"])
        axes.set(title=f"after {step} steps: {100 * share:.0f} % right", aspect="equal")
    last = panels.flat[5]
    last.semilogy(found["losses"], color=BLUE)
    marks = np.array([s for s in SNAPSHOTS if s <= steps])
    last.plot(marks, np.array(found["losses"])[marks], "o", color=ORANGE, ms=5)
    last.set(title="loss", xlabel="step")
    return figure


if __name__ == "__main__":
    main("decision_boundaries", numbers, draw)
