"""`Module`: parameters, buffers and submodules under their names, as in PyTorch."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pullback import _dtype
from pullback._backend import as_device, device as Device
from pullback._session import rebound
from pullback._tensor import RemovableHandle, Tensor
from pullback.nn import _hooks, _state
from pullback.nn._hooks import Hook, Hooks
from pullback.nn._names import Names

_M = TypeVar("_M", bound="Module")


class Module(Names):
    """The base of all layers and models: assign parameters and submodules in `__init__`, compute in `forward`.

    A `Parameter`, a `Buffer` or a `Module` assigned to an attribute is registered under the attribute's name. An error
    raised inside a submodule's `forward` ends with the submodule's path: `… in blocks.0.conv`.
    """

    training: bool
    _hooks: Hooks | None = None  # made with the first hook: a call without hooks costs nothing

    def __init__(self) -> None:
        super().__init__()
        self.training = True

    # --- calling --------------------------------------------------------------------------------------------------

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; every subclass has its own."""
        raise NotImplementedError(f"{type(self).__name__}: it has no forward()")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            if self._hooks is None:
                return self.forward(*args, **kwargs)
            return _hooks.call(self, self._hooks, args, kwargs)
        except Exception as error:
            say_where(self, error)
            raise

    def _hook_lists(self) -> Hooks:
        if self._hooks is None:
            self.__dict__["_hooks"] = Hooks()
        assert self._hooks is not None
        return self._hooks

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args)` before `forward`; what it returns, if not None, replaces the arguments.

        `with_kwargs`: `hook(module, args, kwargs)`, which returns None or `(args, kwargs)`.
        """
        return Hooks.add(self._hook_lists().forward_pre, Hook(hook, with_kwargs), prepend)

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args, output)` after `forward`; what it returns, if not None, replaces the output.

        `with_kwargs`: `hook(module, args, kwargs, output)`; `always_call`: also after an error, with output None.
        """
        return Hooks.add(self._hook_lists().forward, Hook(hook, with_kwargs, always_call), prepend)

    def register_full_backward_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_output)` before the module's pullback; what it returns replaces `grad_output`."""
        return Hooks.add(self._hook_lists().backward_pre, Hook(hook), prepend)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` after the module's pullback; its result replaces `grad_input`.

        The gradients are tuples as long as the positional arguments and the results, None where there is none.
        """
        return Hooks.add(self._hook_lists().backward, Hook(hook), prepend)

    # --- changing all of it ---------------------------------------------------------------------------------------

    def train(self: _M, mode: bool = True) -> _M:
        """Set training mode here and below: dropout drops, batch norm measures. Returns the module."""
        if not isinstance(mode, bool):
            raise ValueError(f"train: mode expects a bool, got {mode!r}")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self: _M) -> _M:
        """`train(False)`."""
        return self.train(False)

    def apply(self: _M, fn: Callable[[Module], None]) -> _M:
        """Call `fn` on every submodule, children first, then on this module. Returns the module."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def requires_grad_(self: _M, requires_grad: bool = True) -> _M:
        """Freeze or unfreeze every parameter. Returns the module."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or set them to zero."""
        for parameter in self.parameters():
            if parameter.grad is None:
                continue
            if set_to_none:
                parameter.grad = None
            else:
                parameter.grad = parameter.grad.detach()
                parameter.grad.zero_()

    def _apply(self: _M, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> _M:
        """Replace the values of parameters, of their gradients, and of buffers by `fn` of them; identities stay."""
        if recurse:
            for module in self.children():
                module._apply(fn)
        for parameter in self._parameters.values():
            if parameter is not None:
                parameter.data = fn(parameter.data)
                if parameter.grad is not None:
                    parameter.grad.data = fn(parameter.grad.data)
        for name, buffer in self._buffers.items():
            if buffer is not None:
                self._buffers[name] = fn(buffer)
        rebound()
        return self

    def to(self: _M, *args: Any, **kwargs: Any) -> _M:
        """`to(device)`, `to(dtype)`, `to(device, dtype)` or `to(tensor)`, in place; dtype touches floating-point tensors only."""
        device, dtype = _device_and_dtype(args, kwargs)

        def convert(t: Tensor) -> Tensor:
            wanted = dtype if dtype is not None and t.dtype.is_floating_point else t.dtype
            return t if wanted is t.dtype and device in (None, t.device) else t.to(device or t.device, wanted)

        return self._apply(convert)

    def type(self: _M, dst_type: _dtype.dtype) -> _M:
        """Convert every parameter and buffer, integers too."""
        return self._apply(lambda t: t.to(dst_type))

    def float(self: _M) -> _M:
        """Floating-point parameters and buffers as float32."""
        return self.to(_dtype.float32)

    def half(self: _M) -> _M:
        """Floating-point parameters and buffers as float16."""
        return self.to(_dtype.float16)

    def bfloat16(self: _M) -> _M:
        """Floating-point parameters and buffers as bfloat16."""
        return self.to(_dtype.bfloat16)

    def double(self: _M) -> _M:
        """Floating-point parameters and buffers as float64."""
        return self.to(_dtype.float64)

    def cpu(self: _M) -> _M:
        """Everything on the CPU."""
        return self.to("cpu")

    def cuda(self: _M, device: Any = None) -> _M:
        """Everything on a GPU, by default the current one."""
        return self.to("cuda" if device is None else as_device(device))

    # --- state ----------------------------------------------------------------------------------------------------

    def state_dict(self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False) -> Any:
        """An ordered dictionary path → tensor of all parameters and persistent buffers.

        The tensors share the module's storage, off the tape unless `keep_vars`.
        """
        if args:
            raise TypeError("state_dict: expected keyword arguments only (destination=, prefix=, keep_vars=)")
        return _state.collect(self, OrderedDict() if destination is None else destination, prefix, keep_vars)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> _state.IncompatibleKeys:
        """Copy the tensors of a `state_dict()` into this module; with `assign`, take them as they are.

        Returns `(missing_keys, unexpected_keys)`. RuntimeError, one report of everything that is missing, unexpected
        (both only if `strict`) or misshapen.
        """
        return _state.load(self, state_dict, strict, assign)

    def register_state_dict_pre_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Call `hook(module, prefix, keep_vars)` before the module's state is collected."""
        return Hooks.add(self._hook_lists().save_pre, Hook(hook), prepend=False)

    def register_state_dict_post_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, local_metadata)` afterwards; it may change the dictionary in place."""
        return Hooks.add(self._hook_lists().save, Hook(hook), prepend=False)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, local_metadata, strict, missing, unexpected, errors)` before loading."""
        return Hooks.add(self._hook_lists().load_pre, Hook(hook), prepend=False)

    def register_load_state_dict_post_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Call `hook(module, incompatible_keys)` after loading; it may change the two lists in place."""
        return Hooks.add(self._hook_lists().load, Hook(hook), prepend=False)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        """Add this module's own tensors; a subclass may add what it needs."""
        _state.save_own(self, destination, prefix, keep_vars)

    def _load_from_state_dict(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Take this module's own tensors; a subclass may rename or convert them first."""
        _state.load_own(self, state_dict, prefix, local_metadata, missing_keys, unexpected_keys, error_msgs)

    def get_extra_state(self) -> Any:
        """What `state_dict()` holds under `_extra_state`; a subclass that defines it defines `set_extra_state` too."""
        raise RuntimeError(f"get_extra_state: {type(self).__name__} does not define it")

    def set_extra_state(self, state: Any) -> None:
        """Take back what `get_extra_state` returned."""
        raise RuntimeError(f"set_extra_state: {type(self).__name__} does not define it")

    # --- showing it -----------------------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """What stands in the parentheses of the repr."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = [f"({name}): " + repr(module).replace("\n", "\n  ") for name, module in self._modules.items()]
        if len(lines) <= 1 and not children:
            return f"{self._get_name()}({extra})"
        return f"{self._get_name()}(\n  " + "\n  ".join(lines + children) + "\n)"

    def summary(self, *args: Any, **kwargs: Any) -> str:
        """A table of the layers: path, type, parameters; and with inputs of `forward`, the shapes of their outputs.

        The forward pass runs in evaluation mode and is not recorded: `print(model.summary(x))`.
        """
        from pullback.nn._summary import summary

        return summary(self, args, kwargs)


def say_where(module: Module, error: Exception) -> None:
    """Put the path of the layer in which an error arose behind its message, seen from the outermost module so far."""
    if len(error.args) != 1 or not isinstance(error.args[0], str) or isinstance(error, KeyError):
        return
    inner, path, message = getattr(error, "_layer", (module, "", error.args[0]))
    name = next((name for name, below in module.named_modules() if below is inner), "")
    path = f"{name}.{path}" if name and path else name or path
    error.args = (f"{message} in {path}" if path else message,)
    error._layer = (module, path, message)  # type: ignore[attr-defined]


def _device_and_dtype(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Device | None, _dtype.dtype | None]:
    """What `to` was asked for: a device, a dtype, both, or those of a tensor."""
    unknown = kwargs.keys() - {"device", "dtype", "non_blocking", "memory_format", "copy"}
    if unknown:
        raise TypeError(f"to: unknown argument {sorted(unknown)[0]!r}")
    device, dtype = kwargs.get("device"), kwargs.get("dtype")
    for value in args:
        if isinstance(value, Tensor):
            device, dtype = value.device, value.dtype
        elif isinstance(value, (str, Device)) or type(value) is int:
            device = value
        elif isinstance(value, _dtype.dtype):
            dtype = value
        elif value is not None and not isinstance(value, bool):
            raise TypeError(f"to: expected a device, a dtype or a tensor, got {value!r}")
    if dtype is not None and not dtype.is_floating_point:
        raise TypeError(f"to: dtype expects a floating-point type, got {dtype!r}")
    return None if device is None else as_device(device), dtype
