"""The activations as modules; their formulas and pullbacks stand with the functions in `pullback.ops`."""

from __future__ import annotations

from typing import Any

from pullback._dtype import dtype as DType
from pullback._tensor import Tensor
from pullback.nn import functional as F
from pullback.nn.module import Module
from pullback.nn.parameter import Parameter


class _Inplace(Module):
    """An activation with no option but `inplace`."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def extra_repr(self) -> str:
        """The options."""
        return "inplace=True" if self.inplace else ""


class _WithDim(Module):
    """An activation along one dimension."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def extra_repr(self) -> str:
        """The dimension."""
        return f"dim={self.dim}"


class ReLU(_Inplace):
    """max(x, 0); its derivative at 0 is 0."""

    def forward(self, input: Tensor) -> Tensor:
        """max(x, 0)."""
        return F.relu_(input) if self.inplace else F.relu(input)


class ReLU6(_Inplace):
    """min(max(x, 0), 6)."""

    def forward(self, input: Tensor) -> Tensor:
        """min(max(x, 0), 6)."""
        return F.relu6(input, self.inplace)


class LeakyReLU(Module):
    """x where x > 0, else negative_slope · x."""

    def __init__(self, negative_slope: float = 1e-2, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope = negative_slope
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """x or negative_slope · x."""
        return F.leaky_relu(input, self.negative_slope, self.inplace)

    def extra_repr(self) -> str:
        """The options."""
        return f"negative_slope={self.negative_slope}" + (", inplace=True" if self.inplace else "")


class PReLU(Module):
    """x where x > 0, else a · x with a trained: one for all, or one for each channel (dimension 1)."""

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: DType | None = None
    ) -> None:
        from pullback.ops import full

        super().__init__()
        self.num_parameters = num_parameters
        self.init = init
        self.weight = Parameter(full((num_parameters,), float(init), device=device, dtype=dtype))

    def forward(self, input: Tensor) -> Tensor:
        """x or a · x."""
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        """The number of slopes."""
        return f"num_parameters={self.num_parameters}"


class _WithAlpha(Module):
    """An activation with a scale of its negative side."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha
        self.inplace = inplace

    def extra_repr(self) -> str:
        """The options."""
        return f"alpha={self.alpha}" + (", inplace=True" if self.inplace else "")


class ELU(_WithAlpha):
    """x where x > 0, else α (eˣ − 1)."""

    def forward(self, input: Tensor) -> Tensor:
        """x or α (eˣ − 1)."""
        return F.elu(input, self.alpha, self.inplace)


class CELU(_WithAlpha):
    """max(x, 0) + min(0, α (e^(x/α) − 1))."""

    def forward(self, input: Tensor) -> Tensor:
        """max(x, 0) + min(0, α (e^(x/α) − 1))."""
        return F.celu(input, self.alpha, self.inplace)


class SELU(_Inplace):
    """1.0507 · ELU(x) with α = 1.67326, which keeps mean 0 and variance 1 (Klambauer et al. 2017)."""

    def forward(self, input: Tensor) -> Tensor:
        """The scaled ELU."""
        return F.selu(input, self.inplace)


class GELU(Module):
    """x Φ(x) with the normal distribution function Φ; `approximate='tanh'` for the approximation."""

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        """x Φ(x)."""
        return F.gelu(input, approximate=self.approximate)

    def extra_repr(self) -> str:
        """The approximation."""
        return f"approximate={self.approximate!r}"


class SiLU(_Inplace):
    """x σ(x)."""

    def forward(self, input: Tensor) -> Tensor:
        """x σ(x)."""
        return F.silu(input, self.inplace)


class Mish(_Inplace):
    """x tanh(softplus(x))."""

    def forward(self, input: Tensor) -> Tensor:
        """x tanh(softplus(x))."""
        return F.mish(input, self.inplace)


class Softplus(Module):
    """ln(1 + e^(βx)) / β; x itself where βx > threshold."""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = beta
        self.threshold = threshold

    def forward(self, input: Tensor) -> Tensor:
        """ln(1 + e^(βx)) / β."""
        return F.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        """The options."""
        return f"beta={self.beta}, threshold={self.threshold}"


class Sigmoid(Module):
    """1 / (1 + e⁻ˣ)."""

    def forward(self, input: Tensor) -> Tensor:
        """1 / (1 + e⁻ˣ)."""
        return F.sigmoid(input)


class LogSigmoid(Module):
    """ln(1 / (1 + e⁻ˣ))."""

    def forward(self, input: Tensor) -> Tensor:
        """ln(1 / (1 + e⁻ˣ))."""
        return F.logsigmoid(input)


class Tanh(Module):
    """tanh x."""

    def forward(self, input: Tensor) -> Tensor:
        """tanh x."""
        return F.tanh(input)


class Tanhshrink(Module):
    """x − tanh x."""

    def forward(self, input: Tensor) -> Tensor:
        """x − tanh x."""
        return F.tanhshrink(input)


class Hardtanh(Module):
    """x clipped to [min_val, max_val]."""

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        if min_val >= max_val:
            raise ValueError(f"Hardtanh: expected min_val < max_val, got {min_val} and {max_val}")
        self.min_val = min_val
        self.max_val = max_val
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """x clipped."""
        return F.hardtanh(input, self.min_val, self.max_val, self.inplace)

    def extra_repr(self) -> str:
        """The bounds."""
        return f"min_val={self.min_val}, max_val={self.max_val}" + (", inplace=True" if self.inplace else "")


class Hardsigmoid(_Inplace):
    """min(max(x + 3, 0), 6) / 6."""

    def forward(self, input: Tensor) -> Tensor:
        """min(max(x + 3, 0), 6) / 6."""
        return F.hardsigmoid(input, self.inplace)

    def extra_repr(self) -> str:
        """Nothing, as in PyTorch."""
        return ""


class Hardswish(Hardsigmoid):
    """x · hardsigmoid(x)."""

    def forward(self, input: Tensor) -> Tensor:
        """x · hardsigmoid(x)."""
        return F.hardswish(input, self.inplace)


class Softsign(Module):
    """x / (1 + |x|)."""

    def forward(self, input: Tensor) -> Tensor:
        """x / (1 + |x|)."""
        return F.softsign(input)


class _WithLambda(Module):
    """An activation that is 0 around 0."""

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def extra_repr(self) -> str:
        """The half width."""
        return str(self.lambd)


class Softshrink(_WithLambda):
    """x − λ where x > λ, x + λ where x < −λ, else 0."""

    def forward(self, input: Tensor) -> Tensor:
        """x moved towards 0 by λ."""
        return F.softshrink(input, self.lambd)


class Hardshrink(_WithLambda):
    """x where |x| > λ, else 0."""

    def forward(self, input: Tensor) -> Tensor:
        """x or 0."""
        return F.hardshrink(input, self.lambd)


class Threshold(Module):
    """x where x > threshold, else value."""

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold = threshold
        self.value = value
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """x or the value."""
        return F.threshold(input, self.threshold, self.value, self.inplace)

    def extra_repr(self) -> str:
        """The options."""
        return f"threshold={self.threshold}, value={self.value}" + (", inplace=True" if self.inplace else "")


class GLU(Module):
    """a σ(b), where a and b are the halves of x along `dim`."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """a σ(b)."""
        return F.glu(input, self.dim)

    def extra_repr(self) -> str:
        """The dimension."""
        return f"dim={self.dim}"


class Softmax(_WithDim):
    """e^(x_i) / Σ_k e^(x_k) along `dim`."""

    def forward(self, input: Tensor) -> Tensor:
        """The softmax."""
        return F.softmax(input, self.dim)


class Softmin(_WithDim):
    """The softmax of −x along `dim`."""

    def forward(self, input: Tensor) -> Tensor:
        """The softmax of −x."""
        return F.softmin(input, self.dim)


class LogSoftmax(_WithDim):
    """x_i − ln Σ_k e^(x_k) along `dim`."""

    def forward(self, input: Tensor) -> Tensor:
        """The logarithm of the softmax."""
        return F.log_softmax(input, self.dim)
