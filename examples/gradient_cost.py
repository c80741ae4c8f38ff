"""A gradient costs a small multiple of its function, whatever the number of parameters (seed 003, the theorem of Linnainmaa).

Value and gradient of several models: time and kernel launches of both, and what forward differences would take, K(d + 1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from _common import BLUE, GREY, ORANGE, main
from _cost import launches, milliseconds
from forward_and_reverse import example

import pullback
from pullback import nn
from pullback.nn import functional as F

Case = tuple[Callable[[], Any], list[Any]]


def supervised(model: Any, loss: Callable[..., Any], x: Any, y: Any) -> Case:
    """A model's loss on a batch, and its parameters."""
    return (lambda: loss(model(x), y)), list(model.parameters())


def mlp(*sizes: int, activation: Callable[[], Any] = nn.ReLU) -> Any:
    """Linear maps with an activation between them."""
    layers = [layer for a, b in zip(sizes, sizes[1:]) for layer in (nn.Linear(a, b), activation())]
    return nn.Sequential(*layers[:-1])


def cases() -> dict[str, Case]:
    """Models by name: the loss as a function without arguments, and the parameters."""
    pullback.manual_seed(0)
    theta = [pullback.tensor(v, requires_grad=True) for v in (0.5, 2.0)]
    x, labels = pullback.randn(256, 64), pullback.randint(0, 10, (256,))
    targets, points = pullback.randn(256, 1), pullback.rand(256, 1)
    valley = pullback.randn(10_000).requires_grad_()
    return {
        "seed 003's ℓ": (lambda: example(*theta), theta),
        "Rosenbrock": (
            lambda: ((1 - valley[:-1]) ** 2 + 100 * (valley[1:] - valley[:-1] ** 2) ** 2).sum(),
            [valley],
        ),
        "least squares": supervised(nn.Linear(64, 1), F.mse_loss, x, targets),
        "logistic regression": supervised(nn.Linear(64, 10), F.cross_entropy, x, labels),
        "two layers, 100 neurons": supervised(mlp(1, 100, 1, activation=nn.Tanh), F.mse_loss, points, targets),
        "dense 64-128-64-10": supervised(mlp(64, 128, 64, 10), F.cross_entropy, x, labels),
        "wide 64-2048-10": supervised(mlp(64, 2048, 10), F.cross_entropy, x, labels),
        "deep, 30 layers of 64": supervised(mlp(*[64] * 30, 10), F.cross_entropy, x, labels),
    }


def numbers(seconds: float = 0.1) -> dict[str, dict[str, Any]]:
    """For each model: its parameters, the launches and milliseconds of value and gradient, and their ratios."""
    rows = {}
    for name, (loss, params) in cases().items():

        def value(loss: Callable[[], Any] = loss) -> Any:
            with pullback.no_grad():
                return loss()

        def gradient(loss: Callable[[], Any] = loss, params: list[Any] = params) -> Any:
            return pullback.autograd.grad(loss(), params)

        cost = [(launches(run), milliseconds(run, seconds)) for run in (value, gradient)]
        rows[name] = {
            "parameters": sum(p.numel() for p in params),
            "launches": [c[0] for c in cost],
            "milliseconds": [c[1] for c in cost],
            "ratio of launches": cost[1][0] / cost[0][0],
            "ratio of times": cost[1][1] / cost[0][1],
        }
    return rows


def draw(plt: Any, rows: dict[str, dict[str, Any]]) -> Any:
    """The ratios, and the figures behind them with what differences would cost."""
    figure, (bars, table) = plt.subplots(1, 2, figsize=(12, 4), width_ratios=[1, 1.35])
    at = list(range(len(rows)))[::-1]
    for shift, key, colour in ((0.2, "ratio of times", ORANGE), (-0.2, "ratio of launches", BLUE)):
        drawn = bars.barh([y + shift for y in at], [row[key] for row in rows.values()], 0.38, color=colour, label=key)
        bars.bar_label(drawn, fmt="%.1f", fontsize=7, padding=2)
    bars.axvline(1, color=GREY, lw=0.8)
    bars.set_yticks(at, list(rows))
    bars.set(title="value and gradient, over value alone", xlabel="ratio")
    bars.legend(fontsize=8)
    bars.grid(False)
    head = ["d", "value ms", "gradient ms", "differences ms"]
    body = [
        [
            f"{row['parameters']:,}",
            *map(_figure, row["milliseconds"]),
            _figure(row["milliseconds"][0] * (row["parameters"] + 1)),
        ]
        for row in rows.values()
    ]
    table.axis("off")
    table.table(cellText=body, colLabels=head, rowLabels=list(rows), loc="center").scale(1, 1.3)
    table.set_title("on one thread of a CPU; differences: value × (d + 1)")
    return figure


def _figure(ms: float) -> str:
    return f"{ms:,.0f}" if ms >= 100 else f"{ms:.3g}"


if __name__ == "__main__":
    main("gradient_cost", numbers, draw)
