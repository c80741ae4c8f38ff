"""`pullback.func`: transforms of functions, alone, nested and on the tape."""

from __future__ import annotations

from collections import OrderedDict, namedtuple

import numpy as np
import pytest

import pullback as pb
from pullback import nn
from pullback.func import (
    functional_call,
    grad,
    grad_and_value,
    hessian,
    jacfwd,
    jacrev,
    jvp,
    linearize,
    stack_module_state,
    vjp,
    vmap,
)

# f(x) = A tanh(x) and its derivatives in closed form, in float64: agreement to a few roundings
A = np.arange(6.0).reshape(2, 3) - 2.0
X = np.array([0.3, -0.7, 1.1])
SLOPE = 1 - np.tanh(X) ** 2
JACOBIAN = A * SLOPE


def f(x):
    return pb.tensor(A) @ x.tanh()


def x64(values=X):
    return pb.tensor(np.asarray(values, np.float64))


def close(got, want):
    np.testing.assert_allclose(got.detach().numpy(), want, rtol=1e-12, atol=1e-14)


# --- gradients --------------------------------------------------------------------------------------------------------


def test_grad_and_its_forms():
    x, w = x64(), x64([1.0, 2.0, 3.0])

    def g(x, w, power=2):
        return (x**power * w).sum()

    close(grad(g)(x, w), 2 * X * w.numpy())
    close(grad(g)(x, w, power=3), 3 * X**2 * w.numpy())
    close(grad(g, argnums=1)(x, w), X**2)
    close(grad(g, argnums=-1)(x, w), X**2)
    dx, dw = grad(g, argnums=(0, 1))(x, w)
    close(dx, 2 * X * w.numpy())
    close(dw, X**2)
    d, value = grad_and_value(g)(x, w)
    close(d, 2 * X * w.numpy())
    close(value, (X**2 * w.numpy()).sum())
    d, aux = grad(lambda x: ((x**2).sum(), {"y": x * 3}), has_aux=True)(x)
    close(aux["y"], 3 * X)
    d, (value, aux) = grad_and_value(lambda x: ((x**2).sum(), x * 3), has_aux=True)(x)
    assert not any(t.requires_grad for t in (d, value, aux, dx, dw)) and x.grad is None


def test_grad_over_trees():
    Pair = namedtuple("Pair", "a b")
    params = OrderedDict(w=x64(), rest=[Pair(x64([1.0]), x64([2.0]))])
    found = grad(lambda p: (p["w"] ** 2).sum() + (p["rest"][0].a * p["rest"][0].b).sum())(params)
    assert type(found) is OrderedDict and type(found["rest"][0]) is Pair
    close(found["w"], 2 * X)
    close(found["rest"][0].a, [2.0])
    close(found["rest"][0].b, [1.0])


def test_grad_of_what_does_not_depend_on_it_is_zero():
    close(grad(lambda x: pb.tensor(1.0))(x64()), 0 * X)
    dx, dw = grad(lambda x, w: (w * w).sum(), argnums=(0, 1))(x64(), x64())
    close(dx, 0 * X)
    close(dw, 2 * X)


def test_grads_nest():
    cube = grad(grad(grad(lambda x: x**4)))
    close(cube(x64(0.5)), 24 * 0.5)
    # d/dx Σ ∂/∂z (z² x) at z = 2: the inner variable leaves no trace in the outer graph
    outer = grad(lambda x: grad(lambda z: (z**2 * x).sum())(x64([2.0])).sum())
    found = outer(x64([3.0]))
    close(found, [4.0])
    assert not found.requires_grad


def test_an_inner_gradient_without_the_outer_variable_is_a_constant():
    seen = []

    def outer(x):
        seen.append(grad(lambda z: (z**3).sum())(x64([2.0])))
        return (x * seen[0]).sum()

    close(grad(outer)(x64([1.0])), [12.0])
    assert not seen[0].requires_grad


def test_results_are_on_the_tape_of_what_they_depend_on():
    w = x64([2.0]).requires_grad_()
    found = grad(lambda x: (x**2 * w).sum())(x64([3.0]))
    found.sum().backward()  # 2xw
    close(w.grad, [6.0])
    x = x64([3.0]).requires_grad_()
    grad(lambda x: (x**3).sum())(x).sum().backward()  # 3x²
    close(x.grad, [18.0])
    with pb.no_grad():
        assert not grad(lambda x: (x**2 * w).sum())(x).requires_grad


def test_grad_ignores_no_grad_outside_and_respects_it_inside():
    with pb.no_grad():
        close(grad(lambda x: (x**2).sum())(x64()), 2 * X)

    def half(x):
        with pb.no_grad():
            c = x**2
        return (x**2 - c).sum()

    close(grad(half)(x64()), 2 * X)


def test_inputs_and_their_graphs_survive():
    x = x64().requires_grad_()
    h = x * 2
    grad(lambda t: (t * h).sum())(h.detach())
    grad(lambda t: (t * t).sum())(h)
    h.sum().backward()
    close(x.grad, 2 + 0 * X)


# --- pullback and pushforward -----------------------------------------------------------------------------------------


def test_vjp_pulls_back_any_number_of_times():
    y, pullback = vjp(f, x64())
    close(y, A @ np.tanh(X))
    for v in ([1.0, 0.0], [0.5, -2.0]):
        close(pullback(x64(v)), JACOBIAN.T @ v)
    (a, b), pullback, aux = vjp(lambda a, b: ((a * b, b * 2), "aux"), x64(), x64(), has_aux=True)
    assert aux == "aux" and not a.requires_grad
    da, db = pullback((x64([1.0, 0, 0]), x64([0.0, 1, 0])))
    close(da, [X[0], 0, 0])
    close(db, [X[0], 2, 0])


def test_jvp_is_the_differential():
    u = np.array([1.0, -2.0, 0.5])
    y, dy = jvp(f, (x64(),), (x64(u),))
    close(y, A @ np.tanh(X))
    close(dy, JACOBIAN @ u)
    _, dy, aux = jvp(lambda a, b: ({"p": a * b}, 7), (x64(), x64()), (x64(u), x64(u)), has_aux=True)
    close(dy["p"], 2 * X * u)
    assert aux == 7
    _, push = linearize(f, x64())
    close(push(x64(u)), JACOBIAN @ u)
    close(push(x64(2 * u)), 2 * JACOBIAN @ u)


def test_jvp_of_a_constant():
    _, (a, b) = jvp(lambda x: (x * 2, x64([1.0])), (x64(),), (x64(),))
    close(a, 2 * X)
    close(b, [0.0])
    with pytest.raises(RuntimeError, match="strict=True every output"):
        jvp(lambda x: (x * 2, x64([1.0])), (x64(),), (x64(),), strict=True)


def test_jvp_and_vjp_nest():
    u = x64([1.0, 2.0, 3.0])
    curvature = jvp(grad(lambda x: (x**4).sum()), (x64(),), (u,))[1]
    close(curvature, 12 * X**2 * u.numpy())
    close(grad(lambda x: jvp(lambda z: (z**3).sum(), (x,), (u,))[1])(x64()), 6 * X * u.numpy())
    close(grad(lambda u: (jvp(f, (x64(),), (u,))[1] ** 2).sum())(u), 2 * JACOBIAN.T @ (JACOBIAN @ u.numpy()))
    close(grad(lambda v: vjp(f, x64())[1](v).sum())(x64([1.0, 1.0])), JACOBIAN.sum(1))


# --- Jacobians --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transform", [jacrev, jacfwd])
def test_jacobians(transform):
    close(transform(f)(x64()), JACOBIAN)
    x = x64(np.arange(6.0).reshape(2, 3))
    close(transform(lambda x: x.sum(0))(x), np.tile(np.eye(3)[:, None, :], (1, 2, 1)))
    (aa, ab), (ba, bb) = transform(lambda a, b: (a * b, b.sum()), argnums=(0, 1))(x64(), x64())
    close(aa, np.diag(X))
    close(ab, np.diag(X))
    close(ba, 0 * X)
    close(bb, 0 * X + 1)
    found, aux = transform(lambda x: (x * 2, "aux"), has_aux=True)(x64())
    close(found, 2 * np.eye(3))
    assert aux == "aux" and not found.requires_grad
    assert transform(lambda x: x[:0] * 2)(x64()).shape == (0, 3)
    assert transform(lambda x: x[:0].sum() * 2)(x64([])).shape == (0,)


def test_hessians():
    def g(x):
        return (x**3).sum() * x[0]

    want = np.diag(6 * X * X[0])
    want[0] += 3 * X**2
    want[:, 0] += 3 * X**2
    for h in (hessian(g), jacfwd(jacrev(g)), jacrev(jacfwd(g)), jacfwd(jacfwd(g))):
        close(h(x64()), want)
    blocks = hessian(lambda a, b: (a**2 * b).sum(), argnums=(0, 1))(x64(), x64())
    close(blocks[0][0], np.diag(2 * X))
    close(blocks[0][1], np.diag(2 * X))
    close(blocks[1][1], 0 * np.eye(3))


def test_a_jacobian_penalty_goes_back_to_the_parameters():
    w = x64(A).requires_grad_()
    penalty = (jacrev(lambda x: w @ x.tanh())(x64()) ** 2).sum()
    penalty.backward()
    close(w.grad, 2 * A * SLOPE**2)


# --- batches ----------------------------------------------------------------------------------------------------------


def test_vmap_dimensions():
    xs, w = x64(np.arange(12.0).reshape(4, 3)), x64([1.0, 2.0, 3.0])
    close(vmap(lambda x, w: x @ w, in_dims=(0, None))(xs, w), xs.numpy() @ w.numpy())
    close(vmap(lambda x: x * 2, in_dims=1, out_dims=1)(xs), 2 * xs.numpy())
    close(vmap(lambda x: x * 2, in_dims=-1)(xs), 2 * xs.numpy().T)
    close(vmap(lambda d: d["a"] + d["b"], in_dims=({"a": 0, "b": None},))({"a": xs, "b": w}), xs.numpy() + w.numpy())
    close(vmap(lambda x, y: x * y)(xs, y=xs), xs.numpy() ** 2)
    a, b = vmap(lambda x: (x, x.sum()), out_dims=(1, 0))(xs)
    close(a, xs.numpy().T)
    close(b, xs.numpy().sum(1))
    first, kept = vmap(lambda x: (x, w), out_dims=(0, None))(xs)
    assert kept is w and first.shape == xs.shape


def test_vmap_composes():
    xs = x64(np.arange(6.0).reshape(2, 3))
    close(vmap(grad(lambda x: (x**2).sum()))(xs), 2 * xs.numpy())
    close(vmap(jacrev(f))(xs), A * (1 - np.tanh(xs.numpy()) ** 2)[:, None])
    close(vmap(vmap(lambda x: x * 2))(xs), 2 * xs.numpy())
    close(grad(lambda xs: vmap(f)(xs).sum())(xs), A.sum(0) * (1 - np.tanh(xs.numpy()) ** 2))


def test_vmap_randomness():
    xs = pb.zeros(5, 2)

    def noisy(x):
        return x + pb.rand(2)

    with pytest.raises(RuntimeError, match="drew random numbers"):
        vmap(noisy)(xs)
    pb.manual_seed(3)
    same = vmap(noisy, randomness="same")(xs).numpy()
    assert (same == same[0]).all()
    different = vmap(noisy, randomness="different")(xs).numpy()
    assert len({row.tobytes() for row in different}) == 5


def test_transforms_are_captured():
    """Recorded and replayed, with other inputs and other random numbers, they give the eager bits."""

    def step(xs):
        noise = vmap(lambda x: x * pb.rand(3, dtype=pb.float64), randomness="same")(xs)
        return noise + vmap(grad(lambda x: (f(x) ** 2).sum()))(xs) + jacfwd(f)(xs[0]).sum(0)

    captured = pb.capture(step)
    results = []
    for i in range(6):
        xs = x64(np.random.default_rng(i).standard_normal((2, 3)))
        pb.manual_seed(i)
        want = step(xs)
        pb.manual_seed(i)
        results.append((captured(xs).numpy().copy(), want.numpy()))
    assert captured.stats()["replayed"] == 3
    for got, want in results:
        assert got.tobytes() == want.tobytes()


# --- modules ----------------------------------------------------------------------------------------------------------


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
        self.b.weight = self.a.weight
        self.register_buffer("shift", pb.ones(2))

    def forward(self, x, scale=1.0):
        return self.b(self.a(x)) * scale + self.shift


def test_functional_call():
    model = Tied()
    before = model.a.weight
    x, w = pb.tensor([1.0, 2.0]), 2 * pb.eye(2)
    assert functional_call(model, {"a.weight": w}, x).tolist() == [5, 9]
    assert functional_call(model, {"b.weight": w}, (x,), {"scale": 0.5}).tolist() == [3, 5]
    assert functional_call(model, ({"a.weight": w}, {"shift": pb.zeros(2)}), x).tolist() == [4, 8]
    untied = functional_call(model, {"a.weight": w, "b.weight": pb.eye(2)}, x, tie_weights=False)
    assert untied.tolist() == [3, 5]
    assert model.a.weight is before and model.b.weight is before and model.shift.tolist() == [1, 1]
    g = grad(lambda p: functional_call(model, p, x).sum())({"a.weight": pb.eye(2)})
    assert g["a.weight"].tolist() == [[2, 4], [2, 4]]  # 1(Wx)ᵀ + Wᵀ1xᵀ at W = I


def test_functional_call_puts_things_back_after_an_error():
    model = Tied()
    with pytest.raises(RuntimeError, match="linear"):
        functional_call(model, {"a.weight": pb.ones(2, 5)}, pb.ones(2))
    assert model.a.weight.shape == (2, 2)


def test_an_ensemble():
    models = [nn.Linear(3, 2) for _ in range(3)]
    params, buffers = stack_module_state(models)
    assert params["weight"].shape == (3, 2, 3) and params["weight"].requires_grad and buffers == {}
    x = pb.ones(4, 3)
    out = vmap(lambda p: functional_call(models[0], p, x))(params)
    for y, m in zip(out, models):
        np.testing.assert_allclose(y.detach().numpy(), m(x).detach().numpy(), rtol=1e-6)


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda x: grad(lambda x: x * 2)(x), RuntimeError, r"without dimensions, got shape \[3\]; .* vjp and jacrev"),
        (lambda x: grad(lambda x: 3.0)(x), RuntimeError, "got float"),
        (lambda x: grad(lambda x: x.sum(), argnums=2)(x), RuntimeError, "argnums 2 expects more positional arguments"),
        (lambda x: grad(lambda x: x.sum(), argnums=())(x), RuntimeError, r"at least one number, got \(\)"),
        (lambda x: grad(lambda x: x.sum(), argnums="x")(x), RuntimeError, "expects an int or a tuple of ints, got 'x'"),
        (lambda x: grad(lambda x: x.sum(), argnums=(0, -1))(x), RuntimeError, "expects different arguments"),
        (lambda x: grad(lambda x: x.sum())(pb.arange(3)), RuntimeError, "floating-point tensors, got pullback.int64"),
        (lambda x: grad(lambda x: x)(2.0), TypeError, "argument 0 expects tensors, got float"),
        (lambda x: grad(lambda x: x.sum(), has_aux=True)(x), RuntimeError, r"\(output, aux\) with has_aux=True"),
        (lambda x: vjp(lambda x: x * 2, x)[1](pb.ones(2)), RuntimeError, r"expects shapes \[\[3\]\], got \[\[2\]\]"),
        (lambda x: vjp(lambda x: x > 0, x), RuntimeError, "floating-point tensors, got pullback.bool"),
        (lambda x: vjp(lambda x: (), x), RuntimeError, "a tensor or several"),
        (lambda x: jvp(lambda x: x, x, x), RuntimeError, "primals expects a tuple of at least one tensor, got Tensor"),
        (lambda x: jvp(lambda x: x, (x,), (pb.ones(2),)), RuntimeError, "tangents expects shapes"),
        (lambda x: jacrev(lambda x: "y")(x), RuntimeError, "expects to return tensors, got str"),
        (lambda x: jacrev(lambda x: x, chunk_size=0), ValueError, "None or a positive int, got 0"),
        (lambda x: jacfwd(lambda x: x, randomness="no"), ValueError, "got 'no'"),
        (lambda x: vmap(lambda x: x, in_dims=None)(x), ValueError, "in_dims expects an int or a tuple"),
        (lambda x: vmap(lambda x: x, in_dims=(0, 0))(x), ValueError, "structure of the 1 arguments"),
        (lambda x: vmap(lambda x: x, in_dims=1)(x), ValueError, r"in_dims 1 expects .* got shape \[3\]"),
        (lambda x: vmap(lambda x: x, in_dims=(None,))(x), ValueError, "got None for all"),
        (lambda x: vmap(lambda x, y: x)(x, 3), ValueError, "got 0 for int"),
        (lambda x: vmap(lambda x, y: x)(x, pb.ones(4)), ValueError, r"one size of the batch, got \[3, 4\]"),
        (lambda x: vmap(lambda x: x)(pb.ones(0, 2)), ValueError, "empty batch"),
        (lambda x: vmap(lambda x: 1.0)(x), ValueError, "return tensors, got float"),
        (lambda x: vmap(lambda x: x, out_dims=2)(x), ValueError, "out_dims 2 expects"),
        (lambda x: vmap(lambda x: (x, x), out_dims=(0,))(x), ValueError, "out_dims expects an int, or the structure"),
        (lambda x: vmap(lambda x: x, chunk_size=-1), ValueError, "chunk_size"),
        (lambda x: functional_call(nn.Linear(3, 1), {"w": 1}, x), TypeError, "'w' expects a Tensor, got int"),
        (lambda x: functional_call(nn.Linear(3, 1), [{"w": x}, {"w": x}], x), ValueError, "appears in two"),
        (lambda x: functional_call(nn.Linear(3, 1), 3, x), ValueError, "a dictionary or several, got int"),
        (
            lambda x: functional_call(nn.Linear(3, 1), {"w": x}, x, strict=True),
            RuntimeError,
            r"missing names \['bias', 'weight'\], unexpected names \['w'\]",
        ),
        (
            lambda x: functional_call(Tied(), {"a.weight": pb.eye(2), "b.weight": pb.eye(2)}, x),
            ValueError,
            "are one tensor of the module",
        ),
        (lambda x: stack_module_state([]), RuntimeError, "at least one, got none"),
        (lambda x: stack_module_state([nn.Linear(1, 1), nn.Tanh()]), RuntimeError, "one type, got"),
        (lambda x: stack_module_state([nn.Linear(1, 1), nn.Linear(1, 1).eval()]), RuntimeError, "training mode"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call(pb.ones(3))
