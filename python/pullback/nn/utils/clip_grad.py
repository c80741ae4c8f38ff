"""The norm of all gradients together, and bounds on it: one kernel call over the list of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pullback import _tape
from pullback._backend import device
from pullback._dtype import dtype as DType
from pullback._tensor import Tensor
from pullback.ops._broadcast import check_tensor


def _as_list(tensors: Any) -> list[Tensor]:
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


def _gradients(parameters: Any) -> list[Tensor]:
    return [p.grad for p in _as_list(parameters) if p.grad is not None]


def _grouped(tensors: list[Tensor]) -> Iterable[list[Tensor]]:
    """By device and dtype."""
    groups: dict[tuple[device, DType], list[Tensor]] = {}
    for t in tensors:
        groups.setdefault((t.device, t.dtype), []).append(t)
    return groups.values()


def _norm(tensors: list[Tensor], p: float) -> Tensor:
    """The norm of tensors of one device and dtype, as a tensor without dimensions."""
    on = tensors[0].device
    out = on.empty((), tensors[0].dtype.numpy)
    on.kernels.total_norm([t._array for t in tensors], out, p)
    return Tensor._wrap(out)


def get_total_norm(
    tensors: Tensor | Iterable[Tensor],
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """(Σ |x_i|ᵖ)^(1/p) over the elements of all tensors together; max |x_i| for p = ∞. RuntimeError for an infinite
    or undefined norm, if `error_if_nonfinite`. Not recorded."""
    p = float(norm_type)
    given = [check_tensor("get_total_norm", t, "tensors") for t in _as_list(tensors)]
    norms = [_norm(group, p) for group in _grouped(given)]
    if not norms:
        from pullback.ops import tensor

        return tensor(0.0)
    with _tape.no_grad():
        total = norms[0]
        for other in norms[1:]:
            pair = [total.double(), other.to(total.device).double()]
            total = _norm(pair, p).to(max(total.dtype, other.dtype, key=_width))
    if error_if_nonfinite:
        total.device.kernels.total_norm_bounds(total._array, p)
    return total


def _width(dtype: DType) -> int:
    return dtype.itemsize


def clip_grads_with_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Scale every gradient by min(1, max_norm / (total_norm + 1e−6)), in place."""
    with _tape.no_grad():
        norm = total_norm.float() if total_norm.itemsize == 2 else total_norm
        factor = (float(max_norm) / (norm + 1e-6)).clamp(max=1.0)
    for group in _grouped(_gradients(parameters)):
        # The factor is a cell that the kernel reads: nothing waits for it, and a recorded step sees the new one.
        group[0].device.kernels.scale_list([g._array for g in group], factor.to(group[0].device)._array)
        for g in group:
            g._version[0] += 1


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale the gradients so that their norm, taken together, is at most `max_norm`; returns the norm before."""
    parameters = _as_list(parameters)
    total = get_total_norm(_gradients(parameters), norm_type, error_if_nonfinite)
    clip_grads_with_norm_(parameters, max_norm, total)
    return total


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None) -> None:
    """Clip every element of the gradients to ±clip_value, in place."""
    bound = float(clip_value)
    with _tape.no_grad():
        for g in _gradients(parameters):
            g.clamp_(-bound, bound)
