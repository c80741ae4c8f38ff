"""Adagrad."""

from __future__ import annotations

from typing import Any

from pullback._tensor import Tensor
from pullback.optim._adaptive import Adaptive
from pullback.optim.optimizer import Group, check_flags, check_option


class Adagrad(Adaptive):
    """t ← t + 1;  g ← ∇ + λp (−∇ with `maximize`);  s ← s + g²;  p ← p − η/(1 + (t − 1)γ) g / (√s + ε).

    η `lr`, γ `lr_decay`, λ `weight_decay`, ε `eps`; s starts at `initial_accumulator_value`. Duchi, Hazan and Singer 2011.
    ValueError for a negative option.
    """

    _moments = ("sum",)
    _columns = ("sum", "step")
    _scalars = ("lr", "lr_decay", "eps", "weight_decay")

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_flags("Adagrad", differentiable, foreach, fused)
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "eps": eps,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "fused": fused,
            },
        )

    def _check_options(self, group: Group) -> None:
        super()._check_options(group)
        check_option("Adagrad", "initial_accumulator_value", group["initial_accumulator_value"])

    def _new_state(self, p: Tensor, group: Group) -> dict[str, Any]:
        state = super()._new_state(p, group)
        state["sum"].fill_(group["initial_accumulator_value"])
        return state
