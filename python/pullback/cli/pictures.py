"""The pictures of a training run: curves of loss and accuracy, and digits that were taken for another."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pullback.io._files import atomic_path

INK, TRAIN, VALID = "#333333", "#2a6f97", "#e07a1f"


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def _save(figure: Any, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")
    _pyplot().close(figure)


def draw_curves(history: Sequence[dict[str, float]], best_epoch: int, path: str | os.PathLike[str]) -> None:
    """Loss and accuracy by epoch, the kept one marked."""
    plt = _pyplot()
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    epochs = [row["epoch"] for row in history]
    for axes, name, unit in ((left, "loss", "loss (nats)"), (right, "accuracy", "accuracy (%)")):
        factor = 100 if name == "accuracy" else 1
        for part, colour, label in (("train", TRAIN, "train (distorted, labels smoothed)"), ("valid", VALID, "valid")):
            axes.plot(epochs, [factor * row[f"{part}_{name}"] for row in history], color=colour, label=label)
        axes.axvline(best_epoch, color=INK, lw=0.8, ls=":", label="kept")
        axes.set_xlabel("epoch")
        axes.set_ylabel(unit)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    left.set_yscale("log")
    right.legend(frameon=False, loc="lower right")
    _save(figure, Path(path))


def draw_wrong(
    images: Any, labels: Any, predicted: Any, names: Sequence[str], path: str | os.PathLike[str], most: int = 24
) -> None:
    """A grid of test images [N, H, W] whose prediction is wrong: what it is, and what it was taken for."""
    plt = _pyplot()
    wrong = np.flatnonzero(labels != predicted)
    shown = wrong[:most]
    columns = min(8, max(1, len(shown)))
    rows = max(1, -(-len(shown) // columns))
    figure, grid = plt.subplots(
        rows, columns, figsize=(1.25 * max(columns, 4), 1.5 * rows + 0.5), squeeze=False, layout="constrained"
    )
    for axes in grid.flat:
        axes.axis("off")
    for axes, i in zip(grid.flat, shown):
        axes.imshow(images[i], cmap="gray_r", interpolation="nearest")
        axes.set_title(f"{names[labels[i]]} → {names[predicted[i]]}", fontsize=9, color=INK)
    count = (
        f"{len(shown)} of the {len(wrong)} test errors" if len(shown) < len(wrong) else f"all {len(wrong)} test errors"
    )
    figure.suptitle(f"{count}, of {len(labels)} images (label → prediction)", fontsize=10, color=INK)
    _save(figure, Path(path))
