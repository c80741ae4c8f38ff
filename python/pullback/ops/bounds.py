"""What ops demand of the values of their arguments, compared by a kernel: nothing is read on the host, so that a GPU need not
wait and a step can be captured. The error comes at once on the CPU, from a GPU when somebody waits for it, and from
a captured step after its replay, before anything that stands behind the check there.

Kernels: csrc/kernels/bounds.cpp; the errors' words: csrc/runtime/launch.cpp.
"""

from __future__ import annotations

from pullback import _dtype
from pullback._tape import no_grad
from pullback._tensor import Tensor
from pullback.ops.extremum import amax, amin

__all__: list[str] = []


def check_bounds(op: str, x: Tensor, both: bool = True) -> None:
    """Let the op's kernel look at the least value of x and, if `both`, at the greatest."""
    if not x.numel():
        return
    with no_grad():
        x = x.detach()
        ends = [amin(x), amax(x)] if both else [amin(x)]
        if not x.dtype.is_floating_point:
            ends = [end.to(_dtype.float64) for end in ends]
    getattr(x.device.kernels, f"{op}_bounds")(*[end._array for end in ends])
