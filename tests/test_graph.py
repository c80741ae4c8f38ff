"""The computational graph of a result: its steps, as text and as a picture."""

from __future__ import annotations

import math

import numpy as np
import pytest

import pullback as pb
from pullback import autograd, nn
from pullback.autograd.graph import _Layout, draw_graph, graph_steps, graph_text


def example():
    """ℓ(θ₁, θ₂) = θ₂ e^θ₁ √(θ₁ + θ₂ e^θ₁) (seed 003, example), with θ₂ e^θ₁ computed once."""
    a, b = (pb.tensor(v, dtype=pb.float64, requires_grad=True) for v in (0.5, 2.0))
    t = b * a.exp()
    return t * (a + t).sqrt(), {"a": a, "b": b}


def test_text():
    y, names = example()
    assert graph_text(y, names).splitlines() == [
        "θ1 = a []",
        "θ2 = b []",
        "θ3 = exp(θ1)",
        "θ4 = mul(θ2, θ3)",
        "θ5 = add(θ1, θ4)",
        "θ6 = sqrt(θ5)",
        "θ7 = mul(θ4, θ6) []",
    ]
    assert graph_text(y).startswith("θ1 = x1 []\nθ2 = x2 []\n")
    assert autograd.graph.graph_text is graph_text


def test_the_order_is_one_in_which_the_graph_can_be_computed():
    """Evaluated step by step, and then differentiated against the order by hand, it gives the tape's value and gradient."""
    y, names = example()
    steps = graph_steps(y, names)
    rules = {
        "exp": (math.exp, lambda y, x: [y]),
        "mul": (lambda a, b: a * b, lambda y, a, b: [b, a]),
        "add": (lambda a, b: a + b, lambda y, a, b: [1, 1]),
        "sqrt": (math.sqrt, lambda y, x: [0.5 / y]),
    }
    theta = [names[s.name].item() if s.is_leaf else None for s in steps]
    for r, s in enumerate(steps):
        if not s.is_leaf:
            theta[r] = rules[s.name][0](*[theta[p] for p in s.parents])
    assert theta[-1] == pytest.approx(y.item(), rel=1e-15)
    slopes = [0.0] * (len(steps) - 1) + [1.0]
    for r, s in reversed(list(enumerate(steps))):
        if not s.is_leaf:
            for p, slope in zip(s.parents, rules[s.name][1](theta[r], *[theta[p] for p in s.parents])):
                slopes[p] += slope * slopes[r]
    y.backward()
    assert slopes[0] == pytest.approx(names["a"].grad.item(), rel=1e-14)
    assert slopes[1] == pytest.approx(names["b"].grad.item(), rel=1e-14)


def test_modules_name_their_parameters_and_constants_are_dots():
    model = nn.Sequential(nn.Linear(3, 4), nn.GELU())
    text = graph_text([model(pb.ones(2, 3)), model[0].bias], model)
    assert text.splitlines() == [
        "θ1 = 0.weight [4, 3]",
        "θ2 = 0.bias [4]",
        "θ3 = linear(·, θ1, θ2)",
        "θ4 = gelu(θ3) [2, 4]",
    ]


def test_layers_go_down_and_boxes_stand_apart():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 4), nn.GELU(), nn.Linear(4, 1))
    loss = model(pb.ones(2, 3)).mean() + sum((p**2).sum() for p in model.parameters())
    steps = graph_steps(loss)
    layout = _Layout(steps)
    for route in layout.routes:
        assert all(layout.layer[b] == layout.layer[a] + 1 for a, b in zip(route, route[1:]))
    edges = {(p, r) for r, s in enumerate(steps) for p in s.parents if p is not None}
    assert {(route[0], route[-1]) for route in layout.routes} == edges
    for depth in set(layout.layer):
        row = sorted((layout.x[r], layout.width[r]) for r in range(len(layout.x)) if layout.layer[r] == depth)
        assert all(b - a >= (v + w) / 2 - 1e-9 for (a, v), (b, w) in zip(row, row[1:]))


def test_picture(tmp_path):
    pytest.importorskip("matplotlib")
    y, names = example()
    draw_graph(y, tmp_path / "graph.png", names)
    assert (tmp_path / "graph.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    x = pb.ones(1, requires_grad=True)
    draw_graph(x, tmp_path / "leaf.svg")
    assert "<svg" in (tmp_path / "leaf.svg").read_text()


def test_bad_input(tmp_path):
    with pytest.raises(ValueError, match="nothing is on the tape"):
        graph_text(pb.ones(3))
    with pytest.raises(TypeError, match="results expects tensors, got ndarray"):
        graph_text([np.ones(3)])
    y = pb.ones(1, requires_grad=True)
    for _ in range(300):
        y = y * 2
    pytest.importorskip("matplotlib")
    with pytest.raises(ValueError, match="at most 300 nodes below them, got 301"):
        draw_graph(y, tmp_path / "x.png")
