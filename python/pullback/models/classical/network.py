"""The deep dense network as seed 000, section 4, writes it, with its gradients by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pullback
from pullback import Tensor, nn
from pullback.models.classical._data import as_array, check_finite
from pullback.models.classical.descent import descend
from pullback.models.classical.layers import relu, relu_derivative
from pullback.nn import functional as F
from pullback.optim import SGD, Optimizer

__all__ = ["DeepNetwork"]


class DeepNetwork(nn.Module):
    """H₀ = X,  Z_i = H_{i−1} W_i + b_i,  H_i = ReLU(Z_i) for i < d,  Ŷ = H_d = softmax(Z_d).

    Args:
        sizes: n₀, …, n_d; W_i is [n_{i−1}, n_i], the transpose of `nn.Linear`'s weight.
        initialize: fills a weight of `nn.Linear`'s orientation [n_i, n_{i−1}]; standard normal as in the text
            unless given. The b_i start at 0.
        derivative_at_zero: r'(0), 0 unless given; the text's proposition 5.2 takes 1.

    `W[i − 1]` and `b[i − 1]` are the text's W_i and b_i. Seed 000, section 4; seed 001, section 5. ValueError for sizes
    below 1 or fewer than two.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        initialize: Callable[[Tensor], Any] = nn.init.normal_,
        derivative_at_zero: float = 0.0,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if len(sizes) < 2 or min(sizes) < 1:
            raise ValueError(f"DeepNetwork: sizes expects two or more positive ints, got {list(sizes)}")
        self.sizes = list(sizes)
        self.derivative_at_zero = derivative_at_zero
        self.W = nn.ParameterList([pullback.empty(n, m, dtype=dtype) for n, m in zip(sizes, sizes[1:])])
        self.b = nn.ParameterList([pullback.zeros(m, dtype=dtype) for m in sizes[1:]])
        with pullback.no_grad():
            for weight in self.W:
                initialize(weight.t())

    def states(self, X: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """The text's lists Z and H for X [N, n₀]: Z[i] and H[i] are [N, n_i]; Z[0] = H[0] = X."""
        Z, H = [X], [X]
        for i, (W, b) in enumerate(zip(self.W, self.b), 1):
            Z.append(H[-1] @ W + b)
            last = i == len(self.sizes) - 1
            H.append(F.softmax(Z[-1], 1) if last else relu(Z[-1], self.derivative_at_zero))
        return Z, H

    def forward(self, X: Tensor) -> Tensor:
        """Ŷ [N, n_d]: the probability of each class."""
        return self.states(X)[1][-1]

    def predict(self, X: Tensor) -> Tensor:
        """The class 0, …, n_d − 1 with the highest probability, [N]."""
        with pullback.no_grad():
            return self.states(X)[0][-1].argmax(1)

    def loss(self, X: Tensor, Y: Tensor) -> Tensor:
        """L = −(1/N) Σ_i Σ_j y_ij log ŷ_ij, for labels Y [N] of 0, …, n_d − 1, or one-hot rows [N, n_d]."""
        return F.cross_entropy(self.states(X)[0][-1], Y)

    def gradients(self, X: Tensor, Y: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """∇L(W_1), …, ∇L(W_d) and ∇L(b_1), …, ∇L(b_d) by the text's formulas, without the tape:

        ∇L(Z_d) = (Ŷ − Y)/N,  ∇L(H_i) = ∇L(Z_{i+1}) W_{i+1}ᵀ,  ∇L(Z_i) = ∇L(H_i) ∗ r'(Z_i),
        ∇L(W_i) = H_{i−1}ᵀ ∇L(Z_i),  ∇L(b_i) = Σ_rows ∇L(Z_i).

        The text's last line for W_d lacks the 1/N that its loss has.
        """
        with pullback.no_grad():
            Z, H = self.states(X)
            y = Y if Y.ndim == 2 else F.one_hot(Y, self.sizes[-1]).to(X.dtype)
            dZ = (H[-1] - y) / X.shape[0]
            dW, db = [], []
            for i in range(len(self.sizes) - 1, 0, -1):
                dW.append(H[i - 1].t() @ dZ)
                db.append(dZ.sum(0))
                if i > 1:
                    dH = dZ @ self.W[i - 1].t()
                    dZ = dH * relu_derivative(Z[i - 1], self.derivative_at_zero)
        return dW[::-1], db[::-1]

    def fit(
        self, X: Tensor, Y: Tensor, epochs: int, lr: float = 0.1, optimizer: Optimizer | None = None
    ) -> list[float]:
        """The text's training loop: `epochs` steps of gradient descent on all samples; the losses, first to last.

        Another optimizer of the parameters may be given instead of `lr`. ValueError where X is not finite, IndexError for a
        label that is no class, DivergenceError as `descend`.
        """
        check_finite("DeepNetwork.fit", "X", as_array(X))
        chosen = SGD(self.parameters(), lr=lr) if optimizer is None else optimizer
        return descend(lambda: self.loss(X, Y), chosen, epochs, op="DeepNetwork.fit")

    def extra_repr(self) -> str:
        """The sizes."""
        return f"sizes={self.sizes}"
