"""The multilayer perceptron: affine maps with an activation between them (seed 000, section 4; seed 001, section 3)."""

from __future__ import annotations

from collections.abc import Sequence

from pullback import Tensor, nn


class MLP(nn.Module):
    """x ↦ W_L σ(… σ(W₁ x + b₁) …) + b_L, with dropout after each σ = ReLU.

    Args:
        in_features: the number of values of one sample; x is flattened to [N, in_features].
        hidden: the widths of the layers in between; none makes the model linear.
        out_features: the number of classes; the result [N, out_features] holds logits.
        dropout: the probability with which a hidden value is set to 0 in training.

    Raises ValueError where a width is not positive.
    """

    def __init__(self, in_features: int, hidden: Sequence[int], out_features: int, dropout: float = 0.0) -> None:
        super().__init__()
        widths = [in_features, *hidden, out_features]
        if min(widths) < 1:
            raise ValueError(f"MLP: widths expect positive ints, got {widths}")
        layers: list[nn.Module] = [nn.Flatten()]
        for i, (n, m) in enumerate(zip(widths, widths[1:])):
            layers.append(nn.Linear(n, m))
            if i < len(hidden):
                layers.append(nn.ReLU())
                if dropout > 0:
                    layers.append(nn.Dropout(dropout))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """[N, …] → logits [N, out_features]."""
        logits: Tensor = self.layers(x)
        return logits
