"""The workers as the one who asks sees them. A worker whose turn it is not is stopped, so that no thread of its spins."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAUSES = hasattr(signal, "SIGSTOP")
# PyTorch's allocator is malloc. Told to keep its memory and to ask for huge pages, it need not touch fresh pages for every
# large temporary.
KEEP_MEMORY = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(1 << 34),
    "MALLOC_TOP_PAD_": str(1 << 26),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}


class BenchError(Exception):
    """What a user can put right: one line, exit code 2."""


class Process:
    """A worker: `start` begins its imports, `hello` waits for them, `ask` gives it its turn."""

    def __init__(self, name: str, package: str, python: str, threads: int | None, setting: str = "") -> None:
        self.name, self.package = name, package
        command = [python, "-m", "benchmarks.worker", package]
        command += [setting] if setting else []
        command += ["--threads", str(threads)] if threads else []
        environment = dict(os.environ)
        if threads:
            environment["OMP_NUM_THREADS"] = str(threads)
        if setting:
            environment |= KEEP_MEMORY
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.paused = False
        self.told: dict[str, Any] = {}

    def _signal(self, name: str, paused: bool) -> None:
        if PAUSES and self.paused != paused:
            self.process.send_signal(getattr(signal, name))
            self.paused = paused

    def ask(self, do: str, **options: Any) -> dict[str, Any]:
        """One request; the answer has "error" where the row could not be run."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self._signal("SIGCONT", False)
        try:
            self.process.stdin.write(json.dumps({"do": do, **options}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise BenchError(f"the process of {self.name} ended with {self.process.wait()}")
        self._signal("SIGSTOP", True)
        answer: dict[str, Any] = json.loads(line)
        return answer

    def hello(self) -> None:
        """Waits until the library is imported."""
        self.told = self.ask("hello")

    def end(self) -> None:
        """Ends the process, paused or not."""
        self.process.kill()
        self.process.wait()


def imports(python: str, library: str) -> bool:
    """Whether a Python finds a library."""
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({library!r}) is None)"
    try:
        return subprocess.run([python, "-c", code], capture_output=True).returncode == 0
    except OSError as error:
        raise BenchError(f"--peer-python: {python}: {error.strerror}") from None


def find_python(asked: str | None, libraries: Sequence[str]) -> tuple[str, list[str]]:
    """The Python for the peers, and which of them it lacks: the one named, else ours or .venv's, whichever lacks fewer."""
    candidates = [asked] if asked else [sys.executable, str(ROOT / ".venv" / "bin" / "python")]
    lacks = {p: [x for x in libraries if not imports(p, x)] for p in candidates if asked or Path(p).exists()}
    best = min(lacks, key=lambda p: len(lacks[p]))
    return best, lacks[best]


def start(
    started: list[Process], peers: Sequence[str], python: str, threads: int | None, ours: int, compiled: bool = False
) -> None:
    """Our worker first, then each peer's; PyTorch tuned, with our number of threads, as it comes, and
    compiled, if that is wanted.

    They are appended one by one, so that the one who ends them knows all that began.
    """
    started.append(Process("pullback", "pullback", sys.executable, threads))
    for peer in peers:
        if peer == "torch":
            started.append(Process("PyTorch tuned", "torch", python, ours, "--best"))
            started.append(Process("PyTorch default", "torch", python, threads))
            if compiled:
                started.append(Process("PyTorch compiled", "torch", python, ours, "--compiled"))
        else:
            started.append(Process(peer, peer, python, ours))
    for process in started:
        process.hello()
