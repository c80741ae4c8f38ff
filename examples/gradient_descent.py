"""Gradient descent on a quadratic bowl with small, best and too large steps, and how fast each one contracts.

f(θ) = ½ Σ λ_k θ_k², eigenvalues from μ = 1 to L = 10. Seed 003, section 3, draws the three paths; seed 004, section 3, proves
‖θ_k − θ*‖² ≤ γᵏ‖θ_0 − θ*‖² for τ ≤ τ* = 2/(L + μ), with γ* = ((κ − 1)/(κ + 1))² at τ*. The rate that is measured at τ*
is γ*; beyond 2/L the descent diverges.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from _common import BLUE, GREEN, INK, ORANGE, RED, main

import pullback
from pullback.models import classical

EIGENVALUES = (1.0, 10.0)


def descend(step: float, steps: int, eigenvalues: tuple[float, ...] = EIGENVALUES) -> Any:
    """θ_0, …, θ_steps [steps + 1, n] from θ_0 = (1, …, 1)."""
    scale = pullback.tensor(eigenvalues, dtype=pullback.float64)
    theta = pullback.ones(len(eigenvalues), dtype=pullback.float64).requires_grad_()
    optimizer = pullback.optim.SGD([theta], lr=step)
    path = [theta.tolist()]

    @pullback.capture
    def update() -> None:
        optimizer.zero_grad()
        (0.5 * scale * theta**2).sum().backward()
        optimizer.step()

    for _ in range(steps):
        update()
        path.append(theta.tolist())
    return np.array(path)


def rate(path: Any) -> float:
    """The factor by which ‖θ‖² shrank in the last step."""
    squares = (path**2).sum(1)
    return float(squares[-1] / squares[-2])


def numbers(steps: int = 60) -> dict[str, Any]:
    """Paths at τ*/4, τ* and 1.02 · 2/L; measured rates for steps up to 2/L; measured and proven best rates by κ."""
    bowl = classical.conditioning(np.diag(EIGENVALUES))
    edge = 2 / bowl.smoothness
    taus = np.linspace(0.05, 1.1, 22) * edge
    kappas = np.array([2.0, 5.0, 10.0, 20.0, 50.0, 100.0])
    best = [classical.conditioning(np.diag([1.0, k])) for k in kappas]
    return {
        "bowl": bowl,
        "paths": {tau: descend(tau, steps) for tau in (bowl.step / 4, bowl.step, 1.02 * edge)},
        "taus": taus,
        "rates": np.array([rate(descend(tau, 3 * steps)) for tau in taus]),
        "kappas": kappas,
        "proven": np.array([c.rate for c in best]),
        "measured": np.array([rate(descend(c.step, steps, (1.0, k))) for c, k in zip(best, kappas)]),
    }


def draw(plt: Any, found: dict[str, Any]) -> Any:
    """The paths, the distance by step, the rate by τ, the best rate by κ."""
    figure, ((paths, fall), (by_step, by_kappa)) = plt.subplots(2, 2, figsize=(9, 7))
    bowl, colours = found["bowl"], (BLUE, GREEN, RED)
    axis = np.linspace(-1.3, 1.3, 80)
    grid = np.meshgrid(axis, axis)
    levels = np.geomspace(0.01, 12, 12)
    paths.contour(axis, axis, (grid[0] ** 2 + 10 * grid[1] ** 2) / 2, levels=levels, colors="#cccccc", linewidths=0.8)
    for (tau, path), colour, label in zip(found["paths"].items(), colours, ("τ*/4", "τ*", "1.02 · 2/L")):
        paths.plot(*path[:16].T, "o-", ms=3, lw=1, color=colour, label=f"τ = {label}")
        fall.semilogy((path**2).sum(1), color=colour, label=f"τ = {label} = {tau:.3f}")
    paths.set(title="first 15 steps, κ = 10", xlabel="θ₁ (λ = μ = 1)", ylabel="θ₂ (λ = L = 10)", ylim=(-1.5, 1.5))
    bound = 2 * bowl.rate ** np.arange(len(path))
    fall.semilogy(bound, "--", color=INK, lw=1, label="γ*ᵏ ‖θ₀ − θ*‖²")
    fall.set(title="distance from the minimum", xlabel="step k", ylabel="‖θ − θ*‖²")
    taus = found["taus"]
    by_step.plot(taus, found["rates"], "o", ms=4, color=BLUE, label="measured")
    valid = taus[taus <= bowl.step]
    by_step.plot(valid, [bowl.rate_at(t) for t in valid], "--", color=INK, lw=1, label="bound for τ ≤ τ*")
    by_step.axvline(bowl.step, color=GREEN, lw=1, label="τ* = 2/(L + μ)")
    by_step.axvline(2 / bowl.smoothness, color=RED, lw=1, label="2/L")
    by_step.set(title="shrinking of ‖θ − θ*‖² in one step", xlabel="τ", ylabel="factor")
    by_kappa.semilogx(found["kappas"], found["measured"], "o", color=BLUE, label="measured at τ*")
    fine = np.geomspace(2, 100, 100)
    by_kappa.semilogx(fine, ((fine - 1) / (fine + 1)) ** 2, color=ORANGE, lw=1, label="γ* = ((κ − 1)/(κ + 1))²")
    by_kappa.set(title="the best rate by condition number", xlabel="κ = L/μ", ylabel="factor")
    paths.legend(fontsize=8, loc="lower left")
    for axes in (fall, by_step, by_kappa):
        axes.legend(fontsize=8)
    return figure


if __name__ == "__main__":
    main("gradient_descent", numbers, draw)
