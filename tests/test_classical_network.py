"""The deep network in the texts' notation: its gradients by hand, by the tape and by seed 001's theorem; layers as maps."""

from __future__ import annotations

import numpy as np
import pytest

import pullback as pb
from pullback import nn
from pullback.models.classical import DeepNetwork, FeedForward, PerNeuron, relu
from pullback.nn import functional as F

EPS = np.finfo(np.float64).eps


def made(sizes, n=7, seed=0, **options):
    """A network in double with its data: X [n, n₀] and labels."""
    pb.manual_seed(seed)
    network = DeepNetwork(sizes, dtype=pb.float64, **options)
    for b in network.b:
        b.data.normal_()
    rng = np.random.default_rng(seed)
    return network, pb.tensor(rng.normal(size=(n, sizes[0]))), pb.tensor(rng.integers(0, sizes[-1], n))


SIZES = [[3, 4], [3, 5, 4], [4, 6, 5, 3], [2, 5, 4, 3, 3]]


@pytest.mark.parametrize("sizes", SIZES)
def test_states_are_the_recursion_of_seed_000(sizes):
    network, X, _ = made(sizes)
    Z, H = network.states(X)
    h = X.numpy()
    for i, (W, b) in enumerate(zip(network.W, network.b), 1):
        z = h @ W.detach().numpy() + b.detach().numpy()
        e = np.exp(z)
        h = e / e.sum(1, keepdims=True) if i == len(sizes) - 1 else np.maximum(z, 0)
        # sums of at most 6 terms of size < 20, through at most 4 layers
        np.testing.assert_allclose(Z[i].detach().numpy(), z, rtol=1e-13, atol=1e-13)
        np.testing.assert_allclose(H[i].detach().numpy(), h, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(network(X).sum(1).detach().numpy(), 1, rtol=4 * EPS)
    assert network.predict(X).tolist() == h.argmax(1).tolist()


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("at_zero", [0.0, 1.0])
def test_gradients_by_hand_are_the_tape_s(sizes, at_zero):
    network, X, labels = made(sizes, derivative_at_zero=at_zero)
    if len(sizes) > 2:
        network.W[0].data[:, 0] = 0
        network.b[0].data[0] = 0  # a neuron with Z = 0 on every sample: r'(0) matters
    network.loss(X, labels).backward()
    for Y in (labels, F.one_hot(labels, sizes[-1]).double()):
        dW, db = network.gradients(X, Y)
        for by_hand, parameter in zip([*dW, *db], [*network.W, *network.b]):
            np.testing.assert_allclose(by_hand.numpy(), parameter.grad.numpy(), rtol=1e-11, atol=1e-14)
    if len(sizes) > 2:
        assert bool(network.W[0].grad[:, 0].abs().sum() > 0) == (at_zero == 1)


def seed_001_gradients(weights, biases, x, y):
    """Seed 001's theorem (section 5), entry by entry for one sample: W^k [m_{k+1}, m_k], the sum of losses without 1/n.

    Of its last layer's bias it prints a factor 1_{z > 0}, which is left out here: that layer has no ReLU.
    """
    p = len(weights)
    down, z = [x], []  # y^downstream(k), and L^k of it
    for k in range(p):
        z.append(
            [
                sum(down[k][j] * weights[k][i][j] for j in range(len(down[k]))) + biases[k][i]
                for i in range(len(biases[k]))
            ]
        )
        down.append([max(0.0, v) for v in z[k]])
    e = np.exp(z[-1])
    up = list(e / e.sum() - y)  # d F^upstream(p)
    dW, db = [], []
    for k in range(p - 1, -1, -1):
        on = [1.0 if k == p - 1 or v > 0 else 0.0 for v in z[k]]
        dW.insert(0, [[up[i] * on[i] * down[k][j] for j in range(len(down[k]))] for i in range(len(up))])
        db.insert(0, [up[i] * on[i] for i in range(len(up))])
        up = [sum(up[i] * on[i] * weights[k][i][j] for i in range(len(up))) for j in range(len(down[k]))]
    return dW, db


@pytest.mark.parametrize("sizes", SIZES)
def test_gradients_are_those_of_seed_001(sizes):
    network, X, labels = made(sizes, n=5)
    weights, biases = [W.detach().numpy().T for W in network.W], [b.detach().numpy() for b in network.b]
    dW, db = [np.zeros_like(W) for W in weights], [np.zeros_like(b) for b in biases]
    for x, y in zip(X.numpy(), F.one_hot(labels, sizes[-1]).numpy()):
        for total, one in zip([*dW, *db], [g for part in seed_001_gradients(weights, biases, x, y) for g in part]):
            total += one
    found = network.gradients(X, labels)
    for by_text, ours in zip(dW, found[0]):
        np.testing.assert_allclose(5 * ours.numpy(), by_text.T, rtol=1e-11, atol=1e-13)
    for by_text, ours in zip(db, found[1]):
        np.testing.assert_allclose(5 * ours.numpy(), by_text, rtol=1e-11, atol=1e-13)


def test_softmax_jacobian_is_lemma_4_1():
    """s_i (δ_ij − s_j): seed 000, lemma 4.1; seed 001, section 2."""
    x = pb.randn(5, dtype=pb.float64).requires_grad_()
    s = F.softmax(x, 0)
    rows = [pb.autograd.grad(s[i], x, retain_graph=True)[0].numpy() for i in range(5)]
    v = s.detach().numpy()
    np.testing.assert_allclose(rows, np.diag(v) - np.outer(v, v), rtol=1e-13, atol=1e-16)


def test_softmax_and_cross_entropy_together():
    """d(ξ∘S)/dz = S(z) Σŷ − ŷ: seed 001, section 3, prints S(z) − ŷ, which needs Σŷ = 1."""
    z = pb.randn(4, dtype=pb.float64).requires_grad_()
    for target in ([0.0, 1, 0, 0], [0.0, 1, 1, 0]):
        y = pb.tensor(target, dtype=pb.float64)
        (g,) = pb.autograd.grad(-(y * F.softmax(z, 0).log()).sum(), z)
        s = F.softmax(z.detach(), 0)
        np.testing.assert_allclose(g.numpy(), (s * y.sum() - y).numpy(), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("sizes", [[3, 5, 4], [3, 5, 5, 4]])
@pytest.mark.parametrize("at_zero", [0.0, 1.0])
def test_zero_weights_learn_the_class_frequencies_only(sizes, at_zero):
    """Seed 000's remark in section 4: from W = 0 all but b_d has gradient 0 and keeps it, whatever r'(0) is."""
    network = DeepNetwork(sizes, nn.init.zeros_, at_zero, dtype=pb.float64)
    _, X, labels = made(sizes, n=40)
    losses = network.fit(X, labels, 400, lr=1.0)
    assert not any(W.any() for W in network.W) and not any(b.any() for b in list(network.b)[:-1])
    shares = np.bincount(labels.numpy(), minlength=4) / 40
    np.testing.assert_allclose(network(X).detach().numpy(), np.tile(shares, (40, 1)), rtol=1e-9)
    assert losses[-1] == pytest.approx(-(shares * np.log(shares)).sum(), rel=1e-12)


def test_without_hidden_layer_zero_weights_do_learn():
    """Depth 1 is softmax regression, whose loss is convex."""
    network = DeepNetwork([2, 3], nn.init.zeros_, dtype=pb.float64)
    X = pb.tensor(np.repeat([[0.0, 2], [2, 0], [-2, -2]], 5, 0))
    labels = pb.tensor([0] * 5 + [1] * 5 + [2] * 5)
    assert network.fit(X, labels, 100, lr=1.0)[-1] < 0.02 and network.predict(X).tolist() == labels.tolist()


@pytest.mark.parametrize("at_zero", [0.0, 0.5, 1.0])
def test_relu_at_zero(at_zero):
    x = pb.tensor([-1.0, 0.0, -0.0, 2.0], dtype=pb.float64).requires_grad_()
    y = relu(x, at_zero)
    assert y.tolist() == [0, 0, 0, 2]
    y.backward(pb.tensor([1.0, 2.0, 3.0, 4.0], dtype=pb.float64))
    assert x.grad.tolist() == [0, 2 * at_zero, 3 * at_zero, 4]


def test_initialization_sees_fan_in_and_fan_out_as_in_linear():
    pb.manual_seed(0)
    W = DeepNetwork([1000, 10, 2], lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu")).W[0]
    assert list(W.shape) == [1000, 10]
    assert W.std().item() == pytest.approx((2 / 1000) ** 0.5, rel=0.03)  # 10⁴ samples: ± 0.7 %


def test_refusals():
    for call, error, message in (
        (lambda: DeepNetwork([3]), ValueError, "sizes expects two or more positive ints"),
        (lambda: DeepNetwork([3, 0]), ValueError, "sizes"),
        (
            lambda: DeepNetwork([1, 2]).fit(pb.tensor([[float("nan")]]), pb.tensor([0]), 1),
            ValueError,
            "X expects finite",
        ),
        (
            lambda: DeepNetwork([1, 2]).fit(pb.zeros(1, 1), pb.tensor([2]), 1),
            IndexError,
            "expected a class from 0 to 1",
        ),
        (lambda: relu(pb.zeros(1), 2.0), ValueError, r"number of \[0, 1\], got 2.0"),
        (lambda: PerNeuron([]), ValueError, "got none"),
        (lambda: PerNeuron([pb.relu])(pb.zeros(2, 3)), RuntimeError, r"expects 1 neurons, got \[2, 3\]"),
        (lambda: FeedForward([2, 3], []), ValueError, "L activations, got 2 and 0"),
        (lambda: FeedForward([2, 3], [[pb.relu]]), ValueError, "3 neurons expects as many activations, got 1"),
    ):
        with pytest.raises(error, match=message):
            call()


# --- layers as sequences of maps: seed 002 ----------------------------------------------------------------------------


def test_each_neuron_has_its_activation():
    chosen = [pb.tanh, pb.relu, pb.sigmoid, pb.tanh, pb.relu]  # a grouping whose order is no involution
    layer = PerNeuron(chosen)
    x = pb.randn(4, 5, dtype=pb.float64).requires_grad_()
    y = layer(x)
    for j, activation in enumerate(chosen):
        assert y[:, j].tolist() == activation(x[:, j].contiguous()).tolist()
    assert pb.gradcheck(layer, (x,))
    assert "tanh" in repr(layer)


def test_feed_forward_is_the_composition():
    network = FeedForward(
        [3, 6, 4, 2], [pb.tanh, [pb.relu, pb.sigmoid] * 2, nn.PReLU(dtype=pb.float64)], dtype=pb.float64
    )
    x = pb.randn(5, 3, dtype=pb.float64)
    states = network.states(x)
    assert (network.depth, network.width) == (3, 6) and [s.shape[1] for s in states] == [3, 6, 4, 2]
    for before, after, alpha, phi in zip(states, states[1:], network.alpha, network.phi):
        assert phi(alpha(before)).tolist() == after.tolist()
    assert network(x).tolist() == states[-1].tolist()
    assert len(list(network.parameters())) == 2 * 3 + 1  # PReLU's is registered once


def test_linear_neurons_collapse_to_one_layer():
    """Seed 002's concluding remark: without activations the network is one affine map."""
    network = FeedForward([3, 5, 4, 2], [nn.Identity()] * 3, dtype=pb.float64)
    weight, bias = np.eye(3), np.zeros(3)
    for layer in network.alpha:
        weight, bias = (
            layer.weight.detach().numpy() @ weight,
            layer.weight.detach().numpy() @ bias + layer.bias.detach().numpy(),
        )
    x = pb.randn(6, 3, dtype=pb.float64)
    np.testing.assert_allclose(network(x).detach().numpy(), x.numpy() @ weight.T + bias, rtol=1e-12, atol=1e-14)


def test_functions_that_relu_networks_represent():
    """Seed 004, section 2: identity, |x|, max, min, and the hat max(0, 1 − |x|), which the slide prints otherwise."""
    r = F.relu
    x, y = pb.linspace(-3, 3, 25, dtype=pb.float64), pb.linspace(2, -2, 25, dtype=pb.float64)
    a, b = x.numpy(), y.numpy()
    for ours, expected in (
        (r(x) - r(-x), a),
        (r(x) + r(-x), np.abs(a)),
        (x + r(y - x), np.maximum(a, b)),
        (x - r(x - y), np.minimum(a, b)),
        (r(x - y) + r(y) - r(-y), np.maximum(a, b)),
        (r(x - 1) - 2 * r(x) + r(x + 1), np.maximum(0, 1 - np.abs(a))),
        (F.leaky_relu(x, 0.1), np.maximum(a, 0.1 * a)),
    ):
        np.testing.assert_allclose(ours.numpy(), expected, rtol=0, atol=8 * EPS)
    printed = np.maximum(0, np.abs(1 - np.abs(a)))
    assert np.abs(printed - np.maximum(0, 1 - np.abs(a))).max() == 2  # at |x| = 3


def test_the_loss_of_a_network_is_not_convex():
    """Seed 004, section 3: L(a) = ½ tanh(a)² has a negative second derivative somewhere, and a positive one at 0."""
    a = pb.tensor([0.0, 1.5], dtype=pb.float64).requires_grad_()
    (g,) = pb.autograd.grad((0.5 * pb.tanh(a) ** 2).sum(), a, create_graph=True)
    (h,) = pb.autograd.grad(g.sum(), a)
    assert h[0].item() == 1 and h[1].item() < 0
