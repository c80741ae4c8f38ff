"""Elementwise functions of one operand: y_i = f(x_i), x̄_i = ȳ_i f'(x_i).

Kernels: csrc/kernels/unary.cpp. Seed 001, section 1 (matrix calculus); seed 000, section 1.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from pullback import _tape
from pullback._autocast import cast, is_listed, uncast
from pullback._backend import device_of
from pullback._tape import OUTPUT, Node, Rule, quick, record
from pullback._tensor import Tensor, method
from pullback.ops import strided
from pullback.ops._arrays import zeros_array
from pullback.ops._broadcast import check_tensor, to_float
from pullback.ops._elementwise import gradient_like

__all__ = [
    "abs",
    "absolute",
    "acos",
    "acosh",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctanh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "ceil",
    "cos",
    "cosh",
    "erf",
    "erfc",
    "exp",
    "exp2",
    "expm1",
    "fix",
    "floor",
    "frac",
    "isfinite",
    "isinf",
    "isnan",
    "log",
    "log10",
    "log1p",
    "log2",
    "neg",
    "negative",
    "positive",
    "reciprocal",
    "round",
    "rsqrt",
    "sigmoid",
    "sign",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "tan",
    "tanh",
    "trunc",
]

Derivative = Callable[[Tensor], Any]
Function = Callable[[Tensor], Tensor]


def _rule(name: str, derivative: Derivative) -> Rule:
    """x̄ = ȳ ∘ f'(saved): the kernel `name_backward` on arrays, `derivative` in ops."""

    def pullback(node: Node, dy: Any) -> tuple[Any]:
        dx = gradient_like(node, dy)
        getattr(device_of(dy).kernels, f"{name}_backward")(dy, node.saved[0], dx)
        return (dx,)

    def pullback_ops(node: Node, dy: Tensor) -> tuple[Tensor]:
        return (dy * derivative(node.tensors()[0]),)

    return Rule(name, pullback, pullback_ops)


def differentiable(name: str, formula: str, *, x: Derivative | None = None, y: Derivative | None = None) -> Function:
    """The op y = f(x), and its method: f' is given as a function of x or of y, whichever the kernel saves."""
    derivative = x or y
    assert derivative is not None
    rule = _rule(name, derivative)
    saved_output = y is not None

    def op(input: Tensor) -> Tensor:
        input = to_float(check_tensor(name, input))
        out = input.device.empty(input._array.shape, input.dtype.numpy)
        getattr(input.device.kernels, name)(input._array, out)
        return record(rule, out, (input,), (OUTPUT,) if saved_output else (input,))

    return publish(op, name, formula, quick("unary", rule, "output" if saved_output else "inputs"))


def constant(name: str, formula: str, *, integers: bool = False) -> Function:
    """An op whose derivative is zero wherever it has one (rounding, sign): x̄ = 0. On integers it changes nothing,
    unless `integers` says that the kernel knows them."""
    rule = Rule(name, lambda node, dy: (zeros_array(dy.shape, dy),), lambda node, dy: (dy * 0,))

    def op(input: Tensor) -> Tensor:
        check_tensor(name, input)
        if not input.dtype.is_floating_point and not integers:
            return input.clone()
        out = input.device.empty(input._array.shape, input.dtype.numpy)
        getattr(input.device.kernels, name)(input._array, out)
        return record(rule, out, (input,))

    return publish(op, name, formula)


def publish(op: Function, name: str, formula: str, decorate: Callable[[Function], Function] | None = None) -> Function:
    """Name it, document it, decorate it, make it a method, and make `name_` the method that works in place."""
    op.__name__ = op.__qualname__ = name
    op.__doc__ = (
        f"{formula}, elementwise. Integers are converted to the default floating-point type. TypeError: no tensor."
    )
    if decorate is not None:
        op.__module__ = __name__
        op = decorate(op)
    made = cast(op) if is_listed(name) else op

    def in_place(self: Tensor) -> Tensor:
        if _tape.grad_enabled() and self.requires_grad:
            return self._assign(op(self.clone()))
        if self.dtype.is_floating_point:
            strided.check_overlap(self)
            getattr(self.device.kernels, name)(self._array, self._array)
            self._version[0] += 1
            return self
        return self._assign(op(self))

    in_place.__name__ = in_place.__qualname__ = f"{name}_"
    in_place.__doc__ = f"{formula}, in place."
    method(made)
    method(in_place)
    return made


exp = differentiable("exp", "y = eˣ", y=lambda y: y)
exp2 = differentiable("exp2", "y = 2ˣ", y=lambda y: y * math.log(2))
expm1 = differentiable("expm1", "y = eˣ − 1", y=lambda y: y + 1)
log = differentiable("log", "y = ln x", x=lambda x: 1 / x)
log2 = differentiable("log2", "y = log₂ x", x=lambda x: 1 / (x * math.log(2)))
log10 = differentiable("log10", "y = log₁₀ x", x=lambda x: 1 / (x * math.log(10)))
log1p = differentiable("log1p", "y = ln(1 + x)", x=lambda x: 1 / (x + 1))
sqrt = differentiable("sqrt", "y = √x", y=lambda y: 0.5 / y)
rsqrt = differentiable("rsqrt", "y = 1/√x", y=lambda y: -0.5 * y * y * y)
reciprocal = differentiable("reciprocal", "y = 1/x", y=lambda y: -(y * y))
sin = differentiable("sin", "y = sin x", x=lambda x: x.cos())
cos = differentiable("cos", "y = cos x", x=lambda x: -x.sin())
tan = differentiable("tan", "y = tan x", y=lambda y: y * y + 1)
asin = differentiable("asin", "y = arcsin x", x=lambda x: (1 - x * x).rsqrt())
acos = differentiable("acos", "y = arccos x", x=lambda x: -(1 - x * x).rsqrt())
atan = differentiable("atan", "y = arctan x", x=lambda x: 1 / (x * x + 1))
sinh = differentiable("sinh", "y = sinh x", x=lambda x: x.cosh())
cosh = differentiable("cosh", "y = cosh x", x=lambda x: x.sinh())
tanh = differentiable("tanh", "y = tanh x", y=lambda y: 1 - y * y)
asinh = differentiable("asinh", "y = arsinh x", x=lambda x: (x * x + 1).rsqrt())
acosh = differentiable("acosh", "y = arcosh x", x=lambda x: (x * x - 1).rsqrt())
atanh = differentiable("atanh", "y = artanh x", x=lambda x: 1 / (1 - x * x))
sigmoid = differentiable("sigmoid", "y = 1/(1 + e⁻ˣ)", y=lambda y: y * (1 - y))
erf = differentiable("erf", "y = 2/√π ∫₀ˣ e^(−t²) dt", x=lambda x: 2 / math.sqrt(math.pi) * (-x * x).exp())
erfc = differentiable("erfc", "y = 1 − erf x", x=lambda x: -2 / math.sqrt(math.pi) * (-x * x).exp())
floor = constant("floor", "y = ⌊x⌋")
ceil = constant("ceil", "y = ⌈x⌉")
trunc = constant("trunc", "y = x towards zero")
sign = constant("sign", "y = −1, 0 or 1", integers=True)

arcsin, arccos, arctan = asin, acos, atan
arcsinh, arccosh, arctanh = asinh, acosh, atanh
fix = trunc
for _alias, _op in (("arcsin", asin), ("arccos", acos), ("arctan", atan), ("fix", trunc), ("sgn", sign)):
    method(name=_alias)(_op)


def _on_numbers(name: str, input: Tensor) -> Any:
    """The kernel's result for any number; integers stay integers."""
    check_tensor(name, input)
    if input.dtype.category == 0:
        raise RuntimeError(f"{name}: input expects numbers, got dtype {input.dtype}")
    out = input.device.empty(input._array.shape, input.dtype.numpy)
    getattr(input.device.kernels, name)(input._array, out)
    return out


def _neg_pullback(node: Node, dy: Any) -> tuple[Any]:
    dx = device_of(dy).empty(dy.shape, dy.dtype)
    device_of(dy).kernels.neg(dy, dx)
    return (dx,)


_NEG = Rule("neg", _neg_pullback, lambda node, dy: (-dy,))
_ABS = _rule("abs", lambda x: x.sign())
_SQUARE = _rule("square", lambda x: 2 * x)


@method(name=("neg", "negative", "__neg__"))
def neg(input: Tensor) -> Tensor:
    """y = −x, x̄ = −ȳ. RuntimeError for bool."""
    return record(_NEG, _on_numbers("neg", input), (input,))


@method(name=("abs", "absolute", "__abs__"))
def abs(input: Tensor) -> Tensor:
    """y = |x|, x̄ = ȳ sign(x) (0 at 0). RuntimeError for bool."""
    return record(_ABS, _on_numbers("abs", input), (input,), (input,))


@method
@cast
def square(input: Tensor) -> Tensor:
    """y = x², x̄ = 2 ȳ x. RuntimeError for bool."""
    return record(_SQUARE, _on_numbers("square", input), (input,), (input,))


@method(name=("positive", "__pos__"))
def positive(input: Tensor) -> Tensor:
    """The input itself. RuntimeError for bool."""
    if check_tensor("positive", input).dtype.category == 0:
        raise RuntimeError("positive: input expects numbers, got dtype pullback.bool")
    return input


negative, absolute = neg, abs
publish_in_place = [("neg_", neg), ("abs_", abs), ("square_", square)]
for _name, _function in publish_in_place:

    def _in_place(self: Tensor, _function: Function = _function) -> Tensor:
        return self._assign(_function(self.clone() if self.requires_grad else self))

    _in_place.__doc__ = f"{_function.__doc__} In place."
    method(name=_name)(uncast(_in_place))

_round = constant("round", "y = x to the nearest integer, halves to even")


@method
def round(input: Tensor, *, decimals: int = 0) -> Tensor:
    """y = x to the nearest multiple of 10^−decimals, halves to even; x̄ = 0."""
    if decimals == 0:
        return _round(input)
    return _round(input * 10.0**decimals) / 10.0**decimals


@method
def frac(input: Tensor) -> Tensor:
    """y = x − trunc x; x̄ = ȳ."""
    return input - input.trunc()


def _test(name: str, formula: str, of_integers: bool) -> Function:
    def op(input: Tensor) -> Tensor:
        check_tensor(name, input)
        out = input.device.empty(input._array.shape, "bool")
        if input.dtype.is_floating_point:
            getattr(input.device.kernels, name)(input._array, out)
        else:
            input.device.kernels.fill(out, float(of_integers))
        return Tensor._wrap(out)

    op.__name__ = op.__qualname__ = name
    op.__doc__ = f"{formula}, as a bool tensor."
    method(op)
    return op


isnan = _test("isnan", "y = x is NaN", False)
isinf = _test("isinf", "y = x is +∞ or −∞", False)
isfinite = _test("isfinite", "y = x is neither infinite nor NaN", True)
