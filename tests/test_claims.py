"""What the texts claim and no machine of the library is named after: each as an equality or inequality on numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

import pullback as pb
from pullback import _cpu, nn
from pullback.autograd import grad
from pullback.func import jacrev, jvp, vjp
from pullback.models import classical
from pullback.nn import functional as F
from pullback.optim.lr_scheduler import RobbinsMonroLR


def normal(*shape, seed=0):
    return pb.randn(*shape, dtype=pb.float64, generator=pb.Generator().manual_seed(seed))


def close(a, b, rtol=1e-12, atol=1e-14):
    np.testing.assert_allclose(np.asarray(a.detach().numpy()), np.asarray(b.detach().numpy()), rtol=rtol, atol=atol)


# --- seed 000 ---------------------------------------------------------------------------------------------------------


def test_a_small_step_against_the_gradient_lowers_the_loss():
    """Section 1.1.1: f(x − t∇f(x)) = f(x) − t‖∇f(x)‖² + o(t)."""
    x = normal(6).requires_grad_()

    def f(v):
        return (v.sin() * v.flip(0).exp()).sum()

    (g,) = grad(f(x), x)
    square = (g @ g).item()
    for t in (1e-2, 1e-3, 1e-4):
        fallen = (f(x) - f(x - t * g)).item() / t
        assert fallen > 0 and abs(fallen / square - 1) < 30 * t  # the second derivative in the direction of ∇f


# --- seed 001 ---------------------------------------------------------------------------------------------------------


def test_cauchy_and_schwarz():
    a, b = normal(200, 7), normal(200, 7, seed=1)
    assert ((a * b).sum(1).abs() <= a.norm(dim=1) * b.norm(dim=1)).all()
    assert pb.dot(a[0], -3 * a[0]).abs().item() == pytest.approx((a[0].norm() * (3 * a[0]).norm()).item(), rel=1e-14)


def test_jacobian_of_a_composition():
    """Section 1.2: J_{g∘f}(x) = J_g(f(x)) J_f(x)."""
    A, B, x = normal(4, 3), normal(2, 4, seed=1), normal(3, seed=2)

    def f(v):
        return pb.tanh(A @ v)

    def g(v):
        return (B @ v).sin() * (v @ v)

    close(jacrev(lambda v: g(f(v)))(x), jacrev(g)(f(x)) @ jacrev(f)(x))


def test_the_logistic_loss_is_convex_and_smooth():
    """Section 1.3, on the logistic loss with L = λ_max(AᵀA)/4N: convexity, the descent lemma, the step 1/L, co-coercivity."""
    A, y = normal(30, 4), (normal(30, seed=1) > 0).double()
    L = np.linalg.eigvalsh((A.T @ A).numpy())[-1] / (4 * 30)

    def f(theta):
        leaf = theta.detach().requires_grad_()
        loss = classical.logistic_loss(A @ leaf, y)
        return loss.item(), grad(loss, leaf)[0]

    for seed in range(20):
        p, q = 3 * normal(4, seed=2 * seed), normal(4, seed=2 * seed + 1)
        (fp, gp), (fq, gq) = f(p), f(q)
        linear, away = fp + (gp @ (q - p)).item(), ((q - p) @ (q - p)).item()
        assert linear <= fq <= linear + L / 2 * away
        assert f(p - gp / L)[0] - fp <= -(gp @ gp).item() / (2 * L)
        assert ((gp - gq) @ (gp - gq)).item() / L <= ((gp - gq) @ (p - q)).item()


def test_the_integral_of_the_gradient():
    """Section 1.3: f(y) = f(z) + ∫₀¹ ∇f(z + τ(y − z))(y − z)ᵀ dτ, the integral by Gauss with 12 nodes."""
    y, z = normal(3), normal(3, seed=1)

    def f(v):
        return (v**3).sum() + v[0].sin() * v[1].cos()

    nodes, weights = np.polynomial.legendre.leggauss(12)
    total = 0.0
    for tau, weight in zip((nodes + 1) / 2, weights / 2):
        point = (z + tau * (y - z)).requires_grad_()
        total += weight * (grad(f(point), point)[0] @ (y - z)).item()
    assert (f(y) - f(z)).item() == pytest.approx(total, rel=1e-12)


def test_jacobian_of_relu():
    """Section 2: diag(1_{z > 0}), 0 at 0."""
    z = pb.tensor([1.5, 0.0, -2.0, 3.0], dtype=pb.float64)
    assert jacrev(F.relu)(z).tolist() == np.diag([1.0, 0, 0, 1]).tolist()


def test_gradient_of_cross_entropy():
    """Section 3: −ŷ_j/y_j, for ŷ = e_1; `nll_loss` of log y is that loss."""
    y = F.softmax(normal(1, 4), 1).requires_grad_()
    (g,) = grad(F.nll_loss(y.log(), pb.tensor([1])), y)
    assert g.tolist() == [[0, pytest.approx(-1 / y[0, 1].item(), rel=1e-15), 0, 0]]


def test_jacobians_of_a_dense_layer():
    """Section 4, proposition 1: ∂L/∂y = W, ∂L_j/∂W_{j,:} = y and nothing else, ∂L/∂b = I."""
    y, W, b = normal(3), normal(2, 3, seed=1), normal(2, seed=2)
    by_y, by_W, by_b = jacrev(F.linear, argnums=(0, 1, 2))(y, W, b)
    assert by_y.tolist() == W.tolist() and by_b.tolist() == np.eye(2).tolist()
    for j in range(2):
        assert by_W[j, j].tolist() == y.tolist() and not by_W[j, 1 - j].any()


def test_gradients_of_a_layer_under_any_loss():
    """Section 4, proposition 2, for F(y') = Σ c_j sin y'_j: the sums printed there, entry by entry."""
    y, W, b, c = (t.requires_grad_() for t in (normal(4), normal(3, 4, seed=1), normal(3, seed=2), normal(3, seed=3)))
    z = F.linear(y, W, b)
    by_y, by_W, by_b = grad((c * F.relu(z).sin()).sum(), (y, W, b))
    on = (z > 0).double()
    assert 0 < on.sum() < 3
    up = c * F.relu(z).cos() * on
    close(by_y, pb.stack([sum(up[i] * W[i, j] for i in range(3)) for j in range(4)]))
    close(by_W, pb.stack([pb.stack([up[i] * y[j] for j in range(4)]) for i in range(3)]))
    close(by_b, up)


# --- seed 002 ---------------------------------------------------------------------------------------------------------


def test_zero_indexing_the_bias():
    """b is the weight w₀ of an input x₀ = −1."""
    x, w, b = normal(50, 3), normal(3, seed=1), 0.3
    indexed = pb.cat([pb.full((50, 1), -1.0, dtype=pb.float64), x], 1)
    fired = classical.heaviside_unit(indexed, pb.cat([pb.tensor([b], dtype=pb.float64), w]), 0.0)
    assert fired.tolist() == classical.heaviside_unit(x, w, b).tolist() and 0 < fired.sum() < 50


# --- seed 003 ---------------------------------------------------------------------------------------------------------


def test_robbins_and_monro():
    """Steps τ/ℓ on one sample at a time: with ½(θ − x)² and τ = 1, θ is the mean of the samples seen so far."""
    samples = normal(100)
    theta = pb.zeros((), dtype=pb.float64).requires_grad_()
    optimizer = pb.optim.SGD([theta], lr=1.0)
    schedule = RobbinsMonroLR(optimizer)
    for x in samples:
        optimizer.zero_grad()
        (0.5 * (theta - x) ** 2).backward()
        optimizer.step()
        schedule.step()
    assert theta.item() == pytest.approx(samples.mean().item(), rel=1e-13)


def launches(call):
    before = sum(_cpu.launch_counts().values())
    call()
    return sum(_cpu.launch_counts().values()) - before


@pytest.mark.parametrize("d", [10, 1000])
def test_a_gradient_launches_a_few_kernels_whatever_the_dimension(d):
    """O(K) for a program of K operations, where differences take K(d + 1)."""
    model, x = nn.Sequential(nn.Linear(d, 32), nn.Tanh(), nn.Linear(32, 1)), pb.randn(8, d)
    value = launches(lambda: model(x).sum())
    gradient = launches(lambda: model(x).sum().backward())
    assert value <= gradient <= 4 * value < value * (d + 1)


def test_the_example_of_seed_003():
    """ℓ(θ₁, θ₂) = θ₂e^θ₁ √(θ₁ + θ₂e^θ₁), backward and forward against the derivatives by hand."""

    def loss(t):
        product = t[1] * t[0].exp()
        return product * (t[0] + product).sqrt()

    theta = pb.tensor([0.5, 2.0], dtype=pb.float64)
    e = math.exp(0.5)
    p = 2 * e
    root = math.sqrt(0.5 + p)
    by_hand = [p * root + p * (1 + p) / (2 * root), e * root + p * e / (2 * root)]
    value, pull = vjp(loss, theta)
    assert value.item() == pytest.approx(p * root, rel=1e-14)
    assert pull(pb.ones_like(value)).tolist() == pytest.approx(by_hand, rel=1e-14)
    for unit, expected in zip(pb.eye(2, dtype=pb.float64), by_hand):  # forward mode: once for each input
        assert jvp(loss, (theta,), (unit,))[1].item() == pytest.approx(expected, rel=1e-14)


# --- seed 004 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rho", [0.5, 1.0])
def test_gradients_vanish_with_depth(rho):
    """Section 4: g^j = J_jᵀ g^{j+1}; with Lip(σ) ≤ 1 and ‖A‖ = ρ each is at most ρ times the one after it."""
    network = classical.FeedForward([6] * 11, [pb.tanh] * 10, dtype=pb.float64)
    with pb.no_grad():
        for layer in network.alpha:
            nn.init.orthogonal_(layer.weight, gain=rho)
    states = network.states(normal(6).requires_grad_())
    gradients = grad(0.5 * (states[-1] - 1).square().sum(), states)
    norms = [g.norm().item() for g in gradients]
    assert all(a <= rho * b * (1 + 1e-12) for a, b in zip(norms, norms[1:]))
    assert norms[0] <= rho**10 * norms[-1]
    for j, layer in enumerate(network.alpha):
        close(gradients[j], layer.weight.T @ ((1 - states[j + 1] ** 2) * gradients[j + 1]), atol=1e-16)


def test_interpolation_of_the_runge_function():
    """Section 5: degree 14 through 15 equidistant points is exact there, wrong between and absurd outside; a penalty helps."""

    def runge(x):
        return 1 / (1 + 25 * x**2)

    def powers(x):
        return x[:, None] ** np.arange(1, 15)

    nodes, between = np.linspace(-1, 1, 15), np.linspace(-1, 1, 401)
    errors = {}
    for l2 in (0.0, 1e-3):
        fit = classical.least_squares(powers(nodes), runge(nodes), l2)
        at = {
            name: powers(x) @ fit.weight.numpy() + fit.bias.item() - runge(x)
            for name, x in (("in", nodes), ("on", between))
        }
        errors[l2] = {name: np.abs(error).max() for name, error in at.items()}
        if l2 == 0:
            assert abs(powers(np.array([1.2])) @ fit.weight.numpy())[0] > 100
    assert errors[0]["in"] < 1e-9 and errors[0]["on"] > 5
    assert errors[1e-3]["in"] > 0.1 and errors[1e-3]["on"] < 1


def test_a_polynomial_activation_gains_nothing_from_neurons():
    """Section 6: with σ(z) = z² every width gives a polynomial of degree 2, so |x| is no better fitted by 100 than by 3."""
    x = np.linspace(-1, 1, 101)
    target = np.abs(x)
    best = np.sqrt(np.mean((np.polyval(np.polyfit(x, target, 2), x) - target) ** 2))
    rng = np.random.default_rng(0)
    for neurons in (3, 100):
        z = x[:, None] * rng.normal(size=neurons) + rng.normal(size=neurons)
        rms = []
        for features in (z**2, np.maximum(z, 0)):
            found = np.linalg.lstsq(np.hstack([features, np.ones((101, 1))]), target, rcond=None)[0]
            rms.append(np.sqrt(np.mean((np.hstack([features, np.ones((101, 1))]) @ found - target) ** 2)))
        assert rms[0] == pytest.approx(best, rel=1e-9)
    assert rms[1] < best / 20  # 100 ReLUs


def test_relu_networks_are_piecewise_affine():
    """Section 6: near almost every point a ReLU network is affine, so second differences are 0."""
    network = classical.FeedForward([3, 8, 8, 2], [pb.relu, pb.relu, nn.Identity()], dtype=pb.float64)
    x, h = normal(50, 3), 1e-6 * normal(50, 3, seed=1)
    second = network(x + h) + network(x - h) - 2 * network(x)
    assert ((second.abs() < 1e-15 * 50).all(1)).sum() > 45  # 50 roundings; a step of 1e-6 crosses a kink hardly ever
    slope = (network(x + h) - network(x)).abs().max()
    assert slope.item() > 1e-8


def test_a_piecewise_affine_function_is_a_relu_network():
    """Section 6: max(u, v) = r(u − v) + r(v) − r(−v), and g − h of two such side by side in one layer."""
    A, b = normal(4, 2), normal(4, seed=1)  # u, v of g, then of h
    mix = pb.tensor([[1.0, -1], [0, 1], [0, -1]], dtype=pb.float64)
    network = classical.FeedForward([2, 6, 1], [pb.relu, nn.Identity()], dtype=pb.float64)
    with pb.no_grad():
        network.alpha[0].weight.copy_(pb.cat([mix @ A[:2], mix @ A[2:]]))
        network.alpha[0].bias.copy_(pb.cat([mix @ b[:2], mix @ b[2:]]))
        network.alpha[1].weight.copy_(pb.tensor([[1.0, 1, -1, -1, -1, 1]], dtype=pb.float64))
        network.alpha[1].bias.zero_()
    x = 3 * normal(100, 2, seed=2)
    u = x @ A.T + b
    close(network(x)[:, 0], pb.maximum(u[:, 0], u[:, 1]) - pb.maximum(u[:, 2], u[:, 3]), atol=1e-13)
