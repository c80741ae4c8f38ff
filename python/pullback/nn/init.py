"""Initial values of weights: every function overwrites a tensor, off the tape, and returns it.

`generator` draws from a generator of one's own instead of the global one.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from pullback import _tape
from pullback._tensor import Tensor
from pullback.ops._broadcast import check_tensor

__all__ = [
    "calculate_gain",
    "constant_",
    "dirac_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "sparse_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

_GAINS = {"tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4}
_UNIT_GAINS = {"linear", "sigmoid"} | {f"conv{t}{d}d" for t in ("", "_transpose") for d in (1, 2, 3)}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which a weight's standard deviation makes up for what a nonlinearity takes.

    1 for linear, conv and sigmoid, 5/3 for tanh, √2 for relu, √(2 / (1 + a²)) for leaky_relu with slope a = `param`
    (0.01), 3/4 for selu. ValueError for another name.
    """
    if nonlinearity in _UNIT_GAINS:
        return 1.0
    if nonlinearity in _GAINS:
        return _GAINS[nonlinearity]
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise ValueError(f"calculate_gain: param expects the slope of leaky_relu, got {param!r}")
        return math.sqrt(2 / (1 + slope**2))
    raise ValueError(f"calculate_gain: nonlinearity is unknown: {nonlinearity!r}")


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Tensor:
    """Uniform in [a, b)."""
    with _tape.no_grad():
        return check_tensor("uniform_", tensor, "tensor").uniform_(a, b, generator=generator)


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Tensor:
    """Normal with a mean and a standard deviation."""
    with _tape.no_grad():
        return check_tensor("normal_", tensor, "tensor").normal_(mean, std, generator=generator)


def constant_(tensor: Tensor, val: float) -> Tensor:
    """One value everywhere."""
    with _tape.no_grad():
        return check_tensor("constant_", tensor, "tensor").fill_(val)


def ones_(tensor: Tensor) -> Tensor:
    """1 everywhere."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """0 everywhere."""
    return constant_(tensor, 0.0)


def trunc_normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0, generator: Any = None
) -> Tensor:
    """Normal with a mean and a standard deviation, given that it falls in [a, b].

    Drawn by rejection, from the normal distribution where at least 0.3 of it lies in [a, b], else from the uniform
    one. ValueError for a > b or std ≤ 0.
    """
    if a > b or std <= 0:
        raise ValueError(f"trunc_normal_: expected a ≤ b and std > 0, got a={a}, b={b}, std={std}")
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(f"trunc_normal_: mean {mean} is more than two std from [{a}, {b}]", stacklevel=2)
    inside = math.erf((b - mean) / (std * math.sqrt(2))) - math.erf((a - mean) / (std * math.sqrt(2)))
    with _tape.no_grad():
        if a == b:
            return tensor.fill_(a)
        draw = _normal_in if inside / 2 > 0.3 else _uniform_in
        value, wanting = draw(tensor, mean, std, a, b, generator)
        while wanting.any().item():
            again, outside = draw(tensor, mean, std, a, b, generator)
            value = again.where(wanting, value)
            wanting = wanting & outside
        return tensor.copy_(value)


def _normal_in(t: Tensor, mean: float, std: float, a: float, b: float, generator: Any) -> tuple[Tensor, Tensor]:
    """Normal numbers, and which of them lie outside of [a, b]."""
    value = t.detach().clone().normal_(mean, std, generator=generator)
    return value, (value < a) | (value > b)


def _uniform_in(t: Tensor, mean: float, std: float, a: float, b: float, generator: Any) -> tuple[Tensor, Tensor]:
    """Uniform numbers in [a, b], and which of them to reject: ln u > ln density − ln highest density."""
    value = t.detach().clone().uniform_(a, b, generator=generator)
    peak = ((max(a, min(mean, b)) - mean) / std) ** 2
    log_density = 0.5 * (peak - ((value - mean) / std).square())
    return value, value.clone().uniform_(generator=generator).log() > log_density


def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix, for a tensor of two dimensions."""
    from pullback.ops import eye

    if tensor.ndim != 2:
        raise ValueError(f"eye_: tensor expects 2 dimensions, got shape {list(tensor.shape)}")
    with _tape.no_grad():
        return tensor.copy_(eye(*tensor.shape, dtype=tensor.dtype))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Convolution weights [out, in, …] that keep as many channels as they can: 1 in the middle of channel i → i."""
    if tensor.ndim not in (3, 4, 5):
        raise ValueError(f"dirac_: tensor expects 3, 4 or 5 dimensions, got shape {list(tensor.shape)}")
    if groups < 1 or tensor.shape[0] % groups:
        raise ValueError(f"dirac_: groups expects a divisor of {tensor.shape[0]}, got {groups}")
    out = tensor.shape[0] // groups
    middle = tuple(n // 2 for n in tensor.shape[2:])
    with _tape.no_grad():
        tensor.zero_()
        for group in range(groups):
            for i in range(min(out, tensor.shape[1])):
                at = (group * out + i, i, *middle)
                tensor[at] = 1
    return tensor


def _fans(tensor: Tensor, op: str) -> tuple[int, int]:
    """How many numbers go into and out of one output: [out, in, …]."""
    if tensor.ndim < 2:
        raise ValueError(f"{op}: tensor expects at least 2 dimensions, got shape {list(tensor.shape)}")
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """PyTorch's private name for it, which model files call."""
    return _fans(tensor, "_calculate_fan_in_and_fan_out")


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Uniform in ±gain √(6 / (fan_in + fan_out)) (Glorot and Bengio 2010)."""
    bound = gain * math.sqrt(6 / max(1, sum(_fans(tensor, "xavier_uniform_"))))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Normal with standard deviation gain √(2 / (fan_in + fan_out)) (Glorot and Bengio 2010)."""
    std = gain * math.sqrt(2 / max(1, sum(_fans(tensor, "xavier_normal_"))))
    return normal_(tensor, 0.0, std, generator)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str, op: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"{op}: mode expects 'fan_in' or 'fan_out', got {mode!r}")
    fan_in, fan_out = _fans(tensor, op)
    return calculate_gain(nonlinearity, a) / math.sqrt(fan_in if mode == "fan_in" else fan_out)


def _kaiming(
    tensor: Tensor, op: str, a: float, mode: str, nonlinearity: str, fill: Callable[[float], Tensor]
) -> Tensor:
    if 0 in tensor.shape:
        warnings.warn(f"{op}: the tensor of shape {list(tensor.shape)} has no elements", stacklevel=3)
        return tensor
    return fill(_kaiming_std(tensor, a, mode, nonlinearity, op))


def kaiming_uniform_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Any = None
) -> Tensor:
    """Uniform in ±gain √(3 / fan) with the gain of `nonlinearity`, a being leaky_relu's slope (He et al. 2015)."""

    def fill(std: float) -> Tensor:
        return uniform_(tensor, -math.sqrt(3) * std, math.sqrt(3) * std, generator)

    return _kaiming(tensor, "kaiming_uniform_", a, mode, nonlinearity, fill)


def kaiming_normal_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Any = None
) -> Tensor:
    """Normal with standard deviation gain / √fan, a being leaky_relu's slope (He et al. 2015)."""

    def fill(std: float) -> Tensor:
        return normal_(tensor, 0.0, std, generator)

    return _kaiming(tensor, "kaiming_normal_", a, mode, nonlinearity, fill)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Any = None) -> Tensor:
    """A (semi-)orthogonal matrix times gain, dimensions after the first flattened (Saxe et al. 2013).

    Q of the QR decomposition of a normal matrix, the signs chosen so that R's diagonal is positive.
    """
    if tensor.ndim < 2:
        raise ValueError(f"orthogonal_: tensor expects at least 2 dimensions, got shape {list(tensor.shape)}")
    if tensor.numel() == 0:
        return tensor
    rows = tensor.shape[0]
    columns = tensor.numel() // rows
    with _tape.no_grad():
        flat = tensor.new_empty((rows, columns)).normal_(0, 1, generator=generator)
        matrix = flat._host() if rows >= columns else flat._host().T
        q, r = np.linalg.qr(matrix)  # NumPy serves: this runs once, at the start
        q = q * np.where(np.diag(r) < 0, -1, 1).astype(q.dtype)
        q = q if rows >= columns else q.T
        flat.copy_(Tensor._wrap(np.ascontiguousarray(q)))
        return tensor.copy_(flat.mul_(gain).reshape(tensor.shape))


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Any = None) -> Tensor:
    """Normal, with the fraction `sparsity` of each column zero (Martens 2010); for two dimensions."""
    from pullback.ops import randperm

    if tensor.ndim != 2:
        raise ValueError(f"sparse_: tensor expects 2 dimensions, got shape {list(tensor.shape)}")
    rows, columns = tensor.shape
    zeros = math.ceil(sparsity * rows)
    with _tape.no_grad():
        tensor.normal_(0, std, generator=generator)
        for column in range(columns):
            tensor[randperm(rows, generator=generator, device=tensor.device)[:zeros], column] = 0
    return tensor
