"""Schedules along a cosine, with restarts or without."""

from __future__ import annotations

import math
from typing import Any

from pullback._session import on_host
from pullback.optim.lr_scheduler.base import LRScheduler, present_rates
from pullback.optim.optimizer import Optimizer


class CosineAnnealingLR(LRScheduler):
    """lr = eta_min + (initial_lr − eta_min) (1 + cos(π epoch / T_max)) / 2 (Loshchilov and Hutter 2017)."""

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """The present rates, moved along the cosine."""
        t, T, low = self.last_epoch, self.T_max, self.eta_min
        if self._is_initial:
            return present_rates(self.optimizer)
        if self._step_count == 1 and t > 0:
            return self._get_closed_form_lr()
        if (t - 1 - T) % (2 * T) == 0:  # at the bottom a factor cannot lead up again
            rise = (1 - math.cos(math.pi / T)) / 2
            return [g["lr"] + (base - low) * rise for g, base in zip(self.optimizer.param_groups, self.base_lrs)]
        factor = (1 + math.cos(math.pi * t / T)) / (1 + math.cos(math.pi * (t - 1) / T))
        return [low + (g["lr"] - low) * factor for g in self.optimizer.param_groups]

    def _get_closed_form_lr(self) -> list[Any]:
        height = (1 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2
        return [self.eta_min + (base - self.eta_min) * height for base in self.base_lrs]


class CosineAnnealingWarmRestarts(LRScheduler):
    """lr = eta_min + (initial_lr − eta_min) (1 + cos(π T_cur / T_i)) / 2, with T_cur epochs since the last restart.

    The first restart comes after `T_0` epochs, each further one after `T_mult` times as many as the one before.
    `step(epoch)` takes fractions of an epoch, too (Loshchilov and Hutter 2017). ValueError for an epoch below 0, and for a
    `T_0` or `T_mult` that is no positive int.
    """

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        for name, value in (("T_0", T_0), ("T_mult", T_mult)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"CosineAnnealingWarmRestarts: {name} expects a positive int, got {value!r}")
        self.T_0 = T_0
        self.T_i = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """The rates at T_cur."""
        height = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * height for base in self.base_lrs]

    @on_host
    def step(self, epoch: float | None = None) -> None:
        """Go on to the next epoch, or to `epoch`."""
        self._step_count += 1
        self._go_to(epoch)

    def _go_to(self, epoch: float | None) -> None:
        if epoch is None and self.last_epoch >= 0:
            self._count()
            epoch = self.last_epoch + 1
        else:
            self._find(0 if epoch is None else epoch)
        super()._go_to(math.floor(epoch or 0))

    def _count(self) -> None:
        """One epoch further."""
        self.T_cur += 1
        if self.T_cur >= self.T_i:
            self.T_cur -= self.T_i
            self.T_i *= self.T_mult

    def _find(self, epoch: float) -> None:
        """Where an epoch lies: T_0 (1 + T_mult + T_mult² + …) epochs have passed at each restart."""
        if epoch < 0:
            raise ValueError(f"CosineAnnealingWarmRestarts: epoch expects a number ≥ 0, got {epoch}")
        self.T_i, self.T_cur = self.T_0, epoch
        if self.T_mult == 1:
            self.T_cur = epoch % self.T_0
            return
        while self.T_cur >= self.T_i:
            self.T_cur -= self.T_i
            self.T_i *= self.T_mult
