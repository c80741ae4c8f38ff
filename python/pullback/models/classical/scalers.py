"""Scalers: each feature brought to a common range by x' = (x − shift)/scale (seed 000, section 2)."""

from __future__ import annotations

import warnings
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

import pullback
from pullback import Tensor
from pullback.models.classical._data import as_features

__all__ = ["ConstantFeatureWarning", "MinMaxScaler", "StandardScaler"]

Array = NDArray[np.float64]
Scaler = TypeVar("Scaler", bound="_Scaler")


class ConstantFeatureWarning(UserWarning):
    """A feature has one value only: its scale would be 0."""


class _Scaler:
    """x' = (x − shift)/scale, both [D], measured by `fit`."""

    shift: Tensor
    scale: Tensor

    def _measure(self, x: Array) -> tuple[Array, Array]:
        raise NotImplementedError

    def fit(self: Scaler, x: Any) -> Scaler:
        """Measure the features of x [N, D]; returns the scaler. A constant feature gets the scale 1, which sends it to 0,
        and a `ConstantFeatureWarning`. ValueError unless x is finite and [N, D]."""
        name = type(self).__name__
        features = as_features(f"{name}.fit", x).numpy()
        constant = features.max(0) == features.min(0)
        if constant.any():
            columns = np.flatnonzero(constant).tolist()
            warnings.warn(
                f"{name}.fit: constant features are sent to 0: {columns}", ConstantFeatureWarning, stacklevel=2
            )
        shift, scale = self._measure(features)
        self.shift = pullback.from_numpy(np.where(constant, features[0], shift))
        self.scale = pullback.from_numpy(np.where(constant, 1.0, scale))
        return self

    def _checked(self, call: str, x: Any) -> Tensor:
        op = f"{type(self).__name__}.{call}"
        if not hasattr(self, "shift"):
            raise RuntimeError(f"{op}: call fit first")
        features = as_features(op, x)
        if features.shape[1] != len(self.shift):
            raise ValueError(f"{op}: x expects [N, {len(self.shift)}], got {list(features.shape)}")
        return features

    def transform(self, x: Any) -> Tensor:
        """(x − shift)/scale; RuntimeError before `fit`, ValueError for another number of features."""
        return (self._checked("transform", x) - self.shift) / self.scale

    def inverse_transform(self, x: Any) -> Tensor:
        """x · scale + shift; errors as `transform`."""
        return self._checked("inverse_transform", x) * self.scale + self.shift

    def fit_transform(self, x: Any) -> Tensor:
        """`fit`, then `transform`."""
        return self.fit(x).transform(x)


class MinMaxScaler(_Scaler):
    """x' = (x − x_min)/(x_max − x_min), feature by feature: into [0, 1]. Seed 000, section 2."""

    def _measure(self, x: Array) -> tuple[Array, Array]:
        return x.min(0), x.max(0) - x.min(0)


class StandardScaler(_Scaler):
    """x' = (x − μ)/σ, feature by feature: mean 0 and standard deviation 1, that of the N samples. Seed 000, section 2."""

    def _measure(self, x: Array) -> tuple[Array, Array]:
        return x.mean(0), x.std(0)
