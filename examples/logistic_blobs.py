"""Logistic regression on two overlapping clouds: the probability, the losses of the text's descent, the ROC curve.

Seed 000, section 3: the perceptron would never end here, the logistic loss has a minimum, and descent approaches it from
above. Newton's method finds the same minimum in a few steps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from _common import BLUE, GREY, INK, ORANGE, RED, main, plane, show_classes

import pullback
from pullback.models import classical


def blobs(n: int = 300, seed: int = 0) -> tuple[Any, Any]:
    """Two normal clouds with means ±(1, 0.7), the second wider; labels 0 and 1."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    return rng.normal(size=(n, 2)) * (1 + 0.4 * y[:, None]) + (2 * y[:, None] - 1) * [1.0, 0.7], y


def numbers(epochs: int = 300) -> dict[str, Any]:
    """The split, both fits on the training part, and accuracy, confusion and ROC on the other."""
    x, y = blobs()
    train, test = classical.stratified_indices(y, [0.7, 0.3], pullback.Generator().manual_seed(0))
    newton = classical.logistic_regression(x[train], y[train])
    generator = pullback.Generator().manual_seed(0)
    descent = classical.logistic_descent(x[train], y[train], lr=0.5, epochs=epochs, generator=generator)
    scores = x[test] @ newton.weight.numpy() + newton.bias.item()
    predicted = (scores > 0).astype(int)
    return {
        "train": (x[train], y[train]),
        "newton": newton,
        "descent": descent,
        "accuracy": classical.accuracy(predicted, y[test]),
        "confusion": classical.confusion_matrix(predicted, y[test]).numpy(),
        "roc": classical.roc_curve(scores, y[test]),
    }


def draw(plt: Any, found: dict[str, Any]) -> Any:
    """The plane coloured by probability, the losses, the ROC curve."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 3.5))
    newton, roc = found["newton"], found["roc"]
    grid, axis = plane(-5, 5)
    z = (grid @ newton.weight.numpy() + newton.bias.item()).reshape(len(axis), -1)
    levels = left.contour(
        axis, axis, 1 / (1 + np.exp(-z)), levels=[0.1, 0.5, 0.9], colors=INK, linewidths=[0.6, 1.2, 0.6]
    )
    left.clabel(levels, fontsize=8)
    show_classes(left, *found["train"])
    left.set(title="P(label = 1), and the training part")
    middle.semilogy(np.array(found["descent"].losses) - newton.losses[-1], color=BLUE, label="descent, α = 0.5")
    middle.semilogy(
        np.maximum(np.array(newton.losses) - newton.losses[-1], 1e-16), "o-", ms=3, color=ORANGE, label="Newton"
    )
    middle.set(title=f"loss above its minimum {newton.losses[-1]:.4f}", xlabel="step", ylim=(1e-12, 3))
    middle.legend(fontsize=8)
    right.step(roc.false_positive_rate.numpy(), roc.true_positive_rate.numpy(), where="post", color=RED)
    right.plot([0, 1], [0, 1], ":", color=GREY)
    title = f"test part: ROC area {roc.area:.3f}, accuracy {100 * found['accuracy']:.1f} %"
    right.set(title=title, xlabel="false positive rate", ylabel="true positive rate", aspect="equal")
    return figure


if __name__ == "__main__":
    main("logistic_blobs", numbers, draw)
