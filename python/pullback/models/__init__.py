"""Models that are ready to train, and the classical learning machines."""

from pullback.models import classical
from pullback.models.mlp import MLP

__all__ = ["MLP", "classical"]
