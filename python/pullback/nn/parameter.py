"""`Parameter` and `Buffer`: the tensors that a module registers when they are assigned to it."""

from __future__ import annotations

from typing import Any

from pullback._tensor import Tensor


def _share(cls: Any, data: Any, requires_grad: bool) -> Any:
    """A leaf of class `cls` on the storage of `data`; changes in place are noticed through both."""
    if data is None:
        from pullback.ops import empty

        data = empty(0)
    if not isinstance(data, Tensor):
        raise TypeError(f"{cls.__name__}: data expects a Tensor, got {type(data).__name__}")
    made = cls._wrap(data._array)
    made.dtype, made.device, made._version = data.dtype, data.device, data._version
    if requires_grad:
        made.requires_grad_(True)
    return made


def _copied(t: Any, memo: dict[int, Any]) -> Any:
    """A copy with storage of its own and without the gradient, as in PyTorch; once for each tensor."""
    if id(t) not in memo:
        copied = type(t)._wrap(t.detach().clone()._array)
        copied.dtype, copied._requires_grad = t.dtype, t._requires_grad
        memo[id(t)] = copied
    return memo[id(t)]


class Parameter(Tensor):
    """A tensor that a `Module` counts among its parameters, as in PyTorch: `Parameter(data, requires_grad=True)`.

    It shares the storage of `data`. RuntimeError for a dtype that can have no gradient, unless `requires_grad=False`.
    """

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Parameter:
        made: Parameter = _share(cls, data, requires_grad)
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        found: Parameter = _copied(self, memo)
        return found

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()


class Buffer(Tensor):
    """A tensor that is part of a module's state without being trained: `Buffer(data, persistent=True)`.

    A buffer that is not persistent is left out of `state_dict()`.
    """

    persistent: bool

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Buffer:
        made: Buffer = _share(cls, data, False)
        made.persistent = persistent
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> Buffer:
        found: Buffer = _copied(self, memo)
        found.persistent = self.persistent
        return found

    def __repr__(self) -> str:
        return "Buffer containing:\n" + super().__repr__()
