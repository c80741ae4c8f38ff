"""A network that overfits a noisy curve, and each cure of seed 000, section 5, and seed 004, section 5, in one table.

Sixteen points of sin(1.5x) with noise and a network of two hidden layers of 64: it passes near the points and misses the
curve. Twelve more points, the validation part, choose each cure's strength: when to stop, the λ of an L₁ or L₂ penalty,
the rate of dropout, the width of the network. Errors are measured on the points and against the curve without noise, and
are means over several draws of the points.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from _common import BLUE, GREY, INK, ORANGE, main

import pullback
from pullback import nn
from pullback.nn import functional as F
from pullback.nn.utils import lp_penalty
from pullback.optim import EarlyStopping

CURES = {  # name: the option of `train`, and its strengths to choose from
    "none": ("width", (64,)),
    "stop early": ("stop", (True,)),
    "L₁ penalty": ("l1", (1e-3, 1e-2)),
    "L₂ penalty": ("l2", (3e-3, 1e-2)),
    "dropout": ("dropout", (0.1, 0.2, 0.4)),
    "fewer neurons": ("width", (2, 3)),
    "more data": ("repeats", (10,)),
}
GRID = np.linspace(-2, 2, 200)


def curve(x: Any) -> Any:
    """What is to be learned."""
    return np.sin(1.5 * x)


def data(n: int, seed: int) -> tuple[Any, Any]:
    """n points spread over [−2, 2] with noise of deviation 0.35, as columns."""
    rng = np.random.default_rng(seed)
    x = np.linspace(-2, 2, n) + rng.uniform(-1.5, 1.5, n) / n
    columns = np.stack([x, curve(x) + 0.35 * rng.normal(size=n)], 1).astype(np.float32)
    return pullback.tensor(columns[:, :1]), pullback.tensor(columns[:, 1:])


def rms(model: Any, x: Any, y: Any) -> float:
    """The root of the mean squared error, dropout off."""
    model.eval()
    with pullback.no_grad():
        error = F.mse_loss(model(x), y).item() ** 0.5
    model.train()
    return error


def train(
    seed: int,
    steps: int,
    width: int = 64,
    stop: bool = False,
    l1: float = 0,
    l2: float = 0,
    dropout: float = 0,
    repeats: int = 1,
) -> dict[str, Any]:
    """Errors on the training points, the validation points and the curve, and the fitted values on GRID.

    `seed` draws the points, the options are the cures: `repeats` times as many points, and so on.
    """
    pullback.manual_seed(0)
    sizes, layers = [1, width, width], []
    for n, m in zip(sizes, sizes[1:]):
        layers += [nn.Linear(n, m), nn.Tanh(), nn.Dropout(dropout)]
    model = nn.Sequential(*layers, nn.Linear(width, 1))
    nn.init.uniform_(model[0].weight, -6, 6)  # bends of the size of the gaps between points: room to overfit
    x, y = data(16 * repeats, seed)
    valid, dense = data(12, seed + 100), pullback.tensor(GRID[:, None], dtype=pullback.float32)
    optimizer = pullback.optim.Adam(model.parameters(), lr=5e-3)
    stopping = EarlyStopping(model, patience=steps)
    weights = [layer.weight for layer in model if isinstance(layer, nn.Linear)]

    @pullback.capture
    def update() -> None:
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), y)
        for p, weight in ((1, l1), (2, l2)):
            if weight:
                loss = loss + lp_penalty(weights, p, weight)
        loss.backward()
        optimizer.step()

    for step in range(steps):
        if stop and step % 20 == 0:
            stopping.step(rms(model, *valid))
        update()
    if stop:
        stopping.restore()
    model.eval()
    with pullback.no_grad():
        values = model(dense).squeeze(1).numpy().copy()
    error = float(np.sqrt(np.mean((values - curve(GRID)) ** 2)))
    return {
        "train": rms(model, x, y),
        "valid": rms(model, *valid),
        "curve": error,
        "values": values,
    }


def chosen(option: str, strengths: tuple[Any, ...], seed: int, steps: int) -> dict[str, Any]:
    """The run whose strength the validation points choose."""
    runs = [{"strength": s, **train(seed, steps, **{option: s})} for s in strengths]
    return min(runs, key=lambda run: run["valid"])


def numbers(draws: int = 5, steps: int = 1500) -> dict[str, Any]:
    """For each cure the chosen run for the first draw of the points, and the mean errors over all draws."""
    found = {}
    for name, (option, strengths) in CURES.items():
        runs = [chosen(option, strengths, seed, steps) for seed in range(draws)]
        means = {key: float(np.mean([run[key] for run in runs])) for key in ("train", "valid", "curve")}
        found[name] = {"values": runs[0]["values"], **means}
    return found


def draw(plt: Any, found: dict[str, Any]) -> Any:
    """Each fit over the points, and the table."""
    figure = plt.figure(figsize=(11, 5.8))
    points, many = data(16, 0), data(160, 0)
    for i, (name, run) in enumerate(found.items(), 1):
        axes = figure.add_subplot(2, 4, i)
        axes.plot(GRID, curve(GRID), color=GREY, lw=1)
        axes.plot(GRID, run["values"], color=ORANGE)
        axes.scatter(*(many if name == "more data" else points), s=8, color=BLUE, zorder=3)
        axes.set(title=name, ylim=(-2, 2))
    axes = figure.add_subplot(2, 4, 8)
    axes.axis("off")
    rows = [[n, f"{r['train']:.2f}", f"{r['valid']:.2f}", f"{r['curve']:.2f}"] for n, r in found.items()]
    table = axes.table(
        rows, colLabels=["cure", "train", "valid", "curve"], loc="center", colWidths=[0.45, 0.2, 0.2, 0.2]
    )
    table.auto_set_font_size(False)
    table.set_fontsize(8)
    table.scale(1.1, 1.5)
    axes.set_title("rms errors, mean of 5 draws", color=INK)
    return figure


if __name__ == "__main__":
    main("overfitting", numbers, draw)
