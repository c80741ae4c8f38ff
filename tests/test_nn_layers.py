"""Layers, activations and losses as modules: their parameters, options and repr, and that they compute what their
functions do; and the functions that are written in ops."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest

import pullback as pb
import pullback.nn.functional as F
from pullback import nn
from pullback.autograd import gradcheck, gradgradcheck


@pytest.fixture(autouse=True)
def seed():
    pb.manual_seed(0)


def normal(*shape, seed=0, spread=1.0):
    return pb.from_numpy(np.random.default_rng(seed).standard_normal(shape) * spread)


# --- linear layers ----------------------------------------------------------------------------------------------------


def test_linear():
    layer = nn.Linear(5, 3)
    assert repr(layer) == "Linear(in_features=5, out_features=3, bias=True)"
    assert list(layer.state_dict()) == ["weight", "bias"] and layer.weight.shape == (3, 5)
    x = normal(2, 4, 5).float()
    want = x.numpy() @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
    np.testing.assert_allclose(layer(x).detach().numpy(), want, rtol=1e-5, atol=1e-6)
    bound = 1 / math.sqrt(5)
    big = nn.Linear(5, 10000)
    for p in (big.weight, big.bias):
        values = p.detach().numpy()
        assert np.abs(values).max() <= bound and abs(values).max() > 0.99 * bound and abs(values.mean()) < 0.02
    bare = nn.Linear(5, 3, bias=False, dtype=pb.float64)
    assert bare.bias is None and list(bare.state_dict()) == ["weight"] and bare.weight.dtype is pb.float64
    assert gradcheck(bare, normal(2, 5).requires_grad_())
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(5, 6))
    with pytest.raises(RuntimeError, match=r"linear: .* in 1$"):
        model(pb.ones(2, 3))
    assert pickle.loads(pickle.dumps(layer))(x).tolist() == layer(x).tolist()


def test_bilinear():
    layer = nn.Bilinear(3, 4, 2).double()
    a, b = normal(5, 3), normal(5, 4, seed=1)
    want = np.einsum("ni,kij,nj->nk", a.numpy(), layer.weight.detach().numpy(), b.numpy()) + layer.bias.detach().numpy()
    np.testing.assert_allclose(layer(a, b).detach().numpy(), want, rtol=1e-12)
    assert repr(layer) == "Bilinear(in1_features=3, in2_features=4, out_features=2, bias=True)"
    assert nn.Bilinear(3, 4, 2, bias=False).bias is None
    assert gradcheck(F.bilinear, [t.requires_grad_() for t in (normal(2, 3), normal(2, 4), normal(2, 3, 4), normal(2))])
    with pytest.raises(RuntimeError, match=r"bilinear: weight expects \[K, 3, 3\].* got \[2, 3, 4\]"):
        layer(a, a)
    with pytest.raises(ValueError, match="in1_features expects a positive number, got 0"):
        nn.Bilinear(0, 1, 1)


def test_identity_flatten_unflatten():
    x = normal(2, 3, 4)
    assert nn.Identity(3, key="word")(x) is x and repr(nn.Identity()) == "Identity()"
    assert nn.Flatten()(x).shape == (2, 12) and nn.Flatten(0, 1)(x).shape == (6, 4)
    assert repr(nn.Flatten()) == "Flatten(start_dim=1, end_dim=-1)"
    assert nn.Unflatten(1, (3, -1))(nn.Flatten()(x)).tolist() == x.tolist()
    assert repr(nn.Unflatten(1, (3, 4))) == "Unflatten(dim=1, unflattened_size=(3, 4))"
    with pytest.raises(TypeError, match="dim expects an int, got str"):
        nn.Unflatten("x", (3, 4))
    with pytest.raises(TypeError, match="unflattened_size expects a tuple of ints"):
        nn.Unflatten(1, 12)


# --- dropout ----------------------------------------------------------------------------------------------------------


def test_dropout():
    layer = nn.Dropout(0.25)
    x = pb.ones(400, 100)
    y = layer(x).numpy()
    assert set(np.unique(y)) == {0, np.float32(1 / 0.75)} and abs((y == 0).mean() - 0.25) < 0.01
    assert layer.eval()(x).tolist() == x.tolist()
    assert repr(layer) == "Dropout(p=0.25, inplace=False)"
    z = x.clone()
    assert nn.Dropout(0.5, inplace=True)(z) is z and (z.numpy() == 0).any()
    assert nn.Dropout(0.0)(x).tolist() == x.tolist() and (nn.Dropout(1.0)(x).numpy() == 0).all()
    for kind in (nn.Dropout, nn.Dropout2d, nn.AlphaDropout):
        with pytest.raises(ValueError, match=f"{kind.__name__}: p expects a probability"):
            kind(1.5)


@pytest.mark.parametrize(
    "layer, shape", [(nn.Dropout1d, (50, 40, 7)), (nn.Dropout2d, (50, 40, 3, 3)), (nn.Dropout1d, (500, 5))]
)
def test_dropout_of_channels(layer, shape):
    y = layer(0.25)(pb.ones(*shape)).numpy()
    ndim = 3 if layer is nn.Dropout1d else 4
    lead = len(shape) - ndim + 2
    flat = y.reshape(*shape[:lead], -1)
    assert (flat == flat[..., :1]).all() and set(np.unique(y)) == {0, np.float32(1 / 0.75)}
    assert abs((flat[..., 0] == 0).mean() - 0.25) < 0.06
    assert layer().eval()(pb.ones(*shape)).numpy().all()
    x = pb.ones(*shape)
    assert layer(0.5, inplace=True)(x) is x and not x.numpy().all()
    with pytest.raises(RuntimeError, match="dropout.d: input expects"):
        layer()(pb.ones(2))
    assert F.dropout3d(pb.ones(2, 3, 2, 2, 2), 0.5).shape == (2, 3, 2, 2, 2)
    with pytest.raises(ValueError, match="dropout3d: p expects"):
        F.dropout3d(pb.ones(2, 3, 2, 2, 2), -1)


def test_alpha_dropout_keeps_the_moments():
    x = normal(300, 300)
    y = nn.AlphaDropout(0.3)(x).numpy()
    assert abs(y.mean()) < 0.02 and abs(y.std() - 1) < 0.02
    assert nn.AlphaDropout().eval()(x) is x
    assert (F.alpha_dropout(x, 1.0, True).numpy() == 0).all()
    z = x.clone()
    assert F.alpha_dropout(z, 0.3, True, inplace=True) is z and z.tolist() != x.tolist()


# --- activations ------------------------------------------------------------------------------------------------------

ACTIVATIONS = [
    (nn.ReLU(), F.relu, "ReLU()"),
    (nn.ReLU6(), F.relu6, "ReLU6()"),
    (nn.LeakyReLU(0.2), lambda x: F.leaky_relu(x, 0.2), "LeakyReLU(negative_slope=0.2)"),
    (nn.ELU(0.5), lambda x: F.elu(x, 0.5), "ELU(alpha=0.5)"),
    (nn.CELU(0.5), lambda x: F.celu(x, 0.5), "CELU(alpha=0.5)"),
    (nn.SELU(), F.selu, "SELU()"),
    (nn.GELU(), F.gelu, "GELU(approximate='none')"),
    (nn.GELU("tanh"), lambda x: F.gelu(x, approximate="tanh"), "GELU(approximate='tanh')"),
    (nn.SiLU(), F.silu, "SiLU()"),
    (nn.Mish(), F.mish, "Mish()"),
    (nn.Softplus(2.0, 3.0), lambda x: F.softplus(x, 2.0, 3.0), "Softplus(beta=2.0, threshold=3.0)"),
    (nn.Sigmoid(), F.sigmoid, "Sigmoid()"),
    (nn.LogSigmoid(), F.logsigmoid, "LogSigmoid()"),
    (nn.Tanh(), F.tanh, "Tanh()"),
    (nn.Tanhshrink(), lambda x: x - x.tanh(), "Tanhshrink()"),
    (nn.Hardtanh(-0.5, 0.7), lambda x: x.clamp(-0.5, 0.7), "Hardtanh(min_val=-0.5, max_val=0.7)"),
    (nn.Hardsigmoid(), F.hardsigmoid, "Hardsigmoid()"),
    (nn.Hardswish(), F.hardswish, "Hardswish()"),
    (nn.Softsign(), lambda x: x / (1 + x.abs()), "Softsign()"),
    (nn.Softshrink(0.3), lambda x: x.sign() * (x.abs() - 0.3).clamp(min=0), "Softshrink(0.3)"),
    (nn.Hardshrink(0.3), lambda x: x * (x.abs() > 0.3).double(), "Hardshrink(0.3)"),
    (nn.Threshold(0.1, 20.0), lambda x: F.threshold(x, 0.1, 20.0), "Threshold(threshold=0.1, value=20.0)"),
    (nn.GLU(), lambda x: x[:, :3] * x[:, 3:].sigmoid(), "GLU(dim=-1)"),
    (nn.Softmax(1), lambda x: x.softmax(1), "Softmax(dim=1)"),
    (nn.Softmin(1), lambda x: (-x).softmax(1), "Softmin(dim=1)"),
    (nn.LogSoftmax(0), lambda x: x.log_softmax(0), "LogSoftmax(dim=0)"),
]


@pytest.mark.parametrize("layer, function, text", ACTIVATIONS, ids=[a[2] for a in ACTIVATIONS])
def test_activations(layer, function, text):
    x = normal(4, 6, spread=2.0).requires_grad_()
    np.testing.assert_allclose(layer(x).detach().numpy(), function(x).detach().numpy(), rtol=1e-12, atol=1e-12)
    assert repr(layer) == text
    assert gradcheck(layer, x) and gradgradcheck(layer, x)


INPLACE = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.CELU, nn.SELU, nn.SiLU, nn.Mish, nn.Hardtanh, nn.Hardswish)


@pytest.mark.parametrize("kind", INPLACE)
def test_activations_in_place(kind):
    x = normal(4, 6)
    want = kind()(x).tolist()
    layer = kind(inplace=True)
    y = layer(x)
    assert y is x and x.tolist() == want
    if kind is not nn.Hardswish:
        assert "inplace=True" in repr(layer)


def test_prelu():
    layer = nn.PReLU(3, init=0.1).double()
    assert (
        repr(layer) == "PReLU(num_parameters=3)"
        and layer.weight.shape == (3,)
        and list(layer.state_dict()) == ["weight"]
    )
    x = normal(2, 3, 4)
    with pb.no_grad():
        layer.weight.copy_(pb.tensor([0.1, 0.2, 0.3]))
    want = np.where(x.numpy() > 0, x.numpy(), x.numpy() * np.array([0.1, 0.2, 0.3])[:, None])
    np.testing.assert_allclose(layer(x).detach().numpy(), want, rtol=1e-7)
    layer(x).sum().backward()
    want = np.minimum(x.numpy(), 0).sum((0, 2))
    np.testing.assert_allclose(layer.weight.grad.numpy(), want, rtol=1e-12)


def test_bad_options_of_activations():
    with pytest.raises(ValueError, match="Hardtanh: expected min_val < max_val, got 1 and 1"):
        nn.Hardtanh(1, 1)
    with pytest.raises(RuntimeError, match="softshrink: lambd expects a number ≥ 0, got -1"):
        nn.Softshrink(-1)(pb.ones(2))
    with pytest.raises(RuntimeError, match=r"glu: dimension -1 expects an even size, got shape \[3\]"):
        nn.GLU()(pb.ones(3))


@pytest.mark.parametrize("kind", [nn.Softmax, nn.LogSoftmax, nn.Softmin])
@pytest.mark.parametrize("shape, dim", [((3,), 0), ((2, 3), 1), ((2, 3, 4), 0), ((2, 3, 4, 5), 1)])
def test_a_dimension_that_was_left_out(kind, shape, dim):
    x = normal(*shape)
    with pytest.warns(UserWarning, match=f"dimension {dim} is taken"):
        got = kind()(x)
    np.testing.assert_array_equal(got.numpy(), kind(dim)(x).numpy())


def test_gumbel_softmax():
    logits = pb.tensor([[0.0, math.log(3.0)]] * 4000)
    hard = F.gumbel_softmax(logits, tau=0.5, hard=True)
    assert set(np.unique(hard.numpy())) <= {0.0, 1.0} and (hard.sum(1).numpy() == 1).all()
    assert abs(hard.numpy()[:, 1].mean() - 0.75) < 0.03  # the class with three times the weight
    soft = F.gumbel_softmax(logits.requires_grad_(), tau=2.0)
    np.testing.assert_allclose(soft.sum(1).detach().numpy(), 1, rtol=1e-5)
    F.gumbel_softmax(logits, hard=True)[:, 0].sum().backward()
    assert logits.grad.abs().sum().item() > 0


# --- distances --------------------------------------------------------------------------------------------------------


def test_normalize_and_cosine():
    a, b = normal(4, 5).requires_grad_(), normal(4, 5, seed=1).requires_grad_()
    x, y = a.detach().numpy(), b.detach().numpy()
    want = x / np.sqrt((x * x).sum(1, keepdims=True))
    np.testing.assert_allclose(F.normalize(a).detach().numpy(), want, rtol=1e-12)
    np.testing.assert_allclose(F.normalize(a, 1.0, 0).detach().numpy(), x / np.abs(x).sum(0), rtol=1e-12)
    want = (x * y).sum(1) / np.sqrt((x * x).sum(1) * (y * y).sum(1))
    np.testing.assert_allclose(F.cosine_similarity(a, b).detach().numpy(), want, rtol=1e-12)
    assert gradcheck(F.cosine_similarity, (a, b)) and gradcheck(F.normalize, a)
    assert F.normalize(pb.zeros(1, 3)).tolist() == [[0, 0, 0]]


def test_pairwise_distance():
    a, b = normal(4, 5), normal(4, 5, seed=1)
    d = np.abs(a.numpy() - b.numpy() + 1e-6)
    np.testing.assert_allclose(F.pairwise_distance(a, b).numpy(), np.sqrt((d**2).sum(-1)), rtol=1e-12)
    np.testing.assert_allclose(F.pairwise_distance(a, b, 3.0, keepdim=True).numpy()[:, 0], (d**3).sum(-1) ** (1 / 3))
    with pytest.raises(ValueError, match="p expects a positive finite number, got inf"):
        F.pairwise_distance(a, b, math.inf)


# --- losses -----------------------------------------------------------------------------------------------------------


def signs(*shape):
    return pb.from_numpy(np.random.default_rng(3).choice([-1, 1], shape))


def classes(*shape, n=5):
    return pb.from_numpy(np.random.default_rng(4).integers(0, n, shape))


def probabilities(*shape, seed=0):
    return pb.from_numpy(np.random.default_rng(seed).uniform(0.05, 0.95, shape))


WEIGHT = [0.2, 1.0, 2.0, 0.5, 1.5]
LOSSES = [
    (nn.MSELoss, {}, F.mse_loss, (normal(4, 5), normal(4, 5, seed=1))),
    (nn.L1Loss, {}, F.l1_loss, (normal(4, 5), normal(4, 5, seed=1))),
    (nn.SmoothL1Loss, {"beta": 0.3}, F.smooth_l1_loss, (normal(4, 5), normal(4, 5, seed=1))),
    (nn.HuberLoss, {"delta": 0.3}, F.huber_loss, (normal(4, 5), normal(4, 5, seed=1))),
    (nn.BCELoss, {}, F.binary_cross_entropy, (probabilities(4, 5), probabilities(4, 5, seed=1))),
    (
        nn.BCELoss,
        {"weight": pb.tensor(WEIGHT, dtype=pb.float64)},
        F.binary_cross_entropy,
        (probabilities(4, 5), probabilities(4, 5, seed=1)),
    ),
    (
        nn.BCEWithLogitsLoss,
        {"pos_weight": pb.tensor(WEIGHT, dtype=pb.float64)},
        F.binary_cross_entropy_with_logits,
        (normal(4, 5), probabilities(4, 5)),
    ),
    (nn.NLLLoss, {"ignore_index": 2}, F.nll_loss, (normal(7, 5), classes(7))),
    (
        nn.CrossEntropyLoss,
        {"weight": pb.tensor(WEIGHT, dtype=pb.float64), "label_smoothing": 0.1},
        F.cross_entropy,
        (normal(7, 5), classes(7)),
    ),
    (nn.KLDivLoss, {"log_target": True}, F.kl_div, (normal(4, 5), normal(4, 5, seed=1))),
    (
        nn.PoissonNLLLoss,
        {"log_input": False, "full": True, "eps": 1e-3},
        F.poisson_nll_loss,
        (probabilities(4), classes(4)),
    ),
    (nn.GaussianNLLLoss, {"full": True}, F.gaussian_nll_loss, (normal(4), normal(4, seed=1), probabilities(4))),
    (nn.MarginRankingLoss, {"margin": 0.1}, F.margin_ranking_loss, (normal(4), normal(4, seed=1), signs(4))),
    (nn.CosineEmbeddingLoss, {"margin": 0.1}, F.cosine_embedding_loss, (normal(4, 5), normal(4, 5, seed=1), signs(4))),
    (nn.HingeEmbeddingLoss, {"margin": 0.5}, F.hinge_embedding_loss, (normal(4), signs(4))),
    (nn.SoftMarginLoss, {}, F.soft_margin_loss, (normal(4), signs(4))),
    (
        nn.TripletMarginLoss,
        {"margin": 0.5, "p": 3.0, "swap": True},
        F.triplet_margin_loss,
        tuple(normal(4, 5, seed=s) for s in (0, 1, 2)),
    ),
]


@pytest.mark.filterwarnings("ignore:kl_div")
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize(
    "kind, options, function, inputs", LOSSES, ids=[f"{c[0].__name__}-{len(c[1])}" for c in LOSSES]
)
def test_losses_are_their_functions(kind, options, function, inputs, reduction):
    layer = kind(**options, reduction=reduction)
    got, want = layer(*inputs), function(*inputs, **options, reduction=reduction)
    assert got.tolist() == want.tolist()
    assert repr(layer) == f"{kind.__name__}()"
    if "weight" in options:
        assert list(layer.state_dict()) == ["weight"]


def test_mean_is_the_default_and_batchmean_is_kl_divs():
    x, y = normal(4, 5), normal(4, 5, seed=1)
    assert nn.MSELoss()(x, y).item() == F.mse_loss(x, y).item()
    p, q = probabilities(4, 5), probabilities(4, 5, seed=1)
    np.testing.assert_allclose(
        nn.KLDivLoss(reduction="batchmean")(p.log(), q).item(), (q * (q / p).log()).sum().item() / 4, rtol=1e-12
    )
    with pytest.warns(UserWarning, match="batchmean"):
        F.kl_div(p.log(), q)
    with pytest.raises(ValueError, match="MSELoss: reduction expects one of 'none', 'mean', 'sum', got 'batchmean'"):
        nn.MSELoss(reduction="batchmean")


def test_old_words_for_reduction():
    x, y = normal(4), normal(4, seed=1)
    for old, new in (((True, True), "mean"), ((False, True), "sum"), ((None, False), "none"), ((None, True), "mean")):
        with pytest.warns(UserWarning, match="deprecated"):
            layer = nn.MSELoss(*old)
        assert layer.reduction == new
        with pytest.warns(UserWarning, match="mse_loss: size_average and reduce are deprecated"):
            assert F.mse_loss(x, y, *old).tolist() == F.mse_loss(x, y, reduction=new).tolist()


def test_weights_of_differences():
    x, y, w = normal(4), normal(4, seed=1), probabilities(4)
    d = x.numpy() - y.numpy()
    np.testing.assert_allclose(F.mse_loss(x, y, weight=w).item(), (w.numpy() * d * d).sum() / w.numpy().sum())
    np.testing.assert_allclose(F.l1_loss(x, y, reduction="sum", weight=w).item(), (w.numpy() * abs(d)).sum())
    np.testing.assert_allclose(F.huber_loss(x, y, delta=9.0, weight=w).item(), (w.numpy() * d * d / 2).mean())
    with pytest.raises(ValueError, match=r"mse_loss: weight expects the shape of input, \[4\], got \[3\]"):
        F.mse_loss(x, y, weight=probabilities(3))


def test_edges_of_binary_cross_entropy():
    """The logarithms end at −100, the gradient's denominator at 1e−12, so that certain mistakes stay finite."""
    p = pb.tensor([0.0, 1.0, 0.0, 1.0], dtype=pb.float64).requires_grad_()
    y = pb.tensor([0.0, 1.0, 1.0, 0.0], dtype=pb.float64)
    loss = F.binary_cross_entropy(p, y, reduction="none")
    assert loss.tolist() == [0, 0, 100, 100]
    loss.sum().backward()
    np.testing.assert_allclose(p.grad.numpy(), [0, 0, -1e12, 1e12])
    x = pb.tensor([-1000.0, 1000.0, 1000.0, 0.0]).requires_grad_()
    loss = F.binary_cross_entropy_with_logits(x, pb.tensor([0.0, 1.0, 0.0, 0.5]), reduction="none")
    np.testing.assert_allclose(loss.detach().numpy(), [0, 0, 1000, math.log(2)], rtol=1e-6)
    loss.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [0, 0, 1, 0], atol=1e-7)


def test_gradient_passes_the_bound_of_the_variance():
    v = pb.tensor([1e-9, 1.0], dtype=pb.float64).requires_grad_()
    x = pb.tensor([0.0, 0.0], dtype=pb.float64)
    F.gaussian_nll_loss(x, x, v, reduction="sum").backward()
    np.testing.assert_allclose(v.grad.numpy(), [0.5e6, 0.5])
    assert v.tolist() == [1e-9, 1.0]
    a, b = normal(3, 4), normal(3, 4, seed=1)
    for var in (0.5, pb.full((3,), 0.5, dtype=pb.float64), pb.full((3, 1), 0.5, dtype=pb.float64)):
        want = F.gaussian_nll_loss(a, b, pb.full((3, 4), 0.5, dtype=pb.float64)).item()
        assert F.gaussian_nll_loss(a, b, var).item() == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: F.binary_cross_entropy(pb.tensor([1.5]), pb.ones(1)), RuntimeError, r"probabilities in \[0, 1\]"),
        (lambda: F.binary_cross_entropy(pb.tensor([math.nan]), pb.ones(1)), RuntimeError, "probabilities"),
        (
            lambda: F.binary_cross_entropy(pb.ones(2), pb.ones(3)),
            ValueError,
            r"target expects the shape of input, \[2\]",
        ),
        (lambda: F.binary_cross_entropy_with_logits(pb.ones(2), pb.ones(2, 1)), ValueError, r"got \[2, 1\]"),
        (lambda: F.mse_loss(pb.ones(2), 3.0), TypeError, "mse_loss: target expects a Tensor, got float"),
        (lambda: F.mse_loss(pb.ones(2), pb.ones(2), reduction="avg"), ValueError, "got 'avg'"),
        (lambda: F.smooth_l1_loss(pb.ones(2), pb.ones(2), beta=-1.0), ValueError, "beta expects a number ≥ 0"),
        (lambda: F.huber_loss(pb.ones(2), pb.ones(2), delta=0), ValueError, "delta expects a positive number, got 0"),
        (
            lambda: F.gaussian_nll_loss(pb.ones(2), pb.ones(2), pb.tensor([-1.0, 1])),
            ValueError,
            "var expects numbers ≥ 0",
        ),
        (
            lambda: F.gaussian_nll_loss(pb.ones(2, 3), pb.ones(2, 3), pb.ones(3)),
            ValueError,
            r"fits \[2, 3\], got \[3\]",
        ),
        (
            lambda: F.margin_ranking_loss(pb.ones(2), pb.ones(2), pb.ones(2, 1)),
            RuntimeError,
            "same number of dimensions",
        ),
        (
            lambda: F.cosine_embedding_loss(pb.ones(2), pb.ones(2), pb.ones(2)),
            RuntimeError,
            r"expected inputs \[N, D\]",
        ),
        (lambda: F.triplet_margin_loss(*[pb.ones(2, 3)] * 3, margin=0.0), ValueError, "margin expects a positive"),
        (lambda: nn.TripletMarginLoss(margin=0.0), ValueError, "margin expects a positive"),
    ],
)
def test_bad_input_of_losses(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("function", [F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss])
def test_shapes_that_broadcast_are_warned_of(function):
    with pytest.warns(UserWarning, match=r"input has shape \[3\] and target \[3, 1\]"):
        assert function(normal(3), normal(3, 1), reduction="none").shape == (3, 3)


def test_smooth_l1_without_a_corner_is_l1():
    x, y = normal(4), normal(4, seed=1)
    assert F.smooth_l1_loss(x, y, beta=0.0).item() == F.l1_loss(x, y).item()
