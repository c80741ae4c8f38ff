"""One cycle: up to a large rate and down to a tiny one, with the momentum the other way."""

from __future__ import annotations

import math
from typing import Any

from pullback.optim.lr_scheduler.base import LRScheduler, check_optimizer, one_for_each_group
from pullback.optim.optimizer import Optimizer


class OneCycleLR(LRScheduler):
    """From max_lr/div_factor up to max_lr in `pct_start` of the steps, then down to max_lr/(div_factor · final_div_factor).

    With `three_phase`, down to the initial rate in as many steps first. Between those the rate follows half a cosine, or
    a line ("linear"). With `cycle_momentum`, the momentum (β₁ of Adam) goes from `max_momentum` to `base_momentum` and back.
    `step()` belongs behind every batch: there are `total_steps`, or `epochs` · `steps_per_epoch`, of them, and ValueError
    beyond. Smith and Topin 2018. ValueError for options that make no sense.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        check_optimizer(self, optimizer)
        self.total_steps = _total_steps(total_steps, epochs, steps_per_epoch)
        if not isinstance(pct_start, float) or not 0 <= pct_start <= 1:
            raise ValueError(f"OneCycleLR: pct_start expects a float in [0, 1], got {pct_start!r}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"OneCycleLR: anneal_strategy expects 'cos' or 'linear', got {anneal_strategy!r}")
        self.anneal_strategy = anneal_strategy
        self.cycle_momentum = cycle_momentum
        self._set_ends(pct_start, three_phase)
        if last_epoch == -1:
            for group, lr in zip(optimizer.param_groups, one_for_each_group(self, "max_lr", max_lr, optimizer)):
                initial = lr / div_factor
                group.update(initial_lr=initial, max_lr=lr, min_lr=initial / final_div_factor)
        if cycle_momentum:
            self._start_momentum(optimizer, base_momentum, max_momentum, last_epoch)
        super().__init__(optimizer, last_epoch)

    def _set_ends(self, pct_start: float, three_phase: bool) -> None:
        """Of each phase: its last step, the rates at its ends, and the momenta there, by their names in a group."""
        last, up = self.total_steps - 1, pct_start * self.total_steps
        rise = (up - 1, "initial_lr", "max_lr", "max_momentum", "base_momentum")
        if three_phase:
            fall = (2 * up - 2, "max_lr", "initial_lr", "base_momentum", "max_momentum")
            self._phases = [rise, fall, (last, "initial_lr", "min_lr", "max_momentum", "max_momentum")]
        else:
            self._phases = [rise, (last, "max_lr", "min_lr", "base_momentum", "max_momentum")]

    def _start_momentum(self, optimizer: Optimizer, base: Any, most: Any, last_epoch: int) -> None:
        self.use_beta1 = "betas" in optimizer.defaults
        if not self.use_beta1 and "momentum" not in optimizer.defaults:
            raise ValueError(
                f"OneCycleLR: cycle_momentum expects an optimizer with momentum or betas, got {type(optimizer).__name__}"
            )
        lows = one_for_each_group(self, "base_momentum", base, optimizer)
        highs = one_for_each_group(self, "max_momentum", most, optimizer)
        if last_epoch != -1:
            return
        for group, low, high in zip(optimizer.param_groups, lows, highs):
            group.update(base_momentum=low, max_momentum=high)
            self._set_momentum(group, high)

    def _set_momentum(self, group: dict[str, Any], momentum: float) -> None:
        if self.use_beta1:
            group["betas"] = (momentum, *group["betas"][1:])
        else:
            group["momentum"] = momentum

    def _between(self, start: float, end: float, done: float) -> float:
        if self.anneal_strategy == "linear":
            return start + (end - start) * done
        return end + (start - end) * (1 + math.cos(math.pi * done)) / 2

    def get_lr(self) -> list[Any]:
        """The rates at `last_epoch`; the momenta are set with them."""
        step = self.last_epoch
        if step > self.total_steps:
            raise ValueError(f"OneCycleLR: expected at most {self.total_steps} steps, got {step}")
        i = next((i for i, phase in enumerate(self._phases) if step <= phase[0]), len(self._phases) - 1)
        start = self._phases[i - 1][0] if i else 0.0
        end, lr_start, lr_end, momentum_start, momentum_end = self._phases[i]
        done = (step - start) / (end - start)
        rates = []
        for group in self.optimizer.param_groups:
            rates.append(self._between(group[lr_start], group[lr_end], done))
            if self.cycle_momentum:
                self._set_momentum(group, self._between(group[momentum_start], group[momentum_end], done))
        return rates


def _total_steps(total_steps: Any, epochs: Any, steps_per_epoch: Any) -> int:
    if total_steps is None and (epochs is None or steps_per_epoch is None):
        raise ValueError("OneCycleLR: expected total_steps, or epochs and steps_per_epoch, got neither")
    given = (
        {"epochs": epochs, "steps_per_epoch": steps_per_epoch} if total_steps is None else {"total_steps": total_steps}
    )
    for name, value in given.items():
        if not isinstance(value, int) or value <= 0:
            raise ValueError(f"OneCycleLR: {name} expects a positive int, got {value!r}")
    return math.prod(given.values())
