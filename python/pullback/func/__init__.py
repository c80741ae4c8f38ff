"""Derivatives of functions: PyTorch's `torch.func`.

A transform takes a function of tensors and returns a function. Transforms nest, and go on the tape like any op: `grad(grad(f))`,
`jacrev(grad(f))`, or `.backward()` through `jvp` of a function whose closure holds parameters.
"""

from pullback.func.batch import vmap
from pullback.func.derivative import grad, grad_and_value, jvp, linearize, vjp
from pullback.func.jacobian import hessian, jacfwd, jacrev
from pullback.func.module import functional_call, stack_module_state

__all__ = [
    "functional_call",
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "linearize",
    "stack_module_state",
    "vjp",
    "vmap",
]
