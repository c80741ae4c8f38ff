"""Dropout as modules: active in training mode, the identity in evaluation mode."""

from __future__ import annotations

from pullback._tensor import Tensor
from pullback.nn import functional as F
from pullback.nn.module import Module


class _Dropout(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"{type(self).__name__}: p expects a probability between 0 and 1, got {p}")
        self.p = p
        self.inplace = inplace

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """Zeros each element with probability p and scales the others by 1/(1 − p)."""

    def forward(self, input: Tensor) -> Tensor:
        """Drop elements in training mode."""
        return F.dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_Dropout):
    """Zeros whole channels of [N, C, L] or [C, L] with probability p and scales the others by 1/(1 − p)."""

    def forward(self, input: Tensor) -> Tensor:
        """Drop channels in training mode."""
        return F.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_Dropout):
    """Zeros whole channels of [N, C, H, W] with probability p and scales the others by 1/(1 − p)."""

    def forward(self, input: Tensor) -> Tensor:
        """Drop channels in training mode."""
        return F.dropout2d(input, self.p, self.training, self.inplace)


class AlphaDropout(_Dropout):
    """Dropout for SELU networks: keeps mean 0 and variance 1 (Klambauer et al. 2017)."""

    def forward(self, input: Tensor) -> Tensor:
        """Drop elements in training mode."""
        return F.alpha_dropout(input, self.p, self.training, self.inplace)
