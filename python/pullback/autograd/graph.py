"""The computational graph of any result, printed and drawn: what stands on the tape.

A program is a directed acyclic graph, and a graph a linear ordering of nodes: θ_r = g_r(θ_parents(r)) for r = M + 1, …, R behind
the M leaves (seed 003, computational graph). The tape keeps that order, and `backward` walks it the other way.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pullback._tape import Node
from pullback._tensor import Tensor

__all__ = ["Step", "draw_graph", "graph_steps", "graph_text", "plot_graph"]

_MOST_DRAWN = 300
_LEAF, _OP, _RESULT, _INK = "#e9c46a", "#dbe7ef", "#9bc1a5", "#333333"


@dataclass(frozen=True)
class Step:
    """One node: a leaf, or an op and the numbers of the steps that it was applied to (None for what needs no gradient)."""

    name: str
    parents: tuple[int | None, ...]
    is_leaf: bool
    shape: tuple[int, ...] | None  # of a leaf, or of a result that was asked about


def graph_steps(results: Tensor | Sequence[Tensor], names: Any = None) -> list[Step]:
    """The nodes below some results, leaves first and then ops in the order in which they ran.

    `names` says what leaves are called: a dictionary name → tensor, or a module, whose parameters' paths are taken; others
    are called x1, x2, …. TypeError for what is no tensor, ValueError where nothing is on the tape.
    """
    ends = [results] if isinstance(results, Tensor) else list(results)
    for y in ends:
        if not isinstance(y, Tensor):
            raise TypeError(f"graph: results expects tensors, got {type(y).__name__}")
    starts = [y.grad_fn or y for y in ends if y.requires_grad]
    if not starts:
        raise ValueError("graph: results expects a tensor that requires grad: nothing is on the tape")
    leaves, nodes = _reached(starts)
    numbers: dict[Any, int] = {below: i for i, below in enumerate([*leaves, *nodes])}
    shapes = {y.grad_fn: tuple(y.shape) for y in ends if y.grad_fn is not None}
    named = _leaf_names(leaves, names)
    steps = [Step(named[i], (), True, tuple(t.shape)) for i, t in enumerate(leaves)]
    for node in nodes:
        parents = tuple(None if p is None else numbers[p] for p in node.parents)
        steps.append(Step(node.name, parents, False, shapes.get(node)))
    return steps


def _reached(starts: Sequence[Any]) -> tuple[list[Tensor], list[Node]]:
    """Leaves as they are met from the first op on, and nodes in their order."""
    seen: set[Any] = set()
    stack = list(starts)
    while stack:
        at = stack.pop()
        if at is None or at in seen:
            continue
        seen.add(at)
        if isinstance(at, Node):
            stack.extend(at.parents)
    nodes = sorted((n for n in seen if isinstance(n, Node)), key=lambda n: n.order)
    used = [p for n in nodes for p in n.parents if p is not None and not isinstance(p, Node)]
    return list(dict.fromkeys([*used, *(t for t in starts if not isinstance(t, Node))])), nodes


def _leaf_names(leaves: Sequence[Tensor], names: Any) -> list[str]:
    if names is not None and not isinstance(names, Mapping):
        names = dict(names.named_parameters())
    known = {id(t): name for name, t in (names or {}).items()}
    return [known.get(id(t), f"x{i}") for i, t in enumerate(leaves, 1)]


def graph_text(results: Tensor | Sequence[Tensor], names: Any = None) -> str:
    """The graph as text, a line for each node: its number, op and parents.

    >>> a, b = pullback.tensor(1.0, requires_grad=True), pullback.tensor(2.0, requires_grad=True)
    >>> print(graph_text(b * a.exp(), {"a": a, "b": b}))
    θ1 = a []
    θ2 = b []
    θ3 = exp(θ1)
    θ4 = mul(θ2, θ3) []

    A dot stands for an argument that needs no gradient. `names` and errors as in `graph_steps`.
    """
    lines = []
    for r, step in enumerate(graph_steps(results, names), 1):
        shape = "" if step.shape is None else f" {list(step.shape)}"
        arguments = ", ".join("·" if p is None else f"θ{p + 1}" for p in step.parents)
        lines.append(f"θ{r} = {step.name}{shape}" if step.is_leaf else f"θ{r} = {step.name}({arguments}){shape}")
    return "\n".join(lines)


def draw_graph(results: Tensor | Sequence[Tensor], path: str | os.PathLike[str], names: Any = None) -> None:
    """The graph as a picture, from leaves at the top to results at the bottom; the ending of `path` says the format.

    It needs matplotlib (the extra `cli`). ValueError for more than 300 nodes, which `graph_text` prints.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("draw_graph: it draws with matplotlib: pip install 'pullback[cli]'") from error
    layout, steps = _laid_out(results, names)
    width = 1.5 + max(layout.x) - min(layout.x)
    height = 1 + max(layout.layer)
    figure = Figure(figsize=(max(2.5, 1.35 * width), max(1.5, 0.75 * height)), layout="constrained")
    _draw(figure.add_subplot(), steps, layout)
    figure.savefig(path, dpi=150)


def plot_graph(axes: Any, results: Tensor | Sequence[Tensor], names: Any = None) -> None:
    """`draw_graph` into matplotlib's axes."""
    layout, steps = _laid_out(results, names)
    _draw(axes, steps, layout)


def _laid_out(results: Tensor | Sequence[Tensor], names: Any) -> tuple[_Layout, list[Step]]:
    steps = graph_steps(results, names)
    if len(steps) > _MOST_DRAWN:
        raise ValueError(f"draw_graph: results expects at most {_MOST_DRAWN} nodes below them, got {len(steps)}")
    return _Layout(steps), steps


def _draw(axes: Any, steps: Sequence[Step], layout: _Layout) -> None:
    boxes = []
    for r, step in enumerate(steps):
        colour = _LEAF if step.is_leaf else _OP if step.shape is None else _RESULT
        style = {"boxstyle": "round,pad=0.35", "fc": colour, "ec": _INK, "lw": 0.6}
        label = step.name if step.shape is None else f"{step.name} {list(step.shape)}"
        text = axes.text(*layout.at(r), label, ha="center", va="center", fontsize=8, color=_INK, bbox=style)
        boxes.append(text.get_bbox_patch())
    for route in layout.routes:
        points = [layout.at(r) for r in route]
        if len(points) > 2:
            axes.plot(*zip(*points[:-1]), color=_INK, lw=0.8, zorder=0)
        arrow = {"arrowstyle": "-|>", "color": _INK, "lw": 0.8, "shrinkA": 0, "shrinkB": 2, "patchB": boxes[route[-1]]}
        axes.annotate("", xy=points[-1], xytext=points[-2], arrowprops=arrow, zorder=0)
    axes.set_xlim(min(layout.x) - 0.7, max(layout.x) + 0.7)
    axes.set_ylim(-max(layout.layer) - 0.5, 0.5)
    axes.axis("off")


class _Layout:
    """Where steps stand: in layers, each below its lowest parent and a leaf just above its first use. An edge over several
    layers has a bend in each, which is ordered with the steps there, so that edges go around them."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.layer = [0] * len(steps)
        for r, step in enumerate(steps):
            self.layer[r] = max((self.layer[p] + 1 for p in step.parents if p is not None), default=0)
        users: list[list[int]] = [[] for _ in steps]
        for r, step in enumerate(steps):
            for p in dict.fromkeys(step.parents):
                if p is not None:
                    users[p].append(r)
        for r, step in enumerate(steps):
            if step.is_leaf and users[r]:
                self.layer[r] = min(self.layer[user] for user in users[r]) - 1
        self.width = [1.0] * len(steps)
        self.routes = [self._route(r, user) for r in range(len(steps)) for user in users[r]]
        self.x = [0.0] * len(self.layer)
        self._order()

    def at(self, r: int) -> tuple[float, float]:
        """The place in the picture."""
        return self.x[r], -float(self.layer[r])

    def _route(self, start: int, end: int) -> list[int]:
        """From a step to one that uses it, with new bends between them."""
        bends = range(len(self.layer), len(self.layer) + self.layer[end] - self.layer[start] - 1)
        self.layer += range(self.layer[start] + 1, self.layer[end])
        self.width += [0.4] * len(bends)
        return [start, *bends, end]

    def _order(self) -> None:
        """Layers downwards by the mean place of what leads there, upwards by that of what follows, a few times."""
        above: list[list[int]] = [[] for _ in self.layer]
        below: list[list[int]] = [[] for _ in self.layer]
        for route in self.routes:
            for a, b in zip(route, route[1:]):
                below[a].append(b)
                above[b].append(a)
        rows: list[list[int]] = [[] for _ in range(max(self.layer) + 1)]
        for r, depth in enumerate(self.layer):
            rows[depth].append(r)
        for row in rows:
            self._settle(row, dict(zip(row, map(float, range(len(row))))))
        for _ in range(8):
            for neighbours, order in ((above, rows), (below, rows[::-1])):
                for row in order:
                    self._settle(row, {r: self._mean(r, neighbours[r]) for r in row})

    def _mean(self, r: int, neighbours: Sequence[int]) -> float:
        return sum(self.x[n] for n in neighbours) / len(neighbours) if neighbours else self.x[r]

    def _settle(self, row: Sequence[int], wanted: Mapping[int, float]) -> None:
        """Order a layer by the places that are wanted, and put it as near to them as widths allow."""
        order = sorted(row, key=lambda r: wanted[r])
        places: list[float] = []
        for before, r in zip([None, *order], order):
            gap = 0.0 if before is None else (self.width[before] + self.width[r]) / 2
            places.append(max(wanted[r], places[-1] + gap) if places else wanted[r])
        shift = sum(wanted[r] - at for r, at in zip(order, places)) / len(order)
        for r, at in zip(order, places):
            self.x[r] = at + shift
