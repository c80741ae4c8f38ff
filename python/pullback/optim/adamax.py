"""Adamax."""

from __future__ import annotations

from typing import Any

from pullback._tensor import Tensor
from pullback.optim._adaptive import Adaptive
from pullback.optim.optimizer import check_flags


class Adamax(Adaptive):
    """t ← t + 1;  g ← ∇ + λp (−∇ with `maximize`);  m ← β₁m + (1 − β₁)g;  u ← max(β₂u, |g| + ε);  p ← p − η/(1 − β₁ᵗ) m / u.

    Adam with the largest of the past gradients in the place of their mean square. η `lr`, (β₁, β₂) `betas`, ε `eps`, λ
    `weight_decay`. Kingma and Ba 2015, where ε is missing. ValueError for a negative option or a beta outside of [0, 1).
    """

    _moments = ("exp_avg", "exp_inf")
    _columns = ("exp_avg", "exp_inf", "step")
    _scalars = ("lr", "betas", "eps", "weight_decay")

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_flags("Adamax", differentiable)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "capturable": capturable,
            },
        )
