"""Models that are ready to train."""

from pullback.models.mlp import MLP

__all__ = ["MLP"]
