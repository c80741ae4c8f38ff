"""RMSprop."""

from __future__ import annotations

from typing import Any

from pullback._tensor import Tensor
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


class RMSprop(Optimizer):
    """g ← ∇ + λp (−∇ with `maximize`);  v ← αv + (1 − α)g²;  s = √v + ε;  p ← p − η g/s.

    `centered` takes v − a² for v with a ← αa + (1 − α)g; with `momentum` μ, b ← μb + g/s and p ← p − ηb. Tieleman and
    Hinton 2012; centered: Graves 2013. ValueError for a negative option.

    Seed 000 (section 1.1.3) has s = √(v + ε), which `eps_inside_sqrt` gives; PyTorch, and this class by default, add ε to
    the root. Where v = 0 that is √ε against ε, 10⁻⁴ against 10⁻⁸.
    """

    _step_supports_amp_scaling = True
    _moments = ("square_avg", "grad_avg", "momentum_buffer")

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        *,
        eps_inside_sqrt: bool = False,
    ) -> None:
        check_flags("RMSprop", differentiable)
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "alpha": alpha,
                "eps": eps,
                "centered": centered,
                "weight_decay": weight_decay,
                "capturable": capturable,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "eps_inside_sqrt": eps_inside_sqrt,
            },
        )

    def _check_options(self, group: Group) -> None:
        for name in ("lr", "momentum", "alpha", "eps", "weight_decay"):
            check_option("RMSprop", name, group[name])

    def _state_of(self, p: Tensor, group: Group) -> dict[str, Any]:
        state = self.state[p]
        if not state:
            state["step"] = new_step(p)
            state["square_avg"] = zeros_as(p)
        if group["momentum"] > 0 and "momentum_buffer" not in state:
            state["momentum_buffer"] = zeros_as(p)
        if group["centered"] and "grad_avg" not in state:
            state["grad_avg"] = zeros_as(p)
        return state

    def _update(self, group: Group, params: list[Tensor]) -> None:
        states = [self._state_of(p, group) for p in params]
        on = params[0].device
        on.kernels.rmsprop(
            [p._array for p in params],
            gradients(params),
            [s["square_avg"]._array for s in states],
            [s["grad_avg"]._array for s in states] if group["centered"] else [],
            [s["momentum_buffer"]._array for s in states] if group["momentum"] > 0 else [],
            [s["step"]._array for s in states],
            option(group, "lr", on),
            option(group, "alpha", on),
            option(group, "eps", on),
            option(group, "weight_decay", on),
            option(group, "momentum", on),
            bool(group["centered"]),
            bool(group["maximize"]),
            bool(group["eps_inside_sqrt"]),
            self._skip_on(on),
        )
