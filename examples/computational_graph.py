"""The computational graph of an expression, as the tape holds it: seed 003's ℓ(θ₁, θ₂) = θ₂e^θ₁ √(θ₁ + θ₂e^θ₁), and a loss.

For ℓ, ∂θ_r/∂θ₁ goes forward along the order of the nodes, and ∂ℓ/∂θ_r backward: at θ₁ itself, and at ℓ, they meet.
"""

from __future__ import annotations

import math
from typing import Any

from _common import BLUE, ORANGE, main

import pullback
from pullback import nn
from pullback.autograd.graph import graph_steps, graph_text, plot_graph

RULES = {  # g_r of its parents, and its derivatives with respect to each
    "exp": (math.exp, lambda y, x: [y]),
    "mul": (lambda a, b: a * b, lambda y, a, b: [b, a]),
    "add": (lambda a, b: a + b, lambda y, a, b: [1, 1]),
    "sqrt": (math.sqrt, lambda y, x: [0.5 / y]),
}


def example(theta1: float = 0.5, theta2: float = 2.0) -> tuple[Any, dict[str, Any]]:
    """ℓ on the tape, and its leaves."""
    leaves = {
        name: pullback.tensor(value, dtype=pullback.float64, requires_grad=True)
        for name, value in (("θ₁", theta1), ("θ₂", theta2))
    }
    product = leaves["θ₂"] * leaves["θ₁"].exp()
    return product * (leaves["θ₁"] + product).sqrt(), leaves


def walk(result: Any, names: dict[str, Any]) -> tuple[list[float], list[float], list[float]]:
    """Of each node, by hand: its value and ∂θ_r/∂θ₁, going forward, and ∂ℓ/∂θ_r, going backward."""
    steps = graph_steps(result, names)
    value, forward = [0.0] * len(steps), [0.0] * len(steps)
    for r, step in enumerate(steps):
        if step.is_leaf:
            value[r], forward[r] = names[step.name].item(), float(step.name == "θ₁")
            continue
        g, slopes = RULES[step.name]
        value[r] = g(*[value[p] for p in step.parents])
        forward[r] = sum(
            slope * forward[p]
            for p, slope in zip(step.parents, slopes(value[r], *[value[p] for p in step.parents]), strict=True)
        )
    backward = [0.0] * (len(steps) - 1) + [1.0]
    for r in reversed(range(len(steps))):
        step = steps[r]
        if step.is_leaf:
            continue
        for p, slope in zip(
            step.parents, RULES[step.name][1](value[r], *[value[q] for q in step.parents]), strict=True
        ):
            backward[p] += slope * backward[r]
    return value, forward, backward


def numbers() -> dict[str, Any]:
    """ℓ's graph and derivatives, by hand and by the tape, and a network's loss."""
    result, leaves = example()
    value, forward, backward = walk(result, leaves)
    pullback.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    loss = ((model(pullback.randn(16, 2)) - 1) ** 2).mean() + 1e-3 * (model[0].weight ** 2).sum()
    return {
        "example": (result, leaves),
        "text": graph_text(result, leaves),
        "walk": (value, forward, backward),
        "tape": [g.item() for g in pullback.autograd.grad(result, list(leaves.values()), retain_graph=True)],
        "network": (loss, model),
    }


def draw(plt: Any, found: dict[str, Any]) -> Any:
    """Both graphs, and ℓ's derivatives node by node."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 5.6), width_ratios=[1, 1.1, 1.7])
    plot_graph(left, *found["example"])
    left.set_title(r"$\ell(\theta_1, \theta_2) = \theta_2 e^{\theta_1}\sqrt{\theta_1 + \theta_2 e^{\theta_1}}$")
    _, forward, backward = found["walk"]
    lines = found["text"].splitlines()
    at = list(range(len(lines)))[::-1]
    middle.barh([r + 0.2 for r in at], forward, 0.38, color=BLUE, label=r"forward: $\partial\theta_r/\partial\theta_1$")
    middle.barh([r - 0.2 for r in at], backward, 0.38, color=ORANGE, label=r"backward: $\partial\ell/\partial\theta_r$")
    middle.set_yticks(at, lines)
    middle.set_title("at θ = (0.5, 2)")
    middle.legend(fontsize=8)
    plot_graph(right, *found["network"])
    right.set_title("the loss of a network with a penalty on its first weights")
    return figure


if __name__ == "__main__":
    main("computational_graph", numbers, draw)
