"""nvcc compiles every CUDA kernel, and ptxas finds registers for all of it: nothing spills, nothing lies in local memory."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "cuda/kernels").glob("*.cu"))
NVCC = shutil.which("nvcc")
FLAGS = [
    "-std=c++20",
    "-O3",
    "-arch=sm_90",
    "-fmad=false",
    "-DISA_NAMESPACE=cuda",
    "-Xptxas",
    "-v",
    "-diag-suppress=186",
]

# Functors whose kernels may have a stack frame, and why.
LOCAL_MEMORY = dict.fromkeys(
    ("Sin", "Cos", "Tan"), "CUDA's reduction of large angles indexes an array of digits of 2/π"
)

pytestmark = [
    pytest.mark.skipif(os.environ.get("PULLBACK_TEST_ALL") != "1", reason="slow: make test-all"),
    pytest.mark.skipif(NVCC is None, reason="needs nvcc"),
]


def entries(log: str) -> Iterator[tuple[str, int, int]]:
    """(mangled name, bytes of stack, bytes spilled) of each kernel in ptxas's words."""
    name = ""
    for line in log.splitlines():
        if found := re.search(r"Compiling entry function '(\S+)'", line):
            name = found[1]
        elif found := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores", line):
            yield name, int(found[1]), int(found[2])


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: p.stem)
def test_kernels_compile_without_spills(source: Path, tmp_path: Path) -> None:
    folders = [f"-I{ROOT / 'cuda'}", f"-I{ROOT / 'csrc'}"]
    words = [str(NVCC), *FLAGS, *folders, "-c", str(source), "-o", str(tmp_path / "kernels.o")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    found = list(entries(done.stderr))
    assert found, "ptxas named no kernel"
    wrong = [
        f"{name}: {stack} bytes of stack, {spilled} spilled"
        for name, stack, spilled in found
        if spilled or (stack and not any(f"{len(op)}{op}E" in name for op in LOCAL_MEMORY))
    ]
    assert not wrong, "\n".join(wrong)
