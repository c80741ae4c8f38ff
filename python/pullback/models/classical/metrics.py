"""How good predictions are: accuracy, confusion matrix, ROC curve."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import pullback
from pullback import Tensor
from pullback.models.classical._data import as_array, as_signs, as_vector

__all__ = ["RocCurve", "accuracy", "confusion_matrix", "roc_curve"]


def _paired(op: str, predicted: Any, labels: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    p, y = as_array(predicted), as_array(labels)
    if p.ndim != 1 or p.shape != y.shape or not p.size:
        raise ValueError(f"{op}: predicted and labels expect one [N], N ≥ 1, got {list(p.shape)} and {list(y.shape)}")
    return p, y


def accuracy(predicted: Any, labels: Any) -> float:
    """The share of predictions [N] that are the label [N]. ValueError for other shapes."""
    p, y = _paired("accuracy", predicted, labels)
    return float((p == y).mean())


def confusion_matrix(predicted: Any, labels: Any, num_classes: int | None = None) -> Tensor:
    """C int64 [K, K]: C_ij samples of class i were taken for class j; classes 0, …, K − 1, K the largest found + 1 unless
    given. ValueError for other shapes, and for classes that are no ints of 0, …, K − 1."""
    p, y = _paired("confusion_matrix", predicted, labels)
    both = np.concatenate([p, y])
    if both.dtype.kind not in "iub":
        raise ValueError(f"confusion_matrix: classes expect ints, got {both.dtype}")
    k = int(both.max()) + 1 if num_classes is None else num_classes
    if both.min() < 0 or both.max() >= k:
        raise ValueError(f"confusion_matrix: classes expect 0 to {k - 1}, got {both.min()} to {both.max()}")
    counts = np.bincount(y.astype(np.int64) * k + p.astype(np.int64), minlength=k * k)
    return pullback.from_numpy(counts.astype(np.int64).reshape(k, k))


class RocCurve(NamedTuple):
    """The points that a falling threshold passes; the first is (0, 0) at threshold ∞."""

    false_positive_rate: Tensor
    true_positive_rate: Tensor
    thresholds: Tensor
    area: float  # under the curve: the probability that a positive scores above a negative, ties counting half


def roc_curve(scores: Any, labels: Any) -> RocCurve:
    """The rates of false and true positives of "score ≥ t is positive" for each score t, highest first.

    scores [N], labels [N] of {0, 1} or {−1, 1}. ValueError for other shapes, scores that are not finite, one class only.
    """
    n = len(as_array(scores))
    score = as_vector("roc_curve", "scores", scores, n).numpy()
    positive = as_signs("roc_curve", labels, n).numpy() > 0
    order = np.argsort(-score, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(score[order])), n - 1)  # the last of each run of equal scores
    true = np.concatenate([[0], np.cumsum(positive[order])[ends]]) / positive.sum()
    false = np.concatenate([[0], np.cumsum(~positive[order])[ends]]) / (~positive).sum()
    thresholds = np.concatenate([[np.inf], score[order][ends]])
    area = float(np.sum(np.diff(false) * (true[1:] + true[:-1]) / 2))
    rates = pullback.from_numpy(false), pullback.from_numpy(true)
    return RocCurve(*rates, pullback.from_numpy(thresholds), area)
