"""Stop training when a metric has stopped improving, and go back to the best weights."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

from pullback import _tape
from pullback.optim.lr_scheduler.plateau import check_modes, is_better

if TYPE_CHECKING:
    from pullback.nn import Module


class EarlyStopping:
    """`step(metric)` after each epoch returns whether to stop: after `patience` epochs in a row without improvement.

    The validation loss first falls and then, as the model begins to fit noise, rises (seed 004, improving
    generalization). `module`'s best state is kept, and `restore()` puts it back. An improvement is one by more than
    `threshold`, and `mode` says in which direction, as in `lr_scheduler.ReduceLROnPlateau`. ValueError for options that make
    no sense; FloatingPointError, with the last finite value, for a metric that is not finite: a step size that diverges.

        >>> stopping = EarlyStopping(model, patience=3)
        >>> for epoch in range(100):
        ...     train(model)
        ...     if stopping.step(validate(model)):
        ...         break
        >>> stopping.restore()
    """

    def __init__(
        self,
        module: Module | None = None,
        patience: int = 10,
        mode: str = "min",
        threshold: float = 0.0,
        threshold_mode: str = "abs",
    ) -> None:
        check_modes("EarlyStopping", mode, threshold_mode)
        if not isinstance(patience, int) or patience < 1:
            raise ValueError(f"EarlyStopping: patience expects a positive int, got {patience!r}")
        if not 0 <= threshold < math.inf:
            raise ValueError(f"EarlyStopping: threshold expects a finite number ≥ 0, got {threshold}")
        self.module = module
        self.patience = patience
        self.mode = mode
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self.best = math.inf if mode == "min" else -math.inf
        self.best_epoch = -1
        self.last_epoch = -1
        self._last = math.nan
        self._state: Any = None

    @property
    def stopped(self) -> bool:
        """Whether `patience` epochs have passed since the best one."""
        return self.last_epoch - self.best_epoch >= self.patience

    def step(self, metric: Any) -> bool:
        """Take note of this epoch's metric, a number or a tensor of one element."""
        value = float(metric)
        self.last_epoch += 1
        if not math.isfinite(value):
            raise FloatingPointError(
                f"EarlyStopping: the metric is {value} in epoch {self.last_epoch}; its last finite value was "
                f"{self._last:.6g}: a smaller learning rate may help"
            )
        self._last = value
        if self.best_epoch < 0 or is_better(value, self.best, self.mode, self.threshold, self.threshold_mode):
            self.best, self.best_epoch = value, self.last_epoch
            if self.module is not None:
                self._state = copy.deepcopy(self.module.state_dict())
        return self.stopped

    def restore(self) -> None:
        """Put the best weights back into the module; RuntimeError without a module or before the first epoch."""
        if self.module is None or self._state is None:
            raise RuntimeError("EarlyStopping: restore expects a module, and at least one step")
        with _tape.no_grad():
            self.module.load_state_dict(self._state)

    def state_dict(self) -> dict[str, Any]:
        """Everything but the module: with the best weights."""
        return {k: v for k, v in self.__dict__.items() if k != "module"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict()` returned."""
        self.__dict__.update(state_dict)
