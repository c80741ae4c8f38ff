"""Losses: elementwise formulas and their derivatives from calculus, then the mean, the sum, or each."""

from __future__ import annotations

import numpy as np

from harness import LAYOUTS, Case
from pullback import ops

SHAPES = ((1,), (5,), (16,), (17,), (3, 5), (2, 3, 4), (7, 41), (1, 2049))
DIFFERENCES = {"shapes": (*SHAPES, (), (33, 1031)), "layouts": LAYOUTS}  # of kernels: pieces, layouts
PAIRS = ((1, 3), (2, 4), (5, 3), (3, 17), (40, 41))


def _reduced(terms, reduction):
    return terms if reduction == "none" else terms.sum() if reduction == "sum" else terms.mean()


def _spread(dy, terms, reduction):
    """dy for every term."""
    return dy * np.ones(terms.shape) / (terms.size if reduction == "mean" else 1)


def _cases(name, inputs, terms, derivatives, size=None, reductions=("none", "mean", "sum"), keywords=None, **options):
    """One case a reduction. derivatives(*arrays): ∂terms/∂input of each input, None where it has none, along a last
    dimension that `terms` sums over where there is one; size(*arrays): Σ |what terms add up|, by default |terms|."""
    function = getattr(ops, name)
    keywords = keywords or {}

    def make(reduction):
        def vjp(dy, *arrays):
            t = terms(*arrays)
            spread = _spread(dy, t, reduction)
            return [
                None if d is None else (spread[..., None] if d.ndim > t.ndim else spread) * d
                for d in derivatives(*arrays)
            ]

        def vjp_scale(dy, *arrays):
            spread = np.abs(_spread(dy, terms(*arrays), reduction))
            return [
                None if d is None else (spread[..., None] if d.ndim > spread.ndim else spread) * (np.abs(d) + 1)
                for d in derivatives(*arrays)
            ]

        written = "".join(f", {k}={v!r}" for k, v in keywords.items())
        return Case(
            name=f"{name}{options.get('label', '')}[{reduction}]",
            run=lambda *tensors: function(*tensors, **keywords, reduction=reduction),
            inputs=inputs,
            value=lambda *arrays: _reduced(terms(*arrays), reduction),
            vjp=vjp,
            scale=lambda *arrays: _reduced((size or (lambda *a: np.abs(terms(*a))))(*arrays), reduction),
            vjp_scale=vjp_scale,
            shapes=options.get("shapes", SHAPES),
            layouts=options.get("layouts", ("contiguous", "strided") if reduction == "none" else ("contiguous",)),
            ulps=16,
            vjp_ulps=32,
            torch=f"torch.nn.functional.{name}(a, b{', c' if options.get('three') else ''}{written}, "
            f"reduction={reduction!r})",
        )

    return [make(reduction) for reduction in reductions]


def _two(rng, shape):
    return [rng.standard_normal(shape), rng.standard_normal(shape)]


def _apart(corner):
    """x and y with |x − y| neither 0 nor near a corner."""

    def inputs(rng, shape):
        d = rng.uniform(0.05, 0.9, shape) * corner + np.where(rng.random(shape) < 0.5, corner + 0.1, 0)
        y = rng.standard_normal(shape)
        return [y + d * rng.choice([-1, 1], shape), y]

    return inputs


def _huber(x, y, delta):
    d = np.abs(x - y)
    return np.where(d < delta, d * d / 2, delta * (d - delta / 2))


def _huber_slope(x, y, delta):
    return np.clip(x - y, -delta, delta)


# --- binary cross-entropy ---------------------------------------------------------------------------------------------


def _probabilities(rng, shape):
    return [rng.uniform(0.02, 0.98, shape), rng.uniform(0, 1, shape)]


def _bce(p, y):
    return -(y * np.log(p) + (1 - y) * np.log(1 - p))


def _logits(rng, shape):
    return [rng.standard_normal(shape) * 4, rng.uniform(0, 1, shape)]


def _log_sigmoid(x):
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))


def _sigmoid(x):
    return np.exp(_log_sigmoid(x))


# --- divergences and likelihoods --------------------------------------------------------------------------------------


def _log_probabilities(rng, shape):
    return [-rng.uniform(0.1, 3, shape), rng.uniform(0.05, 1, shape)]


def _counts(rng, shape):
    return [rng.standard_normal(shape), rng.integers(0, 9, shape)]


def _positive_and_counts(rng, shape):
    return [rng.uniform(0.2, 3, shape), rng.integers(0, 9, shape)]


def _stirling(y):
    z = np.where(y > 1, y, 2)
    return np.where(y > 1, z * np.log(z) - z + 0.5 * np.log(2 * np.pi * z), 0)


def _gauss(rng, shape):
    return [*_two(rng, shape), rng.uniform(0.2, 2, shape)]


# --- margins ----------------------------------------------------------------------------------------------------------


def _signs(rng, shape):
    return rng.choice([-1, 1], shape)


def _rankings(rng, shape):
    """x₁ − x₂ off the corner ±0.5 of the margin."""
    d = rng.choice([-1.3, -0.2, 0.1, 0.9], shape) + rng.uniform(-0.05, 0.05, shape)
    x2 = rng.standard_normal(shape)
    return [x2 + d, x2, _signs(rng, shape)]


def _pairs(rng, shape):
    return [rng.standard_normal(shape), rng.standard_normal(shape), _signs(rng, shape[:-1])]


def _cos(a, b):
    na, nb = ((x * x).sum(-1) + 1e-12 for x in (a, b))
    c = (a * b).sum(-1) / np.sqrt(na * nb)
    da = b / np.sqrt(na * nb)[..., None] - (c / na)[..., None] * a
    db = a / np.sqrt(na * nb)[..., None] - (c / nb)[..., None] * b
    return c, da, db


def _cosine_slopes(a, b, y, margin=0.1):
    c, da, db = _cos(a, b)
    k = np.where(y == 1, -1.0, c > margin)[..., None]
    return [k * da, k * db, None]


def _triplets(rng, shape):
    return [rng.standard_normal(shape) for _ in range(3)]


def _distance(a, b):
    d = a - b + 1e-6
    n = np.sqrt((d * d).sum(-1))
    return n, d / n[..., None]


def _triplet(a, p, n):
    return np.maximum(_distance(a, p)[0] - _distance(a, n)[0] + 1, 0)


def _triplet_slopes(a, p, n):
    on = (_triplet(a, p, n) > 0)[..., None]
    near, far = _distance(a, p)[1] * on, _distance(a, n)[1] * on
    return [near - far, -near, far]


def _ones(*arrays):
    return np.ones_like(arrays[0])


CASES = [
    *_cases("mse_loss", _two, lambda x, y: (x - y) ** 2, lambda x, y: [2 * (x - y), 2 * (y - x)], **DIFFERENCES),
    *_cases(
        "l1_loss",
        _apart(0.5),
        lambda x, y: np.abs(x - y),
        lambda x, y: [np.sign(x - y), np.sign(y - x)],
        **DIFFERENCES,
    ),
    *_cases(
        "smooth_l1_loss",
        _apart(0.7),
        lambda x, y: _huber(x, y, 0.7) / 0.7,
        lambda x, y: [_huber_slope(x, y, 0.7) / 0.7, _huber_slope(y, x, 0.7) / 0.7],
        keywords={"beta": 0.7},
        **DIFFERENCES,
    ),
    *_cases(
        "huber_loss",
        _apart(0.7),
        lambda x, y: _huber(x, y, 0.7),
        lambda x, y: [_huber_slope(x, y, 0.7), _huber_slope(y, x, 0.7)],
        keywords={"delta": 0.7},
        **DIFFERENCES,
    ),
    *_cases(
        "binary_cross_entropy",
        _probabilities,
        _bce,
        lambda p, y: [(p - y) / (p * (1 - p)), np.log(1 - p) - np.log(p)],
        size=lambda p, y: np.abs(np.log(p)) + np.abs(np.log(1 - p)) + 1 / (1 - p),  # 1 − p is rounded first
    ),
    *_cases(
        "binary_cross_entropy_with_logits",
        _logits,
        lambda x, y: (1 - y) * x - _log_sigmoid(x),
        lambda x, y: [_sigmoid(x) - y, -x],
        size=lambda x, y: np.abs(x) + 1,
    ),
    *_cases(
        "kl_div",
        _log_probabilities,
        lambda x, y: y * (np.log(y) - x),
        lambda x, y: [-y, np.log(y) - x + 1],
        size=lambda x, y: np.abs(y * np.log(y)) + np.abs(y * x),
        reductions=("none", "sum"),
    ),
    *_cases(
        "kl_div",
        _two,
        lambda x, y: np.exp(y) * (y - x),
        lambda x, y: [-np.exp(y), np.exp(y) * (y - x + 1)],
        size=lambda x, y: np.exp(y) * (1 + np.abs(x) + np.abs(y)),
        reductions=("none", "sum"),
        keywords={"log_target": True},
        label="-log_target",
    ),
    *_cases(
        "poisson_nll_loss",
        _counts,
        lambda x, y: np.exp(x) - y * x,
        lambda x, y: [np.exp(x) - y, None],
        size=lambda x, y: np.exp(x) + np.abs(y * x),
        reductions=("none", "mean"),
    ),
    *_cases(
        "poisson_nll_loss",
        _positive_and_counts,
        lambda x, y: x - y * np.log(x + 1e-8) + _stirling(y),
        lambda x, y: [1 - y / (x + 1e-8), None],
        size=lambda x, y: 9 + 9 * (1 + np.abs(np.log(x))) + np.abs(_stirling(y)),
        keywords={"log_input": False, "full": True},
        label="-full",
        reductions=("none", "mean"),
    ),
    *_cases(
        "gaussian_nll_loss",
        _gauss,
        lambda x, y, v: (np.log(v) + (x - y) ** 2 / v) / 2 + np.log(2 * np.pi) / 2,
        lambda x, y, v: [(x - y) / v, (y - x) / v, (1 / v - ((x - y) / v) ** 2) / 2],
        size=lambda x, y, v: np.abs(np.log(v)) + (x - y) ** 2 / v + 1,
        keywords={"full": True},
        three=True,
    ),
    *_cases(
        "soft_margin_loss",
        lambda rng, shape: [rng.standard_normal(shape) * 4, _signs(rng, shape)],
        lambda x, y: -_log_sigmoid(x * y),
        lambda x, y: [-y * _sigmoid(-x * y), None],
    ),
    *_cases(
        "hinge_embedding_loss",
        lambda rng, shape: [rng.choice([-0.5, 0.3, 1.7], shape) + rng.uniform(0, 0.2, shape), _signs(rng, shape)],
        lambda x, y: np.where(y == 1, x, np.maximum(0, 1 - x)),
        lambda x, y: [np.where(y == 1, 1.0, -1.0 * (x < 1)), None],
        size=lambda x, y: 1 + np.abs(x),
    ),
    *_cases(
        "margin_ranking_loss",
        _rankings,
        lambda a, b, y: np.maximum(0, 0.5 - y * (a - b)),
        lambda a, b, y: [-y * (y * (a - b) < 0.5), y * (y * (a - b) < 0.5), None],
        size=lambda a, b, y: 0.5 + np.abs(a - b),
        keywords={"margin": 0.5},
        three=True,
    ),
    *_cases(
        "cosine_embedding_loss",
        _pairs,
        lambda a, b, y: np.where(y == 1, 1 - _cos(a, b)[0], np.maximum(0, _cos(a, b)[0] - 0.1)),
        _cosine_slopes,
        size=lambda a, b, y: 2 + 0 * y,
        keywords={"margin": 0.1},
        shapes=PAIRS,
        three=True,
    ),
    *_cases(
        "triplet_margin_loss",
        _triplets,
        _triplet,
        _triplet_slopes,
        size=lambda a, p, n: _distance(a, p)[0] + _distance(a, n)[0] + 1,
        shapes=PAIRS,
        three=True,
    ),
]
