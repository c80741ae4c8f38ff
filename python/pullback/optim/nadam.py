"""NAdam."""

from __future__ import annotations

from typing import Any

from pullback._dtype import float32
from pullback._tensor import Tensor
from pullback.optim._adaptive import Adaptive
from pullback.optim.optimizer import Group, check_flags


class NAdam(Adaptive):
    """t ← t + 1;  g ← ∇ + λp (−∇ with `maximize`);  m ← β₁m + (1 − β₁)g;  v ← β₂v + (1 − β₂)g²;  d = √(v/(1 − β₂ᵗ)) + ε;
    p ← p − η(1 − μ(t))/(1 − P) g/d − ημ(t+1)/(1 − Pμ(t+1)) m/d with μ(t) = β₁(1 − ½·0.96^(tψ)) and P = μ(1)⋯μ(t).

    Adam with Nesterov's momentum. η `lr`, (β₁, β₂) `betas`, ε `eps`, λ `weight_decay`, ψ `momentum_decay`; with
    `decoupled_weight_decay`, p ← (1 − ηλ)p instead of λp in the gradient. Dozat 2016. ValueError for a negative option
    or a beta outside of [0, 1).
    """

    _moments = ("exp_avg", "exp_avg_sq")
    _columns = ("exp_avg", "exp_avg_sq", "mu_product", "step")
    _scalars = ("lr", "betas", "eps", "weight_decay", "momentum_decay")
    _flags = ("maximize", "decoupled_weight_decay")

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_flags("NAdam", differentiable)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum_decay": momentum_decay,
                "decoupled_weight_decay": decoupled_weight_decay,
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "differentiable": differentiable,
            },
        )

    def _new_state(self, p: Tensor, group: Group) -> dict[str, Any]:
        state = super()._new_state(p, group)
        product = state["step"].clone().fill_(1.0)
        return {"step": state.pop("step"), "mu_product": product, **state}

    def _fit(self, key: str, value: Any, p: Tensor) -> Any:
        """As every optimizer's; the product stays float32, as the step count does."""
        fitted = super()._fit(key, value, p)
        return fitted.to(float32) if key == "mu_product" else fitted
