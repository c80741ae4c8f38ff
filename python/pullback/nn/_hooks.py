"""Hooks on modules: before and after `forward`, and around the gradients that pass through a module."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pullback import _tape
from pullback._session import rebound
from pullback._tensor import RemovableHandle, Tensor

if TYPE_CHECKING:
    from pullback.nn.module import Module


class Hook(NamedTuple):
    """A function and how it wants to be called."""

    function: Callable[..., Any]
    with_kwargs: bool = False
    always_call: bool = False


class Hooks:
    """The hooks of one module, each kind in the order in which they are called."""

    def __init__(self) -> None:
        self.forward_pre: list[Hook] = []
        self.forward: list[Hook] = []
        self.backward_pre: list[Hook] = []
        self.backward: list[Hook] = []
        self.save_pre: list[Hook] = []
        self.save: list[Hook] = []
        self.load_pre: list[Hook] = []
        self.load: list[Hook] = []

    @staticmethod
    def add(hooks: list[Hook], hook: Hook, prepend: bool) -> RemovableHandle:
        """Register a hook, last or first; the handle takes it away again."""
        hooks.insert(0 if prepend else len(hooks), hook)
        rebound()
        return RemovableHandle(hooks, hook)


def notify(module: Module, kind: str, *args: Any) -> None:
    """Call the module's hooks of one kind that concern its state."""
    if module._hooks is not None:
        for hook in list(getattr(module._hooks, kind)):
            if hook.function(module, *args) is not None:
                raise RuntimeError(f"{kind} hook: expected None to be returned")


def call(module: Module, hooks: Hooks, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`module.forward(*args, **kwargs)` with the module's hooks around it."""
    for hook in list(hooks.forward_pre):
        args, kwargs = _run_pre_hook(module, hook, args, kwargs)
    watch = Watch(module, hooks) if hooks.backward or hooks.backward_pre else None
    if watch is not None:
        args = watch.inputs(args)
    ran: list[Hook] = []
    try:
        result = module.forward(*args, **kwargs)
        for hook in list(hooks.forward):
            ran.append(hook)
            result = _run_hook(module, hook, args, kwargs, result)
    except Exception:
        for hook in list(hooks.forward):
            if hook.always_call and hook not in ran:
                _run_hook(module, hook, args, kwargs, None)
        raise
    return result if watch is None else watch.results(result)


def _run_pre_hook(
    module: Module, hook: Hook, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if not hook.with_kwargs:
        changed = hook.function(module, args)
        if changed is None:
            return args, kwargs
        return (changed if isinstance(changed, tuple) else (changed,)), kwargs
    changed = hook.function(module, args, kwargs)
    if changed is None:
        return args, kwargs
    if not isinstance(changed, tuple) or len(changed) != 2:
        raise RuntimeError(f"forward pre-hook: expected None or a pair (args, kwargs), got {changed!r}")
    return changed


def _run_hook(module: Module, hook: Hook, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
    changed = hook.function(module, args, kwargs, result) if hook.with_kwargs else hook.function(module, args, result)
    return result if changed is None else changed


class Watch:
    """Identities at the entrance and the exit of one call, whose pullbacks are the module's backward hooks.

    The exit sees ∂/∂outputs (pre-hooks may replace them), the entrance ∂/∂inputs (hooks may replace them). Where no
    input wants a gradient there is no entrance, and the hooks run at the exit.
    """

    def __init__(self, module: Module, hooks: Hooks) -> None:
        self.module = module
        self.before = list(hooks.backward_pre)
        self.after = list(hooks.backward)
        self.grad_output: tuple[Tensor | None, ...] = ()
        self.has_entrance = False
        self.inputs_count = 0

    def inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments, the tensors among them seen through the entrance."""
        self.inputs_count = len(args)
        passed, indices = _through(args, self._arrived_at_inputs)
        self.has_entrance = bool(indices)
        self.input_indices = indices
        return passed

    def results(self, result: Any) -> Any:
        """The result, a tensor or a tuple of them, seen through the exit."""
        outputs = result if isinstance(result, tuple) else (result,)
        passed, self.output_indices = _through(outputs, self._arrived_at_outputs)
        self.outputs_count = len(outputs)
        if not isinstance(result, tuple):
            return passed[0]
        return type(result)(*passed) if hasattr(result, "_fields") else passed

    def _arrived_at_outputs(self, gradients: list[Tensor | None]) -> list[Tensor | None]:
        grad_output = _spread(gradients, self.output_indices, self.outputs_count)
        for hook in self.before:
            grad_output = _replaced(hook.function(self.module, grad_output), grad_output, "backward pre-hook")
        self.grad_output = grad_output
        if not self.has_entrance:
            for hook in self.after:
                if hook.function(self.module, (None,) * self.inputs_count, grad_output) is not None:
                    raise RuntimeError("backward hook: expected None where no input requires grad, got gradients")
        return [grad_output[i] for i in self.output_indices]

    def _arrived_at_inputs(self, gradients: list[Tensor | None]) -> list[Tensor | None]:
        grad_input = _spread(gradients, self.input_indices, self.inputs_count)
        for hook in self.after:
            changed = hook.function(self.module, grad_input, self.grad_output)
            grad_input = _replaced(changed, grad_input, "backward hook")
        self.grad_output = ()
        return [grad_input[i] for i in self.input_indices]


def _through(
    values: Sequence[Any], arrived: Callable[[list[Tensor | None]], list[Tensor | None]]
) -> tuple[tuple[Any, ...], list[int]]:
    """The values, every tensor replaced by an identity of it that calls `arrived` on the gradients; and where they were."""
    indices = [i for i, value in enumerate(values) if isinstance(value, Tensor)]
    tensors = [values[i] for i in indices]
    if not _tape.is_grad_enabled() or not any(t.requires_grad for t in tensors):
        return tuple(values), []

    def pullback(node: _tape.Node, dy: list[Any]) -> list[Any]:
        wrapped = [None if g is None else Tensor._wrap(g) for g in dy]
        return [None if g is None else g._array for g in arrived(wrapped)]

    def pullback_ops(node: _tape.Node, dy: list[Tensor | None]) -> list[Tensor | None]:
        return arrived(list(dy))

    rule = _tape.Rule("backward_hook", pullback, pullback_ops)
    passed = list(values)
    for i, t, out in zip(indices, tensors, _tape.record_many(rule, [t._array for t in tensors], tensors)):
        out._version = t._version
        if t.requires_grad:
            passed[i] = out
    return tuple(passed), indices


def _spread(gradients: list[Tensor | None], indices: list[int], count: int) -> tuple[Tensor | None, ...]:
    spread: list[Tensor | None] = [None] * count
    for i, gradient in zip(indices, gradients):
        spread[i] = gradient
    return tuple(spread)


def _replaced(changed: Any, gradients: tuple[Tensor | None, ...], op: str) -> tuple[Tensor | None, ...]:
    """What a hook returned in place of the gradients, None meaning no change."""
    if changed is None:
        return gradients
    replaced: tuple[Tensor | None, ...] = changed if isinstance(changed, tuple) else (changed,)
    if len(replaced) != len(gradients):
        raise RuntimeError(f"{op}: expected {len(gradients)} gradients, got {len(replaced)}")
    return replaced
