"""How one function is timed inside a worker."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from itertools import repeat
from typing import Any

Function = Callable[[], Any]


def seconds_of(function: Function, calls: int) -> float:
    """The mean time of one of `calls` calls in a row."""
    start = time.perf_counter_ns()
    for _ in repeat(None, calls):
        function()
    return (time.perf_counter_ns() - start) * 1e-9 / calls


def calibrate(function: Function, sample_s: float) -> int:
    """How many calls last as long as a sample should; also the warm-up."""
    calls = 1
    while True:
        elapsed = calls * seconds_of(function, calls)
        if elapsed >= sample_s / 4:
            return max(1, math.ceil(calls * sample_s / elapsed))
        calls *= 2 if elapsed == 0 else max(2, min(16, int(sample_s / 4 / elapsed)))


def measure(function: Function, calls: int, samples: int) -> list[float]:
    """Seconds of a call, a figure a sample, after a call or more that bring caches and threads back."""
    seconds_of(function, max(1, calls // 8))
    return [seconds_of(function, calls) for _ in range(samples)]
