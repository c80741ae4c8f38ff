"""`Tensor`: an array, its dtype and device, and its place on the tape.

The operations are functions in `pullback.ops`; the ones that PyTorch has as methods are attached by `@method` where
they are defined, and `_methods.pyi` (generated) tells type checkers about them.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, overload

import numpy as np

from pullback import _backend, _core, _dtype, _session, _tape
from pullback._backend import as_device, cpu, device
from pullback._core import TensorBase
from pullback._dtype import dtype
from pullback._methods import Methods

_F = TypeVar("_F", bound=Callable[..., Any])


class Size(tuple[int, ...]):
    """The shape of a tensor: a tuple of ints."""

    def numel(self) -> int:
        """The product of the sizes."""
        n = 1
        for size in self:
            n *= size
        return n

    def __repr__(self) -> str:
        return f"pullback.Size({list(self)})"


class RemovableHandle:
    """Takes a hook away again: `handle.remove()`, or leaving its `with` block."""

    def __init__(self, hooks: list[Any], hook: Any) -> None:
        self._hooks, self._hook = hooks, hook

    def remove(self) -> None:
        """Remove the hook; a second time has no effect."""
        if self._hook in self._hooks:
            self._hooks.remove(self._hook)
            _session.rebound()

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()


class _Retain:
    """The hook behind `retain_grad`. It does not keep its tensor alive: the node that holds it may outlive that."""

    def __init__(self, t: Tensor) -> None:
        self._tensor = weakref.ref(t)

    def __call__(self, gradient: Tensor) -> None:
        t = self._tensor()
        if t is not None:
            t.grad = gradient.detach().clone() if t.grad is None else t.grad + gradient.detach()


class Tensor(TensorBase, Methods):
    """An array on the tape. Made by `pullback.tensor`, `pullback.zeros`, …, or `Tensor(data)` for float32 data."""

    __slots__ = ()
    __array_priority__ = 1000  # NumPy's binary operators give way to ours

    def __new__(cls, *data: Any, requires_grad: bool = False) -> Any:
        from pullback.ops import create

        if data and all(isinstance(d, (int, np.integer)) and not isinstance(d, bool) for d in data):
            array = create.empty(*data)._array  # Tensor(2, 3): a size, as in PyTorch
        else:
            array = create.tensor(data[0] if data else [], dtype=_dtype.get_default_dtype())._array
        made = cls._wrap(array)
        made._requires_grad = requires_grad
        return made

    # --- what it is ---------------------------------------------------------------------------------------------------

    @property
    def shape(self) -> Size:
        """The sizes of the dimensions."""
        return Size(self._array.shape)

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return int(self._array.ndim)

    @property
    def requires_grad(self) -> bool:
        """Whether gradients with respect to this tensor, or through it, are wanted. Settable on leaves."""
        if self._base is not None:
            self._follow_base()
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        self.requires_grad_(wanted)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Set `requires_grad` in place; RuntimeError for an integer tensor or for turning a result of an op off."""
        if requires_grad and not self.dtype.is_floating_point:
            raise RuntimeError(f"requires_grad_: expected a floating-point tensor, got dtype {self.dtype}")
        if self._node is not None and not requires_grad:
            raise RuntimeError("requires_grad_: only leaf tensors can be switched off; use detach()")
        if type(self) is not Tensor and self._requires_grad is not bool(requires_grad):
            _session.toggled(self)  # a parameter is frozen, or no longer
        self._requires_grad = bool(requires_grad)
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether no op on the tape made it."""
        if self._base is not None:
            self._follow_base()
        return self._node is None

    @property
    def grad_fn(self) -> _tape.Node | None:
        """The node that made it; None for a leaf."""
        if self._base is not None:
            self._follow_base()
        return self._node

    @property
    def output_nr(self) -> int:
        """Which result of its node it is."""
        return self._output

    @property
    def data(self) -> Tensor:
        """The same storage as a tensor off the tape; changes through it are not tracked."""
        return Tensor._wrap(self._array)

    @data.setter
    def data(self, other: Tensor) -> None:
        if not isinstance(other, Tensor):
            raise TypeError(f"data: expected a Tensor, got {type(other).__name__}")
        _session.rebound()
        self._array = other._array
        self.dtype = other.dtype
        self.device = other.device

    # --- the tape -----------------------------------------------------------------------------------------------------

    def backward(
        self,
        gradient: Tensor | None = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Tensor | Sequence[Tensor] | None = None,
    ) -> None:
        """Add ∂⟨gradient, self⟩/∂leaf to `leaf.grad` for every leaf that this tensor came from.

        `gradient` has this tensor's shape and defaults to 1 for a single element. The graph's saved arrays are freed as
        they are used, unless `retain_graph`; with `create_graph` the gradients are themselves on the tape.
        Raises RuntimeError without a graph, for a second pass over a freed one, or where a saved tensor was changed in place.
        """
        from pullback import _walk

        _walk.backward([self], [gradient], retain_graph, create_graph, inputs)

    def detach(self) -> Tensor:
        """The same storage, off the tape: no gradient flows through it. Changes in place are still noticed."""
        t = Tensor._wrap(self._array)
        t._version = self._version
        return t

    def detach_(self) -> Tensor:
        """Take this tensor itself off the tape."""
        if self._base is not None:
            raise RuntimeError("detach_: a view cannot be detached in place; use detach()")
        self._node, self._requires_grad, self._output = None, False, 0
        return self

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """Call `hook(gradient)` whenever this tensor's gradient is complete; what it returns, if not None, replaces it."""
        if not self.requires_grad:
            raise RuntimeError("register_hook: the tensor does not require grad")
        if self._node is None:
            self._hooks = self._hooks or []
            hooks = self._hooks
            _session.rebound()
        else:
            self._node.hooks = self._node.hooks or {}
            hooks = self._node.hooks.setdefault(self._output, [])
        hooks.append(hook)
        return RemovableHandle(hooks, hook)

    def retain_grad(self) -> None:
        """Keep the gradient of a tensor that is not a leaf in `.grad`."""
        if not self.is_leaf:
            hooks = (self._node.hooks or {}).get(self._output, ()) if self._node else ()
            if not any(isinstance(h, _Retain) for h in hooks):
                self.register_hook(_Retain(self))
        elif not self._requires_grad:
            raise RuntimeError("retain_grad: the tensor does not require grad")

    def _follow_base(self) -> None:
        """A view whose base was changed in place, on the tape, since: make it a view of what the base is now."""
        base = self._base
        if base is not None and base._generation != self._generation:
            from pullback.ops import strided

            strided.rebase(self, base)

    def _assign(self, new: Tensor) -> Tensor:
        """Take over the value, and the place on the tape, of `new`: what every op in place ends with."""
        from pullback.ops import strided

        if _tape.grad_enabled() and (self.requires_grad or new._requires_grad):
            strided.check_writable_leaf(self)
            strided.overwrite(self, new)
            strided.move(self, new)
        else:
            strided.overwrite(self, new)
        return self

    # --- out of pullback ----------------------------------------------------------------------------------------------

    def numpy(self, *, force: bool = False) -> Any:
        """The array behind the tensor, shared; with `force`, or a copy of it on the CPU.

        RuntimeError where it requires grad, TypeError where it lives on another device than the CPU, unless `force`;
        TypeError for bfloat16, which NumPy lacks.
        """
        if not force and self.requires_grad:
            raise RuntimeError("numpy: the tensor requires grad; use detach().numpy()")
        if not force and self.device is not cpu:
            raise TypeError(f"numpy: expected a tensor on the CPU, got one on {self.device}; use cpu().numpy()")
        if self.dtype is _dtype.bfloat16:
            raise TypeError("numpy: NumPy has no bfloat16; use float().numpy()")
        _session.host_read("numpy()")
        return self._host()

    def _host(self) -> Any:
        """The elements as a NumPy array: the one behind the tensor on the CPU, else a copy; of bfloat16 as float32."""
        readable = self.detach().float() if self.dtype is _dtype.bfloat16 else self
        return readable.device.to_host(readable._array)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        array = self.numpy()
        return array if dtype is None and not copy else np.array(array, dtype=dtype, copy=True)

    def __dlpack__(self, **options: Any) -> Any:
        return _backend.to_dlpack(self.detach()._array, **options)

    def __dlpack_device__(self) -> Any:
        return self._array.__dlpack_device__()

    def item(self) -> Any:
        """The only element as a Python number; RuntimeError where there is not exactly one."""
        _session.host_read("item()")
        if self._array.size != 1:
            raise RuntimeError(f"item: expected one element, got shape {list(self.shape)}")
        return self._host().item()

    def tolist(self) -> Any:
        """Nested Python lists of the elements."""
        _session.host_read("tolist()")
        return self._host().tolist()

    def __reduce_ex__(self, protocol: Any) -> Any:
        state = (
            np.require(self.device.to_host(self._array), requirements="C"),
            self.requires_grad,
            type(self),
            dict(getattr(self, "__dict__", {})),
        )
        return (_unpickle, state if self.device is cpu else (*state, self.device))

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if not self.is_leaf:
            raise RuntimeError("deepcopy: only leaf tensors can be copied deeply; use detach().clone()")
        copied = type(self)._wrap(self.detach().clone()._array)
        copied._requires_grad = self._requires_grad
        copied.grad = None if self.grad is None else self.grad.detach().clone()
        memo[id(self)] = copied
        return copied

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        from pullback._repr import tensor_repr

        return tensor_repr(self)


_core.connect(Tensor=Tensor, dtypes=_dtype._FROM_NUMPY)


def _unpickle(
    array: Any, requires_grad: bool, cls: type[Tensor], attributes: dict[str, Any], on: device = cpu
) -> Tensor:
    t = cls._wrap(on.from_host(array))
    t._requires_grad = requires_grad
    for name, value in attributes.items():
        setattr(t, name, value)
    return t


@overload
def method(function: _F) -> _F: ...


@overload
def method(*, name: str | tuple[str, ...]) -> Callable[[_F], _F]: ...


def method(function: Any = None, *, name: str | tuple[str, ...] | None = None) -> Any:
    """Make an op a method of Tensor too, under its own name or those given: `@method` above its definition."""
    if function is None:
        return lambda f: _attach(f, name)
    return _attach(function, name)


def _attach(function: Any, name: str | tuple[str, ...] | None) -> Any:
    for n in (name,) if isinstance(name, str) else name or (function.__name__,):
        setattr(Methods, n, function)
    return function


__all__ = ["RemovableHandle", "Size", "Tensor", "as_device", "device", "dtype", "method"]
