"""`GradScaler`: a loss times s, so that small gradients do not vanish in float16, and the gradients divided by s again."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from pullback import _tape
from pullback._backend import device as Device, gpu_count
from pullback._dtype import dtype as DType, float16, float32, int32
from pullback._tensor import Tensor
from pullback.ops import full
from pullback.optim import Optimizer

_READY, _UNSCALED, _STEPPED = range(3)  # what an optimizer has been through since the last update


class _Progress:
    """Of one optimizer in one iteration."""

    def __init__(self) -> None:
        self.stage = _READY
        self.found: dict[Device, Tensor] = {}  # on each device: 1 where some gradient is not finite


class GradScaler:
    """Training with a scaled loss, as in PyTorch:

        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)        # only where gradients are looked at, or clipped
        scaler.step(optimizer)
        scaler.update()

    ∇(sL) = s∇L; `step` divides by s and leaves everything as it is where a gradient is not finite. `update` then takes s ← βs,
    β the `backoff_factor`; after n = `growth_interval` steps in a row without that, s ← γs, γ the `growth_factor`. Scale and
    count are in memory and optimizers read there whether to skip, so that no GPU waits and a step can be captured; only
    optimizers of your own, with a `step` of their own, wait. Micikevicius et al. 2018, section 3.2.

    With `enabled=False`, or on "cuda" without a GPU, which warns, it does nothing but call `optimizer.step`. ValueError for
    γ ≤ 1 or β ≥ 1.
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        if enabled and device == "cuda" and gpu_count() == 0:
            warnings.warn("GradScaler: there is no GPU; gradients are not scaled", stacklevel=2)
            enabled = False
        if growth_factor <= 1:
            raise ValueError(f"GradScaler: growth_factor expects a number > 1, got {growth_factor}")
        if backoff_factor >= 1:
            raise ValueError(f"GradScaler: backoff_factor expects a number < 1, got {backoff_factor}")
        self._device = device
        self._enabled = bool(enabled)
        self._init_scale = float(init_scale)
        self._init_growth_tracker = 0
        self._growth_factor = growth_factor
        self._backoff_factor = backoff_factor
        self._growth_interval = growth_interval
        self._scale: Tensor | None = None  # made beside the first loss
        self._growth_tracker: Tensor | None = None
        self._progress: defaultdict[int, _Progress] = defaultdict(_Progress)

    # --- an iteration -----------------------------------------------------------------------------------------------

    def scale(self, outputs: Any) -> Any:
        """s times a tensor, or each of those in a list, a tuple or another iterable. ValueError for anything else."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            return outputs * self._scale_on(outputs.device)
        if not isinstance(outputs, Iterable):
            raise ValueError(f"scale: outputs expects a tensor or an iterable of them, got {type(outputs).__name__}")
        scaled = map(self.scale, outputs)
        return type(outputs)(scaled) if isinstance(outputs, (list, tuple)) else scaled

    def _scale_on(self, on: Device) -> Tensor:
        if self._scale is None:
            self._scale = full((), self._init_scale, dtype=float32, device=on)
            self._growth_tracker = full((), self._init_growth_tracker, dtype=int32, device=on)
        return self._scale.to(on)

    def _check_scale(self, op: str) -> Tensor:
        if self._scale is None:
            raise RuntimeError(f"{op}: there is no scale yet: call scale(loss) before")
        return self._scale

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide the optimizer's gradients by s, in place, and note whether one is not finite. Without it `step` does.

        RuntimeError a second time before `update`, after `step`, or before the first `scale`; ValueError for gradients
        in float16, which are those of parameters in float16: keep these in float32.
        """
        if not self._enabled:
            return
        scale = self._check_scale("unscale_")
        progress = self._progress[id(optimizer)]
        if progress.stage == _UNSCALED:
            raise RuntimeError("unscale_: it was called for this optimizer since the last update()")
        if progress.stage == _STEPPED:
            raise RuntimeError("unscale_: step() was called for this optimizer since the last update()")
        for (on, dtype), gradients in _gradients(optimizer).items():
            if dtype is float16:
                raise ValueError("unscale_: gradients expect float32, got float16: keep the parameters in float32")
            if on not in progress.found:
                progress.found[on] = full((), 0.0, dtype=float32, device=on)
            on.kernels.unscale([g._array for g in gradients], progress.found[on]._array, scale.to(on)._array)
            for g in gradients:
                g._version[0] += 1
        progress.stage = _UNSCALED

    def step(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
        """`optimizer.step(…)` with the gradients divided by s, or nothing where one of them is not finite.

        RuntimeError for a closure, a second time before `update`, before the first `scale`, or without any gradient.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if args or "closure" in kwargs:
            raise RuntimeError("step: a closure cannot be had with a GradScaler")
        self._check_scale("step")
        progress = self._progress[id(optimizer)]
        if progress.stage == _STEPPED:
            raise RuntimeError("step: it was called for this optimizer since the last update()")
        if progress.stage == _READY:
            self.unscale_(optimizer)
        if not progress.found:
            raise RuntimeError("step: the optimizer's parameters have no gradients")
        progress.stage = _STEPPED
        found = _any(list(progress.found.values()))
        if not getattr(optimizer, "_step_supports_amp_scaling", False):
            return None if found.item() else optimizer.step(**kwargs)
        optimizer.found_inf = found
        try:
            return optimizer.step(**kwargs)
        finally:
            optimizer.found_inf = None

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """The next s, from what the iteration's optimizers found; or `new_scale`, a number or a tensor of one element.

        RuntimeError before the first `scale`, or where no optimizer was stepped or unscaled; ValueError for another tensor.
        """
        if not self._enabled:
            return
        scale = self._check_scale("update")
        if new_scale is None:
            found = [f for progress in self._progress.values() for f in progress.found.values()]
            if not found:
                raise RuntimeError("update: no optimizer was stepped or unscaled since the last one")
            assert self._growth_tracker is not None
            scale.device.kernels.update_scale(
                scale._array,
                self._growth_tracker._array,
                _any([f.to(scale.device) for f in found])._array,
                float(self._growth_factor),
                float(self._backoff_factor),
                int(self._growth_interval),
            )
            scale._version[0] += 1
        elif isinstance(new_scale, Tensor):
            if new_scale.numel() != 1 or new_scale.requires_grad:
                raise ValueError("update: new_scale expects a number or a tensor of one element without a gradient")
            scale.copy_(new_scale.reshape(()))
        else:
            scale.fill_(float(new_scale))
        self._progress.clear()

    # --- what it holds ------------------------------------------------------------------------------------------------

    def get_scale(self) -> float:
        """s, as a number that is waited for; 1 where nothing is scaled."""
        if not self._enabled:
            return 1.0
        return self._init_scale if self._scale is None else float(self._scale.item())

    def _get_growth_tracker(self) -> int:
        if not self._enabled:
            return 0
        return self._init_growth_tracker if self._growth_tracker is None else int(self._growth_tracker.item())

    def get_growth_factor(self) -> float:
        """γ"""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Another γ from now on."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """β"""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Another β from now on."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """n"""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Another n from now on."""
        self._growth_interval = new_interval

    def is_enabled(self) -> bool:
        """Whether it scales."""
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """s, γ, β, n and the count, as numbers under PyTorch's names; nothing where nothing is scaled."""
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(),
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._get_growth_tracker(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave. RuntimeError for an empty one, of a scaler that was not enabled."""
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError("load_state_dict: the state is empty, as that of a scaler that was not enabled")
        self._init_scale = float(state_dict["scale"])
        self._init_growth_tracker = int(state_dict["_growth_tracker"])
        self._growth_factor = state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        if self._scale is not None and self._growth_tracker is not None:
            self._scale.fill_(self._init_scale)
            self._growth_tracker.fill_(self._init_growth_tracker)

    def __getstate__(self) -> dict[str, Any]:
        if self._progress:
            raise RuntimeError("GradScaler: it can be pickled or copied after update(), or before the first step")
        numbers = {"_init_scale": self.get_scale(), "_init_growth_tracker": self._get_growth_tracker()}
        return {**self.__dict__, **numbers, "_scale": None, "_growth_tracker": None}


def _gradients(optimizer: Optimizer) -> dict[tuple[Device, DType], list[Tensor]]:
    """Of the optimizer's parameters, by device and dtype."""
    groups: dict[tuple[Device, DType], list[Tensor]] = {}
    for group in optimizer.param_groups:
        for p in group["params"]:
            if p.grad is not None:
                groups.setdefault((p.grad.device, p.grad.dtype), []).append(p.grad)
    return groups


def _any(found: list[Tensor]) -> Tensor:
    """Not 0 where one of them is not."""
    with _tape.no_grad():
        total = found[0]
        for other in found[1:]:
            total = total + other.to(total.device)
    return total
