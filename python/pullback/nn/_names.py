"""Parameters, buffers and submodules under their names: the half of `Module` that only knows what it is made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from pullback._session import rebound, toggled
from pullback._tensor import Tensor
from pullback.nn.parameter import Buffer, Parameter

if TYPE_CHECKING:
    from pullback.nn.module import Module


class Names:
    """Three groups of named things, reached as attributes and by dotted paths."""

    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _non_persistent_buffers_set: set[str]

    def __init__(self) -> None:
        self.__dict__.update(_parameters={}, _buffers={}, _non_persistent_buffers_set=set(), _modules={})

    # --- attributes -----------------------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        state = self.__dict__
        for group in ("_parameters", "_buffers", "_modules"):
            found = state.get(group)
            if found is not None and name in found:
                return found[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        state = self.__dict__
        if "_modules" not in state:
            if isinstance(value, (Parameter, Buffer, Names)):
                raise AttributeError(f"{type(self).__name__}: call super().__init__() before assigning {name!r}")
            object.__setattr__(self, name, value)
        elif isinstance(value, Parameter):
            self._forget(name, self._parameters)
            self.register_parameter(name, value)
        elif isinstance(value, Names):
            self._forget(name, self._modules)
            self.register_module(name, cast("Module", value))
        elif isinstance(value, Buffer):
            self._forget(name, self._buffers)
            self.register_buffer(name, value, value.persistent)
        elif name in self._parameters:
            _expect(value is None, self, name, "a Parameter or None", value)
            self._parameters[name] = None
            rebound()
        elif name in self._modules:
            _expect(value is None, self, name, "a Module or None", value)
            self._modules[name] = None
            rebound()
        elif name in self._buffers:
            _expect(value is None or isinstance(value, Tensor), self, name, "a Tensor or None", value)
            self._buffers[name] = value
            rebound()
        else:
            if name == "training" and state.get("training", value) is not value:
                toggled(self)
            object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        for group in (self._parameters, self._buffers, self._modules):
            if name in group:
                self._non_persistent_buffers_set.discard(name)
                del group[name]
                rebound()
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        names = {*dir(type(self)), *self.__dict__, *self._parameters, *self._buffers, *self._modules}
        return sorted(name for name in names if not name[:1].isdigit())

    def _forget(self, name: str, but: Any) -> None:
        """A name means one thing: take it out of the attributes, and of the groups except `but`."""
        self.__dict__.pop(name, None)
        for group in (self._parameters, self._buffers, self._modules):
            if group is not but:
                group.pop(name, None)
        if but is not self._buffers:
            self._non_persistent_buffers_set.discard(name)

    def _check_name(self, op: str, name: str, group: Any) -> None:
        if "_modules" not in self.__dict__:
            raise AttributeError(f"{op}: call super().__init__() before registering {name!r}")
        if not isinstance(name, str):
            raise TypeError(f"{op}: name expects a string, got {type(name).__name__}")
        if "." in name or name == "":
            raise KeyError(f"{op}: name expects no '.' and not the empty string, got {name!r}")
        if name not in getattr(self, group) and hasattr(self, name):
            raise KeyError(f"{op}: attribute {name!r} already exists")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under a name; None reserves the name. KeyError for a name that is taken or has a dot."""
        self._check_name("register_parameter", name, "_parameters")
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(f"register_parameter: {name!r} expects a Parameter or None, got {type(param).__name__}")
        if param is not None and param.grad_fn is not None:
            raise ValueError(f"register_parameter: {name!r} expects a leaf tensor, got the result of an op")
        self._parameters[name] = param
        rebound()

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is not a parameter, such as a running mean; in `state_dict()` only if `persistent`."""
        self._check_name("register_buffer", name, "_buffers")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(f"register_buffer: {name!r} expects a Tensor or None, got {type(tensor).__name__}")
        self._buffers[name] = tensor
        rebound()
        (self._non_persistent_buffers_set.discard if persistent else self._non_persistent_buffers_set.add)(name)

    def register_module(self, name: str, module: Module | None) -> None:
        """Add a submodule under a name; None reserves the name."""
        self._check_name("register_module", name, "_modules")
        if module is not None and not isinstance(module, Names):
            raise TypeError(f"register_module: {name!r} expects a Module or None, got {type(module).__name__}")
        self._modules[name] = module
        rebound()

    add_module = register_module

    # --- what it is made of ---------------------------------------------------------------------------------------

    def get_submodule(self, target: str) -> Module:
        """The submodule at a dotted path; the module itself for ''. AttributeError where there is none."""
        module = cast("Module", self)
        for name in target.split(".") if target else ():
            found = getattr(module, name, None)
            if not isinstance(found, Names):
                raise AttributeError(
                    f"get_submodule: {type(module).__name__} has no submodule {name!r} (in {target!r})"
                )
            module = cast("Module", found)
        return module

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put a module at a dotted path whose parent exists; with `strict`, only in the place of another."""
        parent, _, name = target.rpartition(".")
        if not name:
            raise ValueError("set_submodule: target expects a path, got the empty string")
        if strict:
            self.get_submodule(target)
        setattr(self.get_submodule(parent), name, module)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted path; AttributeError where there is none."""
        path, _, name = target.rpartition(".")
        found = self.get_submodule(path)._parameters.get(name)
        if found is None:
            raise AttributeError(f"get_parameter: {type(self).__name__} has no parameter {target!r}")
        return found

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a dotted path; AttributeError where there is none."""
        path, _, name = target.rpartition(".")
        found = self.get_submodule(path)._buffers.get(name)
        if found is None:
            raise AttributeError(f"get_buffer: {type(self).__name__} has no buffer {target!r}")
        return found

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """(path, module) of this module and all below, each module once unless `remove_duplicate` is off."""
        memo = set() if memo is None else memo
        module = cast("Module", self)
        if module in memo:
            return
        if remove_duplicate:
            memo.add(module)
        yield prefix, module
        for name, child in self._modules.items():
            if child is not None:
                yield from child.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """This module and all below, each once unless `remove_duplicate` is off."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """(name, module) of the direct submodules, each once."""
        seen: set[Module] = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """The direct submodules, each once."""
        for _, module in self.named_children():
            yield module

    def _named(self, group: str, prefix: str, recurse: bool, remove_duplicate: bool) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]
        for path, module in modules:
            for name, tensor in getattr(module, group).items():
                if tensor is None or id(tensor) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(tensor))
                yield f"{path}.{name}" if path else name, tensor

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """(path, parameter) of this module and, with `recurse`, of all below; a shared parameter once."""
        return self._named("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, a shared one once: what an optimizer takes."""
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """(path, buffer) of this module and, with `recurse`, of all below; a shared buffer once."""
        return self._named("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers, a shared one once."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer


def _expect(met: bool, module: Names, name: str, expected: str, got: Any) -> None:
    if not met:
        raise TypeError(f"{type(module).__name__}: {name!r} expects {expected}, got {type(got).__name__}")
