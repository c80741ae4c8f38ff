"""Zero weights cannot learn; standard normal ones, Xavier's and Kaiming's, on the digits with six hidden layers.

Seed 000's remark in section 4: from W = 0 every H_i is 0 and every ∇L(H_i) too, so only the last bias moves and the network
ends with the frequencies of the classes. The other way round, normal weights of variance 1 make values and gradients grow
with each layer. Xavier's variance 2/(n_in + n_out) halves the squares at each ReLU, Kaiming's 2/n_in keeps them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from _common import BLUE, GREY, INK, ORANGE, RED, main

import pullback
from pullback import nn
from pullback.datasets import load_digits
from pullback.models import classical

WIDTHS = [64, *[48] * 6, 10]
WAYS = {
    "zeros": (nn.init.zeros_, GREY),
    "normal": (nn.init.normal_, RED),
    "Xavier": (nn.init.xavier_normal_, BLUE),
    "Kaiming": (lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu"), ORANGE),
}


def data(n: int) -> tuple[Any, Any]:
    """The first n digits, as float32 [n, 64] with mean 0 and variance 1, and their labels."""
    images, labels = load_digits()
    x = images[:n].reshape(n, 64).astype(np.float32)
    return pullback.from_numpy((x - x.mean()) / x.std()), pullback.tensor(labels[:n].astype(np.int64))


def run(initialize: Any, x: Any, y: Any, steps: int) -> dict[str, Any]:
    """Sizes of values and gradients by layer at the start, then the losses, and the accuracy on x, of full-batch descent."""
    pullback.manual_seed(0)
    network = classical.DeepNetwork(WIDTHS, initialize)
    with pullback.no_grad():
        values = [H.square().mean().sqrt().item() for H in network.states(x)[1][1:-1]]
    gradients = [g.norm().item() for g in network.gradients(x, y)[0]]
    try:
        losses = network.fit(x, y, steps, lr=0.1)
    except classical.DivergenceError as error:
        losses = [math.nan, error.loss]
    accuracy = classical.accuracy(network.predict(x), y)
    return {"values": values, "gradients": gradients, "losses": losses, "accuracy": accuracy, "network": network}


def numbers(n: int = 600, steps: int = 250) -> dict[str, Any]:
    """One run for each way, and the loss of the classes' frequencies."""
    x, y = data(n)
    shares = np.bincount(y.numpy(), minlength=10) / n
    return {
        "runs": {name: run(way, x, y, steps) for name, (way, _) in WAYS.items()},
        "entropy": float(-(shares * np.log(shares)).sum()),
        "largest share": float(shares.max()),
    }


def draw(plt: Any, found: dict[str, Any]) -> Any:
    """Losses, values by layer, gradients by layer."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 3.6))
    for name, one in found["runs"].items():
        colour = WAYS[name][1]
        said = "diverged" if math.isnan(one["losses"][0]) else f"{100 * one['accuracy']:.0f} % right"
        left.semilogy(one["losses"], color=colour, label=f"{name}: {said}")
        for axes, key in ((middle, "values"), (right, "gradients")):
            sizes = np.array(one[key])
            if sizes.any():
                axes.semilogy(range(1, len(sizes) + 1), sizes, "o-", ms=4, color=colour, label=name)
            else:
                axes.plot([], [], color=colour, label=f"{name}: 0")
    left.axhline(found["entropy"], color=INK, ls=":", lw=1, label="entropy of the classes")
    left.set(title="loss", xlabel="step", ylim=(1e-3, 30))
    middle.set(title="root mean square of H_i, at the start", xlabel="layer i")
    right.set(title="‖∇L(W_i)‖, at the start", xlabel="layer i")
    for axes in (left, middle, right):
        axes.legend(fontsize=8)
    return figure


if __name__ == "__main__":
    main("initialization", numbers, draw)
