"""The two pictures of a result: rows against the roofline, and their ratios to PyTorch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import Ceiling, between
from benchmarks.table import BEST, DEFAULT, entry_of, size_text

INK, OURS, SLOWER, OTHER, GRID = "#333333", "#2a6f97", "#b3404a", "#e07a1f", "#cccccc"
MOST = 40  # rows in a picture


def pyplot() -> Any:
    """matplotlib without a screen."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def chosen(results: dict[str, Any]) -> list[dict[str, Any]]:
    """The dense rows; where a filter left none, the first of what there is."""
    dense = [r for r in results["rows"] if r["group"] == "dense"]
    return dense or results["rows"][:MOST]


def subtitle(results: dict[str, Any]) -> str:
    """Machine and versions, small print of both pictures."""
    machine, settings = results["machine"], results["settings"]
    versions = ", ".join(f"{k} {v}" for k, v in results["versions"].items())
    return (
        f"{machine['cpu']}, {machine['isa']}, {settings['threads']} threads · {versions}\n"
        f"{results['date'][:10]}, commit {results['commit'][:10]}{' with changes' if results['dirty'] else ''}"
    )


def draw(results: dict[str, Any], stem: Path) -> list[Path]:
    """Writes STEM-roofline.png and, where there is a ratio, STEM-ratios.png."""
    drawn = []
    for name, picture in (("roofline", roofline), ("ratios", ratios)):
        figure = picture(results)
        if figure is None:
            continue
        path = stem.with_name(f"{stem.name}-{name}.png")
        figure.savefig(path, dpi=150)
        pyplot().close(figure)
        drawn.append(path)
    return drawn


# --- roofline ---------------------------------------------------------------------------------------------------------


def roofline(results: dict[str, Any]) -> Any:
    """GFLOP/s over FLOPs a byte, log-log, under the ceilings of all threads and of one."""
    rows = [r for r in chosen(results) if r["flops"] > 0]
    if not rows:
        return None
    figure, axes = pyplot().subplots(figsize=(11, 7), layout="constrained")
    xs = [r["flops"] / (r["reads"] + r["writes"]) for r in rows]
    ys = [r["flops_per_s"] / 1e9 for r in rows]
    axes.set_xscale("log")
    axes.set_yscale("log")
    threads = str(results["settings"]["threads"])
    ceilings = results["ceilings"]
    peak = ceilings[threads]["peak_flops"] / 1e9
    low, high = min(xs) / 2.5, max(max(xs), 20) * 2.5
    axes.set_xlim(low, high)
    axes.set_ylim(min(ys) / 3, peak * 2)
    draw_ceilings(axes, ceilings, threads, low, high)
    axes.scatter(xs, ys, s=26, color=OURS, zorder=5)
    axes.set_xlabel("intensity (FLOPs a byte that has to move)")
    axes.set_ylabel("GFLOP/s")
    axes.grid(which="major", color=GRID, lw=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle("Each row under the ceilings measured in the same run", fontsize=12, color=INK)
    axes.set_title(subtitle(results), fontsize=8, color=INK)
    label_points(figure, axes, xs, ys, [r["name"] for r in rows])
    return figure


def draw_ceilings(axes: Any, ceilings: dict[str, Any], threads: str, low: float, high: float) -> None:
    """The peak of one thread and of all, and the bandwidth from memory and from the caches, each with its name."""
    for count in sorted({"1", threads}, key=int):
        peak = ceilings[count]["peak_flops"] / 1e9
        style = "-" if count == threads else ":"
        axes.plot([low, high], [peak, peak], color=INK, lw=1, ls=style)
        word = "thread" if count == "1" else "threads"
        # The lower line's name stands at the right: at the left bandwidths cross it.
        side, at, shift = ("left", low, 6) if count == threads else ("right", high, -6)
        axes.annotate(
            f"FMA peak, {count} {word}: {peak:.0f} GFLOP/s", (at, peak), (shift, 3), textcoords="offset points",
            ha=side, fontsize=8, color=INK, bbox={"fc": "white", "ec": "none", "pad": 0.6, "alpha": 0.85},
        )  # fmt: skip
    ceiling = Ceiling(ceilings[threads])
    top = ceiling.peak / 1e9
    sizes = [size for size, _ in ceiling.any]
    for size in (sizes[-1], 16 << 20, 1 << 20):
        if size not in sizes:
            continue
        width = between(ceiling.any, size) / 1e9
        end = top / width
        axes.plot([low, end], [low * width, top], color=OTHER, lw=1, zorder=1)
        axes.annotate(
            f"{size_text(str(size))}: {width:.0f} GB/s", (low * 1.1, low * 1.1 * width), (0, 3), textcoords="offset points",
            rotation=slope(axes), rotation_mode="anchor", fontsize=8, color=OTHER,
        )  # fmt: skip


def slope(axes: Any) -> float:
    """The angle on the page of a line y = c x, in degrees."""
    axes.figure.canvas.draw()
    a, b = axes.transData.transform([(1.0, 1.0), (10.0, 10.0)])
    return math.degrees(math.atan2(b[1] - a[1], b[0] - a[0]))


def label_points(figure: Any, axes: Any, xs: Sequence[float], ys: Sequence[float], names: Sequence[str]) -> None:
    """Names beside their points: the nearest place where a name, and the line to it, meet no other point, name or line."""
    from matplotlib.text import Text

    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    points = [tuple(p) for p in axes.transData.transform(list(zip(xs, ys)))]
    frame = axes.get_window_extent(renderer)
    boxes = [t.get_window_extent(renderer).padded(2) for t in axes.texts]
    lines: list[tuple[float, float]] = []
    for (px, py), x, y, name in sorted(zip(points, xs, ys, names), key=lambda p: -p[0][1]):
        text = axes.annotate(
            name, (x, y), (0, 0), textcoords="offset points", fontsize=8, color=INK, va="center", zorder=4,
            bbox={"fc": "white", "ec": "none", "pad": 0.6, "alpha": 0.85},
            arrowprops={"arrowstyle": "-", "color": "#888888", "lw": 0.7, "shrinkA": 0, "shrinkB": 2},
        )  # fmt: skip
        extent = Text.get_window_extent(text, renderer)
        w, h = extent.width, extent.height
        best_cost, best = math.inf, (10.0, 0.0)
        for dx, dy in places(w, h):
            box = type(extent).from_bounds(px + dx, py + dy - h / 2, w, h)
            line = between_points((px, py), (px + dx + w / 2, py + dy))
            inside = frame.x0 < box.x0 and box.x1 < frame.x1 and frame.y0 < box.y0 and box.y1 < frame.y1
            hits = sum(box.overlaps(other) for other in boxes)
            hits += sum(box.padded(7).contains(*p) for p in points) + sum(box.padded(2).contains(*p) for p in lines)
            hits += sum(other.contains(*p) for other in boxes for p in line if not box.contains(*p))
            hits += sum(math.dist(p, q) < 7 for q in points if q != (px, py) for p in line)
            cost = math.hypot(max(0.0, abs(dx + w / 2) - w / 2), dy) + 1e3 * hits + (0 if inside else 1e6)
            if cost < best_cost:
                best_cost, best = cost, (dx, dy)
        text.set_position([offset * 72 / figure.dpi for offset in best])
        boxes.append(type(extent).from_bounds(px + best[0], py + best[1] - h / 2, w, h).padded(2))
        lines += between_points((px, py), (px + best[0] + w / 2, py + best[1]))


def between_points(a: tuple[float, float], b: tuple[float, float]) -> list[tuple[float, float]]:
    """Points on the way from a to b, a left out."""
    return [(a[0] + (b[0] - a[0]) * k / 16, a[1] + (b[1] - a[1]) * k / 16) for k in range(1, 17)]


def places(w: float, h: float) -> list[tuple[float, float]]:
    """Offsets of a text's left middle from its point: right, left, above and below, then further away."""
    found = []
    for step in range(12):
        for dy in {0.75 * step * h, -0.75 * step * h}:
            for away in (10.0, 10.0 + 2 * h, 10.0 + 5 * h):
                found += [(away, dy), (-w - away, dy)]
            if step > 1:
                found += [(-w / 2, dy), (-w / 5, dy), (-4 * w / 5, dy)]
    return found


# --- ratios -----------------------------------------------------------------------------------------------------------


def ratios(results: dict[str, Any]) -> Any:
    """A bar a row: how many times as long PyTorch takes, in its best setting and as it comes."""
    rows = [r for r in chosen(results) if entry_of(r, BEST)]
    if not rows:
        return None
    rows = rows[::-1]
    figure, axes = pyplot().subplots(figsize=(10, 1.6 + 0.36 * len(rows)), layout="constrained")
    best = [entry_of(r, BEST)["ratio"] for r in rows]
    colours = [OURS if ratio >= 1 else SLOWER for ratio in best]
    lengths = [ratio - 1 for ratio in best]
    axes.barh(
        range(len(rows)), lengths, left=1, height=0.62, color=colours, label="PyTorch, best eager setting", zorder=2
    )
    default = [entry_of(r, DEFAULT).get("ratio", math.nan) for r in rows]
    axes.scatter(default, range(len(rows)), marker="|", s=110, color=OTHER, label="PyTorch as it comes", zorder=3)
    axes.set_xscale("log")
    right = max(*best, *[d for d in default if d == d], 2.0)
    axes.set_xlim(min(0.5, min(best) / 1.3), right * 1.2)
    ticks = [t for t in (0.25, 0.5, 1, 2, 3, 5, 10, 20, 50, 100) if axes.get_xlim()[0] <= t <= axes.get_xlim()[1]]
    axes.set_xticks(ticks, [f"{t:g}×" for t in ticks])
    axes.minorticks_off()
    axes.set_yticks(range(len(rows)), [r["name"] for r in rows])
    for i, (ratio, other) in enumerate(zip(best, default)):
        said = f"{ratio:.2f}×" + (f"  ({other:.2f}×)" if other == other else "")
        axes.annotate(said, (1.01, i), xycoords=("axes fraction", "data"), va="center", fontsize=9, color=INK)
    axes.annotate(
        "best (default)", (1.01, len(rows)), xycoords=("axes fraction", "data"), va="center", fontsize=9, color=INK
    )
    axes.set_ylim(-0.6, len(rows) + 0.3)
    axes.axvline(1, color=INK, lw=1)
    found = results["dense"].get(BEST)
    if found:
        mean = found["geometric_mean"]
        axes.axvline(mean, color=INK, lw=1, ls=":", zorder=1, label=f"geometric mean {mean:.2f}×")
    axes.set_xlabel("PyTorch's time over pullback's (log scale; right of 1 pullback is faster)")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=GRID, lw=0.5)
    figure.suptitle("How many times as long PyTorch takes", fontsize=12, color=INK)
    axes.set_title(subtitle(results), fontsize=8, color=INK)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return figure
