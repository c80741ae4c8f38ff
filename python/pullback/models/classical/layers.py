"""Layers as sequences of maps, with an activation of each neuron's own (seed 002), and a ReLU that says what r'(0) is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pullback
from pullback import Tensor, nn
from pullback.autograd import Function

__all__ = ["FeedForward", "PerNeuron", "relu"]

Activation = Callable[[Tensor], Tensor]


class _ReLU(Function):
    """max(x, 0), whose derivative at 0 is given."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, at_zero: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.at_zero = at_zero
        return pullback.relu(x)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return dy * relu_derivative(x, ctx.at_zero), None


def relu_derivative(x: Tensor, at_zero: float = 0.0) -> Tensor:
    """1 where x > 0, 0 where x < 0, and `at_zero` at 0."""
    return pullback.heaviside(x, x.new_full((), at_zero))


def relu(x: Tensor, derivative_at_zero: float = 0.0) -> Tensor:
    """r(x) = max(x, 0) with r'(0) = `derivative_at_zero`: 0 in seed 001, section 2, and in every framework; 1 in seed 000,
    proposition 5.2. Any number between is a subgradient; ValueError for another."""
    if not 0 <= derivative_at_zero <= 1:
        raise ValueError(f"relu: derivative_at_zero expects a number of [0, 1], got {derivative_at_zero}")
    if derivative_at_zero == 0:
        return pullback.relu(x)
    y: Tensor = _ReLU.apply(x, derivative_at_zero)
    return y


class PerNeuron(nn.Module):
    """y_j = φ_j(x_j): an activation for each of the d neurons of a layer, x [*, d].

    Neurons with the same function are computed together. Seed 002, "multi-layer perceptrons as a sequence".
    ValueError for no activation; RuntimeError where x has another number of neurons.
    """

    def __init__(self, activations: Sequence[Activation]) -> None:
        super().__init__()
        if not activations:
            raise ValueError("PerNeuron: activations expects one function for each neuron, got none")
        self.activations = list(activations)
        self.learned = nn.ModuleList(
            dict.fromkeys(a for a in activations if isinstance(a, nn.Module))
        )  # registered once
        groups: dict[int, list[int]] = {}
        for j, activation in enumerate(self.activations):
            groups.setdefault(id(activation), []).append(j)
        self._groups = list(groups.values())
        flat = [j for group in self._groups for j in group]
        self._places = sorted(range(len(flat)), key=flat.__getitem__)  # where neuron j's value lies after grouping

    def forward(self, x: Tensor) -> Tensor:
        """[*, d] → [*, d]."""
        if x.shape[-1] != len(self.activations):
            raise RuntimeError(f"PerNeuron: x expects {len(self.activations)} neurons, got {list(x.shape)}")
        if len(self._groups) == 1:
            return self.activations[0](x)
        parts = [self.activations[g[0]](x[..., pullback.tensor(g)]) for g in self._groups]
        return pullback.cat(parts, -1)[..., pullback.tensor(self._places)]

    def extra_repr(self) -> str:
        """The functions' names."""
        return ", ".join(getattr(a, "__name__", type(a).__name__) for a in self.activations)


class FeedForward(nn.Module):
    """The sequence f⁽ˡ⁾ = φ⁽ˡ⁾ ∘ α⁽ˡ⁾ ∘ f⁽ˡ⁻¹⁾, f⁽⁰⁾ the input: affine maps α, layer-wide activations φ.

    Args:
        widths: d⁽⁰⁾, …, d⁽ᴸ⁾.
        activations: for each layer one function, or a sequence of d⁽ˡ⁾ functions, one a neuron.

    Seed 002, "multi-layer perceptrons as a sequence"; seed 004, section 1. ValueError where the numbers do not fit.
    """

    def __init__(
        self, widths: Sequence[int], activations: Sequence[Activation | Sequence[Activation]], dtype: Any = None
    ) -> None:
        super().__init__()
        if len(widths) < 2 or len(activations) != len(widths) - 1:
            raise ValueError(
                f"FeedForward: expected L + 1 widths and L activations, got {len(widths)} and {len(activations)}"
            )
        self.alpha = nn.ModuleList([nn.Linear(n, m, dtype=dtype) for n, m in zip(widths, widths[1:])])
        self.phi = nn.ModuleList()
        for width, given in zip(widths[1:], activations):
            chosen = [given] * width if callable(given) else list(given)
            if len(chosen) != width:
                raise ValueError(
                    f"FeedForward: a layer of {width} neurons expects as many activations, got {len(chosen)}"
                )
            self.phi.append(PerNeuron(chosen))

    @property
    def depth(self) -> int:
        """L."""
        return len(self.alpha)

    @property
    def width(self) -> int:
        """The largest d⁽ˡ⁾, l ≥ 1."""
        return max(len(layer.activations) for layer in self.phi)

    def states(self, x: Tensor) -> list[Tensor]:
        """f⁽⁰⁾(x), …, f⁽ᴸ⁾(x)."""
        found = [x]
        for alpha, phi in zip(self.alpha, self.phi):
            found.append(phi(alpha(found[-1])))
        return found

    def forward(self, x: Tensor) -> Tensor:
        """f⁽ᴸ⁾(x)."""
        return self.states(x)[-1]
