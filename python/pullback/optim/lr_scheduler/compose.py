"""Schedules made of schedules: one after another, or at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from pullback._session import on_host
from pullback.optim.lr_scheduler.base import LRScheduler, check_optimizer, present_rates, set_rate
from pullback.optim.lr_scheduler.plateau import ReduceLROnPlateau
from pullback.optim.optimizer import Optimizer


class _Several(LRScheduler):
    """What schedules of schedules share: their state holds the state of each."""

    _schedulers: list[LRScheduler]

    def _undo_initial_step(self) -> None:
        super()._undo_initial_step()
        for schedule in self._schedulers:
            schedule._undo_initial_step()

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer, the state of the schedules under `_schedulers`."""
        return {**super().state_dict(), "_schedulers": [schedule.state_dict() for schedule in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict()` returned."""
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "_schedulers"})
        for schedule, state in zip(self._schedulers, state_dict["_schedulers"]):
            schedule.load_state_dict(state)


def _check_schedulers(op: str, schedulers: Sequence[Any], optimizer: Any) -> list[LRScheduler]:
    if len(schedulers) == 0:
        raise ValueError(f"{op}: schedulers expects at least one, got none")
    for i, schedule in enumerate(schedulers):
        if not isinstance(schedule, LRScheduler):
            raise TypeError(f"{op}: schedulers expects schedules, got {type(schedule).__name__} at {i}")
        if isinstance(schedule, ReduceLROnPlateau):
            raise ValueError(f"{op}: schedulers expects none that waits for a metric, got ReduceLROnPlateau at {i}")
        if optimizer is not None and schedule.optimizer is not optimizer:
            raise ValueError(f"{op}: schedulers expects those of one optimizer, got another's at {i}")
    return list(schedulers)


class SequentialLR(_Several):
    """One schedule after another: the i-th starts from its epoch 0 at the i-th of the epochs `milestones`.

    A warm-up is `SequentialLR(optimizer, [LinearLR(optimizer, …), other], milestones=[epochs])`. ValueError where there
    is not one milestone fewer than schedules.
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int], last_epoch: int = -1
    ) -> None:
        check_optimizer(self, optimizer)
        self._schedulers = _check_schedulers("SequentialLR", schedulers, optimizer)
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"SequentialLR: milestones expects {len(schedulers) - 1} epochs for {len(schedulers)} schedulers, "
                f"got {len(milestones)}"
            )
        self._milestones = list(milestones)
        self.optimizer = optimizer
        self.last_epoch = last_epoch
        for group in optimizer.param_groups:
            set_rate(group, group["initial_lr"])
        for schedule in self._schedulers:
            schedule._undo_initial_step()
        self._initial_step()

    def _initial_step(self) -> None:
        self.last_epoch += 1
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    @on_host
    def step(self, epoch: int | None = None) -> None:
        """Go on to the next epoch; there is no going to a given one."""
        if epoch is not None:
            raise TypeError("SequentialLR: step expects no epoch")
        self.last_epoch += 1
        i = bisect_right(self._milestones, self.last_epoch)
        if i > 0 and self._milestones[i - 1] == self.last_epoch:
            self._schedulers[i]._go_to(0)
        else:
            self._schedulers[i].step()
        self._last_lr = self._schedulers[i].get_last_lr()


class ChainedScheduler(_Several):
    """Several schedules at once: each changes the rate that the one before it left."""

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        self._schedulers = _check_schedulers("ChainedScheduler", schedulers, optimizer)
        self.optimizer = optimizer or self._schedulers[0].optimizer
        _check_schedulers("ChainedScheduler", schedulers, self.optimizer)
        self.last_epoch = self._schedulers[0].last_epoch
        self._last_lr = present_rates(self.optimizer)

    def _initial_step(self) -> None:
        for schedule in self._schedulers:
            schedule._initial_step()
        self.last_epoch += 1
        self._last_lr = present_rates(self.optimizer)

    @on_host
    def step(self, epoch: int | None = None) -> None:
        """Go on to the next epoch; there is no going to a given one."""
        if epoch is not None:
            raise TypeError("ChainedScheduler: step expects no epoch")
        for schedule in self._schedulers:
            schedule.step()
        self.last_epoch += 1
        self._last_lr = present_rates(self.optimizer)
