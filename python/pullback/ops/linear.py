"""Linear maps: y = f(x Wᵀ + b), f the identity or an activation whose derivative is a function of y, in one launch. With
ȳ the gradient of y and z̄ = ȳ f'(y): x̄ = z̄ W, W̄ = Σ z̄ xᵀ and b̄ = Σ z̄, the sums running over all rows.

Kernel: csrc/kernels/matmul.cpp. Seed 001, section 1; seed 000, section 1.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from pullback import _core
from pullback._autocast import cast
from pullback._backend import device_of
from pullback._tape import OUTPUT, Node, Rule, quick, record
from pullback._tensor import Tensor
from pullback.ops._broadcast import sum_to
from pullback.ops._elementwise import gradient_like
from pullback.ops.activation import relu
from pullback.ops.matmul import check_types, list_shapes, matmul, multiply, product, rows_of
from pullback.ops.unary import sigmoid, tanh

__all__ = ["linear", "linear_relu", "linear_sigmoid", "linear_tanh"]


def _pull(node: Node, dy: Any) -> list[Any]:
    """x̄ = ȳ W, W̄ = ȳᵀ x and b̄ = Σ ȳ over all rows."""
    found = _core.pull_linear(node, dy)
    if found is not None:
        return found
    x, weight = node.saved[:2]
    gradients: list[Any] = [product(dy, weight) if node.needs(0) else None, None, None]
    rows = rows_of(dy)
    if node.needs(1):
        gradients[1] = product(rows.T, rows_of(x))
    if len(node.parents) > 2 and node.needs(2):
        gradients[2] = device_of(dy).empty(weight.shape[:1], dy.dtype)
        device_of(dy).kernels.sum(rows, gradients[2][None])
    return gradients


def _pull_ops(node: Node, dy: Tensor) -> list[Any]:
    x, weight = node.tensors()[:2]
    gradients = [matmul(dy, weight) if node.needs(0) else None, None, None]
    if node.needs(1):
        n = math.prod(dy.shape[:-1])
        gradients[1] = matmul(dy.reshape(n, weight.shape[0]).t(), x.reshape(n, weight.shape[1]))
    if len(node.parents) > 2 and node.needs(2):
        gradients[2] = sum_to(dy, weight.shape[:1])
    return gradients


_LINEAR = Rule("linear", _pull, _pull_ops)


def _map(
    rule: Rule, input: Tensor, weight: Tensor, bias: Tensor | None, activation: int, saved: tuple[Any, ...]
) -> Tensor:
    """The launch, for shapes that fit together."""
    x, w, b = input._array, weight._array, None if bias is None else bias._array
    out = input.device.empty((*x.shape[:-1], w.shape[0]), x.dtype)
    row = x.ndim == 1
    input.device.kernels.matmul(x[None] if row else x, w.T, out[None] if row else out, b, 1.0, 0.0, activation)
    return record(rule, out, (input, weight) if bias is None else (input, weight, bias), saved)


@cast
@quick("linear", _LINEAR, "inputs")
def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y = x Wᵀ + b, x [..., in_features], W [out_features, in_features], b [out_features], in one launch.

    x̄ = ȳ W, W̄ = Σ ȳ xᵀ, b̄ = Σ ȳ. RuntimeError where shapes do not fit or dtypes differ.
    """
    if _fits(input, weight, bias):
        return _map(_LINEAR, input, weight, bias, 0, (input, weight))
    return _other(input, weight, bias)


def _fits(input: Any, weight: Any, bias: Any) -> bool:
    """Whether matrices, or a row, of floating-point numbers fit together."""
    if not (isinstance(input, Tensor) and isinstance(weight, Tensor) and input.dtype is weight.dtype):
        return False
    if input.device is not weight.device:
        return False
    x, w = input._array.shape, weight._array.shape
    if not (len(w) == 2 and x and x[-1] == w[1] and input.dtype.is_floating_point):
        return False
    return bias is None or (isinstance(bias, Tensor) and bias.dtype is weight.dtype and bias._array.shape == w[:1])


def _other(input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A vector as weight, integers, or a message that says what does not fit."""
    named = {"input": input, "weight": weight} if bias is None else {"input": input, "weight": weight, "bias": bias}
    check_types("linear", **named)
    if weight.ndim not in (1, 2):
        raise RuntimeError(f"linear: weight expects 1 or 2 dimensions, got {weight.ndim} {list_shapes(**named)}")
    if input.ndim == 0 or input.shape[-1] != weight.shape[-1]:
        got = input.shape[-1] if input.ndim else "a single number"
        raise RuntimeError(f"linear: input expects {weight.shape[-1]} features, got {got} {list_shapes(**named)}")
    if bias is not None and bias.shape != weight.shape[:-1]:
        expected = list(weight.shape[:-1])
        raise RuntimeError(f"linear: bias expects shape {expected}, got {list(bias.shape)} {list_shapes(**named)}")
    y = multiply(input, weight.t())
    return y if bias is None else y + bias


# --- with an activation -----------------------------------------------------------------------------------------------


def _activated(
    name: str, number: int, f: Callable[[Tensor], Tensor], pull_f: Callable[[Tensor, Tensor], Tensor]
) -> Callable[..., Tensor]:
    """The op y = f(x Wᵀ + b): `number` is f's in the kernel's contract, and `pull_f(ȳ, y)` is z̄ in ops."""

    def pullback(node: Node, dy: Any) -> list[Any]:
        dz = gradient_like(node, dy)
        getattr(device_of(dy).kernels, f"{name}_backward")(dy, node.saved[2], dz)
        return _pull(node, dz)

    rule = Rule(f"linear_{name}", pullback, lambda node, dy: _pull_ops(node, pull_f(dy, node.tensors()[2])))

    def op(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        if _fits(input, weight, bias):
            return _map(rule, input, weight, bias, number, (input, weight, OUTPUT))
        return f(_other(input, weight, bias))

    op.__name__ = op.__qualname__ = f"linear_{name}"
    op.__doc__ = (
        f"y = {name}(x Wᵀ + b), in one launch: to the bit `{name}(linear(x, W, b))`, but for halves, which that "
        "rounds twice. PyTorch has no such name."
    )
    return cast(quick("linear", rule, "inputs output", number)(op))


linear_relu = _activated("relu", 1, relu, lambda dy, y: dy.masked_fill(y <= 0, 0))
linear_sigmoid = _activated("sigmoid", 2, sigmoid, lambda dy, y: dy * (y * (1 - y)))
linear_tanh = _activated("tanh", 3, tanh, lambda dy, y: dy * (1 - y * y))
