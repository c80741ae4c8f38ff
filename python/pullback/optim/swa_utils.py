"""Averages of weights over training, running or exponential: PyTorch's `torch.optim.swa_utils`."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

from pullback import _tape
from pullback._dtype import int64
from pullback._tensor import Tensor
from pullback.nn import Module
from pullback.ops import zeros
from pullback.optim.lr_scheduler.base import LRScheduler, one_for_each_group
from pullback.optim.optimizer import Optimizer, check_option

__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
]

Average = Callable[[Tensor, Tensor, Tensor], Tensor]
MultiAverage = Callable[[Sequence[Tensor], Sequence[Tensor], Tensor], None]


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """ā ← γā + (1 − γ)a with γ `decay`: an average over about 1/(1 − γ) updates. ValueError for γ outside of [0, 1]."""
    _check_decay("get_ema_avg_fn", decay)

    def average(averaged: Tensor, current: Tensor, num_averaged: Tensor) -> Tensor:
        return averaged.lerp(current, 1 - decay)

    return average


def get_ema_multi_avg_fn(decay: float = 0.999) -> MultiAverage:
    """`get_ema_avg_fn` for lists of tensors, in place."""
    _check_decay("get_ema_multi_avg_fn", decay)

    def average(averaged: Sequence[Tensor], current: Sequence[Tensor], num_averaged: Tensor) -> None:
        for a, b in zip(averaged, current):
            a.lerp_(b, 1 - decay) if a.dtype.is_floating_point else a.copy_(b)

    return average


def get_swa_avg_fn() -> Average:
    """ā ← ā + (a − ā)/(n + 1) after n averages: the mean of all (Izmailov et al. 2018)."""

    def average(averaged: Tensor, current: Tensor, num_averaged: Tensor) -> Tensor:
        return averaged.lerp(current, 1 / (num_averaged.item() + 1))

    return average


def get_swa_multi_avg_fn() -> MultiAverage:
    """`get_swa_avg_fn` for lists of tensors, in place."""

    def average(averaged: Sequence[Tensor], current: Sequence[Tensor], num_averaged: Tensor) -> None:
        for a, b in zip(averaged, current):
            a.lerp_(b, 1 / (num_averaged.item() + 1)) if a.dtype.is_floating_point else a.copy_(b)

    return average


def _check_decay(op: str, decay: float) -> None:
    if not 0 <= decay <= 1:
        raise ValueError(f"{op}: decay expects a number in [0, 1], got {decay}")


class AveragedModel(Module):
    """A copy of a model, under `module`, whose parameters are averages of the model's: call `update_parameters` after steps.

    The average is that of `avg_fn(averaged, current, num_averaged)`, or of `multi_avg_fn` for lists in place, by default
    the mean; the first update copies. Buffers are copied, or with `use_buffers` averaged, too.
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Average | None = None,
        multi_avg_fn: MultiAverage | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise ValueError("AveragedModel: expected one of avg_fn and multi_avg_fn, got both")
        if not isinstance(model, Module):
            raise TypeError(f"AveragedModel: model expects a Module, got {type(model).__name__}")
        self.module = copy.deepcopy(model)
        if device is not None:
            self.module.to(device)
        self.register_buffer("n_averaged", zeros((), dtype=int64))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the averaged model computes."""
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Take the model's present weights into the average; behind a captured step rather than in it, since it counts."""
        ours, theirs = _tensors(self.module, self.use_buffers), _tensors(model, self.use_buffers)
        current = [b.detach().to(a.device) for a, b in zip(ours, theirs)]
        averaged = [a.detach() for a in ours]
        with _tape.no_grad():
            if self.n_averaged.item() == 0:
                for a, b in zip(averaged, current):
                    a.copy_(b)
            elif self.avg_fn is not None:
                for a, b in zip(averaged, current):
                    a.copy_(self.avg_fn(a, b, self.n_averaged))
            else:
                (self.multi_avg_fn or get_swa_multi_avg_fn())(averaged, current, self.n_averaged)
            if not self.use_buffers:
                for a, b in zip(self.module.buffers(), model.buffers()):
                    a.copy_(b)
            self.n_averaged.add_(1)


def _tensors(model: Module, use_buffers: bool) -> list[Tensor]:
    return [*model.parameters(), *(model.buffers() if use_buffers else ())]


class SWALR(LRScheduler):
    """From each group's rate to `swa_lr` in `anneal_epochs`, along half a cosine ("cos") or a line ("linear"), then flat.

    lr = α swa_lr + (1 − α) lr₀ with α from 0 to 1, lr₀ found from the present rate, so that another schedule may change it
    meanwhile. ValueError for options that make no sense.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"SWALR: anneal_strategy expects 'cos' or 'linear', got {anneal_strategy!r}")
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"SWALR: anneal_epochs expects an int ≥ 0, got {anneal_epochs!r}")
        for group, lr in zip(optimizer.param_groups, one_for_each_group(self, "swa_lr", swa_lr, optimizer)):
            check_option("SWALR", "swa_lr", lr)
            group["swa_lr"] = lr
        self.anneal_epochs = anneal_epochs
        self.anneal_strategy = anneal_strategy
        super().__init__(optimizer, last_epoch)

    def _share(self, step: int) -> float:
        """α after some steps."""
        t = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return t if self.anneal_strategy == "linear" else (1 - math.cos(math.pi * t)) / 2

    def get_lr(self) -> list[Any]:
        """The rates after `_step_count` steps."""
        step = max(self._step_count - 1, 1 if self.anneal_epochs == 0 else 0)
        before, now = self._share(step - 1), self._share(step)
        rates = []
        for group in self.optimizer.param_groups:
            swa = group["swa_lr"]
            start = swa if before == 1 else (group["lr"] - before * swa) / (1 - before)
            rates.append(now * swa + (1 - now) * start)
        return rates
