"""`pullback doctor`: what this installation is and what it runs on, a line each."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence

import numpy as np

import pullback
from pullback import _cpu


def report(missing: Sequence[str]) -> list[tuple[str, str]]:
    """(what, how it is) for every line."""
    forced = os.environ.get("PULLBACK_ISA")
    chosen = "forced by PULLBACK_ISA" if forced else "the best that this CPU has"
    return [
        ("pullback", pullback.__version__),
        ("python", f"{platform.python_version()} on {platform.platform()}"),
        ("numpy", np.__version__),
        ("cpu", _cpu.cpu_model() or platform.machine()),
        ("instruction set", f"{_cpu.isa()} ({chosen}; this build runs {', '.join(_cpu.isas())})"),
        ("threads", f"{_cpu.num_threads()} ({_cpu.num_threads_reason()})"),
        ("gpu", "none: this build has no CUDA module"),
        ("extra cli", f'lacks {", ".join(missing)}: pip install "pullback[cli]"' if missing else "installed"),
    ]


def doctor(missing: Sequence[str]) -> int:
    """Print the report."""
    for what, how in report(missing):
        print(f"{what:<16} {how}")
    return 0
