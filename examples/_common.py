"""What the examples share: the command line, the look of a picture, where it goes."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

INK, BLUE, ORANGE, GREEN, RED, GREY = "#333333", "#2a6f97", "#e07a1f", "#3a7d44", "#b5322b", "#999999"


def main(name: str, numbers: Callable[[], Any], draw: Callable[[Any, Any], Any]) -> None:
    """Compute, draw, save as NAME.png in the folder that --out names (examples/out unless given), print the path."""
    parser = argparse.ArgumentParser(prog=f"examples/{name}.py")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "out", metavar="DIR")
    out = parser.parse_args().out
    plt = pyplot()
    figure = draw(plt, numbers())
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / f"{name}.png", dpi=100)
    shrink(out / f"{name}.png")
    print(out / f"{name}.png")


def shrink(path: Path) -> None:
    """Write a picture with 200 colours, which takes half of the bytes; matplotlib brings the library."""
    from PIL import Image

    with Image.open(path) as image:
        reduced = image.convert("RGB").quantize(200)
    reduced.save(path, optimize=True)


def pyplot() -> Any:
    """matplotlib.pyplot for files, with the pictures' look."""
    try:
        import matplotlib
    except ImportError as error:
        raise SystemExit('the examples draw with matplotlib: pip install "pullback[cli]"') from error
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update(
        {
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.alpha": 0.25,
            "axes.titlesize": 10,
            "axes.labelsize": 9,
            "font.size": 9,
            "legend.frameon": False,
            "figure.constrained_layout.use": True,
        }
    )
    return plt


def plane(low: float, high: float, n: int = 120) -> tuple[Any, Any]:
    """The n² points of a square as [n², 2], and its axis [n]."""
    axis = np.linspace(low, high, n)
    return np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2), axis


def show_classes(axes: Any, x: Any, y: Any, **options: Any) -> None:
    """The points of class 0 blue, those of class 1 orange."""
    axes.scatter(*x[y <= 0].T, s=12, color=BLUE, lw=0, **options)
    axes.scatter(*x[y > 0].T, s=12, color=ORANGE, lw=0, **options)


def show_regions(axes: Any, axis: Any, value: Any, level: float = 0.5) -> None:
    """Where value [n²] is below and above the level, and the line between; `axis` [n] serves both ways, or is a pair."""
    across, up = axis if isinstance(axis, tuple) else (axis, axis)
    square = np.asarray(value).reshape(len(up), len(across))
    low, high = min(square.min(), level - 1e-9) - 1, max(square.max(), level + 1e-9) + 1
    axes.contourf(across, up, square, levels=[low, level, high], colors=[BLUE, ORANGE], alpha=0.15)
    if square.min() < level < square.max():
        axes.contour(across, up, square, levels=[level], colors=[INK], linewidths=1)
    axes.grid(False)


def show_line(axes: Any, w: Any, b: float, low: float, high: float, **options: Any) -> None:
    """The line ⟨w, x⟩ + b = 0 in the square [low, high]²."""
    grid, axis = plane(low, high, 60)
    axes.contour(axis, axis, (grid @ np.asarray(w) + b).reshape(60, 60), levels=[0], **options)
