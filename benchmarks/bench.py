"""The bench: the dense table, the overheads and every test case at real sizes, against PyTorch and the machine's ceilings.

Each library runs in a process of its own. A round times one row in one process after the other, A B C A B C …; those whose
turn it is not are stopped. A row's time is the median of its rounds, ±% the range of their middle half. "ceiling" is the least
time that peak and bandwidth, measured in the same run, allow, over the time taken; a ratio is the peer's time over ours.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape

from benchmarks import pictures, table
from benchmarks.captured import CAPTURED
from benchmarks.compare import compare
from benchmarks.dense import DENSE, OVERHEADS
from benchmarks.machine import SIZES, Ceiling, describe
from benchmarks.peers import expressible
from benchmarks.processes import ROOT, BenchError, Process, find_python, start

FIGURES = ("flops", "reads", "writes", "footprint")
PEERS = ("torch", "jax", "onnxruntime")
RTOL = 1e-3  # of the largest element: enough to see that the same work is compared


def parser(prog: str) -> argparse.ArgumentParser:
    """Every option, with its default."""
    made = argparse.ArgumentParser(prog=prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--filter", metavar="WORD", help="only rows whose name holds this word")
    made.add_argument(
        "--quick", action="store_true", help="dense rows and overheads only, few repetitions: two minutes"
    )
    made.add_argument("--rounds", type=int, metavar="N", help="of each row (default: 7; 3 for cases and with --quick)")
    made.add_argument("--threads", type=int, metavar="N", help="of every library (default: what it chooses)")
    made.add_argument(
        "--compiled", action="store_true", help="captured steps against PyTorch's compiled mode too: minutes"
    )
    made.add_argument("--peer", action="append", choices=(*PEERS, "none"), help="may be repeated (default: torch)")
    made.add_argument(
        "--peer-python", metavar="PATH", help="the Python that has the peers (default: this one, or .venv's)"
    )
    made.add_argument(
        "--json", type=Path, metavar="FILE", help="write the results here (default: DIR/DATE-ISA-THREADS.json)"
    )
    made.add_argument(
        "--out", type=Path, metavar="DIR", default=ROOT / "benchmarks" / "results", help="where results go"
    )
    made.add_argument(
        "--compare", type=Path, nargs=2, metavar=("A", "B"), help="print before and after; measures nothing"
    )
    return made


class RowError(Exception):
    """A row that could not be run."""


class Bench:
    """One run."""

    def __init__(self, args: argparse.Namespace, console: Console) -> None:
        self.args, self.console = args, console
        self.processes: list[Process] = []
        self.ceiling: Ceiling
        self.folder = Path()

    def say(self, text: str, style: str | None = None) -> None:
        self.console.print(escape(text), style=style, highlight=False, soft_wrap=True)

    # --- what is measured ---------------------------------------------------------------------------------------------

    def rows(self) -> list[dict[str, Any]]:
        """All rows that the options select."""
        found: list[dict[str, Any]] = []
        for group, rows in (("dense", DENSE), ("captured", CAPTURED), ("overheads", OVERHEADS)):
            found += [{"group": group, **{k: getattr(r, k) for k in ("name", *FIGURES)}} for r in rows]
        if not self.args.quick:
            from benchmarks.case_rows import case_rows

            found += case_rows()
        word = self.args.filter
        found = [r for r in found if not word or word in r["name"]]
        if not found:
            raise BenchError(f"--filter: no row's name holds {word!r}")
        return found

    def effort(self, row: dict[str, Any]) -> tuple[int, int, float]:
        """Rounds, samples a round, seconds a sample."""
        if self.args.quick:
            return self.args.rounds or 3, 3, 0.01
        if row["group"] == "cases":
            return self.args.rounds or 3, 1, 0.02
        return self.args.rounds or 7, 5, 0.02

    # --- one row ------------------------------------------------------------------------------------------------------

    def fits(self, process: Process, row: dict[str, Any]) -> bool:
        """Whether a process can express a row."""
        if process.package == "pullback":
            return True
        if process.name == "PyTorch compiled":
            return row["group"] == "captured"
        if row["group"] == "cases":
            return process.package == "torch" and row["torch"] is not None
        return process.package == "torch" or expressible(row["name"])

    def measure(self, row: dict[str, Any]) -> dict[str, Any]:
        """Prepares a row in every process that can express it, and measures it in turns."""
        rounds, samples, sample_s = self.effort(row)
        row = {**row, "inputs": str(self.folder / "inputs.npz")}
        entries: dict[str, dict[str, Any]] = {}
        for process in [p for p in self.processes if self.fits(p, row)]:
            result = self.folder / f"{process.name}.npz"
            answer = process.ask("prepare", row=row, sample_s=sample_s, result=str(result))
            if process.package == "pullback":
                if "error" in answer:
                    raise RowError(answer["error"])
                row |= {k: answer.pop(k) for k in FIGURES if k in answer}
                ours = self.arrays(result)
            elif "error" not in answer:
                answer["agrees"] = agree(ours, self.arrays(result))
            entries[process.name] = answer
        medians: dict[str, list[float]] = {name: [] for name, e in entries.items() if "error" not in e}
        for _ in range(rounds):
            for process in [p for p in self.processes if p.name in medians]:
                answer = process.ask("measure", samples=samples)
                if "error" in answer:
                    raise RowError(f"{process.name}: {answer['error']}")
                medians[process.name].append(statistics.median(answer["times"]))
        for name, values in medians.items():
            entries[name] |= {
                "median_s": statistics.median(values),
                "spread_percent": table.spread(values),
                "rounds_s": values,
            }
        return self.evaluate({k: row[k] for k in ("name", "group", *FIGURES, "differs") if k in row}, entries)

    def arrays(self, path: Path) -> list[Any]:
        """The arrays of a saved result."""
        with np.load(path) as saved:
            return [saved[name] for name in saved.files]

    def evaluate(self, row: dict[str, Any], entries: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """Rates, percent of the ceiling, ratios."""
        time_s = entries["pullback"]["median_s"]
        least, bound = self.ceiling.seconds(*(row[k] for k in FIGURES))
        for name, entry in entries.items():
            if name != "pullback" and "median_s" in entry:
                entry["ratio"] = entry["median_s"] / time_s
        moved = row["reads"] + row["writes"]
        row |= {"bound": bound, "flops_per_s": row["flops"] / time_s, "bytes_per_s": moved / time_s}
        return {**row, "ceiling_percent": 100 * least / time_s, "libraries": entries}

    # --- the run ------------------------------------------------------------------------------------------------------

    def prepare(self) -> dict[str, Any]:
        """Starts the workers and measures the ceilings: everything of the results but the rows."""
        from pullback import _cpu

        peers = [p for p in self.args.peer or ["torch"] if p != "none"]
        python, lacking = find_python(self.args.peer_python, peers) if peers else (sys.executable, [])
        for peer in lacking:
            self.say(f"{peer} is not installed: no ratios to it (make peers, or --peer-python PATH)", "yellow")
        if self.args.threads:
            _cpu.set_num_threads(self.args.threads)
        threads = _cpu.num_threads()
        results = describe(ROOT, lambda text: self.say(text, "yellow"))
        start(
            self.processes,
            [p for p in peers if p not in lacking],
            python,
            self.args.threads,
            threads,
            self.args.compiled,
        )
        told = {p.name: p.told for p in self.processes}
        results["versions"] = {"pullback": results.pop("pullback"), "Python": told["pullback"]["python"]}
        results["versions"] |= {"NumPy": told["pullback"]["numpy"]}
        for process in self.processes[1:]:
            results["versions"][process.package] = process.told["version"]
        results["settings"] = {
            "threads": threads,
            "threads_reason": _cpu.num_threads_reason(),
            "peer_threads": {name: t["threads"] for name, t in told.items() if "threads" in t},
            "quick": self.args.quick,
            "filter": self.args.filter,
            "rounds": self.args.rounds,
        }
        counts = sorted({1, threads})
        results["ceilings"] = self.processes[0].ask("ceilings", sizes=SIZES, threads=counts)
        if "error" in results["ceilings"]:
            raise RuntimeError(results["ceilings"]["error"])
        self.ceiling = Ceiling(results["ceilings"][str(threads)])
        return results

    def run(self) -> int:
        """Measures and prints row by row, then writes the results."""
        started = time.perf_counter()
        rows = self.rows()
        results = self.prepare()
        for text in (*table.machine_lines(results), *table.ceiling_lines(results["ceilings"])):
            self.say(text, "dim")
        results["rows"], failed = [], []
        group = ""
        for row in rows:
            if row["group"] != group:
                group = row["group"]
                self.say("")
                self.say(table.line((group, *table.COLUMNS[1:])), "bold")
            try:
                done = self.measure(row)
            except RowError as error:
                failed.append(row["name"])
                self.say(f"{row['name']}: {error}", "red")
                continue
            results["rows"].append(done)
            self.show(done)
        dense = [r for r in results["rows"] if r["group"] == "dense"]
        found = {name: table.summary(dense, name) for name in (table.BEST, table.DEFAULT)}
        results["dense"] = {name: s for name, s in found.items() if s}
        results["headlines"] = [table.summary_text(s, name, len(DENSE)) for name, s in results["dense"].items()]
        results["seconds"] = time.perf_counter() - started
        self.say("")
        for text in results["headlines"]:
            self.say(text, "bold")
        self.write(results)
        wrong = [r["name"] for r in dense if any(e.get("agrees") is False for e in r["libraries"].values())]
        return 1 if wrong or failed else 0

    def show(self, row: dict[str, Any]) -> None:
        """One line, and what has to be said besides."""
        ratio = table.entry_of(row, table.BEST).get("ratio")
        self.say(table.line(table.cells(row)), table.colour(ratio) if ratio is not None else None)
        for text in table.notes(row):
            self.say(f"    {text}", "yellow")

    def write(self, results: dict[str, Any]) -> None:
        """JSON, Markdown and two pictures, side by side."""
        stem = f"{results['date'][:10]}-{results['machine']['isa']}-{results['settings']['threads']}-threads"
        path = self.args.json or self.args.out / f"{stem}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
        path.with_suffix(".md").write_text(table.markdown(results))
        drawn = [path, path.with_suffix(".md"), *pictures.draw(results, path.with_suffix(""))]
        self.say(f"{results['seconds']:.0f} s; wrote {', '.join(str(p) for p in drawn)}")


def agree(ours: list[Any], theirs: list[Any]) -> bool:
    """Whether two results are the same up to rounding: |a − b| ≤ RTOL · max|a|, NaN and infinities in the same places."""
    if len(ours) != len(theirs):
        return False
    for a, b in zip(ours, theirs):
        if a.shape != b.shape:
            return False
        a, b = a.astype(np.float64), b.astype(np.float64)
        finite = np.isfinite(a)
        scale = np.abs(a[finite]).max(initial=0)
        if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
            return False
        if not np.all(np.abs(a[finite] - b[finite]) <= RTOL * scale):
            return False
    return True


def check(args: argparse.Namespace) -> None:
    """BenchError for an option without meaning."""
    for name, value in (("--rounds", args.rounds), ("--threads", args.threads)):
        if value is not None and value < 1:
            raise BenchError(f"{name} expects at least 1, got {value}")
    for name, path in (("--out", args.out), ("--json", args.json and args.json.parent)):
        if path is not None and path.exists() and not path.is_dir():
            raise BenchError(f"{name} expects a folder, and {path} is a file")
    if args.json is not None and args.json.is_dir():
        raise BenchError(f"--json expects a file, and {args.json} is a folder")


def main(argv: Sequence[str] | None = None, prog: str = "python -m benchmarks.bench") -> int:
    """0 done; 1 where a row failed or a dense row's result differs from a peer's; 2 for a wrong option; 130 after Ctrl-C."""
    args = parser(prog).parse_args(argv)
    console = Console(width=None if sys.stdout.isatty() else 140)
    bench = Bench(args, console)
    try:
        check(args)
        if args.compare:
            return compare(args.compare[0], args.compare[1], bench.say)
        with tempfile.TemporaryDirectory(prefix="pullback-bench-") as folder:
            bench.folder = Path(folder)
            return bench.run()
    except BenchError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{prog}: interrupted; nothing was written", file=sys.stderr)
        return 130
    finally:
        for process in bench.processes:
            process.end()


if __name__ == "__main__":
    sys.exit(main())
