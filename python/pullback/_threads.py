"""How many threads kernels use."""

from __future__ import annotations

import operator
from typing import SupportsIndex

from pullback import _cpu


def get_num_threads() -> int:
    """The number of threads that kernels use, the calling one included.

    At first it is OMP_NUM_THREADS, else the number of cores that the process may use (its affinity mask and its
    container's quota). Source: torch.get_num_threads.
    """
    return _cpu.num_threads()


def set_num_threads(num: SupportsIndex) -> None:
    """Let kernels use this many threads, at most 1024; it may exceed the number of cores. Results do not depend on it.

    Raises RuntimeError for what is no integer of at least 1. Source: torch.set_num_threads.
    """
    if isinstance(num, bool) or not hasattr(num, "__index__"):
        raise RuntimeError(f"set_num_threads: expected an int, got {type(num).__name__}")
    number = operator.index(num)
    if number < 1:
        raise RuntimeError(f"set_num_threads: expected a positive integer, got {number}")
    _cpu.set_num_threads(min(number, 1024))
