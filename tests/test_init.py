"""Initial values: what is exact is checked exactly, what is random by its moments and bounds.

A sample of n numbers has a mean within 5 σ/√n and a standard deviation within 5 σ √(κ/4n) of the distribution's (κ: how
much heavier than uniform the tails are, at most 2 here): seeds are fixed, so that a pass stays a pass.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import pullback as pb
from pullback.nn import init

SIZE = (200, 100)


@pytest.fixture(autouse=True)
def seed():
    pb.manual_seed(0)


def filled(fill, *args, shape=SIZE, **options):
    t = pb.full(shape, math.nan)
    assert fill(t, *args, **options) is t
    return t.numpy().astype(np.float64)


def check_moments(x, mean, std):
    assert abs(x.mean() - mean) < 5 * std / math.sqrt(x.size)
    assert abs(x.std() - std) < 5 * std / math.sqrt(2 * x.size)


def check_uniform(x, low, high):
    assert low <= x.min() and x.max() <= high
    assert x.min() < low + 0.01 * (high - low) and x.max() > high - 0.01 * (high - low)
    check_moments(x, (low + high) / 2, (high - low) / math.sqrt(12))


def test_constants():
    assert (filled(init.constant_, 3.5) == 3.5).all() and (filled(init.ones_) == 1).all()
    assert (filled(init.zeros_) == 0).all()
    np.testing.assert_array_equal(filled(init.eye_, shape=(3, 5)), np.eye(3, 5))


def test_uniform_and_normal():
    check_uniform(filled(init.uniform_), 0, 1)
    check_uniform(filled(init.uniform_, -2.0, 3.0), -2, 3)
    check_moments(filled(init.normal_), 0, 1)
    check_moments(filled(init.normal_, 2.0, 0.5), 2, 0.5)


def density_moments(mean, std, a, b):
    """Mean and standard deviation of the truncated normal distribution, by quadrature."""
    x = np.linspace(a, b, 200001)
    w = np.exp(-(((x - mean) / std) ** 2) / 2)
    w /= w.sum()
    m = (w * x).sum()
    return m, math.sqrt((w * (x - m) ** 2).sum())


@pytest.mark.parametrize(
    "mean, std, a, b", [(0, 1, -2, 2), (1, 2, -1, 0), (0, 0.02, -2, 2), (0, 1, 1.5, 3), (0, 1, -0.1, 9)]
)
def test_truncated_normal(mean, std, a, b):
    x = filled(init.trunc_normal_, mean, std, a, b)
    assert a <= x.min() and x.max() <= b
    check_moments(x, *density_moments(mean, std, a, b))


def test_truncated_normal_far_out():
    with pytest.warns(UserWarning, match="more than two std"):
        x = filled(init.trunc_normal_, 0.0, 1.0, 3.0, 5.0)
    check_moments(x, *density_moments(0, 1, 3, 5))
    assert (filled(init.trunc_normal_, 0.0, 1.0, 1.0, 1.0) == 1).all()
    for options in ({"a": 1.0, "b": 0.0}, {"std": 0.0}):
        with pytest.raises(ValueError, match="trunc_normal_: expected a ≤ b and std > 0"):
            init.trunc_normal_(pb.ones(3), **options)


def test_fans():
    """fan_in and fan_out of [out, in, …] count the receptive field."""
    assert init._calculate_fan_in_and_fan_out(pb.empty(5, 3)) == (3, 5)
    assert init._calculate_fan_in_and_fan_out(pb.empty(8, 4, 3, 3)) == (36, 72)


def test_xavier():
    check_uniform(filled(init.xavier_uniform_), -math.sqrt(6 / 300), math.sqrt(6 / 300))
    check_uniform(filled(init.xavier_uniform_, 2.0, shape=(50, 20, 5)), *(np.array([-2, 2]) * math.sqrt(6 / 350)))
    check_moments(filled(init.xavier_normal_, 3.0), 0, 3 * math.sqrt(2 / 300))


def test_kaiming():
    check_uniform(filled(init.kaiming_uniform_, a=math.sqrt(5)), -0.1, 0.1)
    relu = math.sqrt(2) * math.sqrt(3 / 200)
    check_uniform(filled(init.kaiming_uniform_, mode="fan_out", nonlinearity="relu"), -relu, relu)
    check_moments(filled(init.kaiming_normal_), 0, math.sqrt(2 / 100))
    check_moments(filled(init.kaiming_normal_, mode="fan_out", nonlinearity="tanh"), 0, 5 / 3 / math.sqrt(200))
    with pytest.warns(UserWarning, match="no elements"):
        init.kaiming_uniform_(pb.empty(0, 3))


def test_gains():
    assert init.calculate_gain("linear") == init.calculate_gain("conv2d") == init.calculate_gain("sigmoid") == 1
    assert init.calculate_gain("tanh") == 5 / 3 and init.calculate_gain("selu") == 0.75
    assert init.calculate_gain("relu") == math.sqrt(2)
    assert init.calculate_gain("leaky_relu") == math.sqrt(2 / (1 + 0.01**2))
    assert init.calculate_gain("leaky_relu", 1) == 1


@pytest.mark.parametrize("shape", [(20, 20), (30, 7), (7, 30), (6, 2, 3), (4, 5, 2)])
def test_orthogonal(shape):
    x = filled(init.orthogonal_, 2.0, shape=shape).reshape(shape[0], -1)
    product = x @ x.T if x.shape[0] <= x.shape[1] else x.T @ x
    np.testing.assert_allclose(product, 4 * np.eye(min(x.shape)), atol=4e-5)


def test_orthogonal_is_uniform_over_signs():
    signs = [np.sign(filled(init.orthogonal_, shape=(2, 2))[0, 0]) for _ in range(40)]
    assert 8 < sum(s > 0 for s in signs) < 32
    assert init.orthogonal_(pb.empty(0, 3)).shape == (0, 3)


@pytest.mark.parametrize("shape", [(3, 5, 3), (4, 2, 3, 3), (2, 2, 4, 3, 3)])
def test_dirac_keeps_channels(shape):
    x = filled(init.dirac_, shape=shape)
    middle = tuple(n // 2 for n in shape[2:])
    np.testing.assert_array_equal(x[(slice(None), slice(None), *middle)], np.eye(*shape[:2]))
    assert x.sum() == min(shape[:2])
    grouped = filled(init.dirac_, groups=2, shape=(4, 3, 3))
    np.testing.assert_array_equal(grouped[:, :, 1], [[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 1, 0]])


def test_sparse():
    x = filled(init.sparse_, 0.3, std=0.5, shape=(50, 40))
    np.testing.assert_array_equal((x == 0).sum(0), np.full(40, 15))
    check_moments(x[x != 0], 0, 0.5)


@pytest.mark.parametrize(
    "fill",
    [
        init.uniform_,
        init.normal_,
        init.trunc_normal_,
        init.xavier_uniform_,
        init.xavier_normal_,
        init.kaiming_uniform_,
        init.kaiming_normal_,
        init.orthogonal_,
        lambda t, **o: init.sparse_(t, 0.5, **o),
    ],
)
def test_generators_of_ones_own(fill):
    def draw(seed):
        g = pb.Generator()
        g.manual_seed(seed)
        return filled(fill, generator=g, shape=(8, 6))

    before = pb.rand(1)
    pb.manual_seed(0)
    first = draw(1)
    np.testing.assert_array_equal(first, draw(1))
    assert (first != draw(2)).any()
    assert pb.rand(1).item() == before.item()  # the global generator was left alone


def test_parameters_stay_leaves():
    w = pb.nn.Parameter(pb.empty(4, 4))
    for fill in (init.uniform_, init.normal_, init.ones_, init.eye_, init.orthogonal_, init.xavier_normal_):
        fill(w)
        assert w.is_leaf and w.requires_grad
    with pytest.raises(TypeError, match="ones_|constant_: tensor expects a Tensor, got list"):
        init.ones_([1])


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda: init.xavier_uniform_(pb.ones(3)),
            r"xavier_uniform_: tensor expects at least 2 dimensions, got shape \[3\]",
        ),
        (lambda: init.kaiming_normal_(pb.ones(3, 3), mode="in"), "mode expects 'fan_in' or 'fan_out', got 'in'"),
        (lambda: init.kaiming_normal_(pb.ones(3, 3), nonlinearity="what"), "nonlinearity is unknown: 'what'"),
        (lambda: init.calculate_gain("leaky_relu", "x"), "slope of leaky_relu, got 'x'"),
        (lambda: init.eye_(pb.ones(3)), "eye_: tensor expects 2 dimensions"),
        (lambda: init.dirac_(pb.ones(3, 3)), "dirac_: tensor expects 3, 4 or 5 dimensions"),
        (lambda: init.dirac_(pb.ones(3, 3, 3), groups=2), "groups expects a divisor of 3, got 2"),
        (lambda: init.orthogonal_(pb.ones(3)), "orthogonal_: tensor expects at least 2 dimensions"),
        (lambda: init.sparse_(pb.ones(3), 0.5), "sparse_: tensor expects 2 dimensions"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
