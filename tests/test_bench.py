"""The bench as its users meet it: a run of its own, its comparison, its errors; and the dense rows, which are fixed."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from benchmarks.bench import Bench, RowError, agree, main, parser
from benchmarks.captured import CAPTURED
from benchmarks.dense import DENSE, OVERHEADS
from benchmarks.machine import Ceiling
from benchmarks.table import cells, notes, spread, summary, time_text

ROOT = Path(__file__).parents[1]
NAMES = [
    "GEMM 64³",
    "GEMM 128³",
    "GEMM 256³",
    "GEMM 512³",
    "GEMM 1024³",
    "GEMM 2048³",
    "GEMM 8×256×784",
    "GEMM 64×10×128",
    "GEMV 4096²",
    "cross-entropy f+b 8192×1000",
    "cross-entropy f+b 512×32000",
    "cross-entropy f+b 64×10",
    "GELU f+b 1M",
    "Adam 10M",
    "Adam 235k in 6 tensors",
    "training step MLP, batch 64",
    "training step MLP, batch 8",
    "inference MLP, batch 1",
]


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pullback", "bench", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "COLUMNS": "160"})


def test_the_dense_rows_are_the_fixed_ones() -> None:
    assert [row.name for row in DENSE] == NAMES
    assert [row.name for row in OVERHEADS] == ["add 8×8", "nn.Linear call 8×16→16", "linear, sum, backward 8×16→16"]
    product = DENSE[NAMES.index("GEMM 8×256×784")]
    assert product.flops == 2 * 8 * 256 * 784
    assert product.reads == 4 * 784 * (8 + 256) and product.writes == 4 * 8 * 256


def test_a_run_prints_and_writes_everything(tmp_path: Path) -> None:
    done = run("--filter", "64", "--quick", "--peer", "none", "--rounds", "2", "--threads", "1", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    results = json.loads(next(tmp_path.glob("*.json")).read_text())
    stem = next(tmp_path.glob("*.json")).stem
    assert {p.name for p in tmp_path.iterdir()} == {f"{stem}.json", f"{stem}.md", f"{stem}-roofline.png"}
    steps = [row.name for row in CAPTURED]
    assert [r["name"] for r in results["rows"]] == [n for n in (*NAMES, *steps) if "64" in n]
    assert results["settings"]["threads"] == 1 and results["settings"]["threads_reason"] == "set_num_threads"
    assert results["machine"]["isa"] in stem and results["machine"]["cpu"]
    assert {"date", "commit", "dirty", "versions", "ceilings", "seconds"} <= set(results)
    assert results["ceilings"]["1"]["peak_flops"] > 1e8
    for row in results["rows"]:
        own = row["libraries"]["pullback"]
        assert len(own["rounds_s"]) == 2 and own["median_s"] > 0 and list(row["libraries"]) == ["pullback"]
        assert 0 < row["ceiling_percent"] < 200
        assert row["name"] in done.stdout
    assert results["dense"] == {} and results["headlines"] == []


def test_a_case_is_measured_forward_and_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "mine.json"
    done = run("--filter", "addmv 512", "--peer", "none", "--rounds", "1", "--threads", "1", "--json", str(path))
    assert done.returncode == 0, done.stderr
    rows = {r["name"]: r for r in json.loads(path.read_text())["rows"]}
    assert set(rows) == {"addmv 512×512", "addmv 512×512 f+b"}
    forward, back = rows.values()
    assert forward["reads"] == 4 * (512 + 512 * 512 + 512) and forward["writes"] == 4 * 512
    assert back["writes"] == forward["writes"] + forward["reads"]


class Played:
    """A process that answers at once and writes down who was asked for what."""

    def __init__(self, name: str, package: str, asked: list[str], value: float = 1.0, error: str = "") -> None:
        self.name, self.package, self.asked, self.value, self.error = name, package, asked, value, error
        self.rounds = 0

    def ask(self, do: str, **options: Any) -> dict[str, Any]:
        self.asked.append(f"{do} {self.name}")
        if self.error:
            return {"error": self.error}
        if do == "prepare":
            np.savez(options["result"], np.full(3, self.value))
            return {"calls": 1}
        self.rounds += 1
        return {"times": [self.rounds * self.value, 100.0, 0.0]}


def played(folder: Path, *processes: Played) -> dict[str, Any]:
    bench = Bench(parser("bench").parse_args(["--quick", "--rounds", "3"]), Console())
    bench.folder, bench.processes = folder, list(processes)
    widths = {"1000": 100.0}
    bench.ceiling = Ceiling({"peak_flops": 1000.0, "read": widths, "triad": widths, "update": widths})
    row = {"name": "GEMV 4096²", "group": "dense", "flops": 1000.0, "reads": 100.0, "writes": 0.0, "footprint": 100.0}
    return bench.measure(row)


def test_rounds_alternate(tmp_path: Path) -> None:
    asked: list[str] = []
    ours, tuned = Played("pullback", "pullback", asked), Played("PyTorch tuned", "torch", asked, 3.0)
    row = played(tmp_path, ours, tuned, Played("jax", "jax", asked))  # which knows no such row
    both = ["pullback", "PyTorch tuned"]
    assert asked == [f"prepare {name}" for name in both] + [f"measure {name}" for name in both] * 3
    own, peer = row["libraries"].values()
    assert own["rounds_s"] == [1.0, 2.0, 3.0] and own["median_s"] == 2.0 and own["spread_percent"] == 50
    assert peer["ratio"] == 3.0 and peer["agrees"] is False and row["ceiling_percent"] == 50
    assert notes(row) == ["PyTorch tuned: its result differs from ours"]


def test_a_row_that_fails_is_named_and_a_peer_that_fails_is_left_out(tmp_path: Path) -> None:
    asked: list[str] = []
    with pytest.raises(RowError, match="no such kernel"):
        played(tmp_path, Played("pullback", "pullback", asked, error="no such kernel"))
    broken = [Played(name, "torch", asked, error="no such op") for name in ("PyTorch tuned", "PyTorch default")]
    row = played(tmp_path, Played("pullback", "pullback", asked), *broken)
    assert notes(row) == ["PyTorch tuned, PyTorch default: no such op"]
    assert cells(row)[5:] == ["–", "–", "–", "–"] and summary([row]) is None


def test_pytorchs_best_is_the_faster_of_its_settings(tmp_path: Path) -> None:
    values = {"PyTorch tuned": 3.0, "PyTorch default": 2.0}
    peers = [Played(name, "torch", [], value) for name, value in values.items()]
    row = played(tmp_path, Played("pullback", "pullback", []), *peers)
    assert cells(row)[5:] == ["4.00 s", "2.00×", "4.00 s", "2.00×"]
    assert summary([row]) == {"geometric_mean": 2.0, "lowest": {"row": "GEMV 4096²", "ratio": 2.0}, "rows": 1}
    assert row["libraries"]["PyTorch tuned"]["ratio"] == 3.0


def made_up(path: Path, factor: float, spread_percent: float) -> Path:
    rows = []
    for name, scale in (("steady", 1.0), ("changed", factor)):
        own = {"median_s": 1e-3 * scale, "spread_percent": spread_percent, "rounds_s": [1e-3 * scale]}
        rows.append({"name": name, "group": "dense", "libraries": {"pullback": own}})
    path.write_text(json.dumps({"date": "2000-01-01", "commit": "abc", "dirty": False, "rows": rows}))
    return path


@pytest.mark.parametrize(("factor", "spread_percent", "said"), [(1.3, 5, "slower"), (0.8, 5, "faster"), (1.3, 20, "")])
def test_compare_marks_what_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], factor: float, spread_percent: float, said: str
) -> None:
    before = made_up(tmp_path / "a.json", 1.0, spread_percent)
    after = made_up(tmp_path / "b.json", factor, spread_percent)
    assert main(["--compare", str(before), str(after)]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    assert lines["changed"].rstrip().endswith(said or "×")
    assert lines["steady"].rstrip().endswith("1.00×")
    assert f"{int(said == 'faster')} faster, {int(said == 'slower')} slower" in lines["2"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--filter", "no such row"], "no row's name holds 'no such row'"),
        (["--rounds", "0"], "--rounds expects at least 1, got 0"),
        (["--threads", "-2"], "--threads expects at least 1, got -2"),
        (["--compare", "nowhere.json", "nowhere.json"], "nowhere.json: No such file"),
        (["--compare", "README.md", "README.md"], "README.md is no result of the bench"),
        (["--peer-python", "/nowhere/python", "--filter", "add 8"], "/nowhere/python: No such file"),
        (["--out", "README.md"], "README.md is a file"),
    ],
)
def test_wrong_options_are_one_line(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(options) == 2
    error = capsys.readouterr().err
    assert words in error and len(error.strip().splitlines()) == 1


def test_unknown_options_and_no_checkout(tmp_path: Path) -> None:
    done = run("--frobnicate")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    command = [sys.executable, "-m", "pullback", "bench"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=with_package())
    assert done.returncode == 2 and "needs a checkout" in done.stderr and "Traceback" not in done.stderr


def with_package() -> dict[str, str]:
    """The environment, PYTHONPATH made absolute for another folder."""
    paths = [str(Path(p).resolve()) for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def test_results_agree_up_to_rounding() -> None:
    a = np.array([1.0, np.nan, np.inf, -2.0])
    b = a * (1 + 1e-5)
    assert agree([a], [b])
    for i, wrong in ((0, 1.1), (1, 0.0), (2, -np.inf)):
        c = copy.copy(b)
        c[i] = wrong
        assert not agree([a], [c])
    assert not agree([a], [a, a]) and not agree([a], [a[:2]])


def test_the_ceiling_is_the_tightest_of_its_bounds() -> None:
    widths = {"1000": 100.0, "100000": 10.0}
    ceiling = Ceiling(
        {"peak_flops": 1000.0, "read": widths, "triad": widths, "update": {k: 1.5 * v for k, v in widths.items()}}
    )
    assert ceiling.seconds(5000, 100, 0, 100) == (5.0, "compute")
    assert ceiling.seconds(100, 300, 100, 500) == (3.0, "memory")  # by what is read
    assert ceiling.seconds(100, 100, 200, 500) == (2.0, "memory")  # by all that moves
    assert ceiling.seconds(0, 1000, 0, 10_000)[0] == pytest.approx(1000 / 10**1.5)
    assert ceiling.seconds(0, 1000, 0, 10**9)[0] == 100


def test_small_figures() -> None:
    assert [time_text(t) for t in (1.5e-7, 9.994e-6, 1.2345e-5, 0.0123, 0.9999, 12.34)] == [
        "0.15 µs", "9.99 µs", "12.3 µs", "12.3 ms", "1.00 s", "12.3 s",
    ]  # fmt: skip
    assert spread([1.0]) == 0 and spread([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(100 * 2 / 3)
