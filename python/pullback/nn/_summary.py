"""The table that `Module.summary` returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pullback import _tape
from pullback._repr import size_text
from pullback._tensor import Tensor

if TYPE_CHECKING:
    from pullback.nn.module import Module


def summary(model: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Path, type, output shapes (where there are inputs) and own parameters of every module; then the totals."""
    run = bool(args or kwargs)
    shapes = _output_shapes(model, args, kwargs) if run else {}
    seen: set[int] = set()
    rows = [["layer", "type", *(["output shape"] if run else []), "parameters"]]
    for path, module in model.named_modules():
        shape = [", ".join(shapes.get(module, [])) or "-"] if run else []
        rows.append([path or "(model)", type(module).__name__, *shape, _count(module, seen)])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [_line(row, widths) for row in rows]
    rule = "-" * max(map(len, lines))
    return "\n".join([lines[0], rule, *lines[1:], rule, *_totals(model)])


def _line(row: list[str], widths: list[int]) -> str:
    cells = [cell.ljust(width) for cell, width in zip(row, widths)]
    cells[-1] = row[-1].rjust(widths[-1])
    return "  ".join(cells)


def _count(module: Module, seen: set[int]) -> str:
    """The number of the module's own parameters; one that an earlier module has too is counted there."""
    own = [p for p in module._parameters.values() if p is not None]
    if not own:
        return "-"
    new = [p for p in own if id(p) not in seen]
    seen.update(id(p) for p in own)
    count = sum(p.shape.numel() for p in new)
    return f"{count:,}" if len(new) == len(own) else f"{count:,} (shared)"


def _totals(model: Module) -> list[str]:
    parameters = list(model.parameters())
    total = sum(p.shape.numel() for p in parameters)
    trained = sum(p.shape.numel() for p in parameters if p.requires_grad)
    size = sum(p.shape.numel() * p.dtype.itemsize for p in [*parameters, *model.buffers()])
    frozen = f", {total - trained:,} frozen" if trained != total else ""
    return [f"{total:,} parameters ({trained:,} trainable{frozen}), {size_text(size)} with buffers"]


def _output_shapes(model: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[Module, list[str]]:
    """The shapes that each module's last call returned."""
    shapes: dict[Module, list[str]] = {}

    def note(module: Module, inputs: Any, output: Any) -> None:
        outputs = output if isinstance(output, (tuple, list)) else [output]
        shapes[module] = [str(list(o.shape)) for o in outputs if isinstance(o, Tensor)]

    modes = [(module, module.training) for module in model.modules()]
    handles = [module.register_forward_hook(note) for module, _ in modes]
    try:
        model.eval()
        with _tape.no_grad():
            model(*args, **kwargs)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes:
            module.training = mode
    return shapes
