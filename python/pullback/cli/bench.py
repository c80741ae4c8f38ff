"""`pullback bench`: finds the benchmarks of a checkout and runs them. They are no part of the wheel."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from pullback._cuda_state import cuda_problem


def bench(argv: Sequence[str]) -> int:
    """Run benchmarks/bench.py of the current folder with its own options, or with `--device cuda` (`auto`, where there is a
    GPU) what benchmarks/gpu.py measures; 2 where there is no checkout, or no GPU."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--device", choices=("cpu", "cuda", "auto"), default="cpu")
    args, others = parser.parse_known_args(list(argv))
    root = Path.cwd()
    if not (root / "benchmarks" / "bench.py").is_file():
        print(
            "pullback bench: needs a checkout of pullback, and benchmarks/bench.py is not in this folder",
            file=sys.stderr,
        )
        return 2
    sys.path.insert(0, str(root))
    problem = None if args.device == "cpu" else cuda_problem()
    if args.device == "cuda" and problem is not None:
        print(f"pullback bench: {problem}", file=sys.stderr)
        return 2
    if args.device != "cpu" and problem is None:
        return int(importlib.import_module("benchmarks.gpu").main(["--only", "bench", *others]))
    return int(importlib.import_module("benchmarks.bench").main(others, "pullback bench"))
