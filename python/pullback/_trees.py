"""Nested tuples, lists and dictionaries with tensors at their leaves."""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback._tensor import Tensor


def flatten(tree: Any, leaves: list[Any]) -> Any:
    """Append the tensors and arrays of `tree` to `leaves`; what is left is its structure, which is hashable where the
    rest of the tree is."""
    if isinstance(tree, Tensor):
        leaves.append(tree)
        return Tensor
    if isinstance(tree, np.ndarray):
        leaves.append(tree)
        return np.ndarray
    if isinstance(tree, (tuple, list)):
        return (type(tree), *[flatten(t, leaves) for t in tree])
    if isinstance(tree, dict):
        return (dict, tuple(tree), *[flatten(t, leaves) for t in tree.values()])
    return (None, type(tree), tree)


def unflatten(structure: Any, leaves: list[Any]) -> Any:
    """The tree of this structure, with other leaves."""
    return _build(structure, iter(leaves))


def _build(structure: Any, leaves: Any) -> Any:
    if structure is Tensor or structure is np.ndarray:
        return next(leaves)
    kind, *rest = structure
    if kind is None:
        return rest[1]
    if kind is dict:
        return {key: _build(part, leaves) for key, part in zip(rest[0], rest[1:])}
    parts = [_build(part, leaves) for part in rest]
    return kind(*parts) if hasattr(kind, "_fields") else kind(parts)
