"""A process that times one library on a GPU, and pullback on the CPU beside it; a line of JSON for each figure.

python -m benchmarks.gpu_worker pullback|torch [--device cuda] [--seconds N] [--small]
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.dense import DENSE, Row, normal
from benchmarks.gpu_rows import CURVES, GPU, GRAPHS, HALVES, OWN, SMALL, On, is_gpu, synchronizer
from benchmarks.timing import Function, calibrate, measure

CPU_FLOPS, CPU_BYTES = 1e11, 2e9  # of a row that the CPU is asked for too


def timed(function: Function, synchronize: Callable[[], Any], sample_s: float, samples: int = 5) -> float:
    """Seconds of a call among many, waiting for the device once a sample."""

    def call() -> None:
        function()
        synchronize()

    call()
    calls = calibrate(call, sample_s)

    def sample() -> None:
        for _ in range(calls):
            function()
        synchronize()

    return statistics.median(measure(sample, 1, samples)) / calls


class Worker:
    """One library and its device, with an end."""

    def __init__(self, library: str, device: str, seconds: float, small: bool) -> None:
        self.name, self.device, self.small = library, device, small
        self.lib = importlib.import_module(library)
        self.on_device, self.wait = On(self.lib, device), synchronizer(self.lib, device)
        self.end = time.monotonic() + seconds
        self.sample_s = 0.002 if small else 0.05

    def say(self, kind: str, **figures: Any) -> None:
        print(json.dumps({"kind": kind, "library": self.name, **figures}), flush=True)

    def seconds(self, row: Row, device: str) -> float:
        """Of one call of a row on the device or on the CPU."""
        lib, wait = (self.lib, lambda: None) if device == "cpu" else (self.on_device, self.wait)
        with row.make(lib, False) as function:
            return timed(function, wait, self.sample_s)

    def guarded(self, kind: str, name: str, work: Callable[[], dict[str, Any]]) -> None:
        """What goes wrong in a row, and what time was not left for, is a figure too."""
        if time.monotonic() > self.end:
            return self.say(kind, name=name, error="out of time")
        try:
            self.say(kind, name=name, **work())
        except Exception as error:
            self.say(kind, name=name, error=f"{type(error).__name__}: {error}".splitlines()[0])

    def hello(self) -> None:
        said = {"version": self.lib.__version__}
        if is_gpu(self.device):
            said["device"] = self.lib.cuda.get_device_name()
        self.say("hello", **said)

    def ceilings(self) -> None:
        """Bytes a second of copying, FLOP/s of products in float32 and halves, by the library's own means."""
        n, m = (1 << 16, 64) if self.small else (1 << 28, 8192)

        def copy() -> dict[str, Any]:
            x, y = (self.lib.zeros(n, device=self.device) for _ in range(2))
            return {"rate": 8 * n / timed(lambda: y.copy_(x), self.wait, self.sample_s)}

        def product(dtype: str = "float32") -> dict[str, Any]:
            a, b = (normal(self.on_device, i, m, m).to(getattr(self.lib, dtype)) for i in range(2))
            return {"rate": 2 * m**3 / timed(lambda: a @ b, self.wait, self.sample_s)}

        self.guarded("ceiling", "copy", copy)
        self.guarded("ceiling", "product", product)
        for dtype in HALVES:
            self.guarded("ceiling", f"product, {dtype}", lambda dtype=dtype: product(dtype))  # type: ignore[misc]

    def rows(self, rows: Sequence[Row]) -> None:
        for row in rows:
            if self.name != "torch" or not row.name.endswith(OWN):
                self.guarded("row", row.name, lambda row=row: self.row(row))  # type: ignore[misc]

    def row(self, row: Row) -> dict[str, Any]:
        figures: dict[str, Any] = {
            "flops": row.flops,
            "bytes": row.reads + row.writes,
            "seconds": self.seconds(row, self.device),
        }
        if row.dtype != "float32":
            figures["ceiling"] = f"product, {row.dtype}"
        if self.name == "pullback" and row.flops < CPU_FLOPS and row.footprint < CPU_BYTES and OWN not in row.name:
            figures["cpu_seconds"] = self.seconds(row, "cpu")
        return figures

    def curves(self) -> None:
        for curve in CURVES:
            for size in curve.sizes[:2] if self.small else curve.sizes:
                row = curve.make(size)

                def both(row: Row = row, size: int = size) -> dict[str, Any]:
                    return {
                        "size": size,
                        "cpu_seconds": self.seconds(row, "cpu"),
                        "seconds": self.seconds(row, self.device),
                    }

                self.guarded("point", curve.name, both)


def main(argv: list[str] | None = None) -> int:
    """Measure everything that there is time for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("package", choices=["pullback", "torch"])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--small", action="store_true", help="few rows at small sizes, as the tests take them")
    args = parser.parse_args(argv)
    worker = Worker(args.package, args.device, args.seconds, args.small)
    worker.hello()
    worker.ceilings()
    worker.rows(SMALL if args.small else [*GPU, *GRAPHS])
    if args.package == "pullback":
        worker.curves()
    worker.rows([] if args.small else DENSE)  # which the CPU's table has, too: last, where time runs out
    return 0


if __name__ == "__main__":
    sys.exit(main())
