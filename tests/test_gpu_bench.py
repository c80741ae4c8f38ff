"""What `make gpu` does that needs no GPU: its clock, its figures and table, its rows on the CPU, and what it says where
pieces are missing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks import gpu
from benchmarks.gpu_rows import CURVES, ROWS, SMALL, crossover
from test_cases import CASES

ROOT = Path(__file__).parents[1]


def test_a_stage_leaves_time_for_those_after_it() -> None:
    now = [0.0]
    clock = gpu.Clock(470, lambda: now[0])
    assert clock.share("build") == 470 - 60 - 100 - 170 and clock.share("bench") == 470
    now[0] = 300.0
    assert clock.left() == 170 and clock.share("sanitizers") == 0 and clock.share("bench") == 170
    now[0] = 500.0
    assert clock.left() == 0 == clock.share("bench")


def test_crossover_is_where_the_gpu_stays_ahead() -> None:
    assert crossover([(1, 1.0, 2.0), (2, 3.0, 2.0), (4, 1.0, 2.0), (8, 4.0, 2.0), (16, 8.0, 2.0)]) == 8
    assert crossover([(1, 1.0, 2.0), (2, 1.0, 2.0)]) is None
    assert crossover([(1, 2.0, 1.0), (2, 2.0, 1.0)]) == 1
    assert crossover([]) is None


FIGURES: list[dict[str, Any]] = [
    {"kind": "hello", "library": "torch", "version": "2", "device": "NVIDIA H100 80GB HBM3"},
    {"kind": "ceiling", "library": "torch", "name": "copy", "rate": 2e12},
    {"kind": "ceiling", "library": "pullback", "name": "copy", "rate": 1e12},
    {"kind": "ceiling", "library": "torch", "name": "product", "rate": 5e13},
    {"kind": "ceiling", "library": "pullback", "name": "product", "error": "out of time"},
    {"kind": "row", "library": "torch", "name": "add", "flops": 1e6, "bytes": 1.2e7, "seconds": 8e-6},
    {
        "kind": "row",
        "library": "pullback",
        "name": "add",
        "flops": 1e6,
        "bytes": 1.2e7,
        "seconds": 1e-5,
        "cpu_seconds": 1e-3,
    },
    {"kind": "row", "library": "pullback", "name": "GEMM", "flops": 1e9, "bytes": 1e6, "seconds": 4e-5},
    {"kind": "ceiling", "library": "torch", "name": "product, bfloat16", "rate": 5e14},
    {"kind": "row", "library": "torch", "name": "GEMM bfloat16", "flops": 1e9, "bytes": 1e6, "seconds": 3e-6},
    {
        "kind": "row",
        "library": "pullback",
        "name": "GEMM bfloat16, own kernel",
        "flops": 1e9,
        "bytes": 1e6,
        "seconds": 5e-6,
        "ceiling": "product, bfloat16",
    },
    {"kind": "row", "library": "pullback", "name": "sort", "error": "NotImplementedError: sort"},
    {"kind": "point", "library": "pullback", "name": "add", "size": 4, "cpu_seconds": 1.0, "seconds": 2.0},
    {"kind": "point", "library": "pullback", "name": "add", "size": 16, "cpu_seconds": 3.0, "seconds": 2.0},
    {"kind": "point", "library": "pullback", "name": "add", "size": 64, "error": "out of time"},
]


def test_rows_have_their_ceiling_and_ratios() -> None:
    found = gpu.collect(FIGURES)
    assert found["ceilings"] == {"copy": 2e12, "product": 5e13, "product, bfloat16": 5e14}
    add, gemm, own, sort = found["rows"]
    assert add["ceiling_percent"] == pytest.approx(60) and add["torch_ratio"] == pytest.approx(0.8)
    assert add["cpu_ratio"] == pytest.approx(100)
    assert gemm["ceiling_percent"] == pytest.approx(50) and "torch_ratio" not in gemm
    assert own["ceiling_percent"] == pytest.approx(40) and own["torch_ratio"] == pytest.approx(0.6)  # of the library's
    assert sort == {"name": "sort", "error": "NotImplementedError: sort"}
    assert found["curves"] == {"add": {"points": [[4, 1.0, 2.0], [16, 3.0, 2.0]], "crossover": 16}}


def test_results_are_written_and_the_table_is_short(tmp_path: Path) -> None:
    stages = {"bench": {"state": "passed", **gpu.collect(FIGURES)}, "cases": {"state": "failed"}}
    results = {"commit": "0123456789abcdef", "stages": stages}
    path = gpu.write(results, tmp_path)
    assert path.name == "nvidia-h100-80gb-hbm3-0123456789.json" and json.loads(path.read_text()) == results
    assert gpu.table(results) == [
        "row                                       time ceiling  PyTorch      CPU",
        "add                                    10.0 µs    60 %    0.80×  100.00×",
        "GEMM                                   40.0 µs    50 %        –        –",
        "GEMM bfloat16, own kernel              5.00 µs    40 %    0.60×        –",
        "sort                                 NotImplementedError: sort",
        "add: the GPU is faster from 16",
        "ceiling, copy: 2000 GB/s",
        "ceiling, product: 50.0 TFLOP/s",
        "ceiling, product, bfloat16: 500.0 TFLOP/s",
        "bench: passed",
        "cases: failed",
    ]


def test_a_worker_that_was_cut_off_has_said_what_it_had() -> None:
    whole = json.dumps(FIGURES[5])
    assert gpu.read_figures(f"a warning\n{whole}\n{whole[:20]}") == [FIGURES[5]]


def test_a_stage_that_does_not_end_is_stopped() -> None:
    code, output = gpu.run([sys.executable, "-c", "print('begun', flush=True); import time; time.sleep(60)"], 1.0)
    assert code is None and output == "begun\n"
    assert gpu.outcome(code, output) == {"state": "out of time", "output": "begun\n"}
    assert gpu.outcome(*gpu.run([sys.executable, "-c", "raise SystemExit(3)"], 60))["state"] == "failed"


def test_what_a_stage_started_is_stopped_with_it() -> None:
    """As the program that compute-sanitizer runs: it would hold the pipe, and the GPU."""
    child = "import time; print('child', flush=True); time.sleep(60)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    begin = time.monotonic()
    code, output = gpu.run([sys.executable, "-c", parent], 2.0)
    assert code is None and output == "child\n" and time.monotonic() - begin < 30


def test_no_case_is_left_out_for_its_name() -> None:
    """As "small" left out every topk of the smallest."""
    for words in (gpu.SMALL_CASES, gpu.ALL_CASES):
        for word in set(re.findall(r"\w+", words)) - {"not", "and"}:
            assert not [case.name for case in CASES if word in case.name], word


def test_a_stage_that_raises_and_one_without_a_gpu_are_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not passes: without a GPU all tests of it are skipped."""
    monkeypatch.setattr(gpu, "build", lambda clock: 1 / 0)
    found = gpu.attempt("build", gpu.Clock(10))
    assert found["state"] == "failed" and "ZeroDivisionError" in found["output"]
    monkeypatch.setattr(gpu, "cases", lambda clock: {"state": "passed"})
    monkeypatch.setattr(gpu, "USABLE", "raise SystemExit('no GPU here')")
    assert gpu.attempt("cases", gpu.Clock(10)) == {"state": "failed", "output": "no GPU here\n"}
    monkeypatch.setattr(gpu, "USABLE", "")
    assert gpu.attempt("cases", gpu.Clock(10)) == {"state": "passed"}


def test_wrong_arguments_and_missing_pieces_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        gpu.main(["--only", "build,fun"])
    assert "expected some of build, sanitizers, cases, bench, got fun" in capsys.readouterr().err
    monkeypatch.setattr(gpu, "NEEDED", ("no_such_package",))
    said: list[str] = []
    assert gpu.main(["--only", "build"], said.append) == 2
    assert said[0].startswith("make gpu: needs no_such_package")


def test_names_of_rows_differ() -> None:
    for rows in (ROWS, SMALL, CURVES):
        names = [row.name for row in rows]
        assert len(set(names)) == len(names)


def test_every_small_row_is_measured() -> None:
    """On the CPU in place of the GPU."""
    command = [sys.executable, "-m", "benchmarks.gpu_worker", "pullback", "--device", "cpu", "--small"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    figures = gpu.read_figures(done.stdout)
    assert not [f for f in figures if "error" in f]
    found = gpu.collect(figures)
    assert [row["name"] for row in found["rows"]] == [row.name for row in SMALL]
    assert all(row["seconds"] > 0 and row["ceiling_percent"] > 0 and row["cpu_ratio"] > 0 for row in found["rows"])
    assert set(found["curves"]) == {curve.name for curve in CURVES}
