"""Single neurons: the Heaviside unit, the linear neuron, and the rules of Hebb and Oja (seed 002)."""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

import numpy as np

import pullback
from pullback import Generator, Tensor
from pullback.models.classical._data import ConvergenceWarning, as_features, as_vector, check_penalty, embed
from pullback.models.classical.descent import DivergenceError, conditioning, descend
from pullback.nn import functional as F
from pullback.optim import SGD

__all__ = ["LinearFit", "heaviside_unit", "hebbian", "least_squares", "least_squares_descent", "oja"]


def heaviside_unit(x: Tensor, weight: Tensor, threshold: Tensor | float) -> Tensor:
    """y = φ₀(Σ w_i x_i − b): 1 where the sum is above the threshold b, else 0; x [*, D], weight [D] or [D, M].

    One unit cuts space by a hyperplane: it computes AND, OR and NOT, and no unit computes XOR; two layers do. Seed 002,
    "Hebbian theory", where b is the weight w₀ of an input −1.
    """
    z = x @ weight - threshold
    return pullback.heaviside(z, z.new_zeros(()))


class LinearFit(NamedTuple):
    """A linear neuron ŷ = ⟨w, x⟩ + b."""

    weight: Tensor  # w [D]
    bias: Tensor  # b []
    losses: list[float]  # the mean of (y − ŷ)², penalty included: at the end, or all along a descent
    rank: int  # of the matrix (x, 1); below D + 1 the solution is one of many


def _system(op: str, x: Any, y: Any, l2: float) -> tuple[Tensor, Tensor]:
    """A = (x, 1) [N, D + 1] and y [N]."""
    check_penalty(op, l2)
    features = as_features(op, x)
    return embed(features), as_vector(op, "y", y, features.shape[0])


def _risk(a: Tensor, y: Tensor, theta: Tensor, l2: float) -> Tensor:
    """(1/N) ‖Aθ − y‖² + λ ‖w‖², θ = (w, b)."""
    loss = F.mse_loss(a @ theta, y)
    return loss + l2 * (theta[:-1] ** 2).sum() if l2 else loss


def least_squares(x: Any, y: Any, l2: float = 0.0) -> LinearFit:
    """(w, b) with the least (1/N) Σ (⟨w, x⟩ + b − y)² + λ‖w‖², in closed form: AᵀA θ = Aᵀy for A = (x, 1), by its SVD.

    x [N, D], y [N], λ `l2`. Where λ = 0 and AᵀA is singular, the shortest of the solutions, with a `ConvergenceWarning` that
    says so; it is the one that `least_squares_descent` tends to. Seed 003, section 1 (least squares), the linear
    neuron of seed 002. ValueError for shapes that do not fit, values that are not finite, a negative λ.
    """
    a, target = _system("least_squares", x, y, l2)
    n, columns = a.shape
    damped = np.eye(columns - 1, columns) * math.sqrt(n * l2)  # ‖√(Nλ) w‖² = Nλ ‖w‖²
    rows, right = np.vstack([a.numpy(), damped]), np.concatenate([target.numpy(), np.zeros(columns - 1)])
    solution, _, rank, _ = np.linalg.lstsq(rows, right, rcond=None)
    if rank < columns:
        warnings.warn(
            f"least_squares: the system is singular, of rank {rank} for {columns} unknowns; of its solutions, the shortest",
            ConvergenceWarning,
            stacklevel=2,
        )
    theta = pullback.from_numpy(solution)
    return LinearFit(theta[:-1], theta[-1], [_risk(a, target, theta, l2).item()], int(rank))


def least_squares_descent(
    x: Any, y: Any, l2: float = 0.0, lr: float | None = None, steps: int = 1000, tol: float = 0.0
) -> LinearFit:
    """`least_squares` by gradient descent from θ = 0: θ ← θ − τ ∇, τ = `lr`.

    τ is 2/(L + μ) unless given (`conditioning` of the Hessian (2/N) AᵀA + 2λ). Above 2/L it diverges: DivergenceError
    with the last finite loss. Ends sooner where no entry of ∇ is larger than `tol`. Errors as `least_squares`.
    """
    a, target = _system("least_squares_descent", x, y, l2)
    n, columns = a.shape
    penalty = np.eye(columns)
    penalty[-1, -1] = 0
    hessian = 2 / n * (a.T @ a).numpy() + 2 * l2 * penalty
    step = conditioning(hessian).step if lr is None else lr
    theta = a.new_zeros((columns,)).requires_grad_()
    losses = descend(lambda: _risk(a, target, theta, l2), SGD([theta], lr=step), steps, tol, op="least_squares_descent")
    found = theta.detach()
    return LinearFit(found[:-1], found[-1], losses, int(np.linalg.matrix_rank(a.numpy())))


def _begin(op: str, x: Any, weight: Any, lr: float, generator: Generator | None) -> tuple[Tensor, Tensor]:
    """The samples, and a first weight: the given one, or a random one of length 1."""
    if not (lr > 0 and math.isfinite(lr)):
        raise ValueError(f"{op}: lr expects a finite number > 0, got {lr}")
    features = as_features(op, x)
    if weight is not None:
        return features, as_vector(op, "weight", weight, features.shape[1]).clone()
    drawn = pullback.randn(features.shape[1], dtype=pullback.float64, generator=generator)
    return features, drawn / drawn.norm()


def hebbian(
    x: Any, weight: Any = None, lr: float = 1e-2, epochs: int = 1, generator: Generator | None = None
) -> Tensor:
    """Hebb's rule on the neuron y = ⟨w, x⟩: w ← w + η y x, sample by sample; cells that fire together wire together.

    x [N, D], w [D]. The length of w grows without bound, like the largest eigenvalue of x's second moments allows; its
    direction tends to that eigenvector. `oja` holds the length. Seed 002, "Hebbian theory"; Hebb 1949.
    ValueError as `least_squares`; DivergenceError when w overflows, holding its last finite length.
    """
    features, w = _begin("hebbian", x, weight, lr, generator)
    for epoch in range(epochs):
        length = w.norm().item()
        for sample in features:
            w = w + (lr * (w @ sample)) * sample
        if not math.isfinite(w.norm().item()):
            raise DivergenceError("hebbian", (epoch + 1) * features.shape[0], length, lr)
    return w


def oja(x: Any, weight: Any = None, lr: float = 1e-2, epochs: int = 1, generator: Generator | None = None) -> Tensor:
    """Oja's rule: w ← w + η y (x − y w) with y = ⟨w, x⟩: Hebb's, with a decay that keeps ‖w‖ near 1.

    x [N, D], centred; w [D] tends to the first principal component, up to its sign. The decay is the weakening of
    synapses that do not fire together, which seed 002 ("Hebbian theory") describes; Oja 1982. Errors as `hebbian`:
    η above about 2/‖x‖² diverges.
    """
    features, w = _begin("oja", x, weight, lr, generator)
    for epoch in range(epochs):
        length = w.norm().item()
        for sample in features:
            y = w @ sample
            w = w + (lr * y) * (sample - y * w)
        if not math.isfinite(w.norm().item()):
            raise DivergenceError("oja", (epoch + 1) * features.shape[0], length, lr)
    return w
