"""What a computation costs: kernel launches, which are counted, and time, which is measured."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pullback
from pullback import _cpu


def launches(run: Callable[[], Any]) -> int:
    """The kernel launches of one run; a run before it lets caches come into being."""
    run()
    before = sum(_cpu.launch_counts().values())
    run()
    return int(sum(_cpu.launch_counts().values()) - before)


def milliseconds(run: Callable[[], Any], seconds: float) -> float:
    """Processor time of the fastest of as many runs as fit into some seconds, at least 3, on one thread."""
    threads = pullback.get_num_threads()
    pullback.set_num_threads(1)
    try:
        run()
        times: list[float] = []
        while len(times) < 3 or sum(times) < seconds:
            start = time.process_time()
            run()
            times.append(time.process_time() - start)
    finally:
        pullback.set_num_threads(threads)
    return 1e3 * min(times)
