"""Samplers: the order in which a dataset's indices are visited."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from itertools import islice
from typing import Any, Generic, TypeVar

import numpy as np

import pullback
from pullback import Generator

T_co = TypeVar("T_co", covariant=True)


class Sampler(Generic[T_co]):
    """An iterable of indices or of lists of them. Subclasses define `__iter__` and, if known, `__len__`."""

    def __init__(self, data_source: Sized | None = None) -> None:
        pass

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__} does not define __iter__")


class SequentialSampler(Sampler[int]):
    """0, 1, ..., len(data_source) - 1."""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler[int]):
    """Indices in random order: permutations, or with `replacement` independent draws.

    `num_samples` is the length of the source unless given; more than that without replacement is one
    permutation after another. Raises TypeError and ValueError for a `num_samples` that is not a positive
    integer.
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        if not isinstance(replacement, bool):
            raise TypeError(f"RandomSampler: replacement must be a bool, got {replacement!r}")
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator
        _check_positive("RandomSampler", "num_samples", self.num_samples)

    @property
    def num_samples(self) -> int:
        """How many indices one pass yields; by default what the source holds at that moment."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        n, left = len(self.data_source), self.num_samples
        if self.replacement:
            yield from pullback.randint(0, n, (left,), generator=self.generator).tolist()
            return
        while left > 0:
            yield from pullback.randperm(n, generator=self.generator).tolist()[:left]
            left -= n

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler[int]):
    """The given indices in random order."""

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        for i in pullback.randperm(len(self.indices), generator=self.generator).tolist():
            yield self.indices[i]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """Index i with probability weights[i] / Σ weights, `num_samples` times.

    With `replacement` the draws are independent: i = min {i : Σ_{j<=i} w_j > u Σ w}, u uniform in [0, 1).
    Without, each index comes at most once: the `num_samples` smallest of −log(1 − u_i) / w_i, in that order
    (the exponential race of Efraimidis and Spirakis, 2006), which needs as many positive weights.
    Raises ValueError for weights that are negative, not finite or all zero.
    """

    def __init__(
        self,
        weights: Sequence[float],
        num_samples: int,
        replacement: bool = True,
        generator: Generator | None = None,
    ) -> None:
        if not isinstance(replacement, bool):
            raise TypeError(f"WeightedRandomSampler: replacement must be a bool, got {replacement!r}")
        _check_positive("WeightedRandomSampler", "num_samples", num_samples)
        self.weights = np.array(weights, dtype=np.float64)
        if self.weights.ndim != 1:
            raise ValueError(
                f"WeightedRandomSampler: weights must have one dimension, got shape {list(self.weights.shape)}"
            )
        if not (np.isfinite(self.weights).all() and (self.weights >= 0).all() and self.weights.any()):
            raise ValueError("WeightedRandomSampler: weights must be finite, not negative and not all zero")
        positive = int(np.count_nonzero(self.weights))
        if not replacement and num_samples > positive:
            raise ValueError(
                f"WeightedRandomSampler: num_samples {num_samples} exceeds the {positive} positive weights, "
                "and replacement is False"
            )
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        candidates = np.flatnonzero(self.weights)
        size = self.num_samples if self.replacement else len(candidates)
        u = pullback.rand(size, generator=self.generator, dtype=pullback.float64).numpy()
        weights = self.weights[candidates]
        if self.replacement:
            cumulative = np.cumsum(weights)
            # u times the total may round up to the total itself: the last index is meant then.
            drawn = np.searchsorted(cumulative, u * cumulative[-1], side="right").clip(max=len(candidates) - 1)
        else:
            drawn = np.argsort(-np.log1p(-u) / weights, kind="stable")[: self.num_samples]
        return iter(candidates[drawn].tolist())

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """Lists of `batch_size` indices taken from another sampler; the last may be shorter, or is left out.

    Raises TypeError and ValueError for a `batch_size` that is not a positive integer.
    """

    def __init__(self, sampler: Sampler[int] | Iterable[int], batch_size: int, drop_last: bool) -> None:
        _check_positive("BatchSampler", "batch_size", batch_size)
        if not isinstance(drop_last, bool):
            raise TypeError(f"BatchSampler: drop_last must be a bool, got {drop_last!r}")
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        indices = iter(self.sampler)
        while batch := list(islice(indices, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch

    def __len__(self) -> int:
        n = len(self.sampler)  # type: ignore[arg-type]
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)


def _check_positive(op: str, name: str, value: Any) -> None:
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool):
        raise TypeError(f"{op}: {name} must be a positive integer, got {value!r}")
    if value <= 0:
        raise ValueError(f"{op}: {name} must be a positive integer, got {value}")
