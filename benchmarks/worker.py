"""A process that times rows in one library: a line of JSON in, a line of JSON out.

    python -m benchmarks.worker pullback|torch|jax|onnxruntime [--best | --compiled] [--threads N]

It is told to prepare a row, then any number of times to measure it. In a peer's process nothing of pullback is imported.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import importlib
import json
import os
import platform
import signal
import sys
from typing import Any

import numpy as np

from benchmarks.captured import CAPTURED
from benchmarks.dense import DENSE, OVERHEADS, Function
from benchmarks.timing import calibrate, measure

CHECKED = 1 << 16  # of a result, at most about this many elements are compared


def array_of(value: Any) -> Any:
    """A tensor of either library, or what becomes an array, as an array of numbers."""
    if hasattr(value, "detach"):
        value = value.detach().numpy()
    array = np.asarray(value)
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def arrays_of(result: Any) -> list[Any]:
    """The arrays in a result that may be a tuple, thinned where they are large."""
    parts = result if isinstance(result, (tuple, list)) else (result,)
    arrays = [array_of(part) for part in parts if part is not None]
    return [a.ravel()[:: max(1, a.size // CHECKED)] for a in arrays]


def peer_case(lib: Any, row: dict[str, Any]) -> Function:
    """A case's expression in PyTorch on the arrays that our worker saved."""
    with np.load(row["inputs"]) as saved:
        arrays = [saved[name] for name in saved.files]
    inputs = [lib.from_numpy(a) for a in arrays]
    names = ", ".join("abcdefghijkl"[: len(inputs)])
    expression = eval(f"lambda {names}: {row['torch']}", {"torch": lib})
    return with_backward(lib, expression, inputs) if row["backward"] else lambda: expression(*inputs)


def with_backward(lib: Any, run: Any, inputs: list[Any]) -> Function:
    """The op and the gradients of Σ dy · y with respect to every floating-point input."""
    for x in inputs:
        if x.dtype.is_floating_point:
            x.requires_grad_()
    first = run(*inputs)
    first = (first[0] if isinstance(first, tuple) else first).detach().numpy()
    dy = lib.from_numpy(np.asarray(np.random.default_rng(1).standard_normal(first.shape), first.dtype))

    def step() -> Any:
        for x in inputs:
            x.grad = None
        y = run(*inputs)
        y = y[0] if isinstance(y, tuple) else y
        y.backward(dy)
        return y, *[x.grad for x in inputs]

    return step


class Worker:
    """The state of the process: the library, and the row that is prepared."""

    def __init__(self, library: str, best: bool | str, threads: int | None) -> None:
        self.name, self.best = library, best
        self.lib = importlib.import_module(library)
        if threads is not None and library == "torch":
            self.lib.set_num_threads(threads)
        self.row = contextlib.ExitStack()
        self.function: Function = lambda: None
        self.calls = 1

    def hello(self) -> dict[str, Any]:
        """Which versions run here."""
        said = {"version": self.lib.__version__, "python": platform.python_version(), "numpy": np.__version__}
        if self.name == "torch":
            said["threads"] = self.lib.get_num_threads()
        return said

    def make(self, row: dict[str, Any], said: dict[str, Any]) -> Function:
        """The function of a row."""
        if self.name in ("jax", "onnxruntime"):
            from benchmarks.peers import make

            return make(self.name, row["name"])
        if row["group"] != "cases":
            found = next(r for r in (*DENSE, *OVERHEADS, *CAPTURED) if r.name == row["name"])
            return self.row.enter_context(found.make(self.lib, self.best))
        if self.name == "torch":
            return peer_case(self.lib, row)
        from benchmarks.case_rows import own_case

        function, figures = own_case(row)
        said |= figures
        return function

    def prepare(self, row: dict[str, Any], sample_s: float, result: str) -> dict[str, Any]:
        """Makes a row's inputs, saves its second result for comparison (the second shows what a step changed), calibrates."""
        said: dict[str, Any] = {}
        self.row.close()
        self.function = self.make(row, said)
        self.function()
        np.savez(result, *arrays_of(self.function()))
        self.calls = calibrate(self.function, sample_s)
        return {**said, "calls": self.calls}

    def measure(self, samples: int) -> dict[str, Any]:
        """One round."""
        gc.collect()
        return {"times": measure(self.function, self.calls, samples)}

    def ceilings(self, sizes: list[int], threads: list[int]) -> dict[str, Any]:
        """What the machine allows; our own process only."""
        from benchmarks.machine import measure_ceilings

        return measure_ceilings(sizes, threads)


def serve(worker: Worker) -> None:
    """Answers requests until the pipe closes. What goes wrong in a row is an answer too."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not come between
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(worker, request.pop("do"))(**request)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def end_with_parent() -> None:
    """A worker that is paused would never see its pipe close."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def main() -> int:
    """Serves one library."""
    parser = argparse.ArgumentParser()
    parser.add_argument("package")
    parser.add_argument("--best", action="store_true")
    parser.add_argument("--compiled", action="store_const", const="compiled", dest="best")
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one who asks decides
    end_with_parent()
    worker = Worker(args.package, args.best, args.threads)
    gc.freeze()  # what the imports left need not be looked through again before every round
    serve(worker)
    return 0


if __name__ == "__main__":
    sys.exit(main())
