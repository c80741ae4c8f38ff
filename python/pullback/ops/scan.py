"""Scans along one dimension: y_k is computed from x_k and y_{k−1}.

Everything here is a linear recurrence y_k = b_k + a_k y_{k−1}, and so is its pullback, taken from the other end: with
s_k = ȳ_k + a_{k+1} s_{k+1} one has b̄_k = s_k and ā_k = s_k y_{k−1}. Kernels: csrc/kernels/scan.cpp. Blelloch (1990),
Prefix Sums and Their Applications.
"""

from __future__ import annotations

from typing import Any

from pullback import _dtype
from pullback._autocast import cast
from pullback._backend import device_of
from pullback._tape import OUTPUT, Node, Rule, record
from pullback._tensor import Tensor, method
from pullback.ops._broadcast import check_tensor, normalize_dim
from pullback.ops.extremum import ValuesIndices, chosen, record_chosen
from pullback.ops.view import narrow

__all__ = ["cummax", "cummin", "cumprod", "cumsum"]


def _lines(x: Any) -> Any:
    """A scalar is a line of one element."""
    return x.reshape(1) if x.ndim == 0 else x


def _launch(name: str, *arrays: Any, axis: int, flags: tuple[bool, ...] = ()) -> Any:
    on = device_of(arrays[0])
    out = on.empty(arrays[0].shape, arrays[0].dtype)
    getattr(on.kernels, name)(*map(_lines, arrays), _lines(out), axis, *flags)
    return out


def _summed(op: str, input: Tensor, dtype: Any) -> Tensor:
    """The input in `dtype`; without one, integers and bool in int64."""
    x = check_tensor(op, input)
    if dtype is not None:
        return x.to(_dtype.as_dtype(dtype, op))
    return x if x.dtype.is_floating_point else x.to(_dtype.int64)


def _narrowed(y: Tensor, dtype: Any) -> Tensor:
    return y if dtype is None else y.to(dtype)


def _wide(x: Tensor) -> Tensor:
    """What the kernels know: floating point and int64."""
    return x if x.dtype.is_floating_point or x.dtype is _dtype.int64 else x.to(_dtype.int64)


# --- sums and products ------------------------------------------------------------------------------------------------

_CUMSUM = Rule(
    "cumsum",
    lambda node, dy: (_launch("cumsum", dy, axis=node.args[0], flags=(not node.args[1],)),),
    lambda node, dy: (_cumsum(dy, node.args[0], reverse=not node.args[1]),),
)


def _cumsum(x: Tensor, axis: int, reverse: bool) -> Tensor:
    return record(_CUMSUM, _launch("cumsum", x._array, axis=axis, flags=(reverse,)), (x,), (), (axis, reverse))


@method
@cast
def cumsum(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """y_k = Σ_{j≤k} x_j along `dim`; x̄_k = Σ_{j≥k} ȳ_j. Integers and bool are summed in int64, unless `dtype` is given.

    IndexError for a dimension out of range.
    """
    x = _summed("cumsum", input, dtype)
    y = _cumsum(_wide(x), normalize_dim("cumsum", dim, x.ndim), False)
    return _narrowed(y, dtype)


def _cumprod_pullback(node: Node, dy: Any) -> tuple[Any]:
    return (_launch("cumprod_backward", dy, *node.saved, axis=node.args[0]),)


def _cumprod_pullback_ops(node: Node, dy: Tensor) -> tuple[Tensor]:
    """dx_k = y_{k−1} s_k, s_k = dy_k + x_{k+1} s_{k+1}"""
    x, y = node.tensors()
    axis = node.args[0]
    return (_shifted(y, axis, 1.0) * linear_scan(_shifted(x, axis, 0.0, back=True), dy, axis, True),)


_CUMPROD = Rule("cumprod", _cumprod_pullback, _cumprod_pullback_ops)


@method
@cast
def cumprod(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """y_k = Π_{j≤k} x_j along `dim`; x̄_k = y_{k−1} s_k with s_k = ȳ_k + x_{k+1} s_{k+1}, also where some x are 0.

    Integers and bool are multiplied in int64, unless `dtype` is given. IndexError for a dimension out of range.
    """
    x = _wide(_summed("cumprod", input, dtype))
    axis = normalize_dim("cumprod", dim, x.ndim)
    y = record(_CUMPROD, _launch("cumprod", x._array, axis=axis), (x,), (x, OUTPUT), (axis,))
    return _narrowed(y, dtype)


def _shifted(x: Tensor, axis: int, fill: float, back: bool = False) -> Tensor:
    """x_{k−1}, and `fill` at the start; x_{k+1}, and `fill` at the end, with `back`."""
    from pullback.ops import cat, full

    if x.ndim == 0:
        return full((), fill, dtype=x.dtype, device=x.device)
    if x.shape[axis] == 0:
        return x
    n = x.shape[axis]
    edge = full([1 if d == axis else m for d, m in enumerate(x.shape)], fill, dtype=x.dtype, device=x.device)
    rest = narrow(x, axis, 1 if back else 0, n - 1)
    return cat([rest, edge] if back else [edge, rest], axis)


def exclusive_cumprod(x: Tensor, axis: int, reverse: bool = False) -> Tensor:
    """Π_{j<k} x_j, or Π_{j>k} x_j with `reverse`."""
    from pullback.ops.create import ones_like, zeros_like

    if x.ndim == 0:
        return ones_like(x)
    # p_k = 0 + x_{k−1} p_{k−1}, started by p_0 = 1
    a = _shifted(x, axis, 0.0, back=reverse)
    start = _shifted(zeros_like(x), axis, 1.0, back=reverse)
    return linear_scan(a, start, axis, reverse)


# --- the recurrence itself --------------------------------------------------------------------------------------------


def _linear_pullback(node: Node, dy: Any) -> tuple[Any, Any]:
    """s_k = ȳ_k + a_{k+1} s_{k+1}, b̄ = s, ā_k = s_k y_{k−1}: in ops off the tape, since only second derivatives come here."""
    from pullback._tape import no_grad

    with no_grad():
        da, db = _linear_gradients(
            Tensor._wrap(node.saved[0]), Tensor._wrap(node.saved[1]), Tensor._wrap(dy), node.args
        )
    return da._array, db._array


def _linear_gradients(a: Tensor, y: Tensor, dy: Tensor, args: Any) -> tuple[Tensor, Tensor]:
    axis, reverse = args
    s = linear_scan(_shifted(a, axis, 0.0, back=not reverse), dy, axis, not reverse)
    return s * _shifted(y, axis, 0.0, back=reverse), s


def _linear_pullback_ops(node: Node, dy: Tensor) -> tuple[Tensor, Tensor]:
    a, y = node.tensors()
    return _linear_gradients(a, y, dy, node.args)


_LINEAR = Rule("linear_scan", _linear_pullback, _linear_pullback_ops)


def linear_scan(a: Tensor, b: Tensor, axis: int, reverse: bool) -> Tensor:
    """y_k = b_k + a_k y_{k−1}, or y_{k+1} in its place with `reverse`."""
    array = _launch("linear_scan", a._array, b._array, axis=axis, flags=(reverse,))
    return record(_LINEAR, array, (a, b), (a, OUTPUT), (axis, reverse))


# --- running extrema --------------------------------------------------------------------------------------------------

_CUMMAX, _CUMMIN = chosen("cummax"), chosen("cummin")


def _running(rule: Rule, input: Tensor, dim: int) -> ValuesIndices:
    given = check_tensor(rule.name, input)
    x = _wide(given)
    axis = normalize_dim(rule.name, dim, x.ndim)
    shape = x._array.shape
    values, indices = x.device.empty(shape, x.dtype.numpy), x.device.empty(shape, _dtype.int64.numpy)
    getattr(x.device.kernels, rule.name)(_lines(x._array), _lines(values), _lines(indices), axis)
    found = record_chosen(rule, values, indices, x, axis, shape)
    return found if x is given else ValuesIndices(found.values.to(given.dtype), found.indices)


@method
def cummax(input: Tensor, dim: int) -> ValuesIndices:
    """(values, indices): y_k = max_{j≤k} x_j along `dim`, and the last such j, which takes ȳ_k. NaN is the largest."""
    return _running(_CUMMAX, input, dim)


@method
def cummin(input: Tensor, dim: int) -> ValuesIndices:
    """(values, indices): y_k = min_{j≤k} x_j along `dim`, and the last such j, which takes ȳ_k. NaN is the smallest."""
    return _running(_CUMMIN, input, dim)
