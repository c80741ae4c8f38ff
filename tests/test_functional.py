"""`pullback.autograd.functional`: values, forms of inputs and results, and what is on the tape."""

from __future__ import annotations

import numpy as np
import pytest

import pullback as pb
from pullback import autograd, func, nn, optim
from pullback.autograd import functional as F

X = np.array([0.5, -1.0, 2.0])


def x64(values=X):
    return pb.tensor(np.asarray(values, np.float64))


def close(got, want):
    np.testing.assert_allclose(got.detach().numpy(), want, rtol=1e-12, atol=1e-14)


def cubic(a, b):
    return (a**3 * b).sum()


@pytest.mark.parametrize("options", [{}, {"vectorize": True, "strategy": "forward-mode"}])
def test_jacobian(options):
    close(F.jacobian(lambda x: x**2, x64(), **options), np.diag(2 * X))
    (found,) = F.jacobian(lambda x: x**2, (x64(),), **options)
    close(found, np.diag(2 * X))
    a, b = F.jacobian(lambda x: (x**2, x.sum()), x64(), **options)
    close(b, 0 * X + 1)
    rows = F.jacobian(lambda a, b: (a * b, b), (x64(), x64()), **options)
    close(rows[1][0], np.zeros((3, 3)))
    close(rows[0][1], np.diag(X))
    assert not a.requires_grad


@pytest.mark.parametrize("options", [{}, {"vectorize": True, "outer_jacobian_strategy": "forward-mode"}])
def test_hessian(options):
    close(F.hessian(lambda x: (x**3).sum(), x64(), **options), np.diag(6 * X))
    (aa, ab), (ba, bb) = F.hessian(cubic, (x64(), x64(X + 1)), **options)
    close(aa, np.diag(6 * X * (X + 1)))
    close(ab, np.diag(3 * X**2))
    close(ba, np.diag(3 * X**2))
    close(bb, np.zeros((3, 3)))
    close(F.hessian(lambda x: x[:1] ** 2, x64(), **options), [[2, 0, 0], [0, 0, 0], [0, 0, 0]])


def test_products():
    v = x64([1.0, 2.0, -1.0])
    y, g = F.vjp(lambda x: x**2, x64(), v)
    close(y, X**2)
    close(g, 2 * X * v.numpy())
    close(F.vjp(lambda x: x.sum(), x64())[1], 0 * X + 1)
    close(F.jvp(lambda x: x**2, x64(), v)[1], 2 * X * v.numpy())
    close(F.jvp(lambda t: t * x64(), x64(2.0))[1], X)
    for product in (F.vhp, F.hvp):
        value, hv = product(lambda x: (x**3).sum(), x64(), v)
        close(value, (X**3).sum())
        close(hv, 6 * X * v.numpy())
        _, (a, b) = product(cubic, (x64(), x64(X + 1)), (v, v))
        close(a, (6 * X * (X + 1) + 3 * X**2) * v.numpy())
        close(b, 3 * X**2 * v.numpy())
        assert isinstance(product(lambda x: (x**3).sum(), (x64(),), (v,))[1], tuple)


def test_the_graph_is_kept_on_request_only():
    x = x64().requires_grad_()
    for create in (False, True):
        found = [
            F.jacobian(lambda x: x**3, x, create_graph=create),
            F.hessian(lambda x: (x**3).sum(), x, create_graph=create),
            *F.vjp(lambda x: x**3, x, x64(), create_graph=create),
            *F.jvp(lambda x: x**3, x, x64(), create_graph=create),
            *F.vhp(lambda x: (x**3).sum(), x, x64(), create_graph=create),
        ]
        assert [t.requires_grad for t in found] == [create] * len(found)
    F.jacobian(lambda x: x**3, x, create_graph=True).sum().backward()
    close(x.grad, 6 * X)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda x: F.jacobian(lambda a, b: a, (x, x), strict=True), RuntimeError, "output 0 has to depend on input 1"),
        (lambda x: F.hessian(lambda x: x.sum(), x, strict=True), RuntimeError, "hessian: with strict=True output 0"),
        (lambda x: F.vhp(lambda x: x.sum(), x, x, strict=True), RuntimeError, "vhp: with strict=True"),
        (lambda x: F.vjp(lambda x: pb.ones(()), x, strict=True), RuntimeError, "vjp: with strict=True"),
        (lambda x: F.jvp(lambda x: pb.ones(()), x, x, strict=True), RuntimeError, "jvp: with strict=True"),
        (lambda x: F.hessian(lambda x: x, x), RuntimeError, r"single element, got shape \[3\]"),
        (lambda x: F.hessian(lambda x: 1.0, x), RuntimeError, "single element, got float"),
        (lambda x: F.vjp(lambda x: x, x), RuntimeError, "v may be left out only"),
        (lambda x: F.jvp(lambda x: x, x), RuntimeError, "v may be left out only"),
        (lambda x: F.vjp(lambda x: x, x, pb.ones(2)), RuntimeError, "expects shapes"),
        (lambda x: F.jacobian(lambda x: x, [x]), TypeError, "inputs expects a Tensor or a tuple of them, got list"),
        (lambda x: F.jacobian(lambda x: x, x, strategy="sideways"), ValueError, "got 'sideways'"),
        (lambda x: F.jacobian(lambda x: x, x, strategy="forward-mode"), NotImplementedError, "vectorize=True"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call(pb.ones(3))


# --- penalties on derivatives -----------------------------------------------------------------------------------------


def network():
    pb.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 16), nn.Softplus(), nn.Linear(16, 1)).double()


def data():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (32, 2))
    return x64(x).requires_grad_(), x64(np.sin(3 * x[:, :1]) + 0.3 * rng.standard_normal((32, 1)))


def gradient_penalty(model, x):
    """Mean of ‖∂y/∂x‖² over samples."""
    (g,) = autograd.grad(model(x).sum(), x, create_graph=True)
    return (g * g).sum() / len(x)


def jacobian_penalty(model, x):
    """Mean of ‖∂h/∂x‖² over samples, h the last hidden layer."""
    rows = [func.jacrev(model[:4])(x[i]) for i in range(0, len(x), 8)]
    return sum((j * j).sum() for j in rows) / len(rows)


@pytest.mark.parametrize("penalty", [gradient_penalty, jacobian_penalty])
def test_a_penalty_on_derivatives_trains(penalty):
    """With it the loss still falls, and derivatives end up far smaller than without."""
    sizes = {}
    for weight in (0.0, 0.3):
        model = network()
        x, y = data()
        optimizer = optim.Adam(model.parameters(), lr=0.02)
        losses = []
        for _ in range(60):
            optimizer.zero_grad()
            loss = ((model(x) - y) ** 2).mean()
            (loss + weight * penalty(model, x)).backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < losses[0]
        sizes[weight] = penalty(model, x).item()
    assert sizes[0.3] < 0.5 * sizes[0.0]


@pytest.mark.parametrize("penalty", [gradient_penalty, jacobian_penalty])
def test_a_penalty_has_the_gradient_that_differences_say(penalty):
    model = network()
    x, _ = data()
    penalty(model, x).backward()
    rng = np.random.default_rng(1)
    us = [rng.standard_normal(tuple(p.shape)) for p in model.parameters()]
    slope = sum(float((p.grad.numpy() * u).sum()) for p, u in zip(model.parameters(), us) if p.grad is not None)

    def moved(h):
        changed = {n: p.detach() + h * x64(u) for (n, p), u in zip(model.named_parameters(), us)}
        other = network()
        other.load_state_dict(changed)
        return penalty(other, x).item()

    h = 1e-5  # error of the central difference ~ h² ≈ 1e-10, and of rounding ~ eps/h ≈ 1e-11
    assert slope == pytest.approx((moved(h) - moved(-h)) / (2 * h), rel=1e-6)
