"""The classical learning machines: perceptron, single neurons, logistic regression, the dense network, and what goes with them.

Functions take tensors or arrays [N, D] and compute in doubles. `pullback.models.classical.estimators` has them as
scikit-learn estimators (extra `sklearn`).
"""

from pullback.datasets import stratified_indices
from pullback.models.classical._data import ConvergenceWarning, embed
from pullback.models.classical.descent import Conditioning, DivergenceError, conditioning, descend
from pullback.models.classical.layers import FeedForward, PerNeuron, relu
from pullback.models.classical.logistic import LogisticFit, logistic_descent, logistic_loss, logistic_regression
from pullback.models.classical.metrics import RocCurve, accuracy, confusion_matrix, roc_curve
from pullback.models.classical.network import DeepNetwork
from pullback.models.classical.neuron import (
    LinearFit,
    heaviside_unit,
    hebbian,
    least_squares,
    least_squares_descent,
    oja,
)
from pullback.models.classical.perceptron import PerceptronFit, UpdateBound, perceptron, update_bound, widest_separator
from pullback.models.classical.scalers import ConstantFeatureWarning, MinMaxScaler, StandardScaler

__all__ = [
    "Conditioning",
    "ConstantFeatureWarning",
    "ConvergenceWarning",
    "DeepNetwork",
    "DivergenceError",
    "FeedForward",
    "LinearFit",
    "LogisticFit",
    "MinMaxScaler",
    "PerNeuron",
    "PerceptronFit",
    "RocCurve",
    "StandardScaler",
    "UpdateBound",
    "accuracy",
    "conditioning",
    "confusion_matrix",
    "descend",
    "embed",
    "heaviside_unit",
    "hebbian",
    "least_squares",
    "least_squares_descent",
    "logistic_descent",
    "logistic_loss",
    "logistic_regression",
    "oja",
    "perceptron",
    "relu",
    "roc_curve",
    "stratified_indices",
    "update_bound",
    "widest_separator",
]
