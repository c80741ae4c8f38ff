"""Gradients as functions, functions with gradients of their own, and their check: PyTorch's `torch.autograd`."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pullback import _walk
from pullback._tape import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from pullback._tensor import Tensor
from pullback.autograd import function
from pullback.autograd.function import Function
from pullback.autograd.gradcheck import GradcheckError, gradcheck, gradgradcheck

if TYPE_CHECKING:
    from pullback.autograd import functional, graph

__all__ = [
    "Function",
    "GradcheckError",
    "backward",
    "enable_grad",
    "function",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "graph",
    "inference_mode",
    "is_grad_enabled",
    "no_grad",
    "set_grad_enabled",
]

Tensors = Tensor | Sequence[Tensor]


def __getattr__(name: str) -> Any:
    """What few programs need is imported when it is first used."""
    if name in ("functional", "graph"):
        return importlib.import_module(f"pullback.autograd.{name}")
    raise AttributeError(f"module 'pullback.autograd' has no attribute {name!r}")


def _as_list(tensors: Any) -> list[Any]:
    return [tensors] if tensors is None or isinstance(tensors, Tensor) else list(tensors)


def _seeds(outputs: list[Tensor], grad_outputs: Any) -> list[Any]:
    """One gradient for each output, None meaning 1; outputs that need no gradient are left out by the caller."""
    return [None] * len(outputs) if grad_outputs is None else _as_list(grad_outputs)


def _check_batch(outputs: list[Tensor], seeds: list[Any]) -> int:
    """The size of the dimension that each gradient has in front of its output's."""
    if len(outputs) != len(seeds):
        raise RuntimeError(f"grad: expected one gradient for each of {len(outputs)} tensors, got {len(seeds)}")
    for y, seed in zip(outputs, seeds):
        if not isinstance(seed, Tensor):
            raise ValueError(f"grad: is_grads_batched expects grad_outputs that are tensors, got {type(seed).__name__}")
        if seed.ndim == 0 or seed.shape[1:] != y.shape:
            expected = ", ".join(["B", *map(str, y.shape)])
            raise RuntimeError(
                f"grad: is_grads_batched expects grad_outputs of shape [{expected}], got {list(seed.shape)}"
            )
    sizes = [len(seed) for seed in seeds]
    if not sizes or 0 in sizes or len(set(sizes)) > 1:
        raise ValueError(f"grad: is_grads_batched expects batches of one size, at least 1, got {sizes}")
    return sizes[0]


def _gradients_of_batch(
    outputs: list[Tensor], inputs: list[Tensor], seeds: list[Any], retain_graph: Any, create_graph: bool, unused: bool
) -> tuple[Tensor | None, ...]:
    """A walk for each sample; all but the last one keep the graph."""
    from pullback.ops import stack, zeros_like

    last = _check_batch(outputs, seeds) - 1
    with set_grad_enabled(create_graph):
        samples = []
        for i in range(last + 1):
            one = [seed[i] for seed in seeds]
            retain = True if i < last else retain_graph
            samples.append(_walk.gradients(outputs, inputs, one, retain, create_graph, unused))
        return tuple(
            [
                None if all(g is None for g in of_x) else stack([zeros_like(x) if g is None else g for g in of_x])
                for x, of_x in zip(inputs, zip(*samples))
            ]
        )


def grad(
    outputs: Tensors,
    inputs: Tensors,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor, ...]:
    """∂/∂inputs of Σ ⟨grad_output, output⟩, as tensors, without touching any `.grad`.

    `grad_outputs` have the outputs' shapes and default to 1 for single elements. An input that was not used raises
    RuntimeError, or has None with `allow_unused`, or zeros with `materialize_grads`.

    With `is_grads_batched`, `grad_outputs` have one more dimension in front, B, and so has every gradient that is not zeros of
    `materialize_grads`: entry b is that for entry b of each. It is a loop over the batch, B walks through the graph, so that
    hooks see one sample at a time. ValueError for batches that are empty or differ in size, and for no `grad_outputs`.
    """
    if materialize_grads and allow_unused is False:
        raise ValueError("grad: materialize_grads=True expects allow_unused to be True or left out, got False")
    ys, xs = _as_list(outputs), _as_list(inputs)
    unused = materialize_grads if allow_unused is None else allow_unused
    walk = _gradients_of_batch if is_grads_batched else _walk.gradients
    found = walk(ys, xs, _seeds(ys, grad_outputs), retain_graph, create_graph, unused)
    if materialize_grads:
        from pullback.ops import zeros_like

        found = tuple(zeros_like(x) if g is None else g for x, g in zip(xs, found))
    return found  # type: ignore[return-value]


def backward(
    tensors: Tensors,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables: Any = None,
    inputs: Tensors | None = None,
) -> None:
    """Add ∂/∂leaf of Σ ⟨grad_tensor, tensor⟩ to `leaf.grad` of every leaf, or of `inputs` only.

    `grad_variables` is PyTorch's old name for `grad_tensors`.
    """
    ys = _as_list(tensors)
    seeds = _seeds(ys, grad_variables if grad_tensors is None else grad_tensors)
    _walk.backward(ys, seeds, retain_graph, create_graph, inputs)
