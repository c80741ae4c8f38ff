"""The numbers that the examples plot are what the texts claim; each example draws its picture."""

from __future__ import annotations

import importlib
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
NAMES = sorted(p.stem for p in (ROOT / "examples").glob("*.py") if not p.stem.startswith("_"))
SMALL = {  # what makes an example quick, with its claims unharmed
    "perceptron": {"datasets": 12},
    "two_layers": {"steps": 600, "side": 12, "starts": 1},
    "overfitting": {"draws": 3, "steps": 1000},
    "decision_boundaries": {"side": 40},
    "forward_and_reverse": {"sizes": (1, 2, 4, 8), "width": 16, "seconds": 0.0},
    "gradient_cost": {"seconds": 0.0},
}
_found: dict[str, object] = {}


def numbers(name):
    """The example's numbers, computed once."""
    if name not in _found:
        _found[name] = importlib.import_module(name).numbers(**SMALL.get(name, {}))
    return _found[name]


def test_descent_is_as_fast_as_seed_004_proves():
    found = numbers("gradient_descent")
    bowl = found["bowl"]
    small, best, large = (path[-1] @ path[-1] for path in found["paths"].values())
    assert best < small < 2 < large
    # 60 steps of a contraction round to some 60 eps.
    np.testing.assert_allclose(found["measured"], found["proven"], rtol=1e-12)
    for tau, rate in zip(found["taus"], found["rates"]):
        if tau <= bowl.step:
            assert rate <= bowl.rate_at(tau) * (1 + 1e-12)
        assert (rate < 1) == (tau < 2 / bowl.smoothness * (1 - 1e-9))


def test_momentum_is_faster_in_the_valley():
    found = numbers("momentum_valley")
    assert found["rates"]["descent"] == pytest.approx(found["theory"]["descent"], rel=1e-9)
    # Momentum at its best constants has a double root: steps k times the rate, (k+1)/k > rate.
    assert found["theory"]["momentum"] < found["rates"]["momentum"] < found["theory"]["momentum"] * 1.02
    assert found["values"]["momentum"][-1] < 1e-15 * found["values"]["descent"][-1]


def test_adaptive_steps_help_where_scales_differ():
    from optimizers import steps_to

    found = numbers("optimizers")
    last = {method: losses[-1] for method, (_, losses) in found["raw"].items()}
    assert last["Adam"] < last["RMSProp"] < last["momentum"] < last["SGD"]
    steps = {method: steps_to(losses) for method, (_, losses) in found["raw"].items()}
    assert steps["Adam"] < 100 and steps["SGD"] == math.inf
    steps = {method: steps_to(losses) for method, (_, losses) in found["standardized"].items()}
    assert min(steps, key=lambda m: steps[m]) == "SGD" and steps["SGD"] < 10


def test_perceptron_ends_within_its_bound_or_at_its_limit():
    found = numbers("perceptron")
    x, y, fit = found["separable"]
    assert fit.converged and (y * (x @ fit.weight.numpy() + fit.bias.item()) > 0).all()
    assert not found["overlapping"][2].converged and found["overlapping"][2].updates == 400
    updates, bounds, margins = found["rows"].T
    assert (updates <= bounds).all() and (margins > 0).all() and bounds.max() > 50 * bounds.min()


def test_logistic_regression_on_blobs():
    found = numbers("logistic_blobs")
    above = np.array(found["descent"].losses) - found["newton"].losses[-1]
    assert (np.diff(above) < 0).all() and 0 < above[-1] < 1e-10
    assert len(found["newton"].losses) < 10
    np.testing.assert_allclose(found["descent"].weight.numpy(), found["newton"].weight.numpy(), atol=1e-4)
    confusion = found["confusion"]
    assert confusion.sum() == 90 and found["accuracy"] == np.trace(confusion) / 90 > 0.75
    assert 0.8 < found["roc"].area < 0.95


def test_annulus_is_separable_after_the_embedding_only():
    found = numbers("annulus")
    before, after = found["before"], found["after"]
    assert before["accuracy"] < 0.65 and not before["separable"]
    assert after["accuracy"] == 1 and after["area"] == 1 and after["separable"]
    centre, radius = found["circle"]
    assert np.abs(centre).max() < 0.05 and radius == pytest.approx(1, abs=0.05)


def test_more_neurons_fit_better():
    for found in numbers("two_layers").values():
        errors = [found["fits"][p][0] for p in (6, 30, 100)]
        assert errors[0] > 2 * errors[1] and errors[1] > 1.3 * errors[2]


def test_initialization_decides_what_can_learn():
    found = numbers("initialization")
    zeros, normal, xavier, kaiming = (found["runs"][way] for way in ("zeros", "normal", "Xavier", "Kaiming"))
    assert not any(zeros["values"]) and not any(zeros["gradients"])
    assert not any(W.any() for W in zeros["network"].W)
    assert zeros["losses"][-1] == pytest.approx(found["entropy"], rel=1e-5)  # float32
    assert zeros["accuracy"] == pytest.approx(found["largest share"])
    assert normal["values"][-1] > 1e3 and math.isnan(normal["losses"][0])  # it diverged
    assert xavier["values"][-1] < xavier["values"][0] / 4
    assert 0.5 < kaiming["values"][-1] / kaiming["values"][0] < 2
    assert min(xavier["accuracy"], kaiming["accuracy"]) > 0.99


def test_every_cure_helps_against_overfitting():
    found = dict(numbers("overfitting"))
    none = found.pop("none")
    assert none["train"] < 0.1 and none["valid"] > 4 * none["train"]  # the sign of overfitting
    for name, cured in found.items():
        assert cured["train"] > none["train"] and cured["curve"] < none["curve"], name
    assert found["more data"]["curve"] < 0.6 * none["curve"]


def test_students_are_best_served_by_a_line():
    found = numbers("students")
    assert found["train"][0] < 0.9 and found["train"][-1] == 1  # a curve of degree 9 passes between all
    assert found["valid"][0] > found["valid"][-1] + 0.08
    assert found["good"] == {0.8: 1, 0.9: 3, 1.0: 4}


def test_relu_at_zero_decides_only_where_zeros_are():
    found = numbers("relu_at_zero")
    random, zero = found["W₁ random"], found["W₁ = 0"]
    assert random[0.0]["zeros"] == 0
    assert random[0.0]["losses"] == random[1.0]["losses"] and (random[0.0]["W1"] == random[1.0]["W1"]).all()
    assert not zero[0.0]["W1"].any() and zero[0.0]["losses"] == [pytest.approx(math.log(2))]
    assert zero[1.0]["W1"].any() and zero[1.0]["accuracy"] == 1 and zero[1.0]["losses"][-1] < 1e-3


def test_boundary_finds_the_spirals():
    found = numbers("decision_boundaries")
    assert found["accuracies"][0] < 0.7 and found["accuracies"][-1] == 1
    assert len(found["losses"]) == 401 and found["losses"][-1] < 1e-3
    first, last = found["maps"][0], found["maps"][-1]
    # Out of random weights with b = 0 the boundary is a cone; at the end almost everywhere is decided.
    assert np.abs(last - 0.5).mean() > 0.45 > np.abs(first - 0.5).mean()


def test_a_graph_is_walked_both_ways():
    found = numbers("computational_graph")
    value, forward, backward = found["walk"]
    result, _ = found["example"]
    # some ten operations, each rounded once
    assert value[-1] == pytest.approx(result.item(), rel=1e-14) and backward[-1] == 1
    assert [forward[-1], backward[1]] == pytest.approx(found["tape"], rel=1e-13)
    assert backward[0] == pytest.approx(forward[-1], rel=1e-13)
    assert len(found["text"].splitlines()) == 7


def test_a_jacobian_costs_inputs_forward_and_outputs_backward():
    found = numbers("forward_and_reverse")
    sizes = np.array(found["sizes"])
    for kind, growing, flat in (("inputs", "forward", "reverse"), ("outputs", "reverse", "forward")):
        launches = {mode: np.array([point[mode][0] for point in found[kind]]) for mode in (growing, flat)}
        assert len(set(launches[flat])) == 1, kind
        slope = np.diff(launches[growing]) / np.diff(sizes)
        assert len(set(slope)) == 1 and slope[0] > 0, kind  # a line in the number of passes
        assert launches[growing][-1] > launches[flat][-1]
    assert found["example"]["reverse"][0] < found["example"]["forward"][0]
    e = math.exp(0.5)
    p, root = 2 * e, math.sqrt(0.5 + 2 * e)
    assert found["gradient"] == pytest.approx([p * root + p * (1 + p) / (2 * root), e * root + p * e / (2 * root)])
    assert found["difference"] < 1e-6  # float32, entries below 1


def test_a_gradient_costs_a_few_values():
    rows = numbers("gradient_cost")
    assert len({row["parameters"] for row in rows.values()}) == len(rows)
    for name, row in rows.items():
        assert 1 < row["ratio of launches"] < 5.5, name
        assert row["milliseconds"][1] > 0


def test_every_example_has_a_test_and_a_picture():
    tested = Path(__file__).read_text()
    assert NAMES and not [n for n in NAMES if f'numbers("{n}")' not in tested]
    pictures = {p.stem for p in (ROOT / "docs/pictures").glob("*.png")}
    assert pictures == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_example_draws(name):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra cli)")
    from _common import pyplot

    plt = pyplot()
    figure = importlib.import_module(name).draw(plt, numbers(name))
    figure.draw_without_rendering()
    assert len(figure.axes) >= 2 and all(axes.has_data() or axes.tables for axes in figure.axes)
    plt.close(figure)


@pytest.mark.parametrize("name", NAMES if os.environ.get("PULLBACK_TEST_ALL") else ["momentum_valley"])
def test_command_writes_its_picture(name, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra cli)")
    command = [sys.executable, str(ROOT / "examples" / f"{name}.py"), "--out", str(tmp_path / "new")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    picture = tmp_path / "new" / f"{name}.png"
    assert done.stdout.strip() == str(picture) and picture.read_bytes().startswith(b"\x89PNG")
