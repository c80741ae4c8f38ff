"""What `Module.state_dict` and `Module.load_state_dict` do."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from pullback import _tape
from pullback._session import rebound
from pullback._tensor import Tensor
from pullback.nn._hooks import notify
from pullback.nn.parameter import Parameter

if TYPE_CHECKING:
    from pullback.nn.module import Module

EXTRA = "_extra_state"


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict` could not match."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


def _has_extra_state(module: Module) -> bool:
    from pullback.nn.module import Module

    return type(module).get_extra_state is not Module.get_extra_state


def _own(module: Module) -> Iterator[tuple[str, Tensor]]:
    """The module's own parameters and persistent buffers."""
    for name, parameter in module._parameters.items():
        if parameter is not None:
            yield name, parameter
    for name, buffer in module._buffers.items():
        if buffer is not None and name not in module._non_persistent_buffers_set:
            yield name, buffer


def collect(module: Module, destination: Any, prefix: str, keep_vars: bool) -> Any:
    """Add the state of a module and of all below to `destination`."""
    metadata = getattr(destination, "_metadata", None)
    if metadata is None and isinstance(destination, OrderedDict):
        metadata = destination._metadata = OrderedDict()  # type: ignore[attr-defined]
    if metadata is not None:
        metadata[prefix[:-1]] = {"version": getattr(module, "_version", 1)}
    notify(module, "save_pre", prefix, keep_vars)
    module._save_to_state_dict(destination, prefix, keep_vars)
    for name, child in module._modules.items():
        if child is not None:
            child.state_dict(destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
    notify(module, "save", destination, prefix, {} if metadata is None else metadata[prefix[:-1]])
    return destination


def save_own(module: Module, destination: Any, prefix: str, keep_vars: bool) -> None:
    """Add the module's own state to `destination`."""
    for name, tensor in _own(module):
        destination[prefix + name] = tensor if keep_vars else tensor.detach()
    if _has_extra_state(module):
        destination[prefix + EXTRA] = module.get_extra_state()


def load(module: Module, state_dict: Mapping[str, Any], strict: bool, assign: bool) -> IncompatibleKeys:
    """Give a module and all below the state in `state_dict`."""
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"load_state_dict: expected a dictionary, got {type(state_dict).__name__}")
    metadata = getattr(state_dict, "_metadata", {})
    state = OrderedDict(state_dict)  # a module may rename entries
    missing: list[str] = []
    unexpected: list[str] = []
    errors: list[str] = []

    def walk(module: Module, prefix: str) -> None:
        local = {**metadata.get(prefix[:-1], {}), "assign_to_params_buffers": assign}
        notify(module, "load_pre", state, prefix, local, strict, missing, unexpected, errors)
        module._load_from_state_dict(state, prefix, local, strict, missing, unexpected, errors)
        for name, child in module._modules.items():
            if child is not None:
                walk(child, f"{prefix}{name}.")
        notify(module, "load", IncompatibleKeys(missing, unexpected))

    walk(module, "")
    if strict:
        report = [*[f"missing: {key}" for key in missing], *[f"unexpected: {key}" for key in unexpected], *errors]
    else:
        report = errors
    if report:
        raise RuntimeError(f"load_state_dict: the state does not fit {type(module).__name__}\n  " + "\n  ".join(report))
    return IncompatibleKeys(missing, unexpected)


def load_own(
    module: Module,
    state: Mapping[str, Any],
    prefix: str,
    metadata: Mapping[str, Any],
    missing: list[str],
    unexpected: list[str],
    errors: list[str],
) -> None:
    """Take the module's own entries out of `state`, and note what is missing, unexpected or does not fit."""
    own = dict(_own(module))
    for name, tensor in own.items():
        key = prefix + name
        if key not in state:
            missing.append(key)
            continue
        value = state[key]
        if not isinstance(value, Tensor):
            errors.append(f"wrong type: {key} expects a Tensor, got {type(value).__name__}")
        elif value.shape != tensor.shape:
            errors.append(f"wrong shape: {key} expects {list(tensor.shape)}, got {list(value.shape)}")
        elif metadata.get("assign_to_params_buffers"):
            _take(module, name, value)
        else:
            with _tape.no_grad():
                tensor.copy_(value)
    if _has_extra_state(module):
        if prefix + EXTRA in state:
            module.set_extra_state(state[prefix + EXTRA])
        else:
            missing.append(prefix + EXTRA)
    expected = {*own, *[name for name, child in module._modules.items() if child is not None]}
    if _has_extra_state(module):
        expected.add(EXTRA)
    for key in state:
        if key.startswith(prefix):
            name, dot, _ = key[len(prefix) :].partition(".")
            if name not in expected or (dot and name in own):
                unexpected.append(key)


def _take(module: Module, name: str, value: Tensor) -> None:
    """The tensor itself becomes the module's parameter or buffer."""
    rebound()
    before = module._parameters.get(name)
    if before is None:
        module._buffers[name] = value
    elif isinstance(value, Parameter):
        module._parameters[name] = value.requires_grad_(before.requires_grad)  # type: ignore[assignment]
    else:
        module._parameters[name] = Parameter(value, requires_grad=before.requires_grad)
