"""`pullback bench`: finds the benchmarks of a checkout and runs them. They are no part of the wheel."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path


def bench(argv: Sequence[str]) -> int:
    """Run benchmarks/bench.py of the current folder with its own options; 2 where there is none."""
    root = Path.cwd()
    if not (root / "benchmarks" / "bench.py").is_file():
        print(
            "pullback bench: needs a checkout of pullback, and benchmarks/bench.py is not in this folder",
            file=sys.stderr,
        )
        return 2
    sys.path.insert(0, str(root))
    code: int = importlib.import_module("benchmarks.bench").main(argv, "pullback bench")
    return code
