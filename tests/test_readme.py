"""What the README shows runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCKS = [
    pytest.param(code, id=f"{name}:{i}")
    for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs/mixed_precision.md")
    for i, code in enumerate(re.findall(r"^```python\n(.*?)^```", (ROOT / name).read_text(), flags=re.M | re.S))
]


@pytest.mark.parametrize("code", BLOCKS)
def test_python_block_runs(code: str) -> None:
    exec(compile(code, "README", "exec"), {"__name__": "__main__"})


def test_commands_exist() -> None:
    """Every `make target` that the documents name is one of the Makefile's."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    named = {
        target
        for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")
        for target in re.findall(r"(?:^\s*|`)make ([a-z-]+)", (ROOT / name).read_text(), flags=re.M)
    }
    assert named and named <= targets, named - targets
