"""RAdam."""

from __future__ import annotations

from typing import Any

from pullback._tensor import Tensor
from pullback.optim._adaptive import Adaptive
from pullback.optim.optimizer import check_flags


class RAdam(Adaptive):
    """t ← t + 1;  g ← ∇ + λp (−∇ with `maximize`);  m ← β₁m + (1 − β₁)g;  v ← β₂v + (1 − β₂)g²;  m̂ = m/(1 − β₁ᵗ);
    ρ∞ = 2/(1 − β₂) − 1;  ρ = ρ∞ − 2tβ₂ᵗ/(1 − β₂ᵗ);  r² = (ρ − 4)(ρ − 2)ρ∞ / ((ρ∞ − 4)(ρ∞ − 2)ρ);
    p ← p − η r m̂ √(1 − β₂ᵗ)/(√v + ε) where ρ > 5, else p − η m̂.

    Adam that waits for the variance of its rate to be finite. η `lr`, (β₁, β₂) `betas`, ε `eps`, λ `weight_decay`; with
    `decoupled_weight_decay`, p ← (1 − ηλ)p instead of λp in the gradient. Liu et al. 2020. ValueError for a negative
    option or a beta outside of [0, 1).
    """

    _moments = ("exp_avg", "exp_avg_sq")
    _columns = ("exp_avg", "exp_avg_sq", "step")
    _scalars = ("lr", "betas", "eps", "weight_decay")
    _flags = ("maximize", "decoupled_weight_decay")

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_flags("RAdam", differentiable)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "decoupled_weight_decay": decoupled_weight_decay,
                "differentiable": differentiable,
            },
        )
