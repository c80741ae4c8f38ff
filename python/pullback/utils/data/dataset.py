"""Datasets: maps from an index to a sample, and iterables of samples."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any, Generic, TypeVar, cast

import numpy as np

import pullback
from pullback import Generator, Tensor

T_co = TypeVar("T_co", covariant=True)


class Dataset(Generic[T_co]):
    """A map from an index to a sample. Subclasses define `__getitem__` and, for samplers, `__len__`.

    `__getitems__(indices)`, where it is defined, returns the list of samples of a batch at once, as in
    PyTorch. `__getbatch__(indices)`, where it is defined, returns what `default_collate` would make of those
    samples, or None if it can't: `DataLoader` calls it to index whole arrays instead of stacking samples.
    """

    def __getitem__(self, index: int) -> T_co:
        raise NotImplementedError(f"{type(self).__name__} does not define __getitem__")

    def __add__(self, other: Dataset[Any]) -> ConcatDataset[Any]:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T_co]):
    """Samples in the order that they come. Subclasses define `__iter__`; there is no index and no sampler.

    Under `num_workers > 0` each worker iterates over a shallow copy of its own; `get_worker_info()` tells
    which part of the data is its.
    """

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__} does not define __iter__")


class TensorDataset(Dataset[tuple[Tensor, ...]]):
    """Sample i is (t[i] for each tensor t).

    Raises ValueError unless all tensors have the same first dimension.
    """

    tensors: tuple[Tensor, ...]

    def __init__(self, *tensors: Tensor) -> None:
        if not tensors:
            raise ValueError("TensorDataset: expected at least one tensor")
        for i, tensor in enumerate(tensors):
            if not isinstance(tensor, Tensor):
                raise TypeError(f"TensorDataset: tensors[{i}] must be a Tensor, got {type(tensor).__name__}")
            if tensor.ndim == 0:
                raise ValueError(f"TensorDataset: tensors[{i}] has no dimension to index")
        sizes = [tensor.shape[0] for tensor in tensors]
        if len(set(sizes)) > 1:
            raise ValueError(f"TensorDataset: tensors must have the same first dimension, got {sizes}")
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(tensor[index] for tensor in self.tensors)

    def __getbatch__(self, indices: list[int]) -> list[Tensor] | None:
        if type(self).__getitem__ is not TensorDataset.__getitem__ or min(indices, default=0) < 0:
            return None  # index_select does not count from the end
        index = pullback.from_numpy(np.array(indices, dtype=np.int64))
        return [pullback.index_select(tensor, 0, index) for tensor in self.tensors]

    def __len__(self) -> int:
        return int(self.tensors[0].shape[0])


class ConcatDataset(Dataset[T_co]):
    """The given datasets, one after the other.

    Raises ValueError when there is none and TypeError for an `IterableDataset`, which has no index.
    """

    datasets: list[Dataset[T_co]]
    cumulative_sizes: list[int]

    def __init__(self, datasets: Iterable[Dataset[T_co]]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset: expected at least one dataset")
        for i, dataset in enumerate(self.datasets):
            if isinstance(dataset, IterableDataset):
                raise TypeError(f"ConcatDataset: datasets[{i}] is an IterableDataset, which has no index")
        self.cumulative_sizes = list(accumulate(len(cast(Any, dataset)) for dataset in self.datasets))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> T_co:
        n = len(self)
        if not -n <= index < n:
            raise IndexError(f"ConcatDataset: index {index} is out of range for {n} samples")
        index %= n
        which = bisect_right(self.cumulative_sizes, index)
        return self.datasets[which][index - (self.cumulative_sizes[which - 1] if which else 0)]


class Subset(Dataset[T_co]):
    """Sample i is dataset[indices[i]]."""

    dataset: Dataset[T_co]
    indices: Sequence[int]

    def __init__(self, dataset: Dataset[T_co], indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, index: Any) -> T_co:
        if isinstance(index, list):
            return self.dataset[cast(Any, [self.indices[i] for i in index])]
        return self.dataset[self.indices[index]]

    def __getitems__(self, indices: list[int]) -> list[T_co]:
        mapped = [self.indices[i] for i in indices]
        getitems = getattr(self.dataset, "__getitems__", None)
        if getitems is not None:
            return cast("list[T_co]", getitems(mapped))
        return [self.dataset[i] for i in mapped]

    def __getbatch__(self, indices: list[int]) -> Any:
        getbatch = getattr(self.dataset, "__getbatch__", None)
        if getbatch is None or type(self).__getitem__ is not Subset.__getitem__:
            return None
        return getbatch([self.indices[i] for i in indices])

    def __len__(self) -> int:
        return len(self.indices)


def random_split(
    dataset: Dataset[T_co], lengths: Sequence[int | float], generator: Generator | None = None
) -> list[Subset[T_co]]:
    """Cuts a random permutation of the dataset into subsets of the given lengths.

    Fractions that sum to 1 are turned into floor(fraction * n); what is left over is dealt out one by one
    from the first subset on. Raises ValueError when the lengths do not sum to the dataset's, or a fraction is
    not in [0, 1].
    """
    n = len(cast(Any, dataset))
    if math.isclose(sum(lengths), 1):
        sizes = sizes_of_fractions("random_split", lengths, n)
    elif any(length != int(length) or length < 0 for length in lengths):
        raise ValueError(
            f"random_split: lengths must be sizes or fractions that sum to 1, got {list(lengths)} (sum {sum(lengths)})"
        )
    else:
        sizes = [int(length) for length in lengths]
    if sum(sizes) != n:
        raise ValueError(f"random_split: lengths sum to {sum(sizes)}, the dataset has {n} samples")
    order = pullback.randperm(n, generator=generator).tolist()
    ends = accumulate(sizes)
    return [Subset(dataset, order[end - size : end]) for end, size in zip(ends, sizes, strict=True)]


def sizes_of_fractions(op: str, fractions: Sequence[int | float], n: int) -> list[int]:
    """floor(fraction * n) for each fraction, what is left over dealt out one by one; `op` asks."""
    for i, fraction in enumerate(fractions):
        if not 0 <= fraction <= 1:
            raise ValueError(f"{op}: fraction {i} must be in [0, 1], got {fraction}")
    if not math.isclose(sum(fractions), 1):
        raise ValueError(f"{op}: fractions must sum to 1, got {list(fractions)} (sum {sum(fractions)})")
    sizes = [math.floor(n * fraction) for fraction in fractions]
    for i in range(n - sum(sizes)):
        sizes[i % len(sizes)] += 1
    return sizes
