"""Modules as functions of their parameters."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pullback._tensor import Tensor
from pullback.nn import Module
from pullback.ops import stack

Place = tuple[dict[str, Any], str]  # the group of a module that holds a tensor, and its name there


def functional_call(
    module: Module,
    parameter_and_buffer_dicts: Mapping[str, Tensor] | Sequence[Mapping[str, Tensor]],
    args: Any = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """`module(*args, **kwargs)` with other tensors in the place of its parameters and buffers, which stay as they are.

    The dictionaries map the paths of `named_parameters()` and `named_buffers()` to tensors, on the tape or not; what they
    do not name is the module's own. `args` is a tuple, or a single argument. With `tie_weights`, a tensor that the module
    holds under several names is replaced under all of them by what one of them is given; two different tensors for it raise
    ValueError. With `strict`, names that are missing or unknown raise RuntimeError; otherwise unknown ones are ignored, as
    in PyTorch.

        >>> params = dict(model.named_parameters())
        >>> pullback.func.grad(lambda p: loss(functional_call(model, p, x), y))(params)
    """
    given = _merged(parameter_and_buffer_dicts)
    for name, t in given.items():
        if not isinstance(t, Tensor):
            raise TypeError(f"functional_call: {name!r} expects a Tensor, got {type(t).__name__}")
    places = _places(module)
    if strict:
        _check_names(given, places)
    if tie_weights:
        given = _tied(given, places)
    positional = () if args is None else args if isinstance(args, tuple) else (args,)
    with _replaced([(places[name], t) for name, t in given.items() if name in places]):
        return module(*positional, **(kwargs or {}))


def _merged(dicts: Any) -> dict[str, Tensor]:
    if isinstance(dicts, Mapping):
        return dict(dicts)
    if not isinstance(dicts, (list, tuple)) or not all(isinstance(d, Mapping) for d in dicts):
        raise ValueError(
            f"functional_call: parameter_and_buffer_dicts expects a dictionary or several, got {type(dicts).__name__}"
        )
    merged: dict[str, Tensor] = {}
    for d in dicts:
        twice = merged.keys() & d.keys()
        if twice:
            raise ValueError(f"functional_call: {sorted(twice)[0]!r} appears in two of the dictionaries")
        merged.update(d)
    return merged


def _places(module: Module) -> dict[str, Place]:
    """Where each parameter and buffer of a module and of those below it stands, by path; None is nowhere."""
    found: dict[str, Place] = {}
    for path, below in module.named_modules(remove_duplicate=False):
        for group in (below._parameters, below._buffers):
            for name, t in group.items():
                if t is not None:
                    found[f"{path}.{name}" if path else name] = (group, name)
    return found


def _check_names(given: Mapping[str, Tensor], places: Mapping[str, Place]) -> None:
    missing, unknown = sorted(places.keys() - given.keys()), sorted(given.keys() - places.keys())
    if missing or unknown:
        raise RuntimeError(f"functional_call: with strict=True, missing names {missing}, unexpected names {unknown}")


def _tied(given: dict[str, Tensor], places: Mapping[str, Place]) -> dict[str, Tensor]:
    """What is given for one name of a tensor, for all of its names."""
    names: dict[int, list[str]] = {}
    for path, (group, name) in places.items():
        names.setdefault(id(group[name]), []).append(path)
    complete = dict(given)
    for tied in names.values():
        values = [given[name] for name in tied if name in given]
        if any(v is not values[0] for v in values):
            raise ValueError(f"functional_call: {tied} are one tensor of the module, got different tensors for them")
        if values:
            complete.update(dict.fromkeys(tied, values[0]))
    return complete


@contextlib.contextmanager
def _replaced(new: list[tuple[Place, Tensor]]) -> Iterator[None]:
    before = [(group, name, group[name]) for (group, name), _ in new]
    try:
        for (group, name), t in new:
            group[name] = t
        yield
    finally:
        for group, name, t in before:
            group[name] = t


def stack_module_state(models: Sequence[Module]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """(parameters, buffers) of models of one kind, each stacked along a new dimension 0: an ensemble for `vmap`.

    The stacked parameters are new leaves, which want gradients where the models' do. RuntimeError for no model, or for
    models that differ in type or mode.
    """
    if not models:
        raise RuntimeError("stack_module_state: models expects at least one, got none")
    kinds = {type(m) for m in models}
    if len(kinds) > 1:
        raise RuntimeError(f"stack_module_state: models expects one type, got {sorted(k.__name__ for k in kinds)}")
    if len({m.training for m in models}) > 1:
        raise RuntimeError("stack_module_state: models expects all in training mode, or all in evaluation mode")
    parameters = [dict(m.named_parameters()) for m in models]
    buffers = [dict(m.named_buffers()) for m in models]
    return (
        {name: _stacked_leaf(name, [p[name] for p in parameters]) for name in parameters[0]},
        {name: _stacked_leaf(name, [b[name] for b in buffers]) for name in buffers[0]},
    )


def _stacked_leaf(name: str, tensors: list[Tensor]) -> Tensor:
    wanted = {t.requires_grad for t in tensors}
    if len(wanted) > 1:
        raise RuntimeError(f"stack_module_state: {name!r} expects one requires_grad in all models")
    return stack([t.detach() for t in tensors]).requires_grad_(wanted.pop())
