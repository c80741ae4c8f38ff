"""Linear maps."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from pullback._dtype import dtype as DType
from pullback._tensor import Tensor
from pullback.nn import functional as F, init
from pullback.nn.module import Module, say_where
from pullback.nn.parameter import Parameter
from pullback.ops import empty


class Identity(Module):
    """y = x. Takes any arguments, so that it can stand in for another layer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        """The input itself."""
        return input


class Linear(Module):
    """y = x Wᵀ + b with x [*, in_features], W [out_features, in_features], y [*, out_features].

    W and b start uniform in ±1/√in_features, as in PyTorch.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.weight = Parameter(empty(out_features, in_features, device=device, dtype=dtype))
        self.bias: Parameter | None
        if bias:
            self.bias = Parameter(empty(out_features, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weight (Kaiming's uniform with a = √5, which is ±1/√in_features) and the bias anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features) if self.in_features > 0 else 0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        """x Wᵀ + b; RuntimeError where the last dimension of x is not `in_features`."""
        return F.linear(input, *self._weights())

    def _weights(self) -> tuple[Tensor, Tensor | None]:
        """W and b, past `__getattr__` where they are what they mostly are: parameters."""
        p = self._parameters
        if "weight" in p and "bias" in p:
            return p["weight"], p["bias"]  # type: ignore[return-value]
        return self.weight, self.bias

    def with_activation(self, op: Callable[..., Tensor], input: Tensor) -> Tensor:
        """f(x Wᵀ + b) by one of `linear_relu`, `linear_sigmoid`, `linear_tanh`."""
        try:
            return op(input, *self._weights())
        except Exception as error:
            say_where(self, error)
            raise

    def extra_repr(self) -> str:
        """The sizes."""
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Bilinear(Module):
    """y_k = x₁ᵀ A_k x₂ + b_k with x₁ [*, in1_features], x₂ [*, in2_features], A [out_features, in1, in2]."""

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        if in1_features <= 0:
            raise ValueError(f"Bilinear: in1_features expects a positive number, got {in1_features}")
        self.in1_features = in1_features
        self.in2_features = in2_features
        self.out_features = out_features
        self.weight = Parameter(empty(out_features, in1_features, in2_features, device=device, dtype=dtype))
        self.bias: Parameter | None
        if bias:
            self.bias = Parameter(empty(out_features, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew, uniform in ±1/√in1_features."""
        bound = 1 / math.sqrt(self.in1_features)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        """x₁ᵀ A x₂ + b."""
        return F.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes."""
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )
