"""How a tensor prints, `tensor([1., 2.], dtype=pullback.float64, requires_grad=True)`, and a number of bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pullback import _dtype
from pullback._backend import cpu

if TYPE_CHECKING:
    from pullback._tensor import Tensor


def tensor_repr(t: Tensor) -> str:
    """NumPy's layout of the values, then what is not the default."""
    prefix = "tensor("
    values = np.array2string(
        t._host(),
        separator=", ",
        prefix=prefix,
        precision=4,
        floatmode="maxprec_equal",
        threshold=1000,
        edgeitems=3,
    )
    notes = []
    if t.device is not cpu:
        notes.append(f"device={str(t.device)!r}")
    if t._array.size == 0 and t._array.ndim != 1:
        notes.append(f"size={tuple(t.shape)}")
    if t.dtype not in (_dtype.get_default_dtype(), _dtype.int64, _dtype.bool_):
        notes.append(f"dtype={t.dtype}")
    if t.grad_fn is not None:
        notes.append(f"grad_fn={t.grad_fn!r}")
    elif t.requires_grad:
        notes.append("requires_grad=True")
    return ", ".join([prefix + values, *notes]) + ")"


def size_text(size: float) -> str:
    """1536 bytes as '1.5 KiB'."""
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
