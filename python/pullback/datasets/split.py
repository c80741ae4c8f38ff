"""Splits that keep the proportions of the classes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

import pullback
from pullback import Generator
from pullback.utils.data import Dataset, Subset
from pullback.utils.data.dataset import sizes_of_fractions


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
    labels = np.asarray(targets.numpy() if isinstance(targets, pullback.Tensor) else targets)
    order = np.asarray(pullback.randperm(len(labels), generator=generator).tolist(), dtype=np.int64)
    parts: list[list[Any]] = [[] for _ in fractions]
    for label in np.unique(labels):
        members = order[labels[order] == label]
        ends = list(accumulate(sizes_of_fractions("stratified_split", fractions, len(members))))
        for part, piece in zip(parts, np.split(members, ends[:-1]), strict=True):
            part.append(piece)
    return [Subset(dataset, np.sort(np.concatenate([order[:0], *part])).tolist()) for part in parts]
