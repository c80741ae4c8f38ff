"""The learning machines against transcriptions of the texts' formulas, and against what the texts claim of them."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

import pullback as pb
from pullback.models import classical

XOR = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), np.array([0, 1, 1, 0])


def separable(seed, n=80, gap=0.1):
    """Points of [−1, 1]² further than `gap` from a random line, and the line."""
    rng = np.random.default_rng(seed)
    x, w, b = rng.uniform(-1, 1, (n, 2)), rng.normal(size=2), rng.uniform(-0.4, 0.4)
    side = (x @ w + b) / np.linalg.norm(w)
    kept = np.abs(side) > gap
    return x[kept], np.sign(side[kept]), w, b


def blobs(seed=0, n=60, apart=1.0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    return rng.normal(size=(n, 2)) + apart * (2 * y[:, None] - 1), y


# --- the perceptron: seed 000, section 2 ------------------------------------------------------------------------------


def text_perceptron(x, f, strict=False, most=100_000):
    """The text's algorithm, point by point; with `strict`, its comparison as printed."""
    w, b, updates, passes = np.zeros(x.shape[1]), 0.0, 0, 0
    while updates < most:
        m, passes = 0, passes + 1
        for point, label in zip(x, f):
            product = (w @ point + b) * label
            if product < 0 or (product == 0 and not strict):
                w, b, m = w + label * point, b + label, m + 1
        updates += m
        if m == 0:
            return w, b, updates, passes
    raise AssertionError("no end")


@pytest.mark.parametrize("seed", range(5))
def test_perceptron_is_the_text_algorithm(seed):
    x, y, _, _ = separable(seed)
    x = np.round(x * 64)  # integers: both orders of summation are exact
    w, b, updates, passes = text_perceptron(x, y)
    found = classical.perceptron(x, y)
    assert found.weight.tolist() == w.tolist() and found.bias.item() == b
    assert (found.updates, found.passes, found.converged) == (updates, passes, True)


def test_perceptron_finds_wrong_points_in_every_block():
    """More points than the first blocks hold, sorted so that the wrong ones are far."""
    x, y, _, _ = separable(0, n=2000, gap=0.02)
    order = np.argsort(y, kind="stable")
    x, y = np.round(x[order] * 64), y[order]
    w, b, updates, passes = text_perceptron(x, y)
    found = classical.perceptron(x, y, 100_000)
    assert found.weight.tolist() == w.tolist() and (found.updates, found.passes) == (updates, passes)


def test_strict_inequality_never_updates():
    x, y, _, _ = separable(0)
    w, b, updates, _ = text_perceptron(x, y, strict=True)
    assert not w.any() and b == 0 and updates == 0  # and the "separating" hyperplane is 0 = 0


@pytest.mark.parametrize("seed", range(8))
def test_updates_are_within_the_bound_of_every_separator(seed):
    x, y, w, b = separable(seed, gap=0.03 + 0.02 * seed)
    found = classical.perceptron(x, y)
    assert found.converged and (y * (x @ found.weight.numpy() + found.bias.item()) > 0).all()
    bounds = [
        classical.update_bound(x, y, *separator).updates
        for separator in ((w, b), (found.weight, found.bias), classical.widest_separator(x, y, 3000))
    ]
    assert 0 < found.updates <= min(bounds)
    assert bounds[2] <= min(bounds[:2]) * 1.01  # the widest margin's is the best, up to what 3000 steps leave


def test_bound_is_attained():
    x, y = np.array([[1.0], [-1.0]]), [1, -1]
    w, b = classical.widest_separator(x, y)
    bound = classical.update_bound(x, y, w, b)
    assert classical.perceptron(x, y).updates == 2 == round(bound.updates, 12)
    assert bound.radius == math.sqrt(2) and bound.margin == 1


def test_bound_needs_the_embedding():
    """Without it, R = 0.2 and d = 0.1 would allow 4 updates."""
    x, y = np.array([[0.0], [0.2]]), [-1, 1]
    found = classical.perceptron(x, y)
    bound = classical.update_bound(x, y, *classical.widest_separator(x, y))
    assert 4 < found.updates == 51 <= bound.updates
    assert bound.radius == pytest.approx(math.hypot(0.2, 1)) and bound.margin == pytest.approx(0.1 / math.hypot(1, 0.1))


def test_scaling_saves_updates():
    """Seed 000's remark after corollary 2.2: the bound grows with R², so features are brought to one range."""
    x, y, _, _ = separable(3)
    wide = x * [1, 100] + [3, 50]
    scaled = classical.MinMaxScaler().fit_transform(wide)
    assert classical.perceptron(wide, y, 10**5).updates > 100 * classical.perceptron(scaled, y).updates


def test_perceptron_says_that_it_stopped():
    with pytest.warns(
        classical.ConvergenceWarning, match=r"limit of 200 updates with \d of 4 points on the wrong side"
    ):
        found = classical.perceptron(*XOR, max_updates=200)
    assert not found.converged and found.updates == 200
    with pytest.raises(ValueError, match="expects to separate the classes, leaves"):
        classical.update_bound(*XOR, found.weight, found.bias)
    x, y, _, _ = separable(1)
    enough = classical.perceptron(x, y).updates
    assert classical.perceptron(x, y, enough).converged  # it is known to be done without another pass


REFUSED = [
    ([[0.0], [1.0]], [1, 1], "two classes, got one class only: 1"),
    ([[0.0], [1.0]], [1, 2], r"labels of \{0, 1\} or \{−1, 1\}, got \[1.0, 2.0\]"),
    ([[0.0], [1.0], [2.0]], [-1, 0, 1], "labels of"),
    ([[0.0], [math.nan]], [0, 1], r"x expects finite values, got nan at \[1, 0\]"),
    ([[0.0], [1.0]], [0, math.inf], r"y expects finite values, got inf at \[1\]"),
    ([[0.0], [1.0]], ["no", "yes"], "y expects numbers, got <U3"),
    ([0.0, 1.0], [0, 1], r"x expects \[N, D\] with N, D ≥ 1, got \[2\]"),
    ([[0.0], [1.0]], [0, 1, 1], r"y expects \[2\], got \[3\]"),
]


@pytest.mark.parametrize("machine", ["perceptron", "logistic_regression", "logistic_descent", "widest_separator"])
@pytest.mark.parametrize(("x", "y", "message"), REFUSED)
def test_classifiers_refuse(machine, x, y, message):
    with pytest.raises(ValueError, match=f"{machine}: .*{message}"):
        getattr(classical, machine)(x, y)


def test_options_are_checked():
    x, y = blobs()
    for call, message in (
        (lambda: classical.perceptron(x, y, 0), "max_updates expects a positive int, got 0"),
        (lambda: classical.logistic_regression(x, y, -1), "l2 expects a finite number ≥ 0, got -1"),
        (lambda: classical.least_squares(x, y, math.nan), "l2 expects"),
        (lambda: classical.oja(x, lr=0), "lr expects a finite number > 0, got 0"),
        (lambda: classical.hebbian(x, [1.0]), r"hebbian: weight expects \[2\], got \[1\]"),
        (lambda: classical.update_bound(x, y, [1.0], 0.0), r"weight expects \[2\], got \[1\]"),
        (lambda: classical.update_bound(x, y, [1.0, 1.0], math.nan), "bias expects finite"),
        (lambda: classical.roc_curve([0.1, math.inf], [0, 1]), "scores expects finite"),
        (lambda: classical.logistic_regression(x, y, max_steps=0), "max_steps expects a positive int, got 0"),
        (lambda: classical.least_squares_descent(x, y, steps=-1), "steps expects an int ≥ 0, got -1"),
        (lambda: classical.conditioning(np.zeros((2, 3))), r"hessian expects \[n, n\], got \[2, 3\]"),
        (lambda: classical.conditioning([[1.0, 2.0], [0.0, 1.0]]), "symmetric"),
        (lambda: classical.conditioning([[1.0, 0.0], [0.0, -1.0]]), "eigenvalues ≥ 0"),
        (lambda: classical.logistic_loss(pb.zeros(2), pb.tensor([1, 2])), r"got \[1, 2\]"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


# --- neurons: seed 002 ------------------------------------------------------------------------------------------------


def test_heaviside_units_compute_and_or_not_and_two_layers_xor():
    x = pb.tensor(XOR[0])
    gates = pb.tensor([[1.0, 1.0], [1.0, 1.0]], dtype=pb.float64)
    both = classical.heaviside_unit(x, gates, pb.tensor([0.5, 1.5], dtype=pb.float64))  # OR, AND
    assert both.tolist() == [[0, 0], [1, 0], [1, 0], [1, 1]]
    assert classical.heaviside_unit(x, -gates[0], -0.5).tolist() == [1, 0, 0, 0]  # NOR
    assert classical.heaviside_unit(both, pb.tensor([1.0, -1.0], dtype=pb.float64), 0.5).tolist() == [0, 1, 1, 0]
    assert classical.heaviside_unit(x, gates[0], 1.0).tolist() == [0, 0, 0, 1]  # above the threshold, not at it


def test_least_squares_solves_the_normal_equations():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 3)), rng.normal(size=50)
    a = np.hstack([x, np.ones((50, 1))])
    found = classical.least_squares(x, y)
    theta = np.linalg.solve(a.T @ a, a.T @ y)
    # Both solve a system of condition number < 10: errors of some 10 eps.
    np.testing.assert_allclose([*found.weight.tolist(), found.bias.item()], theta, rtol=1e-12, atol=1e-14)
    assert found.losses[-1] == pytest.approx(np.mean((a @ theta - y) ** 2), rel=1e-12) and found.rank == 4
    ridge = np.diag([0.3, 0.3, 0.3, 0])
    theta = np.linalg.solve(a.T @ a / 50 + ridge, a.T @ y / 50)
    found = classical.least_squares(x, y, l2=0.3)
    np.testing.assert_allclose([*found.weight.tolist(), found.bias.item()], theta, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_descent_reaches_the_closed_form(l2):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(40, 3)) * [1, 2, 0.5], rng.normal(size=40)
    closed, descended = classical.least_squares(x, y, l2), classical.least_squares_descent(x, y, l2, steps=600)
    np.testing.assert_allclose(descended.weight.numpy(), closed.weight.numpy(), rtol=1e-10, atol=1e-12)
    assert descended.bias.item() == pytest.approx(closed.bias.item(), rel=1e-10)
    assert descended.losses == sorted(descended.losses, reverse=True) or np.ptp(descended.losses[300:]) < 1e-12


def test_singular_systems_have_the_shortest_solution_that_descent_finds():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(30, 2))
    x, y = np.hstack([x, x[:, :1] + x[:, 1:]]), rng.normal(size=30)
    with pytest.warns(classical.ConvergenceWarning, match="singular, of rank 3 for 4 unknowns"):
        closed = classical.least_squares(x, y)
    descended = classical.least_squares_descent(x, y, steps=2000)
    assert closed.rank == descended.rank == 3
    np.testing.assert_allclose(descended.weight.numpy(), closed.weight.numpy(), rtol=1e-9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert classical.least_squares(x, y, l2=1e-3).rank == 4  # a penalty makes it regular


def test_diverging_step_is_detected():
    x, y = blobs()
    a = np.hstack([x, np.ones((len(x), 1))])
    edge = 2 / classical.conditioning(2 / len(x) * a.T @ a).smoothness
    losses = classical.least_squares_descent(x, y, lr=0.99 * edge, steps=2000).losses
    assert losses[-1] < losses[0]
    with pytest.raises(classical.DivergenceError, match=r"diverged at step \d+ with lr .* last finite loss") as caught:
        classical.least_squares_descent(x, y, lr=1.05 * edge, steps=2000)
    assert math.isfinite(caught.value.loss) and caught.value.loss > losses[0] and 0 < caught.value.step < 2000
    with pytest.raises(classical.DivergenceError) as caught:
        classical.logistic_descent(x * 1e8, y, l2=1.0, lr=1e200, epochs=10)  # overflows at once
    assert math.isfinite(caught.value.loss)


def test_descend_on_a_loss_that_is_never_finite():
    p = pb.zeros(1).requires_grad_()
    with pytest.raises(classical.DivergenceError, match="step 0") as caught:
        classical.descend(lambda: p.log().sum(), pb.optim.SGD([p], lr=1.0), 3)
    assert math.isnan(caught.value.loss)


@pytest.mark.parametrize("part", [1.0, 0.5, 0.1])
def test_descent_contracts_as_seed_004_says(part):
    """‖θ_k − θ*‖² ≤ γᵏ ‖θ_0 − θ*‖² for τ = part · τ*; at τ* the bound is attained along the extreme eigenvectors."""
    hessian = np.diag([1.0, 4.0, 10.0])
    found = classical.conditioning(hessian)
    assert (found.condition, found.rate) == (10, (9 / 11) ** 2) and found.rate_at(found.step) == pytest.approx(
        found.rate
    )
    theta, step, distances = np.ones(3), part * found.step, []
    for _ in range(40):
        distances.append(theta @ theta)
        theta = theta - step * hessian @ theta
    gamma = found.rate_at(step)
    assert all(d <= distances[0] * gamma**k * (1 + 1e-12) for k, d in enumerate(distances))
    measured = distances[-1] / distances[-2]
    assert measured == pytest.approx(gamma, rel=1e-9) if part == 1 else measured < gamma


def test_hebb_grows_and_oja_finds_the_principal_component():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3)) @ np.diag([2.0, 1.0, 0.5]) @ np.linalg.qr(rng.normal(size=(3, 3)))[0]
    x = x - x.mean(0)
    values, vectors = np.linalg.eigh(x.T @ x / len(x))
    w = classical.oja(x, lr=1e-3, epochs=60, generator=pb.Generator().manual_seed(0)).numpy()
    assert np.linalg.norm(w) == pytest.approx(1, abs=0.01)  # fluctuates with η λ = 4e-3
    assert abs(w @ vectors[:, -1]) > 0.999
    one = classical.hebbian(x, vectors[:, -1], lr=1e-3)
    # ∏ (1 + η y²/‖w‖²) along the eigenvector: e^(η N λ) up to terms of second order in η.
    assert math.log(one.norm().item()) == pytest.approx(1e-3 * len(x) * values[-1], rel=0.05)
    with pytest.raises(classical.DivergenceError, match="hebbian: diverged at step 200 .* last finite loss was 1"):
        classical.hebbian(x, vectors[:, -1], lr=1e4)
    with pytest.raises(classical.DivergenceError, match="oja: diverged"):
        classical.oja(x, lr=10.0)


# --- logistic regression: seed 000, section 3; seed 003, section 1 ----------------------------------------------------


def test_both_alphabets_have_one_loss_and_the_text_gradient():
    x, y = blobs()
    for_tape = pb.tensor(x)
    values = []
    for labels in (y, 2 * y - 1):
        w, b = (
            pb.tensor([0.3, -0.2], dtype=pb.float64).requires_grad_(),
            pb.zeros((), dtype=pb.float64).requires_grad_(),
        )
        z = for_tape @ w + b
        loss = classical.logistic_loss(z, pb.tensor(labels))
        loss.backward()
        values.append(loss.item())
        y_hat = 1 / (1 + np.exp(-z.detach().numpy()))
        np.testing.assert_allclose(w.grad.numpy(), x.T @ (y_hat - y) / len(y), rtol=1e-13, atol=1e-16)
        assert b.grad.item() == pytest.approx(np.mean(y_hat - y), rel=1e-12)
    printed = -np.mean(y * np.log(y_hat) + (1 - y) * np.log(1 - y_hat))
    assert values == pytest.approx([printed, printed], rel=1e-14)


def test_newton_and_descent_agree():
    x, y = blobs(1)
    newton = classical.logistic_regression(x, y, l2=0.1)
    again = classical.logistic_regression(x, 2 * y - 1, l2=0.1)
    assert newton.converged and newton.weight.tolist() == again.weight.tolist()
    assert newton.losses == sorted(newton.losses, reverse=True) and newton.losses[0] == pytest.approx(math.log(2))
    descended = classical.logistic_descent(x, y, l2=0.1, lr=0.5, epochs=5000, tol=1e-13)
    assert descended.converged
    np.testing.assert_allclose(descended.weight.numpy(), newton.weight.numpy(), atol=1e-11)


def test_gradient_vanishes_at_the_minimum():
    x, y = blobs(2)
    found = classical.logistic_regression(x, y)
    y_hat = 1 / (1 + np.exp(-(x @ found.weight.numpy() + found.bias.item())))
    assert found.converged
    assert max(np.abs(x.T @ (y_hat - y) / len(y)).max(), abs(np.mean(y_hat - y))) < 2e-12


def test_separable_classes_have_no_minimum():
    x, y, _, _ = separable(0)
    with pytest.warns(classical.ConvergenceWarning, match="separable, so that the loss has no minimum: pass l2 > 0"):
        found = classical.logistic_regression(x, y)
    assert not found.converged and (y * (x @ found.weight.numpy() + found.bias.item()) > 0).all()
    assert classical.logistic_regression(x, y, l2=1e-3).converged
    with pytest.warns(classical.ConvergenceWarning, match="no minimum after 1 steps"):
        classical.logistic_regression(*blobs(), max_steps=1)


def test_singular_hessian():
    """A feature twice: the minimum is a line, and the point of it that is found shares the weight."""
    x, y = blobs(3)
    once, twice = classical.logistic_regression(x, y), classical.logistic_regression(x[:, [0, 1, 1]], y)
    assert twice.converged and twice.losses[-1] == pytest.approx(once.losses[-1], rel=1e-12)
    assert twice.weight[1].item() == pytest.approx(once.weight[1].item() / 2, rel=1e-9)


# --- scalers, splits, metrics -----------------------------------------------------------------------------------------


def test_scalers():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 3)) * [1, 100, 1e-3] + [5, -7, 0]
    lowest = classical.MinMaxScaler().fit(x)
    scaled = lowest.transform(x).numpy()
    np.testing.assert_array_equal([scaled.min(0), scaled.max(0)], [[0, 0, 0], [1, 1, 1]])
    standard = classical.StandardScaler()
    scaled = standard.fit_transform(pb.tensor(x)).numpy()
    np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-13)
    np.testing.assert_allclose(scaled.std(0), 1, rtol=1e-13)
    for scaler in (lowest, standard):
        np.testing.assert_allclose(scaler.inverse_transform(scaler.transform(x)).numpy(), x, rtol=1e-13, atol=1e-13)
        with pytest.raises(ValueError, match=r"transform: x expects \[N, 3\], got \[1, 2\]"):
            scaler.transform([[1.0, 2.0]])
    with pytest.raises(RuntimeError, match="MinMaxScaler.transform: call fit first"):
        classical.MinMaxScaler().transform(x)
    with pytest.raises(ValueError, match="StandardScaler.fit: x expects finite values, got inf"):
        classical.StandardScaler().fit([[math.inf]])


@pytest.mark.parametrize("kind", [classical.MinMaxScaler, classical.StandardScaler])
def test_constant_feature_is_sent_to_zero(kind):
    x = np.array([[0.1, 1.0], [0.1, 2.0], [0.1, 4.0]])
    with pytest.warns(classical.ConstantFeatureWarning, match=rf"{kind.__name__}.fit: constant features .*: \[0\]"):
        scaled = kind().fit(x).transform(x)
    assert scaled[:, 0].tolist() == [0, 0, 0] and pb.isclose(scaled, scaled).all()


def test_stratified_indices():
    y = np.repeat([0, 1, 2], [50, 30, 20])
    train, test = classical.stratified_indices(y, [0.7, 0.3], pb.Generator().manual_seed(0))
    assert np.bincount(y[train]).tolist() == [35, 21, 14] and np.bincount(y[test]).tolist() == [15, 9, 6]
    assert sorted([*train, *test]) == list(range(100))


def test_metrics_by_hand():
    predicted, labels = [0, 1, 1, 2, 2, 2], [0, 1, 2, 2, 2, 0]
    assert classical.accuracy(predicted, labels) == 4 / 6
    assert classical.confusion_matrix(predicted, labels).tolist() == [[1, 0, 1], [0, 1, 0], [0, 1, 2]]
    curve = classical.roc_curve([0.9, 0.8, 0.8, 0.1], [1, 0, 1, 0])
    assert curve.false_positive_rate.tolist() == [0, 0, 0.5, 1] and curve.true_positive_rate.tolist() == [0, 0.5, 1, 1]
    assert curve.thresholds.tolist() == [math.inf, 0.9, 0.8, 0.1] and curve.area == 0.875  # 3 pairs of 4 and a tie


def test_area_is_the_probability_of_the_right_order():
    rng = np.random.default_rng(0)
    scores, labels = np.round(rng.normal(size=60), 1), rng.integers(0, 2, 60)
    pairs = np.sign(scores[labels == 1][:, None] - scores[labels == 0])
    assert classical.roc_curve(scores, labels).area == pytest.approx((pairs.mean() + 1) / 2, rel=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: classical.accuracy([1, 2], [1]), r"expect one \[N\], N ≥ 1, got \[2\] and \[1\]"),
        (lambda: classical.accuracy([], []), "N ≥ 1"),
        (lambda: classical.confusion_matrix([0.5], [1.0]), "classes expect ints, got float64"),
        (lambda: classical.confusion_matrix([0, 3], [1, 1], 3), "expect 0 to 2, got 0 to 3"),
        (lambda: classical.roc_curve([0.1, 0.2], [1, 1]), "one class only"),
        (lambda: classical.roc_curve([math.nan, 0.2], [0, 1]), "finite"),
    ],
)
def test_metrics_refuse(call, message):
    with pytest.raises(ValueError, match=message):
        call()
