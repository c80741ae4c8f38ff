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
    """
    if is_grads_batched:
        raise NotImplementedError("grad: is_grads_batched=True is not supported")
    if materialize_grads and allow_unused is False:
        raise ValueError("grad: materialize_grads=True expects allow_unused to be True or left out, got False")
    ys, xs = _as_list(outputs), _as_list(inputs)
    unused = materialize_grads if allow_unused is None else allow_unused
    found = _walk.gradients(ys, xs, _seeds(ys, grad_outputs), retain_graph, create_graph, unused)
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
