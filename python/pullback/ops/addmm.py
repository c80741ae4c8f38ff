"""Matrix products added to something: y = β c + α a b. With ȳ the gradient of y, c̄ = β ȳ summed to c's shape, ā = α ȳ bᵀ
and b̄ = α aᵀ ȳ.

Kernel: csrc/kernels/matmul.cpp.
"""

from __future__ import annotations

from typing import Any

from pullback import _dtype
from pullback._autocast import cast, uncast
from pullback._backend import device_of
from pullback._tape import Node, Rule, record
from pullback._tensor import Tensor, method
from pullback.ops._broadcast import scalar_tensor, sum_array_to, sum_to
from pullback.ops.binary import add, launch, mul
from pullback.ops.matmul import check_batch, check_dims, check_inner, check_types, multiply, pull, pull_ops

__all__ = ["addbmm", "addmm", "addmv", "addr", "baddbmm"]


def _addmm_pullback(node: Node, dy: Any) -> tuple[Any, Any, Any]:
    shape, alpha, beta = node.args
    dc = None
    if node.needs(0):
        dc = sum_array_to(dy, shape)
        if beta != 1:
            dc = launch("mul", dc, scalar_tensor(beta, _dtype.of_computing(_dtype.of_array(dy)), device_of(dy))._array)
    a, b = node.saved
    return dc, *pull(dy, a, b, (node.needs(1), node.needs(2)), alpha)


def _addmm_ops(node: Node, dy: Tensor) -> tuple[Any, Any, Any]:
    shape, alpha, beta = node.args
    dc = sum_to(dy, shape) if node.needs(0) else None
    if dc is not None and beta != 1:
        dc = dc * beta
    a, b = node.tensors()
    return dc, *pull_ops(dy, a, b, (node.needs(1), node.needs(2)), alpha)


_ADDMM = Rule("addmm", _addmm_pullback, _addmm_ops)


def _add_product(op: str, input: Tensor, a: Tensor, b: Tensor, alpha: Any, beta: Any) -> Tensor:
    """β input + α a b in one launch, input broadcast to the product's shape; not read where β is 0."""
    c, x, y = input._array, a._array, b._array
    shape = (*x.shape[:-1], *y.shape[max(1, y.ndim - 1) :])
    lead = len(shape) - c.ndim
    if beta != 0 and (lead < 0 or any(n not in (1, shape[lead + d]) for d, n in enumerate(c.shape))):
        raise RuntimeError(f"{op}: input expects a shape that broadcasts to {list(shape)}, got {list(c.shape)}")
    if not input.dtype.is_floating_point:
        return add(mul(input, beta), mul(multiply(a, b), alpha))
    if y.ndim == 1:
        y, c = y[:, None], c[..., None]
    on = device_of(x)
    out = on.empty(shape, x.dtype)
    target = out if b.ndim > 1 else out[:, None]
    if beta in (0, 1):
        on.kernels.matmul(x, y, target, c if beta == 1 else None, float(alpha), 0.0, 0)
    else:
        on.kernels.copy(c, target)
        on.kernels.matmul(x, y, target, None, float(alpha), float(beta), 0)
    return record(_ADDMM, out, (input, a, b), (a, b), (input._array.shape, float(alpha), float(beta)))


@method
@cast
def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """y = β input + α mat1 mat2, input broadcast to [M, N]; with β = 0 it is not read.

    c̄ = β ȳ, ā = α ȳ bᵀ, b̄ = α aᵀ ȳ. RuntimeError where shapes do not fit or dtypes differ.
    """
    check_types("addmm", input=input, mat1=mat1, mat2=mat2)
    check_dims("addmm", (2, 2), mat1=mat1, mat2=mat2)
    check_inner("addmm", "mat1", "mat2", mat1=mat1, mat2=mat2)
    return _add_product("addmm", input, mat1, mat2, alpha, beta)


@method
@cast
def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """y = β input + α mat vec, input broadcast to [M]."""
    check_types("addmv", input=input, mat=mat, vec=vec)
    check_dims("addmv", (2, 1), mat=mat, vec=vec)
    check_inner("addmv", "mat", "vec", mat=mat, vec=vec)
    return _add_product("addmv", input, mat, vec, alpha, beta)


@method
@cast
def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """y = β input + α vec1 vec2ᵀ, input broadcast to [M, N]."""
    check_types("addr", input=input, vec1=vec1, vec2=vec2)
    check_dims("addr", (1, 1), vec1=vec1, vec2=vec2)
    return _add_product("addr", input, vec1.unsqueeze(1), vec2.unsqueeze(0), alpha, beta)


@method
@cast
def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """y = β input + α batch1 batch2, B products; input broadcast to [B, M, N]."""
    check_types("baddbmm", input=input, batch1=batch1, batch2=batch2)
    check_dims("baddbmm", (3, 3), batch1=batch1, batch2=batch2)
    check_batch("baddbmm", batch1, batch2=batch2)
    check_inner("baddbmm", "batch1", "batch2", batch1=batch1, batch2=batch2)
    return _add_product("baddbmm", input, batch1, batch2, alpha, beta)


@method
@cast
def addbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """y = β input + α Σ_b batch1_b batch2_b, input broadcast to [M, N]."""
    check_types("addbmm", input=input, batch1=batch1, batch2=batch2)
    check_dims("addbmm", (3, 3), batch1=batch1, batch2=batch2)
    check_batch("addbmm", batch1, batch2=batch2)
    check_inner("addbmm", "batch1", "batch2", batch1=batch1, batch2=batch2)
    b, m, k = batch1.shape
    side_by_side = batch1.permute(1, 0, 2).reshape(m, b * k)
    return _add_product("addbmm", input, side_by_side, batch2.reshape(b * k, batch2.shape[2]), alpha, beta)


def _in_place(function: Any) -> None:
    def in_place(self: Tensor, a: Tensor, b: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
        return self._assign(function(self, a, b, beta=beta, alpha=alpha))

    in_place.__name__ = in_place.__qualname__ = f"{function.__name__}_"
    in_place.__doc__ = f"`{function.__name__}` in place."
    method(uncast(in_place))


for _function in (addmm, addmv, addr, baddbmm, addbmm):
    _in_place(_function)
