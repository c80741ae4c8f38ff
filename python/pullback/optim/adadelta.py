"""Adadelta."""

from __future__ import annotations

from typing import Any

from pullback._tensor import Tensor
from pullback.optim._adaptive import Adaptive
from pullback.optim.optimizer import Group, check_flags


class Adadelta(Adaptive):
    """g ← ∇ + λp (−∇ with `maximize`);  v ← ρv + (1 − ρ)g²;  δ = √(a + ε)/√(v + ε) g;  a ← ρa + (1 − ρ)δ²;  p ← p − ηδ.

    η `lr`, ρ `rho`, ε `eps`, λ `weight_decay`. Zeiler 2012, where η is 1. ValueError for a negative option and ρ > 1.
    """

    _moments = ("square_avg", "acc_delta")
    _columns = ("square_avg", "acc_delta", "step")
    _scalars = ("lr", "rho", "eps", "weight_decay")

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_flags("Adadelta", differentiable)
        super().__init__(
            params,
            {
                "lr": lr,
                "rho": rho,
                "eps": eps,
                "weight_decay": weight_decay,
                "maximize": maximize,
                "capturable": capturable,
                "foreach": foreach,
                "differentiable": differentiable,
            },
        )

    def _check_options(self, group: Group) -> None:
        super()._check_options(group)
        if group["rho"] > 1:
            raise ValueError(f"Adadelta: rho expects a number in [0, 1], got {group['rho']}")
