"""Schedules by a factor: step, multi-step, exponential, constant, linear, polynomial, Robbins and Monro's, or a function's."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from typing import Any

from pullback.optim.lr_scheduler.base import Functions, LRScheduler, present_rates
from pullback.optim.optimizer import Optimizer


class LambdaLR(Functions):
    """lr = initial_lr · f(epoch), with one f, or one for each group."""

    def get_lr(self) -> list[Any]:
        """The initial rates times f(last_epoch)."""
        return [base * f(self.last_epoch) for f, base in zip(self.lr_lambdas, self.base_lrs)]


class MultiplicativeLR(Functions):
    """lr ← lr · f(epoch) every epoch, with one f, or one for each group."""

    def get_lr(self) -> list[Any]:
        """The present rates times f(last_epoch)."""
        if self._is_initial:
            return present_rates(self.optimizer)
        return [group["lr"] * f(self.last_epoch) for f, group in zip(self.lr_lambdas, self.optimizer.param_groups)]


class StepLR(LRScheduler):
    """lr ← γ lr every `step_size` epochs."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """The present rates, times γ at every `step_size`-th epoch."""
        if self.last_epoch == 0 or self.last_epoch % self.step_size:
            return present_rates(self.optimizer)
        return self._scaled(self.gamma)

    def _get_closed_form_lr(self) -> list[Any]:
        return [base * self.gamma ** (self.last_epoch // self.step_size) for base in self.base_lrs]


class MultiStepLR(LRScheduler):
    """lr ← γ lr at each of the epochs `milestones`."""

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.milestones = Counter(milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """The present rates, times γ at a milestone."""
        if self.last_epoch not in self.milestones:
            return present_rates(self.optimizer)
        return self._scaled(self.gamma ** self.milestones[self.last_epoch])

    def _get_closed_form_lr(self) -> list[Any]:
        passed = bisect_right(sorted(self.milestones.elements()), self.last_epoch)
        return [base * self.gamma**passed for base in self.base_lrs]


class ExponentialLR(LRScheduler):
    """lr ← γ lr every epoch."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """The present rates times γ."""
        return present_rates(self.optimizer) if self._is_initial else self._scaled(self.gamma)

    def _get_closed_form_lr(self) -> list[Any]:
        return [base * self.gamma**self.last_epoch for base in self.base_lrs]


class LinearLR(LRScheduler):
    """lr = initial_lr · (a line from `start_factor` to `end_factor` over `total_iters` epochs, then flat)."""

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 < start_factor <= 1:
            raise ValueError(f"LinearLR: start_factor expects a number in (0, 1], got {start_factor}")
        if not 0 <= end_factor <= 1:
            raise ValueError(f"LinearLR: end_factor expects a number in [0, 1], got {end_factor}")
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """The present rates, times the ratio of the line's last two values."""
        if self.last_epoch == 0:
            return self._scaled(self.start_factor)
        if self._is_initial or self.last_epoch > self.total_iters:
            return present_rates(self.optimizer)
        rise = self.end_factor - self.start_factor
        before = self.total_iters * self.start_factor + (self.last_epoch - 1) * rise
        return self._scaled(1 + rise / before)

    def _get_closed_form_lr(self) -> list[Any]:
        done = min(self.total_iters, self.last_epoch) / self.total_iters
        factor = self.start_factor + (self.end_factor - self.start_factor) * done
        return [base * factor for base in self.base_lrs]


class ConstantLR(LRScheduler):
    """lr = initial_lr · `factor` for the first `total_iters` epochs, and initial_lr from then on."""

    def __init__(self, optimizer: Optimizer, factor: float = 1 / 3, total_iters: int = 5, last_epoch: int = -1) -> None:
        if not 0 <= factor <= 1:
            raise ValueError(f"ConstantLR: factor expects a number in [0, 1], got {factor}")
        self.factor = factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """The present rates, times the factor at the start and divided by it at the end."""
        if self.last_epoch == 0:
            return self._scaled(self.factor)
        if self.last_epoch != self.total_iters:
            return present_rates(self.optimizer)
        return self._scaled(1 / self.factor)

    def _get_closed_form_lr(self) -> list[Any]:
        factor = self.factor if self.last_epoch < self.total_iters else 1.0
        return [base * factor for base in self.base_lrs]


class PolynomialLR(LRScheduler):
    """lr = initial_lr · (1 − min(epoch, T)/T)ⁿ with T = `total_iters` and n = `power`."""

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        self.total_iters = total_iters
        self.power = power
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """The present rates, times the ratio of the polynomial's last two values."""
        if self._is_initial or self.last_epoch > self.total_iters:
            return present_rates(self.optimizer)
        before = 1 - (self.last_epoch - 1) / self.total_iters
        return self._scaled(((1 - self.last_epoch / self.total_iters) / before) ** self.power)

    def _get_closed_form_lr(self) -> list[Any]:
        left = 1 - min(self.last_epoch, self.total_iters) / self.total_iters
        return [base * left**self.power for base in self.base_lrs]


class RobbinsMonroLR(LRScheduler):
    """lr = initial_lr / (1 + epoch/delay)ᵃ with a = `power`: by default τ/ℓ for the ℓ-th step, ℓ = epoch + 1.

    The rates of stochastic approximation, Σ τ_ℓ = ∞ and Σ τ_ℓ² < ∞, for 1/2 < a ≤ 1 (Robbins and Monro 1951; seed 003,
    gradient descent). `step()` belongs behind every step of the optimizer rather than behind every epoch. ValueError for
    another power, or a delay that is not positive.
    """

    def __init__(self, optimizer: Optimizer, delay: float = 1.0, power: float = 1.0, last_epoch: int = -1) -> None:
        if not 0.5 < power <= 1:
            raise ValueError(f"RobbinsMonroLR: power expects a number in (1/2, 1], got {power}")
        if not 0 < delay < math.inf:
            raise ValueError(f"RobbinsMonroLR: delay expects a finite number > 0, got {delay}")
        self.delay = delay
        self.power = power
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """The present rates, times the ratio of the last two values."""
        if self._is_initial:
            return present_rates(self.optimizer)
        before = self.delay + self.last_epoch - 1
        return self._scaled((before / (before + 1)) ** self.power)

    def _get_closed_form_lr(self) -> list[Any]:
        return [base / (1 + self.last_epoch / self.delay) ** self.power for base in self.base_lrs]
