"""ReLU'(0) = 0 (seed 001 and every framework) against ReLU'(0) = 1 (seed 000, proposition 5.2).

From random weights the choice is never asked for: no Z is exactly 0, and both trainings are equal to the bit. From a first
layer of zeros every Z₁ is 0 and it decides everything: with 0 the layer has gradient 0 forever, with 1 it learns.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from _common import BLUE, GREY, ORANGE, main

import pullback
from pullback import nn
from pullback.models import classical


def spirals(n: int = 300, seed: int = 0) -> tuple[Any, Any]:
    """Two arms, float64 [n, 2], labels 0 and 1."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    t = np.sqrt(rng.uniform(0.05, 1, n)) * 2.2
    angle = 3.2 * t + np.pi * y
    x = t[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1) + rng.normal(scale=0.08, size=(n, 2))
    return pullback.tensor(x), pullback.tensor(y)


def run(at_zero: float, zero_first: bool, steps: int) -> dict[str, Any]:
    """Losses, the number of Z that were exactly 0 in all steps, and what became of W₁."""
    pullback.manual_seed(1)
    x, y = spirals()
    kaiming = lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu")  # noqa: E731
    network = classical.DeepNetwork([2, 32, 32, 2], kaiming, at_zero, dtype=pullback.float64)
    if zero_first:
        with pullback.no_grad():
            network.W[0].zero_()
    optimizer = pullback.optim.SGD(network.parameters(), lr=0.3, momentum=0.9)
    zeros = 0

    def loss() -> Any:
        nonlocal zeros
        with pullback.no_grad():
            zeros += sum(int((Z == 0).sum().item()) for Z in network.states(x)[0][1:-1])
        return network.loss(x, y)

    losses = classical.descend(loss, optimizer, steps)
    accuracy = classical.accuracy(network.predict(x), y)
    return {"losses": losses, "zeros": zeros, "accuracy": accuracy, "W1": network.W[0].detach().numpy().copy()}


def numbers(steps: int = 300) -> dict[str, Any]:
    """Random and zero first layers, r'(0) of 0 and 1."""
    return {start: {at: run(at, start == "W₁ = 0", steps) for at in (0.0, 1.0)} for start in ("W₁ random", "W₁ = 0")}


def draw(plt: Any, found: dict[str, Any]) -> Any:
    """The losses for both starts."""
    figure, panels = plt.subplots(1, 2, figsize=(9, 3.5), sharey=True)
    steps = max(len(one["losses"]) for runs in found.values() for one in runs.values()) - 1
    for axes, (start, runs) in zip(panels, found.items()):
        for (at, one), colour, width in zip(runs.items(), (BLUE, ORANGE), (3.5, 1.2)):
            label = f"r'(0) = {at:g}: {100 * one['accuracy']:.0f} % right; {one['zeros']} times Z = 0"
            losses = one["losses"] + one["losses"][-1:] * (steps + 1 - len(one["losses"]))  # it ends where ∇ = 0
            axes.semilogy(losses, color=colour, lw=width, label=label)
        axes.axhline(np.log(2), color=GREY, ls=":", lw=1, label="log 2")
        axes.set(title=start, xlabel="step", ylim=(1e-4, 8))
        axes.legend(fontsize=8, loc="upper right")
    panels[0].set_ylabel("loss")
    return figure


if __name__ == "__main__":
    main("relu_at_zero", numbers, draw)
