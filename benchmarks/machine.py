"""The machine: its ceilings, and what is written about it beside every result."""

from __future__ import annotations

import datetime
import math
import platform
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

KIB = 1024
SIZES = [64 * KIB, 256 * KIB, 1024 * KIB, 4 << 20, 16 << 20, 64 << 20, 128 << 20, 256 << 20]
BANDWIDTHS = ("triad", "update", "read")


def measure_ceilings(sizes: list[int], threads: list[int]) -> dict[str, Any]:
    """Peak, bandwidths by the size of the working set, fork/join and its floor, an empty kernel call, by number of threads."""
    import numpy as np

    from benchmarks.timing import calibrate, measure
    from pullback import _cpu

    a, b = _cpu.empty((1,), np.dtype(np.float32)), _cpu.empty((1,), np.dtype(np.float32))
    _cpu.fill(a, 1.0)

    def empty_call() -> None:
        _cpu.copy(a, b)

    measured: dict[str, Any] = {}
    before = _cpu.num_threads()
    for n in threads:
        _cpu.set_num_threads(n)
        measured[str(n)] = {
            "peak_flops": max(_cpu.peak_flops() for _ in range(5)),
            **{kind: {str(size): getattr(_cpu, f"{kind}_bandwidth")(size) for size in sizes} for kind in BANDWIDTHS},
            "fork_join_s": _cpu.fork_join_seconds(),
            "round_trip_s": _cpu.round_trip_seconds(),
        }
    _cpu.set_num_threads(before)
    _cpu.memory_release()
    measured["empty_call_s"] = min(measure(empty_call, calibrate(empty_call, 0.01), 5))
    return measured


class Ceiling:
    """How fast a row could be: time ≥ max(FLOPs / peak, bytes read / read bandwidth, bytes / highest bandwidth).

    Bandwidths are those of a working set of the row's size. Reading alone is slower than reading and writing together where
    both directions have wires of their own, so the two are bounds of their own.
    """

    def __init__(self, measured: dict[str, Any]) -> None:
        self.peak = measured["peak_flops"]
        self.read = sorted((int(size), width) for size, width in measured["read"].items())
        self.any = [(size, max(measured[kind][str(size)] for kind in BANDWIDTHS)) for size, _ in self.read]

    def seconds(self, flops: float, reads: float, writes: float, footprint: float) -> tuple[float, str]:
        """The least time, and what sets it: "compute" or "memory"."""
        compute = flops / self.peak
        memory = max(reads / between(self.read, footprint), (reads + writes) / between(self.any, footprint))
        return (compute, "compute") if compute > memory else (memory, "memory")


def between(points: list[tuple[int, float]], size: float) -> float:
    """The bandwidth at a size: between two measured ones on a line in log–log, beyond them the nearest."""
    if size <= points[0][0]:
        return points[0][1]
    for (x, y), (u, v) in zip(points, points[1:]):
        if size <= u:
            t = math.log(size / x) / math.log(u / x)
            return math.exp((1 - t) * math.log(y) + t * math.log(v))
    return points[-1][1]


def git(root: Path, *command: str) -> str:
    """What git says, or nothing where it cannot."""
    try:
        done = subprocess.run(["git", "-C", str(root), *command], capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def describe(root: Path, warn: Callable[[str], None]) -> dict[str, Any]:
    """Machine, library and state of the checkout."""
    import pullback
    from pullback import _cpu

    commit = git(root, "rev-parse", "HEAD")
    if not commit:
        warn("no git here: the commit is not recorded")
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": commit,
        "dirty": bool(git(root, "status", "--porcelain", "--untracked-files=no")),
        "machine": {
            "cpu": _cpu.cpu_model() or platform.machine(),
            "isa": _cpu.isa(),
            "system": f"{platform.system()} {platform.release()}",
        },
        "pullback": pullback.__version__,
    }
