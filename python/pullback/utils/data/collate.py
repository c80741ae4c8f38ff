"""How samples become a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import pullback
from pullback import Tensor


def default_convert(data: Any) -> Any:
    """NumPy arrays and scalars become tensors, inside of mappings and sequences too; the rest is kept."""
    if isinstance(data, np.ndarray) and data.dtype.kind not in "SUO":
        return pullback.from_numpy(data)
    if isinstance(data, np.generic) and data.dtype.kind not in "SUO":
        return pullback.tensor(data)
    if isinstance(data, Mapping):
        return _rebuild_mapping(data, {key: default_convert(value) for key, value in data.items()})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*map(default_convert, data))
    if isinstance(data, tuple):
        return list(map(default_convert, data))
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return _rebuild_sequence(data, list(map(default_convert, data)))
    return data


def default_collate(batch: Sequence[Any]) -> Any:
    """Stacks samples along a new first dimension, inside of mappings and sequences too.

    Tensors and arrays are stacked, int, float and bool become int64, float64 and bool tensors, strings a
    list. Tuples become lists, as in PyTorch, named tuples stay what they are.
    Raises TypeError for other samples and ValueError for an empty batch or for samples of different shape,
    length or keys.
    """
    if not batch:
        raise ValueError("default_collate: the batch is empty")
    first = batch[0]
    if isinstance(first, Tensor):
        _check_same("shape", [list(sample.shape) for sample in batch])
        return pullback.stack(list(batch))
    if isinstance(first, (np.ndarray, np.generic)):
        return _collate_arrays(batch)
    if isinstance(first, float):
        return pullback.tensor(list(batch), dtype=pullback.float64)
    if isinstance(first, int):
        return pullback.tensor(list(batch))
    if isinstance(first, (str, bytes)):
        return list(batch)
    if isinstance(first, Mapping):
        _check_same("keys", [sorted(map(repr, sample)) for sample in batch])
        return _rebuild_mapping(first, {key: default_collate([sample[key] for sample in batch]) for key in first})
    if isinstance(first, Sequence):
        _check_same("length", [len(sample) for sample in batch])
        columns = [default_collate(column) for column in zip(*batch, strict=True)]
        if isinstance(first, tuple):
            return type(first)(*columns) if hasattr(first, "_fields") else columns
        return _rebuild_sequence(first, columns)
    raise TypeError(
        "default_collate: samples must be tensors, arrays, numbers, strings, or mappings or sequences "
        f"of them, got {type(first).__name__}; give DataLoader a collate_fn"
    )


def _collate_arrays(batch: Sequence[Any]) -> Tensor:
    arrays = [np.asarray(sample) for sample in batch]
    if arrays[0].dtype.kind in "SUO":
        raise TypeError(f"default_collate: an array of dtype {arrays[0].dtype} can't become a tensor")
    _check_same("shape", [list(array.shape) for array in arrays])
    return pullback.from_numpy(np.stack(arrays))


def _check_same(what: str, values: list[Any]) -> None:
    for i, value in enumerate(values):
        if value != values[0]:
            raise ValueError(f"default_collate: sample {i} has {what} {value}, sample 0 has {values[0]}")


def _rebuild_mapping(like: Mapping[Any, Any], values: dict[Any, Any]) -> Any:
    try:
        return type(like)(values)  # type: ignore[call-arg]
    except TypeError:  # a mapping that can't be made from a dictionary, such as defaultdict
        return values


def _rebuild_sequence(like: Sequence[Any], values: list[Any]) -> Any:
    try:
        return type(like)(values)  # type: ignore[call-arg]
    except TypeError:  # a sequence that can't be made from a list, such as range
        return values
