"""Adam, and AdamW, whose weight decay does not pass through the moments."""

from __future__ import annotations

from typing import Any

from pullback._tensor import Tensor
from pullback.optim._adaptive import check_betas
from pullback.optim.optimizer import (
    Group,
    Optimizer,
    check_flags,
    check_option,
    gradients,
    new_step,
    option,
    zeros_as,
)


class Adam(Optimizer):
    """t ← t + 1;  g ← ∇ + λp (−∇ with `maximize`);  m ← β₁m + (1 − β₁)g;  v ← β₂v + (1 − β₂)g²;
    p ← p − η m̂ / (√v̂ + ε) with m̂ = m / (1 − β₁ᵗ) and v̂ = v / (1 − β₂ᵗ).

    η `lr`, (β₁, β₂) `betas`, ε `eps`, λ `weight_decay`; `amsgrad` takes the largest v so far. With
    `decoupled_weight_decay`, p ← (1 − ηλ)p instead of λp in the gradient: AdamW. Kingma and Ba 2015; Reddi et al. 2018;
    Loshchilov and Hutter 2019. ValueError for a negative option or a beta outside of [0, 1).

    Seed 000 (section 1.1.4) prints the step without η, which is `lr=1`, and has ε where it is here.
    """

    _step_supports_amp_scaling = True
    _moments = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        check_flags(type(self).__name__, differentiable, foreach, fused)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "differentiable": differentiable,
                "fused": fused,
                "decoupled_weight_decay": decoupled_weight_decay,
            },
        )

    def _check_options(self, group: Group) -> None:
        for name in ("lr", "eps", "weight_decay"):
            check_option(self._name, name, group[name])
        check_betas(self._name, group["betas"])

    def _state_of(self, p: Tensor, amsgrad: bool) -> dict[str, Any]:
        state = self.state[p]
        if not state:
            state["step"] = new_step(p)
            state["exp_avg"] = zeros_as(p)
            state["exp_avg_sq"] = zeros_as(p)
        if amsgrad and "max_exp_avg_sq" not in state:
            state["max_exp_avg_sq"] = zeros_as(p)
        return state

    def _update(self, group: Group, params: list[Tensor]) -> None:
        amsgrad = bool(group["amsgrad"])
        states = [self._state_of(p, amsgrad) for p in params]
        on = params[0].device
        on.kernels.adam(
            [p._array for p in params],
            gradients(params),
            [s["exp_avg"]._array for s in states],
            [s["exp_avg_sq"]._array for s in states],
            [s["max_exp_avg_sq"]._array for s in states] if amsgrad else [],
            [s["step"]._array for s in states],
            option(group, "lr", on),
            option(group, "betas", on, 0),
            option(group, "betas", on, 1),
            option(group, "eps", on),
            option(group, "weight_decay", on),
            bool(group["decoupled_weight_decay"]),
            amsgrad,
            bool(group["maximize"]),
            self._skip_on(on),
        )
