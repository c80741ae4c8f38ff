"""Activation functions: y_i = f(x_i), x̄_i = ȳ_i f'(x_i).

Where f has a corner, the derivative taken there is PyTorch's: ReLU'(0) is 0, as seed 001 and every framework have it
(seed 000 takes 1). With `inplace=True` the result replaces the input. Kernels: csrc/kernels/activation.cpp.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from pullback._autocast import cast
from pullback._backend import device_of
from pullback._dtype import rounded
from pullback._tape import OUTPUT, Node, Rule, quick, record
from pullback._tensor import Tensor, method
from pullback.ops._arrays import empty_as, zeros_array
from pullback.ops._broadcast import check_devices, check_tensor, on_one_device, sum_array_to, sum_to, to_float
from pullback.ops._elementwise import check_floating, gradient_like, launch, launch_into, recording
from pullback.ops.where import clamp, clamp_, where

__all__ = [
    "celu",
    "celu_",
    "elu",
    "elu_",
    "gelu",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "hardtanh_",
    "heaviside",
    "leaky_relu",
    "leaky_relu_",
    "logsigmoid",
    "mish",
    "prelu",
    "relu",
    "relu6",
    "relu_",
    "selu",
    "selu_",
    "silu",
    "softplus",
    "softsign",
    "threshold",
    "threshold_",
]

SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946
_SQRT_2_OVER_PI = math.sqrt(2 / math.pi)

InOps = Callable[..., Tensor]  # (dy, saved, *scalars) → dx


def _rule(kernel: str, in_ops: InOps) -> Rule:
    """x̄ by the kernel `kernel_backward` on arrays, by `in_ops` on tensors; `args` are the kernel's scalars."""

    def pullback(node: Node, dy: Any) -> tuple[Any]:
        dx = gradient_like(node, dy)
        getattr(device_of(dy).kernels, f"{kernel}_backward")(dy, node.saved[0], dx, *node.args)
        return (dx,)

    return Rule(kernel, pullback, lambda node, dy: (in_ops(dy, *node.tensors(), *node.args),))


def _apply(
    rule: Rule, op: str, input: Tensor, scalars: tuple[Any, ...] = (), inplace: bool = False, kept: int | None = None
) -> Tensor:
    """The op by the kernel of the rule's name; the pullback keeps the first `kept` of the scalars."""
    check_floating(op, check_tensor(op, input))
    if inplace:
        if recording(input):
            source = input if rule in _FROM_OUTPUT else input.clone()  # the pullback reads what is overwritten here
            return input._assign(_apply(rule, op, source, scalars, kept=kept))
        return launch_into(input, rule.name, (input._array,), *scalars)
    out = empty_as(input._array)
    getattr(input.device.kernels, rule.name)(input._array, out, *scalars)
    saved = OUTPUT if rule in _FROM_OUTPUT else input
    return record(rule, out, (input,), (saved,), scalars if kept is None else scalars[:kept])


# --- the ReLU family --------------------------------------------------------------------------------------------------

_RELU = _rule("relu", lambda dy, y: dy.masked_fill(y <= 0, 0))
_LEAKY_RELU = _rule("leaky_relu", lambda dy, x, slope: where(x > 0, dy, dy * slope))
_HARDTANH = _rule("hardtanh", lambda dy, y, low, high: dy.masked_fill((y <= low) | (y >= high), 0))
_THRESHOLD = _rule("threshold", lambda dy, x, threshold: dy.masked_fill(x <= threshold, 0))
_FROM_OUTPUT = (_RELU, _HARDTANH)  # their pullbacks read y, which the next layer keeps anyway


@method
@quick("unary", _RELU, "output")
def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """y = max(x, 0); x̄ = ȳ where y > 0, else 0, so that ReLU'(0) = 0. Integers stay integers; RuntimeError for bool."""
    if check_tensor("relu", input).dtype.category == 1:
        y = Tensor._wrap(launch("relu", (input._array,)))
        return input._assign(y) if inplace else y
    return _apply(_RELU, "relu", input, (), inplace)


@method
def relu_(input: Tensor) -> Tensor:
    """`relu` in place."""
    return relu(input, inplace=True)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """y = x for x > 0, else negative_slope · x; x̄ = ȳ for x > 0, else negative_slope · ȳ."""
    return _apply(_LEAKY_RELU, "leaky_relu", input, (float(negative_slope),), inplace)


def leaky_relu_(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """`leaky_relu` in place."""
    return leaky_relu(input, negative_slope, inplace=True)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """y = min(max(x, min_val), max_val); x̄ = ȳ where min_val < x < max_val, else 0. Integers stay integers.

    ValueError where min_val > max_val.
    """
    if min_val > max_val:
        raise ValueError(f"hardtanh: min_val expects at most max_val, got {min_val} and {max_val}")
    if check_tensor("hardtanh", input).dtype.category == 1:
        return (clamp_ if inplace else clamp)(input, int(min_val), int(max_val))
    # The pullback knows where y lies at a bound only if y can: halves round.
    bounds = tuple([rounded(float(bound), input.dtype) for bound in (min_val, max_val)])
    return _apply(_HARDTANH, "hardtanh", input, bounds, inplace)


def hardtanh_(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """`hardtanh` in place."""
    return hardtanh(input, min_val, max_val, inplace=True)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """y = min(max(x, 0), 6); x̄ = ȳ where 0 < x < 6, else 0."""
    return hardtanh(input, 0.0, 6.0, inplace)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """y = value where x ≤ threshold, else x; x̄ = 0 where x ≤ threshold, else ȳ."""
    return _apply(_THRESHOLD, "threshold", input, (float(threshold), float(value)), inplace, kept=1)


def threshold_(input: Tensor, threshold: float, value: float) -> Tensor:
    """`threshold` in place."""
    return _apply(_THRESHOLD, "threshold_", input, (float(threshold), float(value)), True, kept=1)


# --- exponential ones -------------------------------------------------------------------------------------------------


def _elu_in_ops(dy: Tensor, x: Tensor, alpha: float, scale: float, input_scale: float) -> Tensor:
    # The minimum keeps e^x finite where it is not taken: 0 · ∞ would be NaN in a second derivative.
    slope = (clamp(x, max=0) * input_scale).exp() * (alpha * scale * input_scale)
    return where(x <= 0, dy * slope, dy * scale)


_ELU = _rule("elu", _elu_in_ops)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """y = x for x > 0, else α(eˣ − 1); x̄ = ȳ for x > 0, else ȳ α eˣ."""
    return _apply(_ELU, "elu", input, (float(alpha), 1.0, 1.0), inplace)


def elu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """`elu` in place."""
    return elu(input, alpha, inplace=True)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """y = x for x > 0, else α(e^(x/α) − 1), so that the slope at 0 is 1 for any α; x̄ = ȳ for x > 0, else ȳ e^(x/α).

    RuntimeError for α = 0. Barron, Continuously Differentiable Exponential Linear Units (2017).
    """
    if alpha == 0:
        raise RuntimeError("celu: alpha expects a value other than 0")
    return _apply(_ELU, "celu", input, (float(alpha), 1.0, 1 / alpha), inplace)


def celu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """`celu` in place."""
    return celu(input, alpha, inplace=True)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """y = λx for x > 0, else λα(eˣ − 1); x̄ = ȳ λ for x > 0, else ȳ λα eˣ, with α = 1.67326…, λ = 1.05070….

    Klambauer et al., Self-Normalizing Neural Networks (2017).
    """
    return _apply(_ELU, "selu", input, (SELU_ALPHA, SELU_SCALE, 1.0), inplace)


def selu_(input: Tensor) -> Tensor:
    """`selu` in place."""
    return selu(input, inplace=True)


_SOFTPLUS = _rule("softplus", lambda dy, x, beta, threshold: where(x * beta > threshold, dy, dy * (x * beta).sigmoid()))
_LOGSIGMOID = _rule("logsigmoid", lambda dy, x: dy * (-x).sigmoid())


@cast
def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """y = ln(1 + e^(βx)) / β, but x where βx > threshold; x̄ = ȳ σ(βx), but ȳ there."""
    return _apply(_SOFTPLUS, "softplus", input, (float(beta), float(threshold)))


@quick("unary", _LOGSIGMOID, "inputs")
def logsigmoid(input: Tensor) -> Tensor:
    """y = ln σ(x) = min(x, 0) − ln(1 + e^−|x|); x̄ = ȳ σ(−x)."""
    return _apply(_LOGSIGMOID, "logsigmoid", input)


# --- x times a gate ---------------------------------------------------------------------------------------------------


def _gelu_in_ops(dy: Tensor, x: Tensor) -> Tensor:
    density = (x * x * -0.5).exp() * (1 / math.sqrt(2 * math.pi))
    return dy * ((x * math.sqrt(0.5)).erf() * 0.5 + 0.5 + x * density)


def _gelu_tanh_in_ops(dy: Tensor, x: Tensor) -> Tensor:
    x = clamp(x, -30, 30)  # beyond, s (1 − s) is 0
    z = x * x
    s = (x * (z * 0.044715 + 1) * (2 * _SQRT_2_OVER_PI)).sigmoid()
    slope = (z * (3 * 0.044715) + 1) * (2 * _SQRT_2_OVER_PI)
    return dy * (s + x * s * (1 - s) * slope)


def _silu_in_ops(dy: Tensor, x: Tensor) -> Tensor:
    s = x.sigmoid()
    return dy * s * (x * (1 - s) + 1)


def _mish_in_ops(dy: Tensor, x: Tensor) -> Tensor:
    w = softplus(x).tanh()
    return dy * (w + x * (1 - w * w) * x.sigmoid())


_GELU = _rule("gelu", _gelu_in_ops)
_GELU_TANH = _rule("gelu_tanh", _gelu_tanh_in_ops)
_SILU = _rule("silu", _silu_in_ops)
_MISH = _rule("mish", _mish_in_ops)


@quick("unary", _GELU, "inputs")
def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """y = x Φ(x), Φ(x) = (1 + erf(x/√2)) / 2; x̄ = ȳ (Φ(x) + x φ(x)), φ(x) = e^(−x²/2) / √(2π).

    `approximate="tanh"`: Φ(x) = (1 + tanh u) / 2 with u = √(2/π) (x + 0.044715 x³). RuntimeError for other names.
    Hendrycks and Gimpel, Gaussian Error Linear Units (2016).
    """
    if approximate not in ("none", "tanh"):
        raise RuntimeError(f"gelu: approximate expects 'none' or 'tanh', got {approximate!r}")
    return _apply(_GELU_TANH if approximate == "tanh" else _GELU, "gelu", input)


@quick("unary", _SILU, "inputs")
def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """y = x σ(x); x̄ = ȳ σ(x) (1 + x (1 − σ(x)))."""
    return _apply(_SILU, "silu", input, (), inplace)


@quick("unary", _MISH, "inputs")
def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """y = x w, w = tanh(ln(1 + eˣ)); x̄ = ȳ (w + x (1 − w²) σ(x)). Misra, Mish (2019)."""
    return _apply(_MISH, "mish", input, (), inplace)


# --- piecewise and rational ones --------------------------------------------------------------------------------------

_HARDSIGMOID = _rule("hardsigmoid", lambda dy, x: where((x > -3) & (x < 3), dy / 6, 0))
_HARDSWISH = _rule("hardswish", lambda dy, x: where(x < 3, dy * (x / 3 + 0.5), dy).masked_fill(x <= -3, 0))
_SOFTSIGN = _rule("softsign", lambda dy, x: dy / (x.abs() + 1).square())


@quick("unary", _HARDSIGMOID, "inputs")
def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """y = min(max(x + 3, 0), 6) / 6; x̄ = ȳ/6 for −3 < x < 3, else 0."""
    return _apply(_HARDSIGMOID, "hardsigmoid", input, (), inplace)


@quick("unary", _HARDSWISH, "inputs")
def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """y = x min(max(x + 3, 0), 6) / 6; x̄ = 0 where x ≤ −3, ȳ (x/3 + ½) where −3 < x < 3, else ȳ."""
    return _apply(_HARDSWISH, "hardswish", input, (), inplace)


def softsign(input: Tensor) -> Tensor:
    """y = x / (1 + |x|); x̄ = ȳ / (1 + |x|)². Integers are converted to the default floating-point type."""
    return _apply(_SOFTSIGN, "softsign", to_float(check_tensor("softsign", input)))


# --- with a second operand --------------------------------------------------------------------------------------------


def _heaviside_pullback(node: Node, dy: Any) -> list[Any]:
    gradients: list[Any] = [None, None]
    x, shape = node.saved[0], node.args[0]
    if node.needs(0):
        gradients[0] = zeros_array(x.shape, x)
    if node.needs(1):
        at_zero = launch("logical_not", (x,), dtype="bool")
        gradients[1] = sum_array_to(launch("where_backward", (dy, at_zero), True), shape)
    return gradients


def _heaviside_pullback_ops(node: Node, dy: Tensor) -> list[Any]:
    x, shape = node.tensors()[0], node.args[0]
    return [x * 0 if node.needs(0) else None, sum_to(where(x == 0, dy, 0), shape) if node.needs(1) else None]


_HEAVISIDE = Rule("heaviside", _heaviside_pullback, _heaviside_pullback_ops)


@method
def heaviside(input: Tensor, values: Tensor) -> Tensor:
    """y = 0 for x < 0, values where x = 0, 1 for x > 0 (0 for NaN); x̄ = 0, v̄ = Σ ȳ [x = 0]. The two broadcast.

    RuntimeError for different dtypes.
    """
    check_tensor("heaviside", input)
    if check_tensor("heaviside", values, "values").dtype is not input.dtype:
        raise RuntimeError(f"heaviside: values expects dtype {input.dtype} as input has, got {values.dtype}")
    input, values = on_one_device("heaviside", ("input", "values"), (input, values))
    out = launch("heaviside", (input._array, values._array))
    return record(_HEAVISIDE, out, (input, values), (input,), (values._array.shape,))


@method
def heaviside_(self: Tensor, values: Tensor) -> Tensor:
    """`heaviside` in place."""
    return self._assign(heaviside(self.clone() if recording(self) else self, values))


def _prelu_pullback(node: Node, dy: Any) -> list[Any]:
    dx, dweight = empty_as(dy), empty_as(dy)
    device_of(dy).kernels.prelu_backward(dy, *node.saved, dx, dweight)
    return [dx if node.needs(0) else None, sum_array_to(dweight, node.args[0]) if node.needs(1) else None]


def _prelu_pullback_ops(node: Node, dy: Tensor) -> list[Any]:
    x, weight = node.tensors()
    positive = x > 0
    dweight = sum_to((dy * x).masked_fill(positive, 0), node.args[0]) if node.needs(1) else None
    return [where(positive, dy, dy * weight), dweight]


_PRELU = Rule("prelu", _prelu_pullback, _prelu_pullback_ops)


@method
@cast
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """y = x for x > 0, else w_c x, c the index in dimension 1; x̄ = ȳ for x > 0, else w_c ȳ; w̄_c = Σ ȳ x over x ≤ 0.

    weight: [] or [1] for one slope, [C] for one a channel. RuntimeError for other shapes or another dtype.
    He et al., Delving Deep into Rectifiers (2015).
    """
    check_floating("prelu", check_tensor("prelu", input))
    if check_tensor("prelu", weight, "weight").dtype is not input.dtype:
        raise RuntimeError(f"prelu: weight expects dtype {input.dtype} as input has, got {weight.dtype}")
    if weight.device is not input.device:
        check_devices("prelu", input=input, weight=weight)
    ndim = input._array.ndim
    channels = input._array.shape[1] if ndim > 1 else 1
    if weight._array.ndim > 1 or weight._array.size not in (1, channels) or (ndim == 0 and weight._array.size != 1):
        raise RuntimeError(
            f"prelu: weight expects shape [] or [1] or [{channels}], got {list(weight.shape)} (input: {list(input.shape)})"
        )
    w = weight.reshape((-1,) + (1,) * (ndim - 2)) if ndim > 1 else weight.reshape(())
    return record(_PRELU, launch("prelu", (input._array, w._array)), (input, w), (input, w), (w._array.shape,))
