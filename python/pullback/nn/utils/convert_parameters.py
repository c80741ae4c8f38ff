"""Parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

from pullback._tensor import Tensor


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All elements, parameter after parameter, in one dimension."""
    from pullback.ops import cat

    return cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Write the parts of a vector into the parameters, which then look into it, as in PyTorch.

    RuntimeError where the vector has not as many elements as the parameters.
    """
    if not isinstance(vec, Tensor):
        raise TypeError(f"vector_to_parameters: vec expects a Tensor, got {type(vec).__name__}")
    parameters = list(parameters)
    total = sum(p.shape.numel() for p in parameters)
    if list(vec.shape) != [total]:
        raise RuntimeError(f"vector_to_parameters: vec expects shape [{total}], got {list(vec.shape)}")
    start = 0
    for p in parameters:
        p.data = vec[start : start + p.shape.numel()].view_as(p).data
        start += p.shape.numel()
