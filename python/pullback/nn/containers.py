"""Modules and parameters in lists and dictionaries."""

from __future__ import annotations

import itertools
import operator
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from pullback._session import rebound
from pullback._tensor import Tensor
from pullback.nn.activation import ReLU, Sigmoid, Tanh
from pullback.nn.functional import linear_relu, linear_sigmoid, linear_tanh
from pullback.nn.linear import Linear
from pullback.nn.module import Module
from pullback.nn.parameter import Parameter


def _position(container: Any, index: int, last: int | None = None) -> int:
    """An index as a position from the front; IndexError outside of the container."""
    size = len(container)
    i = operator.index(index)
    if not -size <= i < (size if last is None else last):
        raise IndexError(f"{type(container).__name__}: index {i} is out of range for {size} entries")
    return i + size if i < 0 else i


class _Modules(Module):
    """What `Sequential` and `ModuleList` share: submodules named 0, 1, 2, …"""

    def _at(self, index: int) -> str:
        return list(self._modules)[_position(self, index)]

    def _refill(self, modules: Iterable[Module | None]) -> None:
        self._modules = {}  # through __setattr__: a plain attribute
        rebound()
        for i, module in enumerate(modules):
            self.register_module(str(i), module)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def __delitem__(self, index: int | slice) -> None:
        names = list(self._modules)[index] if isinstance(index, slice) else [self._at(index)]
        self._refill([module for name, module in self._modules.items() if name not in set(names)])

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, self._at(index), module)

    def append(self, module: Module) -> Any:
        """Add a module at the end; returns the container."""
        self.register_module(str(len(self)), module)
        return self

    def insert(self, index: int, module: Module) -> Any:
        """Put a module before position `index`."""
        modules = list(self)
        modules.insert(_position(self, index, len(self) + 1), module)
        self._refill(modules)
        return self

    def extend(self, modules: Iterable[Module]) -> Any:
        """Add several modules at the end; returns the container."""
        if isinstance(modules, (str, bytes)) or not isinstance(modules, Iterable):
            raise TypeError(
                f"{type(self).__name__}: extend expects an iterable of modules, got {type(modules).__name__}"
            )
        for module in list(modules):
            self.append(module)
        return self

    def pop(self, index: int = -1) -> Any:
        """Take a module out and return it."""
        module = self[index]  # type: ignore[index]
        del self[index]
        return module

    def __iadd__(self, modules: Iterable[Module]) -> Any:
        return self.extend(modules)


_EPILOGUES: dict[type[Any], Callable[..., Tensor]] = {ReLU: linear_relu, Sigmoid: linear_sigmoid, Tanh: linear_tanh}


def _epilogue(linear: Module, after: Module | None) -> Callable[..., Tensor] | None:
    """The op that computes both, where the activation fits into the product's launch and nobody watches either."""
    fused = _EPILOGUES.get(type(after))
    if fused is None or after is None or linear._hooks is not None or after._hooks is not None:
        return None
    return None if "forward" in linear.__dict__ or "forward" in after.__dict__ else fused  # replaced on the instance


class Sequential(_Modules):
    """Modules one after another: `Sequential(Linear(2, 8), ReLU())`, or with names from an `OrderedDict`.

    y = fₙ(… f₁(x)). A slice is a `Sequential` of the same modules; `+` joins two.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], OrderedDict):
            for name, module in args[0].items():
                self.register_module(name, module)
        else:
            self._refill(args)

    def forward(self, input: Any) -> Any:
        """Apply every module to the result of the one before."""
        modules = list(self._modules.values())
        i = 0
        while i < len(modules):
            module = modules[i]
            fused = _epilogue(module, modules[i + 1]) if type(module) is Linear and i + 1 < len(modules) else None
            if fused is None:
                input = module(input)  # type: ignore[misc]
                i += 1
            else:
                input = module.with_activation(fused, input)  # type: ignore[union-attr]
                i += 2
        return input

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(OrderedDict(list(self._modules.items())[index]))
        return self._modules[self._at(index)]

    def __add__(self, other: Sequential) -> Sequential:
        return Sequential(*self, *other)

    def __mul__(self, times: int) -> Sequential:
        if times <= 0:
            raise ValueError(f"Sequential: expected a positive number of repetitions, got {times}")
        return Sequential(*(list(self) * times))

    __rmul__ = __mul__


class ModuleList(_Modules):
    """A list of modules, registered as 0, 1, 2, …; it has no `forward`."""

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.extend(modules)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(list(self)[index])
        return self._modules[self._at(index)]

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def __repr__(self) -> str:
        lines: list[str] = []
        start = 0
        for text, group in itertools.groupby(map(repr, self)):
            n = len(list(group))
            label = f"({start}-{start + n - 1}): {n} x " if n > 1 else f"({start}): "
            lines.append("  " + (label + text).replace("\n", "\n  "))
            start += n
        return f"{self._get_name()}(" + ("\n" + "\n".join(lines) + "\n" if lines else "") + ")"


class ModuleDict(Module):
    """A dictionary of modules under string keys; it has no `forward`."""

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Any:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.register_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]
        rebound()

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: str) -> bool:
        return key in self._modules

    def clear(self) -> None:
        """Remove everything."""
        self._modules.clear()
        rebound()

    def pop(self, key: str) -> Any:
        """Remove a module and return it."""
        rebound()
        return self._modules.pop(key)

    def keys(self) -> Iterable[str]:
        """The keys."""
        return self._modules.keys()

    def items(self) -> Iterable[tuple[str, Any]]:
        """(key, module) pairs."""
        return self._modules.items()

    def values(self) -> Iterable[Any]:
        """The modules."""
        return self._modules.values()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add or replace the modules of a dictionary or of (key, module) pairs."""
        for key, module in modules.items() if isinstance(modules, (Mapping, ModuleDict)) else modules:
            self[key] = module


def _entry(value: Any) -> Any:
    """A tensor becomes a parameter, anything else stays what it is."""
    return Parameter(value) if isinstance(value, Tensor) and not isinstance(value, Parameter) else value


def _describe(value: Any) -> str:
    if isinstance(value, Tensor):
        kind = "Parameter" if isinstance(value, Parameter) else "Tensor"
        return f"{kind} containing: [{value.dtype} of size {'x'.join(map(str, value.shape))}]"
    return f"Object of type: {type(value).__name__}"


class ParameterList(Module):
    """A list of parameters, registered as 0, 1, 2, …; tensors become parameters, other values are kept as they are."""

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self._size = 0
        if values is not None:
            self.extend(values)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(list(self)[index])
        return getattr(self, str(_position(self, index)))

    def __setitem__(self, index: int, value: Any) -> None:
        setattr(self, str(_position(self, index)), _entry(value))

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        return iter([self[i] for i in range(len(self))])

    def append(self, value: Any) -> ParameterList:
        """Add a value at the end; returns the list."""
        self._size += 1
        self[self._size - 1] = value
        return self

    def extend(self, values: Iterable[Any]) -> ParameterList:
        """Add several values at the end; returns the list."""
        if isinstance(values, Tensor) or not isinstance(values, Iterable):
            raise TypeError(f"ParameterList: extend expects an iterable of values, got {type(values).__name__}")
        for value in list(values):
            self.append(value)
        return self

    def __iadd__(self, values: Iterable[Any]) -> ParameterList:
        return self.extend(values)

    def extra_repr(self) -> str:
        """One line an entry."""
        return "\n".join(f"({i}): {_describe(value)}" for i, value in enumerate(self))


class ParameterDict(Module):
    """A dictionary of parameters; tensors become parameters, other values are kept as they are."""

    def __init__(self, parameters: Any = None) -> None:
        super().__init__()
        self._keys: dict[str, None] = {}
        if parameters is not None:
            self.update(parameters)

    def _found(self, key: str) -> str:
        if key not in self._keys:
            raise KeyError(key)
        return key

    def __getitem__(self, key: str) -> Any:
        return getattr(self, self._found(key))

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise TypeError(f"ParameterDict: key expects a string, got {type(key).__name__}")
        if key not in self._keys and hasattr(self, key):
            raise KeyError(f"ParameterDict: attribute {key!r} already exists")
        self._keys[key] = None
        setattr(self, key, _entry(value))

    def __delitem__(self, key: str) -> None:
        delattr(self, self._found(key))
        del self._keys[key]

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def get(self, key: str, default: Any = None) -> Any:
        """The value under a key, or `default`."""
        return self[key] if key in self else default

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The value under a key, put there first if it is missing."""
        if key not in self:
            self[key] = default
        return self[key]

    def pop(self, key: str) -> Any:
        """Remove a value and return it."""
        value = self[key]
        del self[key]
        return value

    def clear(self) -> None:
        """Remove everything."""
        for key in list(self._keys):
            del self[key]

    def keys(self) -> Iterable[str]:
        """The keys."""
        return self._keys.keys()

    def items(self) -> Iterable[tuple[str, Any]]:
        """(key, value) pairs."""
        return ((key, self[key]) for key in self._keys)

    def values(self) -> Iterable[Any]:
        """The values."""
        return (self[key] for key in self._keys)

    def copy(self) -> ParameterDict:
        """A dictionary of the same parameters."""
        return ParameterDict(OrderedDict(self.items()))

    def update(self, parameters: Any) -> None:
        """Add or replace the values of a dictionary or of (key, value) pairs."""
        for key, value in parameters.items() if hasattr(parameters, "items") else parameters:
            self[key] = value

    def extra_repr(self) -> str:
        """One line an entry."""
        return "\n".join(f"({key}): {_describe(value)}" for key, value in self.items())
