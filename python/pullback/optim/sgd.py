"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from typing import Any

from pullback._tensor import Tensor
from pullback.optim.optimizer import Group, Optimizer, check_flags, check_option, gradients, option, zeros_as


class SGD(Optimizer):
    """g ← ∇ + λp (−∇ with `maximize`);  b ← μb + (1 − τ)g, but g at the first step;  p ← p − η(g + μb) with `nesterov`,
    else p − ηb, and p − ηg where μ = 0.

    η `lr`, μ `momentum`, τ `dampening`, λ `weight_decay`. As PyTorch's SGD; Sutskever et al. 2013 for the momentum.
    ValueError for a negative option, and for `nesterov` without momentum or with dampening.

    Seed 000 (section 1.1.2) keeps the rate inside of the velocity, v ← γv + η∇ and p ← p − v: with a constant rate v = ηb,
    and the steps are the same; after a change of η, PyTorch's and this class's step with ηb follows at once, the
    text's v remembers the rates of the past. Some texts have the velocity point downhill, v ← γv − η∇ and p ← p + v.
    The rule τ/ℓ of seed 003 (gradient descent) is this class with `lr_scheduler.RobbinsMonroLR`.
    """

    _step_supports_amp_scaling = True
    _moments = ("momentum_buffer",)

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_flags("SGD", differentiable, foreach, fused)
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
                "foreach": foreach,
                "differentiable": differentiable,
                "fused": fused,
            },
        )

    def _check_options(self, group: Group) -> None:
        for name in ("lr", "momentum", "weight_decay"):
            check_option("SGD", name, group[name])
        check_option("SGD", "dampening", group["dampening"], low=-float("inf"))
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError(
                f"SGD: nesterov expects momentum > 0 and dampening 0, got {group['momentum']} and {group['dampening']}"
            )

    def _update(self, group: Group, params: list[Tensor]) -> None:
        if group["momentum"] == 0:
            self._launch(group, params, [], first=False)
            return
        fresh = [p for p in params if self.state[p].get("momentum_buffer") is None]
        if fresh:
            if self.found_inf is not None and group["dampening"] != 0 and self.found_inf.item() != 0:
                return  # skipped, and the next step is the first
            first = self.found_inf is None or group["dampening"] != 0  # g is μ0 + g, for a step that may be skipped
            for p in fresh:
                self.state[p]["momentum_buffer"] = p.new_empty(p.shape) if first else zeros_as(p)
            self._launch(group, fresh, [self.state[p]["momentum_buffer"] for p in fresh], first)
            known = {id(p) for p in fresh}
            params = [p for p in params if id(p) not in known]
        if params:
            self._launch(group, params, [self.state[p]["momentum_buffer"] for p in params], first=False)

    def _launch(self, group: Group, params: list[Tensor], buffers: list[Tensor], first: bool) -> None:
        on = params[0].device
        on.kernels.sgd(
            [p._array for p in params],
            gradients(params),
            [b._array for b in buffers],
            option(group, "lr", on),
            option(group, "momentum", on),
            option(group, "dampening", on),
            option(group, "weight_decay", on),
            bool(group["nesterov"]),
            bool(group["maximize"]),
            first,
            self._skip_on(on),
        )
