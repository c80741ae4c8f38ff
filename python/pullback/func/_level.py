"""What the transforms stand on: variables of their own for the inputs, and one pass back with what follows from them.

A transform differentiates with respect to a variable in each input's place: a leaf of its own, or, where the input is on the
tape, a view of it, so that derivatives of the result reach the input. A leaf counts while its transform runs, and not
after that: a result that depends on nothing else comes back without a graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pullback import _tape, _walk
from pullback._tensor import Tensor
from pullback.func import _tree
from pullback.ops import zeros, zeros_like


class Variable(Tensor):
    """A leaf in the place of an input; closed once the function was run."""

    open: bool


class Level:
    """One run of a function under a transform: `variables` stand for the leaves of `inputs`, which `name` says in messages.

    `tracked` says whether the outputs depend on anything outside that wants gradients, and so whether derivatives of
    the derivatives may be asked for.
    """

    def __init__(self, op: str, inputs: Any, what: str) -> None:
        self.op = op
        self.outside = _tape.grad_enabled()
        self.given = _tree.leaves(inputs)
        for x in self.given:
            _check_input(op, x, what)
        self._own: list[Variable] = []
        with _tape.enable_grad():
            self.variables = [self._variable(x) for x in self.given]
        self.inputs = _tree.rebuild(inputs, self.variables)
        self.tracked = False

    def _variable(self, x: Tensor) -> Tensor:
        if self.outside and x.requires_grad:
            return x.view(x.shape)
        made = Variable._wrap(x._array)
        made._version = x._version
        made._requires_grad = made.open = True
        self._own.append(made)
        return made

    def run(self, function: Callable[[], Any]) -> Any:
        """The function's result, recorded; variables are closed when it returns."""
        try:
            with _tape.enable_grad():
                result = function()
        finally:
            for x in self._own:
                x.open = False
        self.tracked = self.outside and any(leads_outside(y) for y in _tree.leaves(result) if isinstance(y, Tensor))
        return result

    def pull(
        self, outputs: Sequence[Tensor], seeds: Sequence[Tensor | None], create_graph: bool, retain_graph: bool = True
    ) -> list[Tensor | None]:
        """(df)ᵀ of the seeds, one tensor for each variable; None where no output depends on it."""
        on_tape = [(y, seed) for y, seed in zip(outputs, seeds) if y.requires_grad]
        if not on_tape:
            return [None] * len(self.variables)
        ys, dys = zip(*on_tape)
        return list(_walk.gradients(ys, self.variables, dys, retain_graph, create_graph, True, op=self.op))


def _check_input(op: str, x: Any, what: str) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"{op}: {what} expects tensors, got {type(x).__name__}")
    if not x.dtype.is_floating_point:
        raise RuntimeError(f"{op}: {what} expects floating-point tensors, got {x.dtype} of shape {list(x.shape)}")


def leads_outside(t: Tensor) -> bool:
    """Whether a tensor depends on a leaf that wants a gradient, variables of transforms that are done not counted."""
    if not t.requires_grad:
        return False
    stack: list[Any] = [t.grad_fn or t]
    seen: set[Any] = set()
    while stack:
        at = stack.pop()
        if at is None or at in seen:
            continue
        seen.add(at)
        if isinstance(at, _tape.Node):
            stack.extend(at.parents)
        elif at._requires_grad and getattr(at, "open", True):
            return True
    return False


def released(tree: Any) -> Any:
    """The results as the caller gets them: off the tape where they depend on nothing outside."""

    def release(y: Any) -> Any:
        return y if not isinstance(y, Tensor) or leads_outside(y) else y.detach()

    return _tree.map_leaves(release, tree)


def split_aux(op: str, result: Any, has_aux: bool) -> tuple[Any, Any]:
    """(output, aux) of a function that returns both."""
    if not has_aux:
        return result, None
    if not isinstance(result, tuple) or len(result) != 2:
        raise RuntimeError(f"{op}: func expects to return (output, aux) with has_aux=True, got {type(result).__name__}")
    return result


def check_outputs(op: str, outputs: Any) -> list[Tensor]:
    """The leaves of what a function returned: floating-point tensors."""
    found = _tree.leaves(outputs)
    if not found:
        raise RuntimeError(f"{op}: func expects to return a tensor or several, got {outputs!r}")
    for y in found:
        if not isinstance(y, Tensor):
            raise RuntimeError(f"{op}: func expects to return tensors, got {type(y).__name__}")
        if not y.dtype.is_floating_point:
            raise RuntimeError(f"{op}: func expects to return floating-point tensors, got {y.dtype}")
    return found


def check_direction(op: str, name: str, direction: Any, like: Any) -> list[Tensor]:
    """The leaves of tangents or cotangents, which have the structure, shapes and dtypes of what they go with."""
    found, wanted = _tree.leaves(direction), _tree.leaves(like)
    shapes = [list(t.shape) if isinstance(t, Tensor) else type(t).__name__ for t in found]
    if shapes != [list(t.shape) for t in wanted]:
        raise RuntimeError(f"{op}: {name} expects shapes {[list(t.shape) for t in wanted]}, got {shapes}")
    return [t if t.dtype is w.dtype else t.to(w.dtype) for t, w in zip(found, wanted)]


def zeros_where_none(found: Sequence[Tensor | None], like: Sequence[Tensor]) -> list[Tensor]:
    """Zeros in the place of gradients that do not exist."""
    return [zeros_like(x.detach()) if g is None else g for g, x in zip(found, like)]


def unit_vector(like: Tensor, k: int) -> Tensor:
    """e_k: zeros in the shape of a tensor, but 1 at its k-th element."""
    flat = zeros(like.numel(), dtype=like.dtype, device=like.device)
    flat[k] = 1.0
    return flat.view(like.shape)
