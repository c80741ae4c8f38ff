"""`Optimizer`: groups of parameters with their options, and the state that belongs to each parameter.

A step is one kernel call over the list of a group's parameters (one for each dtype among them): many small tensors cost
as little as one large one.
"""

from __future__ import annotations

import math
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from typing import Any

from pullback import _session, _tape
from pullback._backend import device
from pullback._dtype import dtype as DType, float32
from pullback._tensor import RemovableHandle, Tensor

Group = dict[str, Any]


class Optimizer:
    """The base of all optimizers, as in PyTorch: `param_groups`, `state`, `step`, `zero_grad`, `state_dict`.

    `params` are tensors, (name, tensor) pairs, or dictionaries {"params": tensors, options…}; `defaults` are the options
    of a group that does not name its own. A parameter whose gradient is None is skipped.
    """

    found_inf: Tensor | None = None  # given by a GradScaler: where it is not 0, a step changes nothing

    _step_supports_amp_scaling = False  # whether the kernels read it
    _moments: tuple[str, ...] = ()  # what the state holds for every element of a parameter

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[Group] = []
        self._hooks: tuple[list[Any], list[Any]] = ([], [])  # before and after a step
        if isinstance(params, Tensor) or not isinstance(params, Iterable):
            raise TypeError(f"{self._name}: params expects an iterable of tensors, got {type(params).__name__}")
        groups = list(params)
        if not groups:
            raise ValueError(f"{self._name}: params expects at least one parameter, got an empty list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    @property
    def _name(self) -> str:
        return type(self).__name__

    # --- groups ---------------------------------------------------------------------------------------------------

    def add_param_group(self, param_group: Group) -> None:
        """Add parameters with options of their own, such as a new layer's while fine-tuning.

        TypeError for what is no tensor, ValueError for the result of an op, a parameter of another group or a missing
        option.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"{self._name}: param_group expects a dictionary, got {type(param_group).__name__}")
        params = param_group["params"]
        if isinstance(params, (set, frozenset)):
            raise TypeError(f"{self._name}: params expects an order, got a set")
        params = [params] if isinstance(params, Tensor) else list(params)
        group = {**param_group, "params": params}
        if params and isinstance(params[0], tuple):
            group["param_names"] = [name for name, _ in params]
            group["params"] = [p for _, p in params]
        self._check_parameters(group["params"])
        for option, value in self.defaults.items():
            group.setdefault(option, value)
            if group[option] is REQUIRED:
                raise ValueError(f"{self._name}: a parameter group does not say its {option}")
        self._check_options(group)
        self.param_groups.append(group)
        _session.rebound()

    def _check_parameters(self, params: list[Any]) -> None:
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(f"{self._name}: params expects tensors, got {type(p).__name__}")
            if not p.is_leaf and not self.defaults.get("differentiable"):
                raise ValueError(f"{self._name}: params expects leaves, got the result of an op, {list(p.shape)}")
        if len({id(p) for p in params}) != len(params):
            warnings.warn(f"{self._name}: a parameter is listed twice in one group", stacklevel=4)
        others = {id(p) for group in self.param_groups for p in group["params"]}
        if any(id(p) in others for p in params):
            raise ValueError(f"{self._name}: a parameter belongs to two groups")

    def _check_options(self, group: Group) -> None:
        """ValueError for options that make no sense; every optimizer has its own."""

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or set them to zero."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                if set_to_none:
                    p.grad = None
                else:
                    p.grad = p.grad.detach()
                    p.grad.zero_()

    # --- the step -------------------------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; returns the loss of `closure`, which computes it anew, if given."""
        before, after = self._hooks
        for hook in list(before):
            hook(self, (closure,), {})
        loss = None
        if closure is not None:
            with _tape.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for params in self._with_gradients(group["params"]):
                self._update(group, params)
                for p in params:
                    p._version[0] += 1
        for hook in list(after):
            hook(self, (closure,), {})
        return loss

    def _skip_on(self, on: device) -> Any:
        """The number that tells a kernel to change nothing: 0, or the cell of a GradScaler."""
        return 0.0 if self.found_inf is None else self.found_inf.to(on)._array

    def _update(self, group: Group, params: list[Tensor]) -> None:
        """One kernel call for parameters of one dtype that have gradients; every optimizer has its own."""
        raise NotImplementedError(f"{self._name}: it has neither step() nor _update()")

    def _with_gradients(self, params: list[Tensor]) -> Iterable[list[Tensor]]:
        """The parameters that have a gradient, by device and dtype; RuntimeError for a gradient that does not fit."""
        found: dict[tuple[device, DType], list[Tensor]] = {}
        for p in params:
            g, kind = p.grad, (p.device, p.dtype)
            if g is None:
                continue
            if g._array.shape != p._array.shape or (g.device, g.dtype) != kind:
                raise RuntimeError(
                    f"{self._name}: a gradient expects {p.dtype} of shape {list(p.shape)} on {p.device} as its "
                    f"parameter, got {g.dtype} of shape {list(g.shape)} on {g.device}"
                )
            if kind in found:
                found[kind].append(p)
            else:
                found[kind] = [p]
        return found.values()

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` before every step."""
        self._hooks[0].append(hook)
        _session.rebound()
        return RemovableHandle(self._hooks[0], hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` after every step."""
        self._hooks[1].append(hook)
        _session.rebound()
        return RemovableHandle(self._hooks[1], hook)

    # --- state ----------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """{"state": {number of a parameter: its state}, "param_groups": [options with numbers for parameters]}."""
        number: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            for p in group["params"]:
                number.setdefault(id(p), len(number))
            groups.append({**group, "params": [number[id(p)] for p in group["params"]]})
        state = {number[id(p)] if isinstance(p, Tensor) else p: value for p, value in self.state.items()}
        return {"state": state, "param_groups": [_options_first(group) for group in groups]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take a copy of the state and the options of another optimizer over parameters of the same shapes.

        ValueError where groups, parameters or shapes do not fit.
        """
        saved = state_dict["param_groups"]
        if len(saved) != len(self.param_groups):
            raise ValueError(f"{self._name}: expected {len(self.param_groups)} parameter groups, got {len(saved)}")
        own: dict[int, Tensor] = {}
        for i, (group, theirs) in enumerate(zip(self.param_groups, saved)):
            if len(group["params"]) != len(theirs["params"]):
                raise ValueError(
                    f"{self._name}: group {i} expects {len(group['params'])} parameters, got {len(theirs['params'])}"
                )
            own.update(zip(theirs["params"], group["params"]))
        state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        for number, value in state_dict["state"].items():
            if number in own:
                state[own[number]] = {k: self._fit(k, v, own[number]) for k, v in value.items()}
            else:
                state[number] = deepcopy(value)
        _session.rebound()
        self.state = state
        self.param_groups = [
            {**self.defaults, **deepcopy({k: v for k, v in theirs.items() if k != "params"}), "params": group["params"]}
            for group, theirs in zip(self.param_groups, saved)
        ]

    def _fit(self, key: str, value: Any, p: Tensor) -> Any:
        """A copy of one entry of a parameter's state, in the parameter's dtype; the step count stays float32."""
        from pullback.ops import tensor

        if key == "step":
            return tensor(float(value), dtype=float32, device=p.device)
        if not isinstance(value, Tensor):
            return deepcopy(value)
        if key in self._moments and value.shape != p.shape:
            raise ValueError(f"{self._name}: {key} expects shape {list(p.shape)}, got {list(value.shape)}")
        return value.detach().clone().to(p.device, p.dtype if p.dtype.is_floating_point else value.dtype)

    def __repr__(self) -> str:
        lines = [f"{self._name} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {k}: {group[k]}" for k in sorted(group) if k not in ("params", "param_names")]
        return "\n".join([*lines, ")"])


class _Required:
    def __repr__(self) -> str:
        return "<required parameter>"


REQUIRED: Any = _Required()


def _options_first(group: Group) -> Group:
    """The group with its parameters last, as PyTorch writes it."""
    return {**{k: v for k, v in group.items() if k != "params"}, "params": group["params"]}


# --- what optimizers share --------------------------------------------------------------------------------------------


def check_option(op: str, name: str, value: Any, low: float = 0.0, high: float = math.inf) -> None:
    """ValueError where an option is no finite number in [low, high); a tensor has one element."""
    if isinstance(value, Tensor):
        if value.numel() != 1:
            raise ValueError(f"{op}: {name} expects one element, got shape {list(value.shape)}")
        return
    if not isinstance(value, (int, float)) or not (math.isfinite(value) and low <= value < high):
        bound = f"a finite number ≥ {low:g}" if high == math.inf else f"a number in [{low:g}, {high:g})"
        raise ValueError(f"{op}: {name} expects {bound}, got {value!r}")


def check_flags(op: str, differentiable: bool, foreach: bool | None = None, fused: bool | None = None) -> None:
    """`foreach`, `fused` and `capturable` concern speed only, and every step here is fused; RuntimeError for
    `differentiable`."""
    if differentiable:
        raise RuntimeError(f"{op}: differentiable=True is not supported: the step is not recorded")
    if foreach and fused:
        raise RuntimeError(f"{op}: expected one of foreach and fused, got both")


def option(group: Group, name: str, on: device, index: int | None = None) -> Any:
    """`group[name]`, or its entry `index`, as the kernel takes it: a Python float; or the one element of a tensor, read
    when the kernel runs (now, where the tensor lives on another device); or, in a step that is being captured, a cell
    that holds what the group says whenever the step runs."""
    value = group[name] if index is None else group[name][index]
    if isinstance(value, Tensor) and value.device is on:
        return value._array
    if _session.marks.sessions and _session.here.session is not None:
        return _session.here.session.cell(group, name, index, on)
    return float(value)


def zeros_as(p: Tensor) -> Tensor:
    """Zeros for a parameter's state, row-major."""
    from pullback.ops import zeros

    return zeros(p.shape, dtype=p.dtype, device=p.device)


def new_step(p: Tensor) -> Tensor:
    """The count of a parameter's steps: a float32 without dimensions, beside the parameter."""
    from pullback.ops import zeros

    return zeros((), dtype=float32, device=p.device)


def gradients(params: list[Any]) -> list[Any]:
    """The arrays of the gradients, which all of them have."""
    return [p.grad._array for p in params]
