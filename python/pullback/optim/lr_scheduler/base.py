"""What every schedule shares: `LRScheduler`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

from pullback import _tape
from pullback._session import on_host
from pullback._tensor import Tensor
from pullback.optim.optimizer import Optimizer


def check_optimizer(schedule: Any, optimizer: Any) -> Optimizer:
    """The optimizer; TypeError for anything else."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(schedule).__name__}: optimizer expects an Optimizer, got {type(optimizer).__name__}")
    return optimizer


def present_rates(optimizer: Optimizer, key: str = "lr") -> list[Any]:
    """The rates of all groups; tensors as copies."""
    return [g[key].clone() if isinstance(g[key], Tensor) else g[key] for g in optimizer.param_groups]


def set_rate(group: dict[str, Any], lr: Any) -> None:
    """Set a group's rate; one that lives in a tensor stays in that tensor."""
    if isinstance(group["lr"], Tensor):
        with _tape.no_grad():
            group["lr"].fill_(lr.item() if isinstance(lr, Tensor) else lr)
    else:
        group["lr"] = lr


class LRScheduler:
    """The base: `get_lr()` gives the rate of each group at `last_epoch`; `step()` goes on to the next epoch.

    With `last_epoch` ≥ 0 a schedule is resumed; the groups then have an `initial_lr`, or KeyError is raised.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = check_optimizer(self, optimizer)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                lr = group["lr"]
                group.setdefault("initial_lr", lr.clone() if isinstance(lr, Tensor) else lr)
            elif "initial_lr" not in group:
                raise KeyError(f"{type(self).__name__}: group {i} has no initial_lr to resume from")
        self.base_lrs = present_rates(optimizer, "initial_lr")
        self.last_epoch = last_epoch
        self._initial_step()

    def _initial_step(self) -> None:
        self._step_count = 0
        self._is_initial = True
        self.step()
        self._is_initial = False

    def _undo_initial_step(self) -> None:
        self.last_epoch -= 1

    def get_lr(self) -> list[Any]:
        """The rate of each group at `last_epoch`."""
        raise NotImplementedError(f"{type(self).__name__}: it has no get_lr()")

    def get_last_lr(self) -> list[Any]:
        """The rates that were set last."""
        return self._last_lr

    @on_host
    def step(self, epoch: int | None = None) -> None:
        """Go on to the next epoch (to `epoch`, in PyTorch's old manner, with a warning) and set the rates."""
        self._step_count += 1
        if epoch is not None:
            warnings.warn(f"{type(self).__name__}: step(epoch) is deprecated, call step()", stacklevel=2)
        self._go_to(epoch)

    def _go_to(self, epoch: int | None) -> None:
        """Set the rates of the next epoch, or those of another, in closed form where there is one."""
        if epoch is None:
            self.last_epoch += 1
            rates = self.get_lr()
        else:
            self.last_epoch = epoch
            rates = self._get_closed_form_lr() if hasattr(self, "_get_closed_form_lr") else self.get_lr()
        for group, lr in zip(self.optimizer.param_groups, rates):
            set_rate(group, lr)
        self._last_lr = present_rates(self.optimizer)

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer."""
        return {k: v for k, v in self.__dict__.items() if k != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict()` returned."""
        self.__dict__.update(state_dict)

    def _scaled(self, factor: float) -> list[Any]:
        """Every group's present rate times a factor."""
        return [group["lr"] * factor for group in self.optimizer.param_groups]


def one_for_each_group(schedule: Any, name: str, value: Any, optimizer: Optimizer) -> list[Any]:
    """A value for each parameter group, from one or from a list of them; ValueError for a list of another length."""
    groups = len(optimizer.param_groups)
    values: list[Any] = list(value) if isinstance(value, (list, tuple)) else [value] * groups
    if len(values) != groups:
        raise ValueError(f"{type(schedule).__name__}: {name} expects {groups} values, got {len(values)}")
    return values


class Functions(LRScheduler):
    """The base of schedules that are given as functions of the epoch: one, or one for each group."""

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        check_optimizer(self, optimizer)
        self.lr_lambdas = one_for_each_group(self, "lr_lambda", lr_lambda, optimizer)
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer and the functions; of callable objects, their attributes."""
        state = {k: v for k, v in super().state_dict().items() if k != "lr_lambdas"}
        functions = [None if isinstance(f, FunctionType) else dict(f.__dict__) for f in self.lr_lambdas]
        return {**state, "lr_lambdas": functions}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict()` returned; functions stay as they are."""
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "lr_lambdas"})
        for f, attributes in zip(self.lr_lambdas, state_dict["lr_lambdas"]):
            if attributes is not None:
                f.__dict__.update(attributes)
