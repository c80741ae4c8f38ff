"""Comparisons, logic, and the bits of integers: y = a < b, y = a ∧ b, …, elementwise on operands that broadcast.

None of them has a derivative. Kernels: csrc/kernels/compare.cpp.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pullback import _dtype
from pullback._dtype import bool_
from pullback._tensor import Tensor, method
from pullback.ops._broadcast import Number, check_tensor, promote, scalar_tensor
from pullback.ops._elementwise import bounds_of, launch

__all__ = [
    "allclose",
    "bitwise_and",
    "bitwise_left_shift",
    "bitwise_not",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "eq",
    "equal",
    "ge",
    "greater",
    "greater_equal",
    "gt",
    "isclose",
    "isin",
    "le",
    "less",
    "less_equal",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "lt",
    "ne",
    "not_equal",
]

Binary = Callable[[Any, Any], Tensor]


def _is_operand(x: Any) -> bool:
    return isinstance(x, (Tensor, *Number)) or hasattr(x, "__array__")


def _fits(value: Any, dtype: _dtype.dtype) -> bool:
    """Whether a Python int can be held by the integer dtype."""
    low, high = bounds_of(dtype)
    return type(value) is not int or dtype.category != 1 or low <= value <= high


def _test(op: str, a: Any, b: Any) -> Tensor:
    check_tensor(op, a)
    if type(b) in (int, float) and a.dtype.is_floating_point:
        b = scalar_tensor(b, a.dtype, a.device)
    elif not isinstance(b, Tensor) and not _fits(b, a.dtype):
        a, b = promote(op, a.to(_dtype.int64), b)
    else:
        a, b = promote(op, a, b)
    return Tensor._wrap(launch(op, (a._array, b._array), dtype=bool_.numpy))


def _publish(op: Binary, operator: str = "", reflected: bool = False, in_place: bool = False) -> None:
    """Attach an op as method, as method in place, and as Python's operator(s). An operator gives NotImplemented for what
    is no operand, so that Python can ask the other side."""
    name = op.__name__

    def mutate(self: Tensor, other: Any) -> Tensor:
        return self._assign(op(self, other))

    def forward(self: Tensor, other: Any) -> Any:
        return op(self, other) if _is_operand(other) else NotImplemented

    def backward(self: Tensor, other: Any) -> Any:
        return op(other, self) if _is_operand(other) else NotImplemented

    mutate.__name__ = mutate.__qualname__ = f"{name}_"
    mutate.__doc__ = f"`{name}` in place."
    method(op)
    method(mutate)
    if operator:
        method(name=f"__{operator}__")(forward)
    if reflected:
        method(name=f"__r{operator}__")(backward)
    if in_place:
        method(name=f"__i{operator}__")(mutate)


def eq(input: Tensor, other: Any) -> Tensor:
    """y = (a = b), a bool tensor. TypeError where input is no tensor or other neither tensor nor number, RuntimeError
    where the shapes do not broadcast; so for all six comparisons."""
    return _test("eq", input, other)


def ne(input: Tensor, other: Any) -> Tensor:
    """y = (a ≠ b), a bool tensor."""
    return _test("ne", input, other)


def lt(input: Tensor, other: Any) -> Tensor:
    """y = (a < b), a bool tensor."""
    return _test("lt", input, other)


def le(input: Tensor, other: Any) -> Tensor:
    """y = (a ≤ b), a bool tensor."""
    return _test("le", input, other)


def gt(input: Tensor, other: Any) -> Tensor:
    """y = (a > b), a bool tensor."""
    return _test("gt", input, other)


def ge(input: Tensor, other: Any) -> Tensor:
    """y = (a ≥ b), a bool tensor."""
    return _test("ge", input, other)


def logical_and(input: Tensor, other: Tensor) -> Tensor:
    """y = (a ≠ 0 ∧ b ≠ 0), a bool tensor; NaN counts as true. TypeError where an operand is no tensor."""
    return _test("logical_and", input, check_tensor("logical_and", other, "other"))


def logical_or(input: Tensor, other: Tensor) -> Tensor:
    """y = (a ≠ 0 ∨ b ≠ 0), a bool tensor; NaN counts as true. TypeError where an operand is no tensor."""
    return _test("logical_or", input, check_tensor("logical_or", other, "other"))


def logical_xor(input: Tensor, other: Tensor) -> Tensor:
    """y = ((a ≠ 0) ≠ (b ≠ 0)), a bool tensor; NaN counts as true. TypeError where an operand is no tensor."""
    return _test("logical_xor", input, check_tensor("logical_xor", other, "other"))


@method
def logical_not(input: Tensor) -> Tensor:
    """y = (a = 0), a bool tensor."""
    return Tensor._wrap(launch("logical_not", (check_tensor("logical_not", input)._array,), dtype=bool_.numpy))


@method
def logical_not_(self: Tensor) -> Tensor:
    """`logical_not` in place."""
    return self._assign(logical_not(self))


for _op, _operator in ((eq, "eq"), (ne, "ne"), (lt, "lt"), (le, "le"), (gt, "gt"), (ge, "ge")):
    _publish(_op, _operator)
for _op in (logical_and, logical_or, logical_xor):
    _publish(_op)
for _name, _op in (
    ("not_equal", ne),
    ("less", lt),
    ("less_equal", le),
    ("greater", gt),
    ("greater_equal", ge),
):
    method(name=_name)(_op)

not_equal, less, less_equal, greater, greater_equal = ne, lt, le, gt, ge


# --- nearly the same --------------------------------------------------------------------------------------------------


@method
def isclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Tensor:
    """y = (a = b ∨ |a − b| ≤ atol + rtol |b| < ∞), a bool tensor; two NaN are close if `equal_nan`.

    TypeError where an operand is no tensor; RuntimeError for two dtypes, or a negative tolerance.
    """
    check_tensor("isclose", input)
    check_tensor("isclose", other, "other")
    if input.dtype is not other.dtype:
        raise RuntimeError(f"isclose: other expects dtype {input.dtype} as input has, got {other.dtype}")
    for name, tolerance in (("rtol", rtol), ("atol", atol)):
        if not tolerance >= 0:
            raise RuntimeError(f"isclose: {name} expects a value ≥ 0, got {tolerance}")
    a, b = input._array, other._array
    return Tensor._wrap(launch("isclose", (a, b), rtol, atol, bool(equal_nan), dtype=bool_.numpy))


@method
def allclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """Whether `isclose` holds for every element, as a Python bool. Raises as `isclose`."""
    return bool(isclose(input, other, rtol, atol, equal_nan).all().item())


@method
def equal(input: Tensor, other: Tensor) -> bool:
    """Whether both have one shape and the same elements, as a Python bool; NaN differs from itself."""
    check_tensor("equal", input)
    check_tensor("equal", other, "other")
    return input._array.shape == other._array.shape and bool(eq(input, other).all().item())


_FEW = 32  # test elements


def isin(elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False) -> Tensor:
    """y_i = (∃j: elements_i = test_elements_j), or its negation if `invert`: a bool tensor of elements' shape.

    One of the two may be a number. Many test_elements are sorted, few compared with every element; `assume_unique` is
    PyTorch's and changes nothing.
    """
    for name, x in (("elements", elements), ("test_elements", test_elements)):
        if not _is_operand(x):
            raise TypeError(f"isin: {name} expects a Tensor or a number, got {type(x).__name__}")
    a, b = promote("isin", elements, test_elements)
    if b._array.size <= _FEW or b.dtype.category == 0:
        found = eq(a.unsqueeze(-1), b.reshape(-1)).any(-1)
    else:
        from pullback.ops.search import searchsorted
        from pullback.ops.sort import sort

        ordered = sort(b.detach().reshape(-1))[0]
        place = searchsorted(ordered, a.detach().contiguous())
        found = eq(ordered[place.clamp(max=ordered._array.size - 1)], a)
    return logical_not(found) if invert else found


# --- bits of integers -------------------------------------------------------------------------------------------------


def _wrapped(value: int, dtype: _dtype.dtype) -> int:
    """A Python int modulo 2^bits, as a value of the integer dtype: −2 is 254 of uint8."""
    low, high = bounds_of(dtype)
    return int((value - low) % (high - low + 1) + low)


def _bits(op: str, a: Any, b: Any, shift: bool = False) -> Tensor:
    if isinstance(a, Tensor) and a.dtype.category == 1 and type(b) is int:
        b = _wrapped(b, a.dtype)
    elif isinstance(b, Tensor) and b.dtype.category == 1 and type(a) is int:
        a = _wrapped(a, b.dtype)
    a, b = promote(op, a, b)
    if a.dtype.is_floating_point or (shift and a.dtype.category == 0):
        expected = "integers" if shift else "integers or bool"
        raise RuntimeError(f"{op}: operands expect {expected}, got dtype {a.dtype}")
    return Tensor._wrap(launch(op, (a._array, b._array)))


def bitwise_and(input: Any, other: Any) -> Tensor:
    """y = a ∧ b in every bit. One operand may be a number. RuntimeError for floating-point operands."""
    return _bits("bitwise_and", input, other)


def bitwise_or(input: Any, other: Any) -> Tensor:
    """y = a ∨ b in every bit. One operand may be a number. RuntimeError for floating-point operands."""
    return _bits("bitwise_or", input, other)


def bitwise_xor(input: Any, other: Any) -> Tensor:
    """y = (a ≠ b) in every bit. One operand may be a number. RuntimeError for floating-point operands."""
    return _bits("bitwise_xor", input, other)


def bitwise_left_shift(input: Any, other: Any) -> Tensor:
    """y = a 2^b without the bits that leave; 0 where b is negative or not less than the number of bits.

    One operand may be a number. RuntimeError for floating-point operands and for bool.
    """
    return _bits("bitwise_left_shift", input, other, shift=True)


def bitwise_right_shift(input: Any, other: Any) -> Tensor:
    """y = ⌊a 2^−b⌋; where b is negative or not less than the number of bits, 0, or −1 of a negative a.

    One operand may be a number. RuntimeError for floating-point operands and for bool.
    """
    return _bits("bitwise_right_shift", input, other, shift=True)


@method
def bitwise_not(input: Tensor) -> Tensor:
    """y = ¬a in every bit; of a bool its negation. TypeError for a floating-point tensor."""
    if check_tensor("bitwise_not", input).dtype.is_floating_point:
        raise TypeError(f"bitwise_not: input expects integers or bool, got dtype {input.dtype}")
    return Tensor._wrap(launch("bitwise_not", (input._array,)))


@method
def bitwise_not_(self: Tensor) -> Tensor:
    """`bitwise_not` in place."""
    return self._assign(bitwise_not(self))


method(name="__invert__")(bitwise_not)
for _op, _operator in (
    (bitwise_and, "and"),
    (bitwise_or, "or"),
    (bitwise_xor, "xor"),
    (bitwise_left_shift, "lshift"),
    (bitwise_right_shift, "rshift"),
):
    _publish(_op, _operator, reflected=True, in_place=True)
