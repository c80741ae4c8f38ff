"""A schedule that waits for a metric to improve no more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pullback._session import on_host
from pullback.optim.lr_scheduler.base import LRScheduler, check_optimizer, one_for_each_group, present_rates, set_rate
from pullback.optim.optimizer import Optimizer


def check_modes(op: str, mode: str, threshold_mode: str) -> None:
    """ValueError for a mode that does not exist."""
    if mode not in ("min", "max"):
        raise ValueError(f"{op}: mode expects 'min' or 'max', got {mode!r}")
    if threshold_mode not in ("rel", "abs"):
        raise ValueError(f"{op}: threshold_mode expects 'rel' or 'abs', got {threshold_mode!r}")


def is_better(value: float, best: float, mode: str, threshold: float, threshold_mode: str) -> bool:
    """Whether a metric beats the best one by more than the threshold, which is relative to it ("rel") or not ("abs")."""
    sign = -1 if mode == "min" else 1
    bar = best * (1 + sign * threshold) if threshold_mode == "rel" else best + sign * threshold
    return sign * value > sign * bar


class ReduceLROnPlateau(LRScheduler):
    """lr ← max(factor · lr, min_lr) when the metric given to `step` has not improved for `patience` epochs.

    An improvement is one by more than `threshold`, relative to the best value or absolute; `mode` says whether smaller
    ('min') or larger ('max') is better. After a reduction `cooldown` epochs pass before epochs are counted again.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0,
        eps: float = 1e-8,
    ) -> None:
        check_optimizer(self, optimizer)
        if factor >= 1:
            raise ValueError(f"ReduceLROnPlateau: factor expects a number < 1, got {factor}")
        check_modes("ReduceLROnPlateau", mode, threshold_mode)
        self.optimizer = optimizer
        self.min_lrs = one_for_each_group(self, "min_lr", min_lr, optimizer)
        self.mode = mode
        self.factor = factor
        self.patience = patience
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self.cooldown = cooldown
        self.eps = eps
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = 0
        self.cooldown_counter = 0
        self.last_epoch = 0
        self._last_lr = present_rates(optimizer)

    @property
    def in_cooldown(self) -> bool:
        """Whether epochs are not counted, after a reduction."""
        return self.cooldown_counter > 0

    @on_host
    def step(self, metrics: Any, epoch: int | None = None) -> None:  # type: ignore[override]
        """Take note of this epoch's metric, a number or a tensor of one element."""
        value = float(metrics)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if is_better(value, self.best, self.mode, self.threshold, self.threshold_mode):
            self.best = value
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._last_lr = present_rates(self.optimizer)

    def _reduce(self) -> None:
        for group, low in zip(self.optimizer.param_groups, self.min_lrs):
            before = float(group["lr"])
            lr = max(before * self.factor, low)
            if before - lr > self.eps:
                set_rate(group, lr)
