"""What the fused elementwise ops share: where their results lie, and how they work in place."""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback import _dtype, _tape
from pullback._backend import cpu, device_of
from pullback._tape import Node
from pullback._tensor import Tensor
from pullback.ops import strided, view
from pullback.ops._arrays import apart, empty_as
from pullback.ops._broadcast import Number, broadcast_shapes, on_one_device, result_type, scalar_tensor


def gradient_like(node: Node, dy: Any) -> Any:
    """Where an elementwise pullback writes x̄: over ȳ, where nobody else holds it."""
    return dy if node.owns(dy) else empty_as(dy)


def _shape(op: str, arrays: tuple[Any, ...]) -> tuple[int, ...]:
    """The shape that the arrays broadcast to; at once where it is the first one's and the others have it, or none."""
    shape: tuple[int, ...] = arrays[0].shape
    for a in arrays:
        if a.shape != shape and a.shape != ():
            return broadcast_shapes(op, *[x.shape for x in arrays])
    return shape


def launch(name: str, arrays: tuple[Any, ...], *scalars: Any, dtype: Any = None) -> Any:
    """The result of one kernel call on operands that broadcast; of the first one's dtype, unless told otherwise."""
    first = arrays[0]
    shape = _shape(name, arrays)
    if dtype is None and shape == first.shape:
        out = empty_as(first)
    else:
        out = device_of(first).empty(shape, first.dtype if dtype is None else dtype)
    getattr(device_of(first).kernels, name)(*arrays, out, *scalars)
    return out


def recording(*tensors: Any) -> bool:
    """Whether an op on these operands goes on the tape."""
    return _tape.grad_enabled() and any(isinstance(t, Tensor) and t.requires_grad for t in tensors)


def launch_into(self: Tensor, name: str, arrays: tuple[Any, ...], *scalars: Any) -> Tensor:
    """One kernel call that writes straight into self's storage, nothing being recorded. RuntimeError where it does not
    fit."""
    x = self._array
    shape = _shape(f"{name}_", arrays)
    if shape != x.shape:
        raise RuntimeError(f"{name}_: the result has shape {list(shape)}, expected {list(x.shape)}")
    strided.check_overlap(self)
    sources = [a if a is x else apart(a, x) for a in arrays]
    getattr(self.device.kernels, name)(*sources, x, *scalars)
    self._version[0] += 1
    return self


def as_operands(op: str, names: tuple[str, ...], operands: tuple[Any, ...]) -> list[Tensor]:
    """Tensors and numbers as tensors of their common dtype, on one device. TypeError for anything else."""
    for name, x in zip(names, operands):
        if not isinstance(x, (Tensor, *Number)):
            raise TypeError(f"{op}: {name} expects a Tensor or a number, got {type(x).__name__}")
    dtypes = {x.dtype for x in operands if isinstance(x, Tensor)}
    common = dtypes.pop() if len(dtypes) == 1 else None
    if common is None or not common.is_floating_point:  # a floating-point one decides, whatever the numbers
        common = result_type(*operands)
    device = next((x.device for x in operands if isinstance(x, Tensor)), cpu)
    tensors = [
        view.to_dtype(x, common) if isinstance(x, Tensor) else scalar_tensor(x, common, device) for x in operands
    ]
    return list(on_one_device(op, names, tensors))


def check_floating(op: str, x: Tensor, name: str = "input") -> Tensor:
    """x, or RuntimeError where it is not of a floating-point type."""
    if not x.dtype.is_floating_point:
        raise RuntimeError(f"{op}: {name} expects a floating-point tensor, got dtype {x.dtype}")
    return x


def bounds_of(dtype: _dtype.dtype) -> tuple[Any, Any]:
    """The least and the greatest value of a dtype; −∞ and ∞ of a floating-point one."""
    if dtype.is_floating_point:
        return float("-inf"), float("inf")
    if dtype.category == 0:
        return False, True
    limits = np.iinfo(dtype.numpy)
    return int(limits.min), int(limits.max)
