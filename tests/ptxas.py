"""What ptxas said of the kernels when _cuda was built, and the table of it that is kept in ptxas.txt.

python tests/ptxas.py    writes the table from the newest build below build/
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "tests/ptxas.txt"
HEAD = "source kernel architecture instances registers"


class Entry(NamedTuple):
    """One instance of a kernel on one architecture; sizes in bytes."""

    name: str  # mangled
    architecture: str
    registers: int
    stack: int
    spilled: int


Row = tuple[str, str, str]  # source, kernel, architecture
Table = dict[Row, tuple[int, int]]  # instances, and the most registers that one of them takes


def logs() -> dict[str, Path]:
    """What ptxas said of each source, in the newest build that has it."""
    found: dict[str, Path] = {}
    for path in ROOT.glob("build/*/CMakeFiles/kernels_cuda.dir/cuda/kernels/*.cu.o.ptxas"):
        stem = path.name.split(".")[0]
        if stem not in found or path.stat().st_mtime > found[stem].stat().st_mtime:
            found[stem] = path
    return {stem: found[stem] for stem in sorted(found) if (ROOT / f"cuda/kernels/{stem}.cu").exists()}


def entries(log: str) -> Iterator[Entry]:
    """Every kernel that ptxas names."""
    name = architecture = ""
    stack = spilled = 0
    for line in log.splitlines():
        if found := re.search(r"Compiling entry function '(\S+)' for '(\S+)'", line):
            name, architecture = found.groups()
        elif found := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores", line):
            stack, spilled = int(found[1]), int(found[2])
        elif found := re.search(r"Used (\d+) registers", line):
            yield Entry(name, architecture, int(found[1]), stack, spilled)


def kernel(mangled: str) -> str:
    """`softmax` of `_ZN8pullback4cuda7softmaxIfEEvPKf`: the last of the names before template arguments."""
    name, at = "", len("_ZN")
    while number := re.match(r"\d+", mangled[at:]):
        begin = at + len(number[0])
        at = begin + int(number[0])
        name = mangled[begin:at]
    return name


def table() -> Table:
    """Of the newest builds."""
    rows: Table = {}
    for stem, path in logs().items():
        for e in entries(path.read_text()):
            row = (stem, kernel(e.name), e.architecture)
            instances, registers = rows.get(row, (0, 0))
            rows[row] = (instances + 1, max(registers, e.registers))
    return dict(sorted(rows.items()))


def committed() -> tuple[str, Table]:
    """nvcc's version, and the table that it wrote."""
    version, _, *lines = TABLE.read_text().splitlines()
    words = [line.split() for line in lines]
    return version, {(w[0], w[1], w[2]): (int(w[3]), int(w[4])) for w in words}


def nvcc_version() -> str:
    """The last line but one of what it prints: "Cuda compilation tools, release 13.0, V13.0.88"."""
    said = subprocess.run(["nvcc", "--version"], capture_output=True, text=True, check=True).stdout
    return said.strip().splitlines()[-2]


def main() -> None:
    rows = [(*row, *map(str, values)) for row, values in table().items()]
    lines = [tuple(HEAD.split()), *rows]
    widths = [max(map(len, column)) for column in zip(*lines)]
    text = ["  ".join(word.ljust(width) for word, width in zip(line, widths)).rstrip() for line in lines]
    TABLE.write_text("\n".join([nvcc_version(), *text]) + "\n")


if __name__ == "__main__":
    main()
