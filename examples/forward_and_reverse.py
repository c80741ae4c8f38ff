"""Forward against reverse mode (seed 003, the complexity of gradient computation): a Jacobian costs as many forward passes as
there are inputs, or as many backward passes as there are outputs.

Kernel launches are counted and time is measured, for seed 003's ℓ(θ₁, θ₂) = θ₂e^θ₁ √(θ₁ + θ₂e^θ₁) and for a network that is
1024 neurons wide, ℝⁿ → ℝᵐ, with n and then m growing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from _common import BLUE, INK, ORANGE, main
from _cost import launches, milliseconds

import pullback
from pullback import nn
from pullback.func import jacfwd, jacrev

MODES = {"forward": jacfwd, "reverse": jacrev}
SIZES = (1, 2, 4, 8, 16, 32, 64)


def example(theta1: Any, theta2: Any) -> Any:
    """ℓ(θ₁, θ₂)"""
    product = theta2 * theta1.exp()
    return product * (theta1 + product).sqrt()


def network(inputs: int, outputs: int, width: int) -> tuple[Callable[[Any], Any], Any]:
    """A map ℝⁿ → ℝᵐ through one wide layer, and a point."""
    pullback.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(inputs, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, outputs)
    )
    return model.requires_grad_(False), pullback.randn(inputs)


def cost(function: Callable[..., Any], *args: Any, seconds: float, argnums: Any = 0) -> dict[str, tuple[int, float]]:
    """(launches, milliseconds) of the Jacobian by each mode, and of the value."""
    runs = {name: lambda mode=mode: mode(function, argnums)(*args) for name, mode in MODES.items()}
    runs["value"] = lambda: function(*args)
    return {name: (launches(run), milliseconds(run, seconds)) for name, run in runs.items()}


def numbers(sizes: Sequence[int] = SIZES, width: int = 1024, seconds: float = 0.05) -> dict[str, Any]:
    """The costs; and the Jacobians' difference, which is rounding."""
    theta = pullback.tensor(0.5, dtype=pullback.float64), pullback.tensor(2.0, dtype=pullback.float64)
    function, x = network(6, 5, width)
    difference = (jacfwd(function)(x) - jacrev(function)(x)).abs().max().item()
    return {
        "sizes": list(sizes),
        "example": cost(example, *theta, seconds=seconds, argnums=(0, 1)),
        "gradient": [g.item() for g in jacrev(example, argnums=(0, 1))(*theta)],
        "inputs": [cost(*network(n, 4, width), seconds=seconds) for n in sizes],
        "outputs": [cost(*network(4, m, width), seconds=seconds) for m in sizes],
        "difference": difference,
    }


def draw(plt: Any, found: dict[str, Any]) -> Any:
    """Launches above, time below: ℓ, then growing inputs, then growing outputs."""
    figure, grid = plt.subplots(2, 3, figsize=(11, 6), width_ratios=[0.7, 1, 1])
    colours = {"forward": BLUE, "reverse": ORANGE, "value": INK}
    for row, (axes, what) in enumerate(zip(grid, ("kernel launches", "milliseconds, one thread"))):
        names = list(colours)
        heights = [found["example"][name][row] for name in names]
        bars = axes[0].bar(names, heights, color=list(colours.values()))
        axes[0].bar_label(bars, [f"{h:.3g}" for h in heights], fontsize=8)
        axes[0].set(title="ℓ: 2 inputs, 1 output" if row == 0 else None, ylabel=what)
        axes[0].grid(False)
        for place, kind, fixed in ((axes[1], "inputs", "4 outputs"), (axes[2], "outputs", "4 inputs")):
            for name, colour in colours.items():
                curve = [point[name][row] for point in found[kind]]
                place.loglog(found["sizes"], curve, "o-", ms=3, color=colour, label=name)
            place.set_xscale("log", base=2)
            place.set(title=f"a wide network, {fixed}" if row == 0 else None, xlabel=kind)
    grid[0, 1].legend(fontsize=8)
    return figure


if __name__ == "__main__":
    main("forward_and_reverse", numbers, draw)
