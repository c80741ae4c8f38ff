"""The learning machines as scikit-learn estimators: for its pipelines, searches and scores. Needs the extra `sklearn`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, TransformerMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise ImportError(
        'pullback.models.classical.estimators needs scikit-learn 1.6: pip install "pullback[sklearn]"'
    ) from error

import pullback
from pullback import Generator, nn
from pullback.models import classical
from pullback.optim import Adam

__all__ = [
    "DeepNetworkClassifier",
    "LinearNeuron",
    "LogisticRegression",
    "MinMaxScaler",
    "OjaComponent",
    "Perceptron",
    "StandardScaler",
]


def _classes(estimator: Any, y: Any) -> Any:
    """The classes of y and each sample's; ValueError where there is one only."""
    check_classification_targets(y)
    classes, indices = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"{type(estimator).__name__}.fit: y expects two classes, got one class: {classes[0]}")
    return classes, indices


class _LinearClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Two classes on the two sides of the hyperplane ⟨coef_, x⟩ + intercept_ = 0."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags

    def _prepare(self, X: Any, y: Any) -> tuple[Any, Any]:
        X, y = validate_data(self, X, y)
        self.classes_, indices = _classes(self, y)
        if len(self.classes_) > 2:
            raise ValueError("Only binary classification is supported. The type of the target is multiclass.")
        return X, indices

    def _keep(self, weight: Any, bias: Any) -> None:
        self.coef_ = weight.numpy()[None, :]
        self.intercept_ = bias.numpy().reshape(1)

    def decision_function(self, X: Any) -> Any:
        """⟨w, x⟩ + b, [N]: positive for classes_[1]."""
        check_is_fitted(self)
        return validate_data(self, X, reset=False) @ self.coef_[0] + self.intercept_[0]

    def predict(self, X: Any) -> Any:
        """The class of each row."""
        check_is_fitted(self)
        return self.classes_[(self.decision_function(X) > 0).astype(int)]


class Perceptron(_LinearClassifier):
    """`classical.perceptron`. Fitted: `coef_` [1, D], `intercept_` [1], `n_updates_`, `n_iter_` (passes), `converged_`."""

    def __init__(self, max_updates: int = 10_000) -> None:
        self.max_updates = max_updates

    def fit(self, X: Any, y: Any) -> Perceptron:
        """Look for a separating hyperplane."""
        X, indices = self._prepare(X, y)
        found = classical.perceptron(X, indices, self.max_updates)
        self._keep(found.weight, found.bias)
        self.n_updates_, self.n_iter_, self.converged_ = found.updates, found.passes, found.converged
        return self


class LogisticRegression(_LinearClassifier):
    """`classical.logistic_regression` with scikit-learn's penalty: ½‖w‖² + C Σ log(1 + e^(−yz)), so λ = 1/(NC)."""

    def __init__(self, C: float = 1.0, tol: float = 1e-12, max_iter: int = 100) -> None:
        self.C = C
        self.tol = tol
        self.max_iter = max_iter

    def fit(self, X: Any, y: Any) -> LogisticRegression:
        """Minimize the loss. ValueError where C is not positive."""
        X, indices = self._prepare(X, y)
        if not self.C > 0:
            raise ValueError(f"LogisticRegression.fit: C expects a number > 0, got {self.C}")
        found = classical.logistic_regression(X, indices, 1 / (self.C * len(X)), self.tol, self.max_iter)
        self._keep(found.weight, found.bias)
        self.n_iter_ = len(found.losses) - 1
        return self

    def predict_proba(self, X: Any) -> Any:
        """σ(−z) and σ(z), [N, 2]."""
        z = pullback.from_numpy(self.decision_function(X))
        return pullback.stack([pullback.sigmoid(-z), pullback.sigmoid(z)], 1).numpy()


class LinearNeuron(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """`classical.least_squares`, with the penalty λ = `l2`. Fitted: `coef_` [D], `intercept_`, `rank_`."""

    def __init__(self, l2: float = 0.0) -> None:
        self.l2 = l2

    def fit(self, X: Any, y: Any) -> LinearNeuron:
        """Solve for the weights."""
        X, y = validate_data(self, X, y, y_numeric=True)
        found = classical.least_squares(X, y, self.l2)
        self.coef_, self.intercept_, self.rank_ = found.weight.numpy(), found.bias.item(), found.rank
        return self

    def predict(self, X: Any) -> Any:
        """⟨w, x⟩ + b, [N]."""
        check_is_fitted(self)
        return validate_data(self, X, reset=False) @ self.coef_ + self.intercept_


class DeepNetworkClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """`classical.DeepNetwork` with hidden layers of the widths `hidden`, on standardized features, weights from Kaiming's
    normal distribution, trained by Adam on all samples at once. Fitted: `network_`, `losses_`, `classes_`."""

    def __init__(
        self, hidden: Sequence[int] = (16,), lr: float = 0.02, epochs: int = 200, random_state: Any = None
    ) -> None:
        self.hidden = hidden
        self.lr = lr
        self.epochs = epochs
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> DeepNetworkClassifier:
        """Train from new weights."""
        X, y = validate_data(self, X, y, dtype=np.float64)
        self.classes_, indices = _classes(self, y)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        generator = Generator().manual_seed(seed)
        self.shift_, self.scale_ = X.mean(0), np.where(X.std(0) > 0, X.std(0), 1.0)
        self.network_ = classical.DeepNetwork(
            [X.shape[1], *self.hidden, len(self.classes_)],
            lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=generator),
            dtype=pullback.float64,
        )
        optimizer = Adam(self.network_.parameters(), lr=self.lr)
        self.losses_ = self.network_.fit(self._scaled(X), pullback.tensor(indices), self.epochs, optimizer=optimizer)
        return self

    def _scaled(self, X: Any) -> pullback.Tensor:
        return pullback.tensor((X - self.shift_) / self.scale_)

    def predict_proba(self, X: Any) -> Any:
        """Ŷ [N, K]."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        with pullback.no_grad():
            return self.network_(self._scaled(X)).numpy()

    def predict(self, X: Any) -> Any:
        """The class of each row."""
        check_is_fitted(self)
        return self.classes_[self.predict_proba(X).argmax(1)]


class OjaComponent(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """`classical.oja` on centred features of total variance 1: the first principal component. Fitted: `component_` [D] of
    length 1, `mean_`. The step is 1/`damping` of the largest that cannot diverge."""

    def __init__(self, damping: float = 20.0, epochs: int = 50, random_state: Any = None) -> None:
        self.damping = damping
        self.epochs = epochs
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> OjaComponent:
        """Learn the component."""
        X = validate_data(self, X, dtype=np.float64)
        self.mean_ = X.mean(0)
        centred = X - self.mean_
        longest = float((centred**2).sum(1).max()) or 1.0
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        generator = Generator().manual_seed(seed)
        w = classical.oja(centred, None, 2 / (self.damping * longest), self.epochs, generator)
        self.component_ = (w / w.norm()).numpy()
        return self

    def transform(self, X: Any) -> Any:
        """⟨w, x − mean⟩, [N, 1]."""
        check_is_fitted(self)
        return (validate_data(self, X, reset=False, dtype=np.float64) - self.mean_) @ self.component_[:, None]


class _Scaler(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A scaler of `classical` behind scikit-learn's methods. Fitted: `shift_`, `scale_`, both [D]."""

    _kind: Any

    def fit(self, X: Any, y: Any = None) -> Any:
        """Measure the features."""
        scaler = self._kind().fit(validate_data(self, X, dtype=np.float64))
        self.shift_, self.scale_ = scaler.shift.numpy(), scaler.scale.numpy()
        return self

    def transform(self, X: Any) -> Any:
        """(x − shift)/scale."""
        check_is_fitted(self)
        return (validate_data(self, X, reset=False, dtype=np.float64) - self.shift_) / self.scale_

    def inverse_transform(self, X: Any) -> Any:
        """x · scale + shift."""
        check_is_fitted(self)
        return np.asarray(X) * self.scale_ + self.shift_


class MinMaxScaler(_Scaler):
    """`classical.MinMaxScaler`."""

    _kind = classical.MinMaxScaler


class StandardScaler(_Scaler):
    """`classical.StandardScaler`; without `with_mean` the features are divided only."""

    _kind = classical.StandardScaler

    def __init__(self, with_mean: bool = True) -> None:
        self.with_mean = with_mean

    def fit(self, X: Any, y: Any = None) -> Any:
        """Measure the features."""
        super().fit(X)
        if not self.with_mean:
            self.shift_ = np.zeros_like(self.shift_)
        return self
