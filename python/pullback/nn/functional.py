"""PyTorch's `torch.nn.functional`: the ops that layers are made of, and a few functions written in ops."""

from __future__ import annotations

import warnings
from typing import Any

from pullback._autocast import cast
from pullback._dtype import of_computing
from pullback._tensor import Tensor
from pullback.ops import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    celu,
    celu_,
    cosine_embedding_loss,
    cross_entropy,
    dropout,
    einsum,
    elu,
    elu_,
    embedding,
    gaussian_nll_loss,
    gelu,
    hardsigmoid,
    hardswish,
    hardtanh,
    hardtanh_,
    hinge_embedding_loss,
    huber_loss,
    kl_div,
    l1_loss,
    leaky_relu,
    leaky_relu_,
    linear,
    linear_relu,
    linear_sigmoid,
    linear_tanh,
    log_softmax as _log_softmax,
    logsigmoid,
    margin_ranking_loss,
    mish,
    mse_loss,
    nll_loss,
    norm,
    one_hot,
    pairwise_distance,
    poisson_nll_loss,
    prelu,
    relu,
    relu6,
    relu_,
    selu,
    selu_,
    sigmoid,
    silu,
    smooth_l1_loss,
    soft_margin_loss,
    softmax as _softmax,
    softplus,
    softsign,
    tanh,
    threshold,
    threshold_,
    triplet_margin_loss,
)
from pullback.ops.padding import pad

__all__ = [
    "alpha_dropout",
    "bilinear",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "celu",
    "celu_",
    "cosine_embedding_loss",
    "cosine_similarity",
    "cross_entropy",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "elu",
    "elu_",
    "embedding",
    "gaussian_nll_loss",
    "gelu",
    "glu",
    "gumbel_softmax",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "hardtanh_",
    "hinge_embedding_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "leaky_relu",
    "leaky_relu_",
    "linear",
    "linear_relu",
    "linear_sigmoid",
    "linear_tanh",
    "log_softmax",
    "logsigmoid",
    "margin_ranking_loss",
    "mish",
    "mse_loss",
    "nll_loss",
    "normalize",
    "one_hot",
    "pad",
    "pairwise_distance",
    "poisson_nll_loss",
    "prelu",
    "relu",
    "relu6",
    "relu_",
    "selu",
    "selu_",
    "sigmoid",
    "silu",
    "smooth_l1_loss",
    "soft_margin_loss",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "tanhshrink",
    "threshold",
    "threshold_",
    "triplet_margin_loss",
]


# --- activations ------------------------------------------------------------------------------------------------------


def _chosen_dim(op: str, dim: int | None, input: Tensor) -> int:
    """The dimension, or the one that PyTorch takes where none is given, with a warning."""
    if dim is not None:
        return dim
    dim = 0 if input.ndim in (0, 1, 3) else 1
    warnings.warn(f"{op}: dim was left out, so dimension {dim} is taken; this is deprecated, pass dim", stacklevel=3)
    return dim


def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """e^(x_i) / Σ_k e^(x_k) along `dim`, computed in `dtype` where one is given."""
    return _softmax(input, _chosen_dim("softmax", dim, input), dtype=dtype)


def log_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """x_i − ln Σ_k e^(x_k) along `dim`, computed in `dtype` where one is given."""
    return _log_softmax(input, _chosen_dim("log_softmax", dim, input), dtype=dtype)


def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """The softmax of −x along `dim`."""
    return _softmax(-input, _chosen_dim("softmin", dim, input), dtype=dtype)


def tanhshrink(input: Tensor) -> Tensor:
    """x − tanh x."""
    return input - input.tanh()


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x where |x| > λ, else 0."""
    return input.masked_fill(input.abs() <= lambd, 0)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x − λ where x > λ, x + λ where x < −λ, else 0. RuntimeError for λ < 0."""
    if lambd < 0:
        raise RuntimeError(f"softshrink: lambd expects a number ≥ 0, got {lambd}")
    wide = input.to(of_computing(input.dtype))  # λ is not rounded, nor what x loses
    return (wide - wide.clamp(-lambd, lambd)).to(input.dtype)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """a σ(b), where a and b are the halves of x along `dim`. RuntimeError for an odd size."""
    if input.shape[dim] % 2:
        raise RuntimeError(f"glu: dimension {dim} expects an even size, got shape {list(input.shape)}")
    a, b = input.chunk(2, dim)
    return a * b.sigmoid()


def gumbel_softmax(logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Tensor:
    """softmax((x + g) / τ) with Gumbel noise g = −ln E, E exponential (Jang et al. 2017).

    `hard` returns the one-hot vector of the largest, with the gradient of the soft one.
    """
    from pullback.ops import empty_like, zeros_like

    uniform = empty_like(logits).uniform_()
    gumbel = -(-(1 - uniform).log()).log()  # 1 − u is never 0
    soft: Tensor = softmax((logits + gumbel) / tau, dim)
    if not hard:
        return soft
    index = soft.detach().argmax(dim, keepdim=True)
    return zeros_like(logits).scatter_(dim, index, 1.0) - soft.detach() + soft


# --- dropout ----------------------------------------------------------------------------------------------------------


def _check_probability(op: str, p: float) -> None:
    if not 0 <= p <= 1:
        raise ValueError(f"{op}: p expects a probability between 0 and 1, got {p}")


def _drop_channels(op: str, input: Tensor, p: float, training: bool, inplace: bool, ndim: int) -> Tensor:
    """Dropout with one decision a channel: [N, C, …], or [C, …] where the batch is missing."""
    _check_probability(op, p)
    if input.ndim not in (ndim, ndim - 1):
        raise RuntimeError(f"{op}: input expects {ndim} or {ndim - 1} dimensions, got shape {list(input.shape)}")
    if not training or p == 0:
        return input
    channels = input.shape[: input.ndim - ndim + 2]
    mask = dropout(input.new_ones((*channels, *[1] * (ndim - 2))), p, True)
    return input.mul_(mask) if inplace else input * mask


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zeros whole channels of [N, C, L] or [C, L] with probability p and scales the others by 1/(1 − p)."""
    return _drop_channels("dropout1d", input, p, training, inplace, 3)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zeros whole channels of [N, C, H, W] or [C, H, W] with probability p and scales the others by 1/(1 − p)."""
    return _drop_channels("dropout2d", input, p, training, inplace, 4)


def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zeros whole channels of [N, C, D, H, W] or [C, D, H, W] with probability p and scales the others by 1/(1 − p)."""
    return _drop_channels("dropout3d", input, p, training, inplace, 5)


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Sets elements to −1.7581 (SELU's limit) with probability p, then a x + b, so that mean 0 and variance 1 stay.

    a = 1/√((1 − p)(1 + p α²)), b = a p α with α = 1.7581 (Klambauer et al. 2017).
    """
    _check_probability("alpha_dropout", p)
    if not training or p == 0:
        return input
    if p == 1:
        return input.mul_(0) if inplace else input * 0
    alpha = 1.7580993408473766
    a = ((1 - p) * (1 + p * alpha**2)) ** -0.5
    kept = dropout(input.new_ones(input.shape), p, True) * (1 - p)
    result = (input * kept - alpha * (1 - kept)) * a + p * alpha * a
    return input.copy_(result) if inplace else result


# --- linear maps and distances ----------------------------------------------------------------------------------------


@cast
def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y_k = x₁ᵀ A_k x₂ + b_k with x₁ [*, I], x₂ [*, J], A [K, I, J], b [K], y [*, K]. RuntimeError for other shapes."""
    expected = [input1.shape[-1], input2.shape[-1]]
    if weight.ndim != 3 or list(weight.shape[1:]) != expected or input1.shape[:-1] != input2.shape[:-1]:
        raise RuntimeError(
            f"bilinear: weight expects [K, {expected[0]}, {expected[1]}] and inputs the same leading dimensions, got "
            f"{list(weight.shape)} for inputs {list(input1.shape)} and {list(input2.shape)}"
        )
    y: Tensor = einsum("...i,kij,...j->...k", input1, weight, input2)
    return y if bias is None else y + bias


def normalize(input: Tensor, p: float = 2.0, dim: int | tuple[int, ...] = 1, eps: float = 1e-12) -> Tensor:
    """x / max(‖x‖_p, eps) along `dim`."""
    return input / norm(input, p, dim, keepdim=True).clamp(min=eps)


@cast
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """Σ x₁x₂ / (max(‖x₁‖, eps) max(‖x₂‖, eps)) along `dim`."""
    a = x1 / norm(x1, 2, dim, keepdim=True).clamp(min=eps)
    b = x2 / norm(x2, 2, dim, keepdim=True).clamp(min=eps)
    return (a * b).sum(dim)
