"""Logistic regression: seed 000's cross-entropy on {0, 1}, seed 003's loss on {−1, 1}, which are one."""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import pullback
from pullback import Generator, Tensor
from pullback.models.classical._data import ConvergenceWarning, as_features, as_signs, check_penalty, embed
from pullback.models.classical.descent import descend
from pullback.nn import functional as F
from pullback.optim import SGD

__all__ = ["LogisticFit", "logistic_descent", "logistic_loss", "logistic_regression"]

Array = NDArray[np.float64]


class LogisticFit(NamedTuple):
    """P(f(x) = 1) = σ(⟨w, x⟩ + b)."""

    weight: Tensor  # w [D]
    bias: Tensor  # b []
    losses: list[float]  # before each step, and after the last
    converged: bool


def logistic_loss(z: Tensor, y: Tensor) -> Tensor:
    """The mean loss of logits z [N] and labels y [N]:

    −y log σ(z) − (1 − y) log(1 − σ(z)) for labels {0, 1} (seed 000, section 3),
    log(1 + e^(−yz)) for labels {−1, 1} (seed 003, section 1): the same number.

    Its gradient in z is (σ(z) − y)/N with y of {0, 1}. ValueError for another alphabet.
    """
    labels = set(y.unique().tolist())
    if labels <= {0, 1}:
        return F.binary_cross_entropy_with_logits(z, y.to(z.dtype))
    if labels <= {-1, 1}:
        return F.soft_margin_loss(z, y.to(z.dtype))
    raise ValueError(f"logistic_loss: y expects labels of {{0, 1}} or {{−1, 1}}, got {sorted(labels)[:5]}")


def logistic_descent(
    x: Any,
    y: Any,
    l2: float = 0.0,
    lr: float = 0.1,
    epochs: int = 1000,
    tol: float = 0.0,
    generator: Generator | None = None,
) -> LogisticFit:
    """Seed 000's algorithm (section 3): w normal, b = 0, then `epochs` times

    Ŷ = σ(Xw + b),  w ← w − α (1/N) Xᵀ(Ŷ − Y) − αλw,  b ← b − α (1/N) Σ (Ŷ − Y)

    by the tape. x [N, D], y [N] of {0, 1} or {−1, 1}; α `lr`, λ `l2`: the loss has (λ/2)‖w‖² added. Converged where no
    entry of the gradient is larger than `tol`. ValueError as `perceptron`; DivergenceError for too large an α.
    """
    check_penalty("logistic_descent", l2)
    features = as_features("logistic_descent", x)
    signs = as_signs("logistic_descent", y, features.shape[0])
    w = pullback.randn(features.shape[1], dtype=pullback.float64, generator=generator).requires_grad_()
    b = features.new_zeros(()).requires_grad_()

    def loss() -> Tensor:
        risk = F.soft_margin_loss(features @ w + b, signs)
        return risk + l2 / 2 * (w @ w) if l2 else risk

    losses = descend(loss, SGD([w, b], lr=lr), epochs, tol, op="logistic_descent")
    return LogisticFit(w.detach(), b.detach(), losses, len(losses) <= epochs)


def logistic_regression(x: Any, y: Any, l2: float = 0.0, tol: float = 1e-12, max_steps: int = 100) -> LogisticFit:
    """(w, b) with the least mean logistic loss + (λ/2)‖w‖², by Newton's method with halved steps:

    θ ← θ − t H⁻¹ g,  g = (1/N) Aᵀ(Ŷ − Y) + λ(w, 0),  H = (1/N) Aᵀ diag(Ŷ(1 − Ŷ)) A + λ diag(1, …, 1, 0),  A = (x, 1).

    x [N, D], y [N] of {0, 1} or {−1, 1}, λ `l2`; scikit-learn's C is 1/(Nλ). Converged where no entry of g is larger
    than `tol`, or than rounding leaves it. Separable classes have no minimum where λ = 0: at the first hyperplane
    that separates it stops with a `ConvergenceWarning`, as it does at `max_steps`. Seed 000, section 3.
    ValueError as `perceptron`, for a negative λ, a limit below 1.
    """
    check_penalty("logistic_regression", l2)
    if max_steps < 1:
        raise ValueError(f"logistic_regression: max_steps expects a positive int, got {max_steps}")
    features = as_features("logistic_regression", x)
    a = embed(features).numpy()
    signs = as_signs("logistic_regression", y, len(a)).numpy()
    ridge = np.full(a.shape[1], float(l2))
    ridge[-1] = 0
    theta = np.zeros(a.shape[1])
    losses = [_risk(a, signs, ridge, theta)]
    for step in range(max_steps + 1):
        z = a @ theta
        if l2 == 0 and (signs * z > 0).all():
            return _stop(theta, losses, "the classes are separable, so that the loss has no minimum: pass l2 > 0")
        g, h, noise = _derivatives(a, signs, ridge, theta, z)
        if np.abs(g).max() <= max(tol, noise):
            return LogisticFit(*_split(theta), losses, True)
        if step < max_steps:
            theta, loss = _newton_step(a, signs, ridge, theta, g, h, losses[-1])
            losses.append(loss)
    return _stop(theta, losses, f"no minimum after {max_steps} steps, largest gradient {np.abs(g).max():.3g}")


def _risk(a: Array, signs: Array, ridge: Array, theta: Array) -> float:
    """mean log(1 + e^(−yz)) + ½ Σ λ_k θ_k²."""
    return float(np.logaddexp(0, -signs * (a @ theta)).mean() + ridge @ theta**2 / 2)


def _derivatives(a: Array, signs: Array, ridge: Array, theta: Array, z: Array) -> tuple[Array, Array, float]:
    """Gradient, Hessian, and the size of the gradient's rounding: N terms of at most |x| in each entry's mean."""
    wrong = np.exp(-np.logaddexp(0, signs * z))  # σ(−yz): the probability of the other label
    g = -(signs * wrong) @ a / len(a) + ridge * theta
    h = (a * (wrong * (1 - wrong))[:, None]).T @ a / len(a) + np.diag(ridge)
    scale = np.abs(a).mean(0).max() + np.abs(ridge * theta).max()
    return g, h, 4 * np.finfo(np.float64).eps * math.sqrt(len(a)) * float(scale)


def _newton_step(
    a: Array, signs: Array, ridge: Array, theta: Array, g: Array, h: Array, loss: float
) -> tuple[Array, float]:
    """θ − t H⁺g with the largest t = 1, ½, ¼, … that does not raise the loss by more than rounding, which near the minimum
    is all that it changes by; H⁺ since H may be singular."""
    direction = np.linalg.lstsq(h, g, rcond=None)[0]
    for halvings in range(40):
        tried = theta - direction / 2**halvings
        value = _risk(a, signs, ridge, tried)
        if value <= loss * (1 + 8 * np.finfo(np.float64).eps):
            return tried, value
    return theta, loss


def _split(theta: Array) -> tuple[Tensor, Tensor]:
    whole = pullback.from_numpy(theta)
    return whole[:-1], whole[-1]


def _stop(theta: Array, losses: list[float], reason: str) -> LogisticFit:
    warnings.warn(f"logistic_regression: {reason}", ConvergenceWarning, stacklevel=3)
    return LogisticFit(*_split(theta), losses, False)
