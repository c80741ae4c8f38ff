"""Gradient descent: the loop, how fast it can be, and the error of one that diverges."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from pullback import Tensor
from pullback.models.classical._data import as_array, check_finite
from pullback.optim import Optimizer

__all__ = ["Conditioning", "DivergenceError", "conditioning", "descend"]

BLOWN_UP = 1e6  # a loss of that many times the first one is taken for divergence, long before it overflows


class DivergenceError(ArithmeticError):
    """The loss left every bound: `step` says at which step, `loss` is the last finite value."""

    def __init__(self, op: str, step: int, loss: float, lr: Any) -> None:
        super().__init__(f"{op}: diverged at step {step} with lr {lr}; the last finite loss was {loss:.6g}")
        self.step = step
        self.loss = loss


def descend(
    loss: Callable[[], Tensor], optimizer: Optimizer, steps: int, tol: float = 0.0, op: str = "descend"
) -> list[float]:
    """Takes `steps` steps of the optimizer on loss(); returns the losses before each step and after the last.

    Ends sooner where no entry of a gradient is larger than `tol`. DivergenceError when the loss is not finite or
    a million times the first one; it holds the last finite loss. ValueError for a negative number of steps.
    """
    if steps < 0:
        raise ValueError(f"{op}: steps expects an int ≥ 0, got {steps}")
    losses: list[float] = []
    for step in range(steps + 1):
        optimizer.zero_grad()
        value = loss()
        losses.append(value.item())
        if not math.isfinite(losses[-1]) or losses[-1] > BLOWN_UP * max(abs(losses[0]), math.ulp(0.0)):
            finite = [v for v in losses if math.isfinite(v)]
            raise DivergenceError(op, step, finite[-1] if finite else math.nan, optimizer.param_groups[0]["lr"])
        if step == steps:
            break
        value.backward()
        if _largest_gradient(optimizer) <= tol:
            break
        optimizer.step()
    return losses


def _largest_gradient(optimizer: Optimizer) -> float:
    gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    return max((g.abs().max().item() for g in gradients), default=0.0)


class Conditioning(NamedTuple):
    """How a quadratic with eigenvalues in [μ, L] lets itself be descended."""

    smoothness: float  # L
    convexity: float  # μ
    condition: float  # κ = L/μ
    step: float  # τ* = 2/(L + μ)
    rate: float  # γ* = ((κ − 1)/(κ + 1))², by which ‖θ − θ*‖² shrinks in one step at τ*

    def rate_at(self, step: float) -> float:
        """The bound 1 − 2τμL/(μ + L) on that shrinking at another step 0 < τ ≤ τ*."""
        return 1 - 2 * step * self.convexity * self.smoothness / (self.convexity + self.smoothness)


def conditioning(hessian: Any) -> Conditioning:
    """L, μ, κ, the best step τ* and its rate γ* of the quadratic ½ (θ − θ*)ᵀ H (θ − θ*) with H = `hessian` [n, n].

    μ is the smallest eigenvalue that is not zero to rounding: along the others a descent does not move. Seed 003,
    section 3, "gradient descent"; seed 004, section 3. ValueError unless H is square, symmetric, finite, and has
    a positive eigenvalue and no negative one.
    """
    h = as_array(hessian).astype(np.float64)
    if h.ndim != 2 or h.shape[0] != h.shape[1] or not h.size:
        raise ValueError(f"conditioning: hessian expects [n, n], got {list(h.shape)}")
    check_finite("conditioning", "hessian", h)
    if not np.allclose(h, h.T, rtol=1e-12, atol=0):
        raise ValueError("conditioning: hessian expects a symmetric matrix")
    values = np.linalg.eigvalsh(h)
    noise = len(h) * np.finfo(np.float64).eps * np.abs(values).max()
    if values[-1] <= 0 or values[0] < -noise:
        raise ValueError(
            f"conditioning: hessian expects eigenvalues ≥ 0, not all 0, got {values[0]:g} to {values[-1]:g}"
        )
    low, high = float(values[values > noise][0]), float(values[-1])
    kappa = high / low
    return Conditioning(high, low, kappa, 2 / (high + low), ((kappa - 1) / (kappa + 1)) ** 2)
