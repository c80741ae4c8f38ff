"""What enters a learning machine: features as doubles [N, D], labels of two classes as signs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

import pullback
from pullback import Tensor

ALPHABETS = ((0, 1), (-1, 1))


class ConvergenceWarning(UserWarning):
    """A machine stopped before it had what it looked for."""


def as_array(data: Any) -> NDArray[Any]:
    """A tensor or anything that NumPy takes, as an array."""
    return np.asarray(data.detach().cpu().numpy() if isinstance(data, Tensor) else data)


def _as_doubles(op: str, name: str, data: Any) -> NDArray[np.float64]:
    array = as_array(data)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{op}: {name} expects numbers, got {array.dtype}")
    return array.astype(np.float64)


def as_features(op: str, x: Any) -> Tensor:
    """x as float64 [N, D]; ValueError unless it is that, not empty, and finite."""
    array = _as_doubles(op, "x", x)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"{op}: x expects [N, D] with N, D ≥ 1, got {list(array.shape)}")
    check_finite(op, "x", array)
    return pullback.from_numpy(np.ascontiguousarray(array))


def check_finite(op: str, name: str, array: NDArray[Any]) -> None:
    """ValueError that names the first value that is not finite."""
    wrong = np.argwhere(~np.isfinite(array))
    if len(wrong):
        place = wrong[0].tolist()
        raise ValueError(f"{op}: {name} expects finite values, got {array[tuple(place)]} at {place}")


def check_penalty(op: str, l2: float) -> None:
    """ValueError unless λ is finite and not negative."""
    if not (l2 >= 0 and math.isfinite(l2)):
        raise ValueError(f"{op}: l2 expects a finite number ≥ 0, got {l2}")


def as_vector(op: str, name: str, data: Any, n: int) -> Tensor:
    """`data` as float64 [n]; ValueError unless it is that and finite."""
    array = _as_doubles(op, name, data)
    if array.shape != (n,):
        raise ValueError(f"{op}: {name} expects [{n}], got {list(array.shape)}")
    check_finite(op, name, array)
    return pullback.from_numpy(np.ascontiguousarray(array))


def as_signs(op: str, y: Any, n: int) -> Tensor:
    """Labels {0, 1} or {−1, 1} as −1.0 and 1.0, [N]; ValueError for another alphabet and for one class only."""
    labels = as_vector(op, "y", y, n).numpy()
    found = np.unique(labels)
    if not any(np.isin(found, alphabet).all() for alphabet in ALPHABETS):
        raise ValueError(f"{op}: y expects labels of {{0, 1}} or {{−1, 1}}, got {found[:5].tolist()}")
    if len(found) == 1:
        raise ValueError(f"{op}: y expects two classes, got one class only: {found.item():g}")
    return pullback.from_numpy(np.where(labels > 0, 1.0, -1.0))


def embed(x: Tensor) -> Tensor:
    """i(x) = (x, 1): [N, D] → [N, D + 1], where affine maps are linear (seed 000, corollary 2.2)."""
    return pullback.cat([x, x.new_ones((x.shape[0], 1))], 1)
