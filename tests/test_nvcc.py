"""The compiler as a test: what ptxas said of the kernels when `_cuda` was built. Nothing spills, nothing lies in local
memory unless there is a reason, and no kernel takes more registers than it did."""

from __future__ import annotations

import pytest

from ptxas import ROOT, committed, entries, kernel, logs, nvcc_version, table

SOURCES = sorted(p.stem for p in (ROOT / "cuda/kernels").glob("*.cu"))
LOGS = logs()

# Functors whose kernels may have a stack frame, and why.
LOCAL_MEMORY = dict.fromkeys(
    ("Sin", "Cos", "Tan"), "CUDA's reduction of large angles indexes an array of digits of 2/π"
)

NEW_KERNEL = 128  # registers of one that is not in the table yet: two blocks of 256 threads fit on a multiprocessor

built = pytest.mark.skipif(not LOGS, reason="needs a build of _cuda by nvcc below build/")


@built
def test_every_source_was_compiled() -> None:
    assert list(LOGS) == SOURCES


@built
@pytest.mark.parametrize("source", SOURCES)
def test_nothing_spills(source: str) -> None:
    found = list(entries(LOGS[source].read_text()))
    assert found, "ptxas named no kernel"
    wrong = [
        f"{e.name} on {e.architecture}: {e.stack} bytes of stack, {e.spilled} spilled"
        for e in found
        if e.spilled or (e.stack and not any(f"{len(op)}{op}E" in e.name for op in LOCAL_MEMORY))
    ]
    assert not wrong, "\n".join(wrong)


@built
def test_no_kernel_takes_more_registers_than_the_table_says() -> None:
    version, known = committed()
    if nvcc_version() != version:
        pytest.skip(f"the table is of {version}")
    architectures = {architecture for *_, architecture in known}
    now = {row: registers for row, (_, registers) in table().items() if row[2] in architectures}
    most = {row: known[row][1] if row in known else NEW_KERNEL for row in now}
    more = {row: f"{most[row]} → {registers}" for row, registers in now.items() if registers > most[row]}
    assert not more, f"registers, make ptxas writes the table anew: {more}"


def test_reading_ptxas() -> None:
    log = """ptxas info    : Compiling entry function '_ZN8pullback4cuda15linear_elementsILi2EEEvl' for 'sm_80'
ptxas info    : Function properties for _ZN8pullback4cuda15linear_elementsILi2EEEvl
    8 bytes stack frame, 4 bytes spill stores, 4 bytes spill loads
ptxas info    : Used 64 registers, used 0 barriers, 488 bytes cmem[0]"""
    (found,) = entries(log)
    assert found[1:] == ("sm_80", 64, 8, 4) and kernel(found.name) == "linear_elements"
    assert kernel("_ZN8pullback4cuda41_GLOBAL__N__a7016865_9_matmul_cu_16a15c6c8productsIdEEv") == "products"
