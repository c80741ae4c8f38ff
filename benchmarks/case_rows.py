"""The test cases at real sizes as rows."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import pullback as pb
from benchmarks.dense import Function
from benchmarks.worker import with_backward
from harness import Case, all_cases, rounded


@functools.cache
def cases_by_name() -> dict[str, Case]:
    """Every case."""
    return {case.name: case for case in all_cases()}


def case_rows() -> list[dict[str, Any]]:
    """A row for each case and size, forward, and forward with backward where the case has a pullback."""
    rows = []
    for case in cases_by_name().values():
        for shape in case.bench:
            size = "×".join(map(str, shape))
            for backward in (False, True) if case.vjp else (False,):
                rows.append(
                    {
                        "name": f"{case.name} {size}{' f+b' if backward else ''}",
                        "group": "cases",
                        "case": case.name,
                        "shape": list(shape),
                        "backward": backward,
                        "torch": case.torch,
                        "differs": case.differs,
                    }
                )
    return rows


def own_case(row: dict[str, Any]) -> tuple[Function, dict[str, float]]:
    """The function of a case and its figures; the inputs are saved where `row` says, for the peers.

    A pass reads its inputs and writes its results, unless `work` knows better. The way back reads dy and the inputs and
    writes their gradients; a product has two more products of the same size there.
    """
    case, shape = cases_by_name()[row["case"]], tuple(row["shape"])
    arrays = rounded(case.inputs(np.random.default_rng(0), shape), case.dtypes[0])
    arrays = [np.ascontiguousarray(a) if a.ndim else a for a in arrays]
    np.savez(row["inputs"], *arrays)
    inputs = [pb.from_numpy(a) for a in arrays]
    out = case.run(*inputs)
    results = [o.numpy().nbytes for o in (out if isinstance(out, tuple) else (out,))]
    given, writes = float(sum(a.nbytes for a in arrays)), float(sum(results))
    flops, moved = case.work(*shape) if case.work else (0.0, given + writes)
    figures = {"flops": flops, "reads": max(0.0, moved - writes), "writes": writes, "footprint": moved}
    if not row["backward"]:
        return lambda: case.run(*inputs), figures
    written = float(sum(a.nbytes for a in arrays if a.dtype.kind == "f"))
    figures["flops"] *= 3
    figures["reads"] += given + results[0] * (2 if flops else 1)
    figures["writes"] += written
    figures["footprint"] += results[0] + written
    return with_backward(pb, case.run, inputs), figures
