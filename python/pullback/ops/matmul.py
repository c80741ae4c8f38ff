"""Matrix products: y = a b. With ȳ the gradient of y, ā = ȳ bᵀ and b̄ = aᵀ ȳ, summed over the leading
dimensions in which an operand was the same for many products.

Kernel: csrc/kernels/matmul.cpp. Seed 001, section 1; seed 000, section 1.2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pullback import _dtype
from pullback._autocast import cast
from pullback._backend import device_of
from pullback._tape import Node, Rule, quick, record
from pullback._tensor import Tensor, method
from pullback.ops._broadcast import broadcast_shapes, check_devices, check_tensor, from_array, sum_array_to, sum_to
from pullback.ops.view import reshape_array

__all__ = [
    "bmm",
    "dot",
    "matmul",
    "mm",
    "mv",
    "vdot",
]


# --- products of arrays -----------------------------------------------------------------------------------------------


def product(a: Any, b: Any, bias: Any = None, alpha: float = 1.0) -> Any:
    """α a b + bias of arrays: a [..., M, K], b [..., K, N]. A vector stands for the row a, or the column b."""
    batch = a.shape[:-2]
    if batch != b.shape[:-2]:
        batch = broadcast_shapes("matmul", batch, b.shape[:-2])
    out = device_of(a).empty((*batch, *a.shape[-2:-1], *b.shape[max(1, b.ndim - 1) :]), a.dtype)
    c = out
    if b.ndim == 1:
        b, c = b[:, None], c[..., None]
    if a.ndim == 1:
        a, c = a[None], c[..., None, :]
    device_of(a).kernels.matmul(a, b, c, bias, alpha, 0.0, 0)
    return out


def _integer_product(a: Any, b: Any) -> Any:
    """Integers by elementwise products and their sum, which wrap around; takes memory for every product."""
    x = a[..., None] if b.ndim > 1 else a
    y = b if a.ndim == 1 or b.ndim == 1 else b[..., None, :, :]
    on = device_of(a)
    terms = on.empty(broadcast_shapes("matmul", x.shape, y.shape), a.dtype)
    on.kernels.mul(x, y, terms)
    k = terms.ndim - (2 if b.ndim > 1 else 1)
    sums = on.empty((*terms.shape[:k], 1, *terms.shape[k + 1 :]), _dtype.int64.numpy)
    on.kernels.sum(terms, sums)
    out = on.empty(sums.shape, a.dtype)
    on.kernels.copy(sums, out)
    return out.reshape((*terms.shape[:k], *terms.shape[k + 1 :]))


def rows_of(x: Any) -> Any:
    """All dimensions but the last as one."""
    return x if x.ndim == 2 else reshape_array(x, (math.prod(x.shape[:-1]), x.shape[-1]))


def _pull_a(dy: Any, a: Any, b: Any, alpha: float) -> Any:
    """ā = α ȳ bᵀ of matrices."""
    return sum_array_to(product(dy, b.swapaxes(-1, -2), None, alpha), a.shape)


def _pull_b(dy: Any, a: Any, b: Any, alpha: float) -> Any:
    """b̄ = α aᵀ ȳ of matrices."""
    if b.ndim == 2 and a.shape[:-1] == dy.shape[:-1]:  # one b for all products: their rows, one below the other
        a, dy = rows_of(a), rows_of(dy)
    return sum_array_to(product(a.swapaxes(-1, -2), dy, None, alpha), b.shape)


def pull(dy: Any, a: Any, b: Any, wanted: tuple[bool, bool], alpha: float = 1.0) -> tuple[Any, Any]:
    """ā and b̄ of y = α a b, vectors standing for a row a, or a column b."""
    rows, columns = a if a.ndim > 1 else a[None], b if b.ndim > 1 else b[:, None]
    if b.ndim == 1:
        dy = dy[..., None]
    if a.ndim == 1:
        dy = dy[..., None, :]
    da = _pull_a(dy, rows, columns, alpha) if wanted[0] else None
    db = _pull_b(dy, rows, columns, alpha) if wanted[1] else None
    return (
        da if da is None or a.ndim > 1 else da.reshape(a.shape),
        db if db is None or b.ndim > 1 else db.reshape(b.shape),
    )


def pull_ops(dy: Tensor, a: Tensor, b: Tensor, wanted: tuple[bool, bool], alpha: float = 1.0) -> tuple[Any, Any]:
    """The same in ops."""
    if b.ndim == 1:
        dy = dy.unsqueeze(-1)
    if a.ndim == 1:
        dy = dy.unsqueeze(-2)
    if alpha != 1:
        dy = dy * alpha
    rows, columns = a if a.ndim > 1 else a.unsqueeze(0), b if b.ndim > 1 else b.unsqueeze(1)
    return (
        sum_to(matmul(dy, columns.transpose(-1, -2)), tuple(rows.shape)).reshape(a.shape) if wanted[0] else None,
        sum_to(matmul(rows.transpose(-1, -2), dy), tuple(columns.shape)).reshape(b.shape) if wanted[1] else None,
    )


# --- a b --------------------------------------------------------------------------------------------------------------


def _scaled(dy: Any, x: Any, wanted: bool) -> Any:
    """ȳ x for a single ȳ."""
    if not wanted:
        return None
    out = device_of(x).empty(x.shape, x.dtype)
    device_of(x).kernels.mul(x, dy, out)
    return out


def _matmul_pullback(node: Node, dy: Any) -> tuple[Any, Any]:
    a, b = node.saved
    if a.ndim == 1 == b.ndim:
        return _scaled(dy, b, node.needs(0)), _scaled(dy, a, node.needs(1))
    return pull(dy, a, b, (node.needs(0), node.needs(1)))


def _matmul_ops(node: Node, dy: Tensor) -> tuple[Any, Any]:
    a, b = node.tensors()
    if a.ndim == 1 == b.ndim:
        return dy * b if node.needs(0) else None, dy * a if node.needs(1) else None
    return pull_ops(dy, a, b, (node.needs(0), node.needs(1)))


_MATMUL = Rule("matmul", _matmul_pullback, _matmul_ops)


def list_shapes(**named: Tensor) -> str:
    """`(input: [2, 3], other: [3, 4])`, for messages."""
    return "(" + ", ".join(f"{name}: {list(x.shape)}" for name, x in named.items()) + ")"


def check_types(op: str, **named: Any) -> None:
    """TypeError for what is no tensor, RuntimeError where the dtypes or the devices differ."""
    first: tuple[str, Tensor] | None = None
    for name, x in named.items():
        check_tensor(op, x, name)
        if first is None:
            first = (name, x)
            if x.dtype.category == 0:
                raise RuntimeError(f"{op}: {name} expects numbers, got dtype {x.dtype}")
        elif x.dtype is not first[1].dtype:
            raise RuntimeError(
                f"{op}: {name} expects dtype {first[1].dtype} as {first[0]}, got {x.dtype} {list_shapes(**named)}"
            )
        elif x.device is not first[1].device:
            check_devices(op, **named)


def check_dims(op: str, expected: Sequence[int], **named: Tensor) -> None:
    """RuntimeError where a tensor does not have as many dimensions as expected."""
    for n, (name, x) in zip(expected, named.items()):
        if x._array.ndim != n:
            raise RuntimeError(
                f"{op}: {name} expects {n} dimension{'s' if n > 1 else ''}, got {x.ndim} {list_shapes(**named)}"
            )


def check_inner(op: str, a: str, b: str, **named: Tensor) -> None:
    """RuntimeError where the columns of `a` are not as many as the rows of `b`."""
    x, y = named[a]._array.shape, named[b]._array.shape
    rows = y[-2] if len(y) > 1 else y[0]
    if x[-1] != rows:
        raise RuntimeError(
            f"{op}: {b} expects {x[-1]} {'rows' if len(y) > 1 else 'elements'}, got {rows} {list_shapes(**named)}"
        )


def multiply(a: Tensor, b: Tensor) -> Tensor:
    if a.dtype.is_floating_point:
        return record(_MATMUL, product(a._array, b._array), (a, b), (a, b))
    return Tensor._wrap(_integer_product(a._array, b._array))


@method
@cast
@quick("matmul", _MATMUL, "inputs")
def matmul(input: Tensor, other: Tensor) -> Tensor:
    """y_mn = Σ_k a_mk b_kn, for each of the leading dimensions, which broadcast.

    A vector `input` is one row, a vector `other` one column; the result then lacks that dimension. RuntimeError where the
    shapes do not fit or the dtypes differ.
    """
    if (
        isinstance(input, Tensor)
        and isinstance(other, Tensor)
        and input.dtype is other.dtype
        and input.device is other.device
    ):
        x, y = input._array.shape, other._array.shape
        if len(x) == 2 == len(y) and x[1] == y[0] and input.dtype.is_floating_point:
            return multiply(input, other)
    check_types("matmul", input=input, other=other)
    a, b = input._array, other._array
    if a.ndim == 0 or b.ndim == 0:
        raise RuntimeError(f"matmul: expected at least 1 dimension {list_shapes(input=input, other=other)}")
    check_inner("matmul", "input", "other", input=input, other=other)
    if a.shape[:-2] != b.shape[:-2]:
        try:
            broadcast_shapes("matmul", a.shape[:-2], b.shape[:-2])
        except RuntimeError:
            raise RuntimeError(
                f"matmul: leading dimensions of other do not broadcast with input's {list_shapes(input=input, other=other)}"
            ) from None
    return multiply(input, other)


@quick("matmul", _MATMUL, "inputs")
def _operator(self: Tensor, other: Any) -> Any:
    if isinstance(other, Tensor):
        return matmul(self, other)
    return matmul(self, from_array(other)) if hasattr(other, "__array__") else NotImplemented


def _reversed_operator(self: Tensor, other: Any) -> Any:
    return matmul(from_array(other), self) if hasattr(other, "__array__") else NotImplemented


method(name="__matmul__")(_operator)
method(name="__rmatmul__")(_reversed_operator)


@method
@cast
def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """y [M, N] = a [M, K] b [K, N]."""
    check_types("mm", input=input, mat2=mat2)
    check_dims("mm", (2, 2), input=input, mat2=mat2)
    check_inner("mm", "input", "mat2", input=input, mat2=mat2)
    return multiply(input, mat2)


@method
@cast
def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """y [B, M, N] = a [B, M, K] b [B, K, N], B products."""
    check_types("bmm", input=input, mat2=mat2)
    check_dims("bmm", (3, 3), input=input, mat2=mat2)
    check_batch("bmm", input, mat2=mat2)
    check_inner("bmm", "input", "mat2", input=input, mat2=mat2)
    return multiply(input, mat2)


def check_batch(op: str, first: Tensor, **second: Tensor) -> None:
    for name, x in second.items():
        if x.shape[0] != first.shape[0]:
            raise RuntimeError(
                f"{op}: {name} expects {first.shape[0]} matrices, got {x.shape[0]} {list_shapes(input=first, **second)}"
            )


@method
@cast
def mv(input: Tensor, vec: Tensor) -> Tensor:
    """y [M] = a [M, K] x [K]."""
    check_types("mv", input=input, vec=vec)
    check_dims("mv", (2, 1), input=input, vec=vec)
    check_inner("mv", "input", "vec", input=input, vec=vec)
    return multiply(input, vec)


@method
@cast
def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """y = Σ_k a_k b_k of two vectors."""
    check_types("dot", input=input, tensor=tensor)
    check_dims("dot", (1, 1), input=input, tensor=tensor)
    check_inner("dot", "input", "tensor", input=input, tensor=tensor)
    return multiply(input, tensor)


@method
@cast
def vdot(input: Tensor, other: Tensor) -> Tensor:
    """`dot`: for real vectors they are the same."""
    return dot(input, other)
