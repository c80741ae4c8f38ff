"""Reverse-mode differentiation: the walk from results to leaves, over the nodes of `_tape`.

The pass itself is C++ (csrc/tape/walk.cpp); here are its beginnings and ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pullback import _core
from pullback._tape import Node, set_grad_enabled
from pullback._tensor import Tensor


def run_hooks(hooks: Iterable[Callable[[Tensor], Tensor | None]], gradient: Tensor) -> Tensor:
    """Each hook sees the gradient, and may return another of the same shape and dtype in its place."""
    for hook in list(hooks):
        replaced = hook(gradient)
        if replaced is None:
            continue
        if not isinstance(replaced, Tensor):
            raise TypeError(f"hook: expected a Tensor or None to be returned, got {type(replaced).__name__}")
        if replaced.shape != gradient.shape or replaced.dtype is not gradient.dtype:
            raise RuntimeError(
                f"hook: expected a gradient of shape {list(gradient.shape)} and dtype {gradient.dtype} to be returned, "
                f"got {list(replaced.shape)} and {replaced.dtype}"
            )
        gradient = replaced
    return gradient


def _starts(op: str, tensors: Sequence[Tensor], seeds: Sequence[Tensor | None]) -> list[Any]:
    """[(node or leaf, output, gradient), …]"""
    if len(tensors) != len(seeds):
        raise RuntimeError(f"{op}: expected one gradient for each of {len(tensors)} tensors, got {len(seeds)}")
    starts: list[Any] = []
    for t, seed in zip(tensors, seeds):
        if t._base is not None:
            t._follow_base()
        if not t._requires_grad:
            raise RuntimeError(f"{op}: the tensor of shape {list(t.shape)} does not require grad and has no graph")
        if seed is None:
            if t._array.size != 1:
                raise RuntimeError(
                    f"{op}: a gradient is created implicitly only for a scalar, got shape {list(t.shape)}; "
                    "pass gradient="
                )
            one = t.device.empty(t._array.shape, t._array.dtype)
            t.device.kernels.fill(one, 1.0)
            seed = Tensor._wrap(one)
        elif not isinstance(seed, Tensor) or seed.shape != t.shape:
            got = list(seed.shape) if isinstance(seed, Tensor) else type(seed).__name__
            raise RuntimeError(f"{op}: gradient expects shape {list(t.shape)}, got {got}")
        elif seed.dtype is not t.dtype:
            seed = seed.to(t.dtype)
        starts.append((t._node or t, t._output, seed))
    return starts


def backward(
    tensors: Sequence[Tensor],
    seeds: Sequence[Tensor | None],
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensor | Sequence[Tensor] | None = None,
) -> None:
    """Add the gradients of Σ ⟨seed, tensor⟩ to `.grad` of the leaves below (of `inputs` only, where they are given)."""
    if inputs is not None:
        inputs = [inputs] if isinstance(inputs, Tensor) else list(dict.fromkeys(inputs))
        if not inputs:
            raise RuntimeError("backward: inputs expects at least one tensor, got none")
        found = gradients(tensors, inputs, seeds, retain_graph, create_graph, allow_unused=True, op="backward")
        for leaf, g in zip(inputs, found):
            if g is not None:
                _grow(leaf, g, create_graph)
        return
    _core.walk(
        _starts("backward", tensors, seeds), create_graph, create_graph if retain_graph is None else retain_graph
    )


def _accumulate(leaf: Tensor, gradient: Tensor, create_graph: bool) -> None:
    """What arrived at a leaf goes through its hooks, and into its `.grad`."""
    _grow(leaf, run_hooks(leaf._hooks, gradient) if leaf._hooks else gradient, create_graph)


def _grow(leaf: Tensor, gradient: Tensor, create_graph: bool) -> None:
    """A first gradient is copied, since others may hold it; later ones add."""
    if leaf.grad is None:
        leaf.grad = gradient.clone()
    elif create_graph:
        leaf.grad = leaf.grad + gradient
    else:
        leaf.grad.add_(gradient)


_core.connect(run_hooks=run_hooks, accumulate=_accumulate)


def _leading_to(results: Sequence[Tensor], targets: set[Any]) -> set[Any]:
    """The nodes on a path from the results to a target: only their pullbacks run."""
    leads: dict[Any, bool] = {}
    for root in results:
        stack: list[Any] = [root._node] if root._node is not None else []
        while stack:
            node = stack[-1]
            below = [p for p in node.parents if p is not None]
            todo = [p for p in below if isinstance(p, Node) and p not in leads]
            if todo:
                stack.extend(todo)
                continue
            stack.pop()
            leads[node] = any(p in targets or leads.get(p, False) for p in below)
    return {node for node, leading in leads.items() if leading}


def gradients(
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    seeds: Sequence[Tensor | None],
    retain_graph: bool | None,
    create_graph: bool,
    allow_unused: bool,
    op: str = "grad",
) -> tuple[Tensor | None, ...]:
    """The gradients of Σ ⟨seed, output⟩ with respect to `inputs`, without touching any `.grad`."""
    targets: dict[Node, dict[int, Any]] = {}
    keys: set[Any] = set()
    for t in inputs:
        if t._base is not None:
            t._follow_base()
        if not t._requires_grad:
            raise RuntimeError(f"{op}: the input of shape {list(t.shape)} does not require grad")
        if t._node is not None:
            targets.setdefault(t._node, {})[t._output] = None
        keys.add(t._node or t)
    starts = _starts(op, outputs, seeds)
    with set_grad_enabled(create_graph):
        retain = create_graph if retain_graph is None else retain_graph
        leaves = _core.walk(starts, create_graph, retain, _leading_to(outputs, keys), targets)
        assert leaves is not None
        result: list[Tensor | None] = []
        for t in inputs:
            g = targets[t._node][t._output] if t._node is not None else leaves.get(t)
            if g is None and not allow_unused:
                raise RuntimeError(
                    f"{op}: the input of shape {list(t.shape)} was not used in the graph; pass allow_unused=True for None"
                )
            if g is not None and not create_graph:
                g = Tensor._wrap(g)
            if g is not None and t._node is None and t._hooks:
                g = run_hooks(t._hooks, g)
            result.append(g)
    return tuple(result)
