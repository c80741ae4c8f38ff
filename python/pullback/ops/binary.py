"""Elementwise arithmetic on two operands that broadcast: y = f(a, b), ā = Σ ȳ ∂f/∂a, b̄ = Σ ȳ ∂f/∂b, the sums running
over the dimensions that were stretched.

Beside halves a number that multiplies or divides stays a float32, as in PyTorch: 10⁵ x may be finite in float16, though 10⁵ is
not. Every other one is rounded to the tensor's dtype first.

Kernels: csrc/kernels/binary.cpp. Seed 001, section 1; seed 000, section 1.2.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from pullback import _dtype, _tape
from pullback._autocast import cast, is_listed, uncast
from pullback._backend import cpu, device_of
from pullback._core import Op
from pullback._tape import Node, Rule, quick, record
from pullback._tensor import Tensor, method
from pullback.ops import strided
from pullback.ops._arrays import apart, zeros_array
from pullback.ops._broadcast import Number, broadcast_shapes, promote, scalar_tensor, sum_array_to, sum_to

__all__ = [
    "add",
    "arctan2",
    "atan2",
    "div",
    "divide",
    "float_power",
    "floor_divide",
    "fmod",
    "hypot",
    "maximum",
    "minimum",
    "mul",
    "multiply",
    "pow",
    "remainder",
    "rsub",
    "sub",
    "subtract",
    "true_divide",
]

Operand = Any  # Tensor, or a number


def launch(name: str, a: Any, b: Any, out: Any = None) -> Any:
    """One kernel call on arrays of one dtype, or on halves and a number, which is the wider one."""
    if out is None:
        shape = a.shape if a.shape == b.shape else broadcast_shapes(name, a.shape, b.shape)
        out = device_of(a).empty(shape, a.dtype if a.itemsize <= b.itemsize else b.dtype)
    getattr(device_of(a).kernels, name)(a, b, out)
    return out


def _apply(rule: Rule, a: Tensor, b: Tensor, saved: tuple[Any, ...]) -> Tensor:
    return record(rule, launch(rule.name, a._array, b._array), (a, b), saved, (a._array.shape, b._array.shape))


def _rule(name: str, pullback: Any, pullback_ops: Any) -> Rule:
    """Sums each gradient to its operand's shape, and skips the one that is not wanted."""

    def on_arrays(node: Node, dy: Any) -> list[Any]:
        gradients = pullback(node, dy)
        return [sum_array_to(g, s) if node.needs(i) else None for i, (g, s) in enumerate(zip(gradients, node.args))]

    def in_ops(node: Node, dy: Tensor) -> list[Any]:
        gradients = pullback_ops(dy, *node.tensors())
        return [sum_to(g, s) if node.needs(i) else None for i, (g, s) in enumerate(zip(gradients, node.args))]

    return Rule(name, on_arrays, in_ops)


def _partial(kernel: str) -> Any:
    """Both partial derivatives by kernels `kernel_a` and `kernel_b`, of (dy, a, b)."""

    def pullback(node: Node, dy: Any) -> list[Any]:
        result: list[Any] = []
        for i, suffix in enumerate(("backward_a", "backward_b")):
            if not node.needs(i):
                result.append(None)
                continue
            out = device_of(dy).empty(dy.shape, dy.dtype)
            getattr(device_of(dy).kernels, f"{kernel}_{suffix}")(dy, *node.saved, out)
            result.append(out)
        return result

    return pullback


def _zeros(dy: Any) -> Any:
    return zeros_array(dy.shape, dy)


def _only_b(kernel: str) -> Any:
    """ā = ȳ, b̄ by the kernel `kernel_backward_b`."""

    def pullback(node: Node, dy: Any) -> list[Any]:
        if not node.needs(1):
            return [dy, None]
        out = device_of(dy).empty(dy.shape, dy.dtype)
        getattr(device_of(dy).kernels, f"{kernel}_backward_b")(dy, *node.saved, out)
        return [dy, out]

    return pullback


def _negated(dy: Any) -> Any:
    out = device_of(dy).empty(dy.shape, dy.dtype)
    device_of(dy).kernels.neg(dy, out)
    return out


def _mul_pullback(node: Node, dy: Any) -> list[Any]:
    a, b = node.saved
    return [launch("mul", dy, b) if node.needs(0) else None, launch("mul", dy, a) if node.needs(1) else None]


def times(x: Tensor, factor: Tensor) -> Tensor:
    """x factor, which may be a float32 beside halves."""
    return x * factor if factor.dtype is x.dtype else _apply(_MUL, x, factor, (x, factor))


def _over(x: Tensor, divisor: Tensor) -> Tensor:
    return x / divisor if divisor.dtype is x.dtype else _apply(_DIV, x, divisor, (x, divisor))


_ADD = _rule("add", lambda node, dy: (dy, dy), lambda dy: (dy, dy))
_SUB = _rule("sub", lambda node, dy: (dy, _negated(dy) if node.needs(1) else None), lambda dy: (dy, -dy))
_MUL = _rule("mul", _mul_pullback, lambda dy, a, b: (times(dy, b), times(dy, a)))
_DIV = _rule("div", _partial("div"), lambda dy, a, b: (_over(dy, b), -times(dy, a) / (b * b)))
_POW = _rule("pow", _partial("pow"), lambda dy, a, b: (dy * _pow_da(a, b), dy * _pow_db(a, b)))
_ATAN2 = _rule("atan2", _partial("atan2"), lambda dy, a, b: (dy * b / (a * a + b * b), -dy * a / (a * a + b * b)))
_HYPOT = _rule("hypot", _partial("hypot"), lambda dy, a, b: (dy * a / hypot(a, b), dy * b / hypot(a, b)))
_MAXIMUM = _rule("maximum", _partial("maximum"), lambda dy, a, b: (dy * _share(a, b), dy * _share(b, a)))
_MINIMUM = _rule("minimum", _partial("minimum"), lambda dy, a, b: (dy * _share(b, a), dy * _share(a, b)))
_FLOOR_DIVIDE = _rule("floor_divide", lambda node, dy: (_zeros(dy), _zeros(dy)), lambda dy: (dy * 0, dy * 0))
_REMAINDER = _rule("remainder", _only_b("remainder"), lambda dy, a, b: (dy, -dy * floor_divide(a, b)))
_FMOD = _rule("fmod", _only_b("fmod"), lambda dy, a, b: (dy, -dy * (a / b).trunc()))


def _pow_da(a: Tensor, b: Tensor) -> Tensor:
    """b a^(b−1), and 0 where b = 0: there the exponent is 0, so that a = 0 makes no NaN on the way back."""
    zero = b == 0
    return (b * pow(a, (b - 1).masked_fill(zero, 0))).masked_fill(zero, 0)


def _pow_db(a: Tensor, b: Tensor) -> Tensor:
    """a^b ln a, and 0 where a = 0 and b ≥ 0."""
    zero = (a == 0) & (b >= 0)
    a = a.masked_fill(zero, 1)
    return (pow(a, b) * a.log()).masked_fill(zero, 0)


def _share(a: Tensor, b: Tensor) -> Tensor:
    """1 where a > b, ½ where they are equal: the larger one takes the gradient, equals share it."""
    larger, equal = a.gt(b).to(a.dtype), a.eq(b).to(a.dtype)
    return larger + equal * 0.5


def _is_operand(x: Any) -> bool:
    return isinstance(x, (Tensor, *Number)) or hasattr(x, "__array__")


def _scaled(op: str, other: Operand, alpha: Any) -> Operand:
    if alpha == 1:
        return other
    if isinstance(other, Tensor) and other.dtype.is_floating_point and isinstance(alpha, Number):
        alpha = scalar_tensor(alpha, other.dtype, other.device)  # rounded, as are all numbers in sums
    return other * alpha


@quick("binary", _ADD)
def add(input: Operand, other: Operand, *, alpha: Any = 1) -> Tensor:
    """y = a + alpha · b; ā = ȳ, b̄ = alpha · ȳ."""
    a, b = promote("add", input, _scaled("add", other, alpha))
    return _apply(_ADD, a, b, ())


@quick("binary", _SUB)
def sub(input: Operand, other: Operand, *, alpha: Any = 1) -> Tensor:
    """y = a − alpha · b; ā = ȳ, b̄ = −alpha · ȳ. RuntimeError for bool."""
    a, b = promote("sub", input, _scaled("sub", other, alpha))
    if a.dtype.category == 0:
        raise RuntimeError("sub: bool tensors cannot be subtracted; use logical_xor() or ~")
    return _apply(_SUB, a, b, ())


@quick("binary", _MUL, "inputs")
def mul(input: Operand, other: Operand) -> Tensor:
    """y = a b; ā = ȳ b, b̄ = ȳ a."""
    a, b = promote("mul", input, other, exact=True)
    return _apply(_MUL, a, b, (a, b))


@quick("binary", _DIV, "inputs")
def div(input: Operand, other: Operand, *, rounding_mode: str | None = None) -> Tensor:
    """y = a / b in floating point; ā = ȳ/b, b̄ = −ȳ a/b². `rounding_mode` "trunc" or "floor" rounds, and keeps integers."""
    if rounding_mode == "floor":
        return floor_divide(input, other)
    if rounding_mode == "trunc":
        a, b = promote("div", input, other, exact=True)
        if a.dtype.is_floating_point:  # a quotient of halves is rounded once, when it is whole
            wide, narrow = _dtype.of_computing(a.dtype), a.dtype if a.itemsize <= b.itemsize else b.dtype
            return div(a.to(wide), b.to(wide)).trunc().to(narrow)
        return floor_divide(sub(a, fmod(a, b)), b)  # exact, which a quotient in floating point is not
    if rounding_mode is not None:
        raise ValueError(f"div: rounding_mode expects None, 'trunc' or 'floor', got {rounding_mode!r}")
    a, b = promote("div", input, other, floating=True, exact=True)
    return _apply(_DIV, a, b, (a, b))


def floor_divide(input: Operand, other: Operand) -> Tensor:
    """y = ⌊a / b⌋, integers staying integers; the derivative is 0. ZeroDivisionError for an integer divided by zero."""
    a, b = promote("floor_divide", input, other, exact=isinstance(input, Tensor))
    return _apply(_FLOOR_DIVIDE, a, b, ())


def remainder(input: Operand, other: Operand) -> Tensor:
    """y = a − b ⌊a / b⌋, with the sign of b, as Python's %; ā = ȳ, b̄ = −ȳ ⌊a / b⌋."""
    a, b = promote("remainder", input, other)
    return _apply(_REMAINDER, a, b, (a, b))


def fmod(input: Operand, other: Operand) -> Tensor:
    """y = a − b trunc(a / b), with the sign of a, as C's fmod; ā = ȳ, b̄ = −ȳ trunc(a / b)."""
    a, b = promote("fmod", input, other)
    return _apply(_FMOD, a, b, (a, b))


@cast
def pow(input: Operand, exponent: Operand) -> Tensor:
    """y = a^b; ā = ȳ b a^(b−1), b̄ = ȳ a^b ln a. ValueError for integers to a negative integer power."""
    if isinstance(input, Tensor) and input.dtype.is_floating_point and type(exponent) in (int, float):
        if exponent == 2:
            return input.square()
        if exponent == 0.5:
            return input.sqrt()
    a, b = promote("pow", input, exponent)
    return _apply(_POW, a, b, (a, b))


@quick("binary", _MAXIMUM, "inputs")
def maximum(input: Operand, other: Operand) -> Tensor:
    """y = max(a, b), NaN where either is; the larger one takes ȳ, equals share it."""
    a, b = promote("maximum", input, other)
    return _apply(_MAXIMUM, a, b, (a, b))


@quick("binary", _MINIMUM, "inputs")
def minimum(input: Operand, other: Operand) -> Tensor:
    """y = min(a, b), NaN where either is; the smaller one takes ȳ, equals share it."""
    a, b = promote("minimum", input, other)
    return _apply(_MINIMUM, a, b, (a, b))


@cast
def atan2(input: Operand, other: Operand) -> Tensor:
    """y = the angle of the point (b, a); ā = ȳ b/(a² + b²), b̄ = −ȳ a/(a² + b²)."""
    a, b = promote("atan2", input, other, floating=True)
    return _apply(_ATAN2, a, b, (a, b))


def hypot(input: Operand, other: Operand) -> Tensor:
    """y = √(a² + b²) without overflow; ā = ȳ a/y, b̄ = ȳ b/y."""
    a, b = promote("hypot", input, other, floating=True)
    return _apply(_HYPOT, a, b, (a, b))


def rsub(input: Operand, other: Operand, *, alpha: Any = 1) -> Tensor:
    """y = b − alpha · a."""
    return sub(other, input, alpha=alpha)


def float_power(input: Operand, exponent: Operand) -> Tensor:
    """`pow` in float64."""
    from pullback._dtype import float64

    device = next((x.device for x in (input, exponent) if isinstance(x, Tensor)), cpu)
    a, b = [x.to(float64) if isinstance(x, Tensor) else scalar_tensor(x, float64, device) for x in (input, exponent)]
    return pow(a, b)


def _operator(function: Callable[..., Tensor], swap: bool = False) -> Callable[..., Any]:
    """Python's operator: NotImplemented for what is no operand, so that Python can ask the other side."""

    def forward(self: Tensor, other: Any) -> Tensor:
        return function(self, other) if _is_operand(other) else NotImplemented

    def backward(self: Tensor, other: Any) -> Tensor:
        return function(other, self) if _is_operand(other) else NotImplemented

    if swap:
        return backward
    return functools.update_wrapper(function.before(forward), forward) if isinstance(function, Op) else forward


def _reversed(function: Callable[..., Tensor], name: str) -> Callable[..., Any]:
    operator = _operator(function, swap=True)
    return cast(name)(operator) if is_listed(name) else operator


def _launch_in_place(name: str, a: Tensor, b: Tensor) -> Tensor:
    """a = f(a, b) by the kernel itself, nothing being recorded."""
    x, y = a._array, b._array
    if x.shape != y.shape and broadcast_shapes(f"{name}_", x.shape, y.shape) != x.shape:
        raise RuntimeError(f"{name}_: the result does not fit into shape {list(x.shape)}, other has {list(y.shape)}")
    if y is not x:
        y = apart(y, x)
    strided.check_overlap(a)
    launch(name, x, y, x)
    a._version[0] += 1
    return a


def _in_place(function: Callable[..., Tensor], name: str) -> Callable[..., Tensor]:
    def in_place(self: Tensor, other: Any, **options: Any) -> Tensor:
        plain = not options and (
            type(other) in (int, float)
            or (isinstance(other, Tensor) and other.dtype is self.dtype and other.device is self.device)
        )
        recording = _tape.grad_enabled() and (self.requires_grad or (isinstance(other, Tensor) and other.requires_grad))
        if not plain or recording or not self.dtype.is_floating_point or function is pow:
            before = self.clone() if recording else self  # what the pullback saves must not change below
            return self._assign(function(before, before if other is self else other, **options))
        number = _dtype.of_computing(self.dtype) if exact else self.dtype
        b = other if isinstance(other, Tensor) else scalar_tensor(other, number, self.device)
        return _launch_in_place(name, self, b)

    exact = function in (mul, div, floor_divide)
    in_place.__name__ = in_place.__qualname__ = f"{name}_"
    in_place.__doc__ = f"`{name}` in place."
    return uncast(in_place) if is_listed(name) else in_place


for _function, _operators, _names in (
    (add, ("add",), ("add",)),
    (sub, ("sub",), ("sub", "subtract")),
    (mul, ("mul",), ("mul", "multiply")),
    (div, ("truediv",), ("div", "divide", "true_divide")),
    (floor_divide, ("floordiv",), ("floor_divide",)),
    (remainder, ("mod",), ("remainder",)),
    (fmod, (), ("fmod",)),
    (pow, ("pow",), ("pow",)),
    (maximum, (), ("maximum",)),
    (minimum, (), ("minimum",)),
    (atan2, (), ("atan2", "arctan2")),
    (hypot, (), ("hypot",)),
):
    _mutate = _in_place(_function, _names[0])
    for _name in _names:
        method(name=_name)(_function)
        method(name=f"{_name}_")(_mutate)
    for _name in _operators:
        method(name=f"__{_name}__")(_operator(_function))
        method(name=f"__r{_name}__")(_reversed(_function, f"__r{_name}__"))
        method(name=f"__i{_name}__")(_mutate)

subtract, multiply, divide, true_divide, arctan2 = sub, mul, div, div, atan2
