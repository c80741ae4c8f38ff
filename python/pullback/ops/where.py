"""Choosing elements, bounding them, and the fused ternary functions, elementwise on operands that broadcast.

A gradient of the broadcast shape is summed over the dimensions in which its operand was stretched: x̄ = Σ ȳ ∂y/∂x.
Kernels: csrc/kernels/where.cpp. Seed 001, section 1.
"""

from __future__ import annotations

from typing import Any, overload

from pullback import _dtype
from pullback._autocast import cast
from pullback._backend import device_of
from pullback._tape import Node, Rule, record
from pullback._tensor import Tensor, method
from pullback.ops import view
from pullback.ops._arrays import empty_as
from pullback.ops._broadcast import (
    Number,
    check_devices,
    check_tensor,
    on_one_device,
    result_type,
    scalar_tensor,
    sum_array_to,
    sum_to,
)
from pullback.ops._elementwise import as_operands, bounds_of, check_floating, launch, launch_into, recording
from pullback.ops.binary import times

__all__ = [
    "addcdiv",
    "addcmul",
    "clamp",
    "clamp_max",
    "clamp_min",
    "clip",
    "lerp",
    "masked_fill",
    "nan_to_num",
    "where",
]


def _reduced(gradients: Any, shapes: Any) -> list[Any]:
    """Gradients as arrays, each summed to its operand's shape."""
    return [None if g is None else sum_array_to(g, s) for g, s in zip(gradients, shapes)]


def _reduced_ops(node: Node, gradients: Any, shapes: Any) -> list[Any]:
    """The same in ops."""
    return [
        sum_to(g, s) if g is not None and node.needs(i) else None for i, (g, s) in enumerate(zip(gradients, shapes))
    ]


# --- where ------------------------------------------------------------------------------------------------------------


def _where_pullback(node: Node, dy: Any) -> list[Any]:
    condition = node.saved[0]
    gradients = [
        launch("where_backward", (dy, condition), chosen) if node.needs(i) else None
        for i, chosen in enumerate((True, False))
    ]
    return _reduced(gradients, node.args)


def _where_pullback_ops(node: Node, dy: Tensor) -> list[Any]:
    condition = node.tensors()[0]
    return _reduced_ops(node, (where(condition, dy, 0), where(condition, 0, dy)), node.args)


_WHERE = Rule("where", _where_pullback, _where_pullback_ops)


def _check_mask(op: str, name: str, mask: Any) -> Tensor:
    checked = check_tensor(op, mask, name)
    if checked.dtype is not _dtype.bool_:
        raise RuntimeError(f"{op}: {name} expects a bool tensor, got dtype {checked.dtype}")
    return checked


@overload
def where(condition: Tensor) -> tuple[Tensor, ...]: ...
@overload
def where(condition: Tensor, input: Any, other: Any) -> Tensor: ...
def where(condition: Tensor, input: Any = None, other: Any = None) -> Any:
    """y = a where the condition holds, else b; ā = Σ ȳ [condition], b̄ = Σ ȳ [not condition].

    The three broadcast; a and b may be numbers. With the condition alone, the indices at which it is not zero, one
    tensor a dimension. TypeError for other types, RuntimeError for a condition that is not of dtype bool.
    """
    if input is None and other is None:
        return check_tensor("where", condition, "condition").nonzero(as_tuple=True)
    _check_mask("where", "condition", condition)
    given = as_operands("where", ("input", "other"), (input, other))
    condition, a, b = on_one_device("where", ("condition", "input", "other"), (condition, *given))
    out = launch("where", (condition._array, a._array, b._array), dtype=a.dtype.numpy)
    return record(_WHERE, out, (a, b), (condition,), (a._array.shape, b._array.shape))


@method(name="where")
def _where_method(self: Tensor, condition: Tensor, other: Any) -> Tensor:
    """`where(condition, self, other)`."""
    return where(condition, self, other)


def _masked_fill_pullback(node: Node, dy: Any) -> list[Any]:
    mask = node.saved[0]
    gradients = [
        launch("where_backward", (dy, mask), chosen) if node.needs(i) else None
        for i, chosen in enumerate((False, True))
    ]
    return _reduced(gradients, node.args)


def _masked_fill_pullback_ops(node: Node, dy: Tensor) -> list[Any]:
    mask = node.tensors()[0]
    return _reduced_ops(node, (where(mask, 0, dy), where(mask, dy, 0)), node.args)


_MASKED_FILL = Rule("masked_fill", _masked_fill_pullback, _masked_fill_pullback_ops)


def _fill_value(input: Tensor, mask: Any, value: Any) -> Tensor:
    check_tensor("masked_fill", input)
    _check_mask("masked_fill", "mask", mask)
    if not isinstance(value, Tensor):
        if not isinstance(value, Number):
            raise TypeError(f"masked_fill: value expects a number or a Tensor, got {type(value).__name__}")
        value = scalar_tensor(value, input.dtype, input.device)
    if value._array.ndim:
        raise RuntimeError(f"masked_fill: value expects no dimensions, got shape {list(value.shape)}")
    if input.device is not mask.device:
        check_devices("masked_fill", input=input, mask=mask)
    return view.to_dtype(value, input.dtype).to(input.device)


@method
def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """y = value where the mask holds, else x, of x's dtype; x̄ = ȳ [not mask], and Σ ȳ [mask] for a value on the tape.

    Input and mask broadcast; value is a number or a tensor without dimensions. RuntimeError for a mask that is not of
    dtype bool.
    """
    v = _fill_value(input, mask, value)
    out = launch("where", (mask._array, v._array, input._array), dtype=input.dtype.numpy)
    return record(_MASKED_FILL, out, (input, v), (mask,), (input._array.shape, ()))


@method
def masked_fill_(self: Tensor, mask: Tensor, value: Any) -> Tensor:
    """`masked_fill` in place; RuntimeError where the mask does not broadcast to the tensor's shape."""
    v = _fill_value(self, mask, value)
    if recording(self, v):
        return self._assign(masked_fill(self, mask, v))
    return launch_into(self, "where", (mask._array, v._array, self._array))


# --- clamp ------------------------------------------------------------------------------------------------------------


def _clamp_pullback(node: Node, dy: Any) -> tuple[Any]:
    dx = empty_as(dy)
    device_of(dy).kernels.clamp_backward(dy, node.saved[0], dx, *node.args)
    return (dx,)


def _clamp_pullback_ops(node: Node, dy: Tensor) -> tuple[Any]:
    (x,), (low, high) = node.tensors(), node.args
    return (where((x >= low) & (x <= high), dy, 0),)


def _clamp_between_pullback(node: Node, dy: Any) -> list[Any]:
    gradients = [empty_as(dy) for _ in range(3)]
    device_of(dy).kernels.clamp_between_backward(dy, *node.saved, *gradients)
    return _reduced([g if node.needs(i) else None for i, g in enumerate(gradients)], node.args)


def _clamp_between_pullback_ops(node: Node, dy: Tensor) -> list[Any]:
    x, low, high = node.tensors()
    masks = ((x >= low) & (x <= high), (x < low) & (low < high), (x > high) | (low > high))
    return _reduced_ops(node, [where(m, dy, 0) for m in masks], node.args)


_CLAMP = Rule("clamp", _clamp_pullback, _clamp_pullback_ops)
_CLAMP_BETWEEN = Rule("clamp", _clamp_between_pullback, _clamp_between_pullback_ops)


def _check_bounds(input: Tensor, low: Any, high: Any) -> None:
    check_tensor("clamp", input)
    if low is None and high is None:
        raise RuntimeError("clamp: expected min or max, got neither")
    for name, bound in (("min", low), ("max", high)):
        if bound is not None and not isinstance(bound, (Tensor, *Number)):
            raise TypeError(f"clamp: {name} expects a number or a Tensor, got {type(bound).__name__}")
    if low is not None and high is not None and isinstance(low, Tensor) != isinstance(high, Tensor):
        raise TypeError(
            f"clamp: min and max expect two numbers or two tensors, got {type(low).__name__} and {type(high).__name__}"
        )


def _bounds(dtype: _dtype.dtype, low: Any, high: Any) -> tuple[float, float]:
    """As numbers of the dtype, so that an element which is at a bound is not beyond it."""
    least, greatest = bounds_of(dtype)
    return (
        least if low is None else _dtype.rounded(float(low), dtype),
        greatest if high is None else _dtype.rounded(float(high), dtype),
    )


@method(name=("clamp", "clip"))
def clamp(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """y = min(max(x, min), max), so max where the bounds cross; NaN where any of them is.

    x̄ = ȳ where min ≤ x ≤ max, else 0; bounds that are tensors broadcast, and receive ȳ where they were taken:
    Σ ȳ [x < min < max] and Σ ȳ [x > max or min > max]. RuntimeError without any bound, TypeError where one is a number
    and the other a tensor.
    """
    _check_bounds(input, min, max)
    given = [bound for bound in (min, max) if bound is not None]
    numbers = not isinstance(given[0], Tensor)
    common = input.dtype if numbers and input.dtype.is_floating_point else result_type(input, *given)
    x = view.to_dtype(input, common)
    if numbers and common.is_floating_point:
        bounds = _bounds(common, min, max)
        return record(_CLAMP, launch("clamp", (x._array,), *bounds), (x,), (x,), bounds)
    low, high = [
        view.to_dtype(b, common)
        if isinstance(b, Tensor)
        else scalar_tensor(outermost if b is None else b, common, input.device)
        for b, outermost in zip((min, max), bounds_of(common))
    ]
    operands = tuple(on_one_device("clamp", ("input", "min", "max"), (x, low, high)))
    out = launch("clamp_between", tuple([t._array for t in operands]))
    return record(_CLAMP_BETWEEN, out, operands, operands, tuple([t._array.shape for t in operands]))


clip = clamp


@method
def clamp_min(input: Tensor, min: Any) -> Tensor:
    """y = max(x, min): `clamp` from below."""
    return clamp(input, min)


@method
def clamp_max(input: Tensor, max: Any) -> Tensor:
    """y = min(x, max): `clamp` from above."""
    return clamp(input, None, max)


@method(name=("clamp_", "clip_"))
def clamp_(self: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """`clamp` in place."""
    _check_bounds(self, min, max)
    if recording(self, min, max):
        return self._assign(clamp(self.clone(), min, max))
    if self.dtype.is_floating_point and not any(isinstance(b, Tensor) for b in (min, max)):
        return launch_into(self, "clamp", (self._array,), *_bounds(self.dtype, min, max))
    return self._assign(clamp(self, min, max))


@method
def clamp_min_(self: Tensor, min: Any) -> Tensor:
    """`clamp_min` in place."""
    return clamp_(self, min)


@method
def clamp_max_(self: Tensor, max: Any) -> Tensor:
    """`clamp_max` in place."""
    return clamp_(self, None, max)


# --- lerp -------------------------------------------------------------------------------------------------------------


def _lerp_pullback(node: Node, dy: Any) -> list[Any]:
    weight, *ends = node.saved
    gradients: list[Any] = [None, None, None]
    if node.needs(0) or node.needs(1):
        gradients[:2] = [empty_as(dy), empty_as(dy)]
        device_of(dy).kernels.lerp_backward(dy, weight, *gradients[:2])
    if node.needs(2):
        gradients[2] = empty_as(dy)
        device_of(dy).kernels.lerp_backward_weight(dy, *ends, gradients[2])
    return _reduced([g if node.needs(i) else None for i, g in enumerate(gradients)], node.args)


def _lerp_pullback_ops(node: Node, dy: Tensor) -> list[Any]:
    weight, *ends = node.tensors()
    dweight = dy * (ends[1] - ends[0]) if ends else None
    return _reduced_ops(node, (times(dy, 1 - weight), times(dy, weight), dweight), node.args)


_LERP = Rule("lerp", _lerp_pullback, _lerp_pullback_ops)


def _lerp_operands(input: Tensor, end: Any, weight: Any) -> tuple[Tensor, Tensor, Tensor]:
    check_floating("lerp", check_tensor("lerp", input))
    if check_tensor("lerp", end, "end").dtype is not input.dtype:
        raise RuntimeError(f"lerp: end expects dtype {input.dtype} as input has, got {end.dtype}")
    if end.device is not input.device:
        check_devices("lerp", input=input, end=end)
    if isinstance(weight, Number):
        return input, end, scalar_tensor(weight, _dtype.of_computing(input.dtype), input.device)
    if check_tensor("lerp", weight, "weight").dtype is not input.dtype and weight._array.ndim:
        raise RuntimeError(f"lerp: weight expects dtype {input.dtype} as input has, got {weight.dtype}")
    if weight.device is not input.device:
        _, weight = on_one_device("lerp", ("input", "weight"), (input, weight))
    return input, end, view.to_dtype(weight, input.dtype)


@method
def lerp(input: Tensor, end: Tensor, weight: Any) -> Tensor:
    """y = a + w (b − a), from the nearer end; ā = Σ ȳ (1 − w), b̄ = Σ ȳ w, w̄ = Σ ȳ (b − a).

    The three broadcast; w may be a number. RuntimeError where they are not of one floating-point dtype.
    """
    a, b, w = operands = _lerp_operands(input, end, weight)
    arrays = tuple([t._array for t in operands])
    saved = (w, a, b) if w.requires_grad else (w,)
    return record(_LERP, launch("lerp", arrays), operands, saved, tuple([x.shape for x in arrays]))


@method
def lerp_(self: Tensor, end: Tensor, weight: Any) -> Tensor:
    """`lerp` in place."""
    if recording(self, end, weight):
        return self._assign(lerp(self.clone(), end, weight))
    return launch_into(self, "lerp", tuple([t._array for t in _lerp_operands(self, end, weight)]))


# --- addcmul, addcdiv -------------------------------------------------------------------------------------------------


def _addcmul_pullback(node: Node, dy: Any) -> list[Any]:
    a, b = node.saved
    value, shapes = node.args
    da = launch("addcmul_backward", (dy, b), value) if node.needs(1) else None
    db = launch("addcmul_backward", (dy, a), value) if node.needs(2) else None
    return _reduced((dy if node.needs(0) else None, da, db), shapes)


def _addcmul_pullback_ops(node: Node, dy: Tensor) -> list[Any]:
    a, b = node.tensors()
    value, shapes = node.args
    return _reduced_ops(node, (dy, dy * b * value, dy * a * value), shapes)


def _addcdiv_pullback(node: Node, dy: Any) -> list[Any]:
    value, shapes = node.args
    da = db = None
    if node.needs(1) or node.needs(2):
        da, db = empty_as(dy), empty_as(dy)
        device_of(dy).kernels.addcdiv_backward(dy, *node.saved, da, db, value)
    return _reduced([g if node.needs(i) else None for i, g in enumerate((dy, da, db))], shapes)


def _addcdiv_pullback_ops(node: Node, dy: Tensor) -> list[Any]:
    a, b = node.tensors()
    value, shapes = node.args
    return _reduced_ops(node, (dy, dy * value / b, -dy * value * a / (b * b)), shapes)


_ADDCMUL = Rule("addcmul", _addcmul_pullback, _addcmul_pullback_ops)
_ADDCDIV = Rule("addcdiv", _addcdiv_pullback, _addcdiv_pullback_ops)


def _ternary(rule: Rule, input: Tensor, tensor1: Tensor, tensor2: Tensor, value: Any) -> Tensor:
    x, a, b = operands = as_operands(rule.name, ("input", "tensor1", "tensor2"), (input, tensor1, tensor2))
    arrays = tuple([t._array for t in operands])
    out = launch(rule.name, arrays, value)
    return record(rule, out, operands, (a, b), (value, tuple([array.shape for array in arrays])))


def _ternary_in_place(rule: Rule, self: Tensor, tensor1: Tensor, tensor2: Tensor, value: Any) -> Tensor:
    if recording(self, tensor1, tensor2) or not (self.dtype is tensor1.dtype is tensor2.dtype):
        return self._assign(_ternary(rule, self, tensor1, tensor2, value))
    return launch_into(self, rule.name, (self._array, tensor1._array, tensor2._array), value)


def _check_ternary(op: str, input: Any, tensor1: Any, tensor2: Any, value: Any) -> None:
    for name, t in (("input", input), ("tensor1", tensor1), ("tensor2", tensor2)):
        if check_tensor(op, t, name).dtype.category == 0:
            raise RuntimeError(f"{op}: {name} expects numbers, got dtype {t.dtype}")
    if not isinstance(value, Number):
        raise TypeError(f"{op}: value expects a number, got {type(value).__name__}")
    if op == "addcdiv" and not (tensor1.dtype.is_floating_point or tensor2.dtype.is_floating_point):
        raise RuntimeError(f"addcdiv: tensor1 or tensor2 expects a floating-point dtype, got {tensor1.dtype}")


@method
@cast
def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
    """y = x + value a b; x̄ = Σ ȳ, ā = Σ value ȳ b, b̄ = Σ value ȳ a. The three broadcast; RuntimeError for bool."""
    _check_ternary("addcmul", input, tensor1, tensor2, value)
    return _ternary(_ADDCMUL, input, tensor1, tensor2, value)


@method
def addcmul_(self: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
    """`addcmul` in place."""
    _check_ternary("addcmul", self, tensor1, tensor2, value)
    return _ternary_in_place(_ADDCMUL, self, tensor1, tensor2, value)


@method
@cast
def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
    """y = x + value a / b; x̄ = Σ ȳ, ā = Σ value ȳ / b, b̄ = −Σ value ȳ a / b². The three broadcast.

    RuntimeError where neither a nor b is of a floating-point dtype.
    """
    _check_ternary("addcdiv", input, tensor1, tensor2, value)
    return _ternary(_ADDCDIV, input, tensor1, tensor2, value)


@method
def addcdiv_(self: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
    """`addcdiv` in place."""
    _check_ternary("addcdiv", self, tensor1, tensor2, value)
    return _ternary_in_place(_ADDCDIV, self, tensor1, tensor2, value)


# --- nan_to_num -------------------------------------------------------------------------------------------------------


def _nan_to_num_pullback(node: Node, dy: Any) -> tuple[Any]:
    return (launch("nan_to_num_backward", (dy, node.saved[0])),)


_NAN_TO_NUM = Rule("nan_to_num", _nan_to_num_pullback, lambda node, dy: (where(node.tensors()[0].isfinite(), dy, 0),))


@method
def nan_to_num(
    input: Tensor, nan: float | None = None, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """y = nan, posinf, neginf where x is NaN, +∞, −∞ (by default 0 and the dtype's greatest and least number), else x;
    x̄ = ȳ where x is finite, else 0. Integers are copied."""
    if not check_tensor("nan_to_num", input).dtype.is_floating_point:
        return input.clone()
    most = _dtype.finfo(input.dtype).max
    values = [default if v is None else float(v) for v, default in ((nan, 0.0), (posinf, most), (neginf, -most))]
    return record(_NAN_TO_NUM, launch("nan_to_num", (input._array,), *values), (input,), (input,))


@method
def nan_to_num_(
    self: Tensor, nan: float | None = None, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """`nan_to_num` in place."""
    return self._assign(nan_to_num(self.clone() if recording(self) else self, nan, posinf, neginf))
