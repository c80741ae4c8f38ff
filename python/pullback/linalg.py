"""Linear algebra by the names of `torch.linalg`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pullback._tensor import Tensor
from pullback.ops.reduce import norm

__all__ = ["vector_norm"]


def vector_norm(
    x: Tensor,
    ord: float = 2,
    dim: int | Sequence[int] | None = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
) -> Tensor:
    """(Σ |x|^ord)^(1/ord) over `dim`, all dimensions where it is None; ±inf gives max or min |x|, 0 the number of x ≠ 0.

    TypeError where `ord` is no number; otherwise as `pullback.norm`.
    """
    if not isinstance(ord, (int, float)):
        raise TypeError(f"vector_norm: ord expects a number, got {type(ord).__name__}")
    return norm(x, float(ord), dim, keepdim, dtype=dtype)
