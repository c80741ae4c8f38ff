"""Splits that keep the proportions of the classes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

import pullback
from pullback import Generator
from pullback.utils.data import Dataset, Subset
from pullback.utils.data.dataset import sizes_of_fractions


def stratified_indices(
    labels: Any, fractions: Sequence[float], generator: Generator | None = None, op: str = "stratified_indices"
) -> list[NDArray[np.int64]]:
    """The indices of N samples, dealt at random into parts in which each class has its share; ascending in each part.

    `labels` is a tensor, array or list of N classes. ValueError unless the fractions sum to 1.
    """
    classes = np.asarray(labels.numpy() if isinstance(labels, pullback.Tensor) else labels)
    order = np.asarray(pullback.randperm(len(classes), generator=generator).tolist(), dtype=np.int64)
    parts: list[list[Any]] = [[] for _ in fractions]
    for label in np.unique(classes):
        members = order[classes[order] == label]
        ends = list(accumulate(sizes_of_fractions(op, fractions, len(members))))
        for part, piece in zip(parts, np.split(members, ends[:-1]), strict=True):
            part.append(piece)
    return [np.sort(np.concatenate([order[:0], *part])) for part in parts]


def stratified_split(
    dataset: Dataset[Any], fractions: Sequence[float], generator: Generator | None = None
) -> list[Subset[Any]]:
    """Random subsets in which each class has its share: as `random_split` with fractions, class by class.

    The classes are those of `dataset.targets`, a tensor, array or list of N labels. The indices of each
    subset are in ascending order. Raises TypeError when the dataset has no targets, ValueError unless the
    fractions sum to 1.
    """
    targets = getattr(dataset, "targets", None)
    if targets is None:
        raise TypeError(f"stratified_split: {type(dataset).__name__} has no targets")
    parts = stratified_indices(targets, fractions, generator, op="stratified_split")
    return [Subset(dataset, part.tolist()) for part in parts]
