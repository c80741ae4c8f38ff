"""Jacobians and Hessians of a function at a point.

    J_ij = ∂f_i/∂x_j,     H_ij = ∂²f/∂x_i∂x_j     (seed 001, section 1.2)

The rows of J are df_xᵀ e_i, its columns df_x e_j: reverse mode costs one pass for each output, forward mode one for each
input (seed 003, the complexity of gradient computation).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from pullback._tensor import Tensor
from pullback.func import _tree
from pullback.func._level import Level, check_outputs, released, split_aux, unit_vector, zeros_where_none
from pullback.func.derivative import Argnums, Pushforward, pick, put
from pullback.ops import stack, zeros


def jacrev(
    func: Callable[..., Any],
    argnums: Argnums = 0,
    *,
    has_aux: bool = False,
    chunk_size: int | None = None,
    _preallocate_and_copy: bool = False,
) -> Callable[..., Any]:
    """The Jacobian by reverse mode: a function that returns ∂f/∂x of shape [*f, *x], row by row.

    A tuple of `argnums` gives a tuple of Jacobians for each output of f, and outputs may be nested in tuples, lists and
    dictionaries. With `has_aux` f returns (output, aux), and the result is (Jacobian, aux). `chunk_size` bounds memory in
    PyTorch, which computes rows together; here they are computed one by one, so any positive number will do.
    """
    check_chunk_size("jacrev", chunk_size)
    return _jacobian("jacrev", func, argnums, has_aux, _by_rows)


def jacfwd(
    func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, *, randomness: str = "error"
) -> Callable[..., Any]:
    """The Jacobian by forward mode: `jacrev`'s result, column by column. `func` runs once, so `randomness` has no effect."""
    check_randomness("jacfwd", randomness)
    return _jacobian("jacfwd", func, argnums, has_aux, _by_columns)


def hessian(func: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """The Hessian: a function that returns ∂²f/∂x∂x' of shape [*f, *x, *x'], for a tuple of `argnums` a tuple of tuples.

    It is `jacrev` of `jacrev`. PyTorch takes `jacfwd` of it, which has the same cost there; here forward mode passes
    through reverse mode twice.
    """
    return jacrev(jacrev(func, argnums), argnums)


def _jacobian(
    op: str, func: Callable[..., Any], argnums: Argnums, has_aux: bool, method: Callable[..., list[list[Tensor]]]
) -> Callable[..., Any]:
    @wraps(func)
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        level = Level(op, pick(op, args, argnums), f"argument {argnums}")
        result, aux = split_aux(op, level.run(lambda: func(*put(args, argnums, level.inputs), **kwargs)), has_aux)
        outputs = check_outputs(op, result)
        blocks = [_tree.rebuild(level.inputs, row) for row in method(level, outputs)]
        found = released(_tree.rebuild(result, blocks))
        return (found, released(aux)) if has_aux else found

    return jacobian


def _by_rows(level: Level, outputs: Sequence[Tensor]) -> list[list[Tensor]]:
    """∂y/∂x for every output y and variable x: one pass back for each element of y."""
    return [_rows(level, y) for y in outputs]


def _rows(level: Level, y: Tensor) -> list[Tensor]:
    rows = [
        zeros_where_none(level.pull([y], [unit_vector(y, k)], level.tracked), level.given) for k in range(y.numel())
    ]
    return [_joined([row[i] for row in rows], (*y.shape, *x.shape), x, dim=0) for i, x in enumerate(level.given)]


def _by_columns(level: Level, outputs: Sequence[Tensor]) -> list[list[Tensor]]:
    """The same: one application of df for each element of x."""
    push = Pushforward(level, outputs)
    columns = [[_column(push, i, k) for k in range(x.numel())] for i, x in enumerate(level.given)]
    return [
        [_joined([c[j] for c in columns[i]], (*y.shape, *x.shape), y, dim=-1) for i, x in enumerate(level.given)]
        for j, y in enumerate(outputs)
    ]


def _column(push: Pushforward, i: int, k: int) -> list[Tensor]:
    tangents: list[Tensor | None] = [None] * len(push.pulled)
    tangents[i] = unit_vector(push.level.given[i], k)
    return zeros_where_none(push(tangents), push.outputs)


def _joined(parts: list[Tensor], shape: tuple[int, ...], like: Tensor, dim: int) -> Tensor:
    if not parts:
        return zeros(shape, dtype=like.dtype, device=like.device)
    return stack(parts, dim=dim).reshape(shape)


def check_chunk_size(op: str, chunk_size: int | None) -> None:
    """ValueError for anything but None and a positive int."""
    if chunk_size is not None and (not isinstance(chunk_size, int) or chunk_size <= 0):
        raise ValueError(f"{op}: chunk_size expects None or a positive int, got {chunk_size!r}")


def check_randomness(op: str, randomness: str) -> None:
    """ValueError for anything but PyTorch's three words."""
    if randomness not in ("error", "different", "same"):
        raise ValueError(f"{op}: randomness expects 'error', 'different' or 'same', got {randomness!r}")
