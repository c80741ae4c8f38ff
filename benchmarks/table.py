"""The table: a line a row as it is measured, the summary, and the same as Markdown."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

COLUMNS = ("row", "time", "±%", "rate", "ceiling", "PyTorch best", "ratio", "default", "ratio")
WIDTHS = (44, 9, 4, 12, 7, 12, 6, 9, 6)
BEST, TUNED, DEFAULT = "PyTorch best", "PyTorch tuned", "PyTorch default"


def time_text(seconds: float | None) -> str:
    """Three digits and a unit."""
    if seconds is None:
        return "–"
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 0.9995 or unit == "µs":
            value = seconds * factor
            return f"{value:.{0 if value >= 99.95 else 1 if value >= 9.995 else 2}f} {unit}"
    raise AssertionError


def ratio_text(ratio: float | None) -> str:
    """How many times as long the peer takes."""
    return "–" if ratio is None else f"{ratio:.2f}×"


def spread(rounds: Sequence[float]) -> float:
    """The range of the middle half of the rounds' medians, in percent of their median."""
    if len(rounds) < 2:
        return 0.0
    low, _, high = statistics.quantiles(rounds, n=4, method="inclusive")
    return 100 * (high - low) / statistics.median(rounds)


def rate_text(row: dict[str, Any]) -> str:
    """GFLOP/s where arithmetic is the bound, GB/s where memory is."""
    if row["bound"] == "compute":
        return f"{row['flops_per_s'] / 1e9:.1f} GFLOP/s"
    return f"{row['bytes_per_s'] / 1e9:.1f} GB/s"


def entry_of(row: dict[str, Any], name: str) -> dict[str, Any]:
    """The figures of a library. PyTorch's best are those of its faster setting: tuning does not help every row."""
    names = (TUNED, DEFAULT) if name == BEST else (name,)
    found = [e for n, e in row["libraries"].items() if n in names and "ratio" in e]
    return min(found, key=lambda e: float(e["median_s"]), default={})


def cells(row: dict[str, Any]) -> list[str]:
    """The texts of one row."""
    own = row["libraries"]["pullback"]
    peers = [entry_of(row, name) for name in (BEST, DEFAULT)]
    found = [row["name"], time_text(own["median_s"]), f"{own['spread_percent']:.0f}"]
    # An overhead has no ceiling: nothing would be left of it on an ideal machine.
    bounded = row["group"] != "overheads"
    found += [rate_text(row), f"{row['ceiling_percent']:.0f} %"] if bounded else ["–", "–"]
    for peer in peers:
        found += [time_text(peer.get("median_s")), ratio_text(peer.get("ratio"))]
    return found


def line(texts: Iterable[str]) -> str:
    """Padded to the columns' widths; the first to the left, the others to the right."""
    first, *rest = texts
    return f"{first:<{WIDTHS[0]}}" + "".join(f" {text:>{width}}" for text, width in zip(rest, WIDTHS[1:]))


def notes(row: dict[str, Any]) -> list[str]:
    """What has to be said about a row besides its figures."""
    errors: dict[str, list[str]] = {}
    for name, entry in row["libraries"].items():
        if "error" in entry:
            errors.setdefault(entry["error"], []).append(name)
    said = [f"{', '.join(names)}: {error}" for error, names in errors.items()]
    if any(entry.get("agrees") is False for entry in row["libraries"].values()):
        names = ", ".join(name for name, entry in row["libraries"].items() if entry.get("agrees") is False)
        said.append(f"{names}: {row.get('differs') or 'its result differs from ours'}")
    others = [n for n in row["libraries"] if n not in ("pullback", TUNED, DEFAULT) and "ratio" in row["libraries"][n]]
    said += [
        f"{n}: {time_text(row['libraries'][n]['median_s'])} {ratio_text(row['libraries'][n]['ratio'])}" for n in others
    ]
    return said


def colour(ratio: float | None) -> str:
    """Of a ratio."""
    return "dim" if ratio is None else "green" if ratio >= 1.05 else "red" if ratio < 0.95 else "yellow"


def summary(rows: Sequence[dict[str, Any]], name: str = BEST) -> dict[str, Any] | None:
    """The geometric mean of the dense rows' ratios and the lowest of them; None where there is no ratio."""
    entries = {r["name"]: entry_of(r, name) for r in rows}
    ratios = {row: entry["ratio"] for row, entry in entries.items() if entry}
    if not ratios:
        return None
    mean = math.exp(statistics.fmean(math.log(x) for x in ratios.values()))
    lowest = min(ratios, key=lambda k: ratios[k])
    return {"geometric_mean": mean, "lowest": {"row": lowest, "ratio": ratios[lowest]}, "rows": len(ratios)}


def summary_text(found: dict[str, Any], name: str, all_rows: int) -> str:
    """The headline."""
    of = f"{found['rows']} dense rows" if found["rows"] == all_rows else f"{found['rows']} of {all_rows} dense rows"
    lowest = found["lowest"]
    return (
        f"{name}: geometric mean of {of} {found['geometric_mean']:.2f}×, "
        f"lowest {lowest['ratio']:.2f}× ({lowest['row']})"
    )


def ceiling_lines(measured: dict[str, Any]) -> list[str]:
    """The ceilings in words, a line for each number of threads."""
    lines = []
    for threads, c in measured.items():
        if not threads.isdigit():
            continue
        widths = ", ".join(
            f"{size_text(s)} {t / 1e9:.0f}/{c['update'][s] / 1e9:.0f}/{c['read'][s] / 1e9:.0f}"
            for s, t in sorted(c["triad"].items(), key=by_size)
        )
        trip = f" (to another core and back {c['round_trip_s'] * 1e6:.2f})" if c.get("round_trip_s") else ""
        lines.append(
            f"ceilings, {threads} thread{'s' if threads != '1' else ''}: {c['peak_flops'] / 1e9:.0f} GFLOP/s; fork/join "
            f"{c['fork_join_s'] * 1e6:.2f} µs{trip}; GB/s of triad/update/read over {widths}"
        )
    lines.append(f"an empty kernel call: {measured['empty_call_s'] * 1e6:.2f} µs")
    return lines


def by_size(item: tuple[str, float]) -> int:
    """The key of (bytes, bandwidth)."""
    return int(item[0])


def size_text(size: str) -> str:
    """64 KiB, 16 MiB."""
    n = int(size)
    return f"{n >> 20} MiB" if n >= 1 << 20 else f"{n >> 10} KiB"


def machine_lines(results: dict[str, Any]) -> list[str]:
    """What was measured, where."""
    machine, settings = results["machine"], results["settings"]
    versions = ", ".join(f"{k} {v}" for k, v in results["versions"].items())
    state = f"commit {results['commit'][:10] or 'unknown'}{' with changes' if results['dirty'] else ''}"
    return [
        f"{machine['cpu']}, {machine['isa']}, {settings['threads']} threads ({settings['threads_reason']}), "
        f"{machine['system']}",
        f"{results['date']}, {state}; {versions}",
    ]


def markdown(results: dict[str, Any]) -> str:
    """The whole as one page."""
    text = [f"# Benchmarks, {results['date'][:10]}", ""]
    text += [f"- {said}" for said in (*machine_lines(results), *ceiling_lines(results["ceilings"]))]
    text += [f"- **{said}**" for said in results["headlines"]]
    titles = {
        "dense": "Dense rows",
        "captured": "Whole steps, captured",
        "overheads": "Overheads",
        "cases": "Every test case at real sizes",
    }
    for group, title in titles.items():
        rows = [r for r in results["rows"] if r["group"] == group]
        if not rows:
            continue
        text += ["", f"## {title}", "", "| " + " | ".join(COLUMNS) + " |", "| --- " + "| ---: " * 8 + "|"]
        text += ["| " + " | ".join(cells(r)) + " |" for r in rows]
        text += [f"\n{r['name']}: {said}" for r in rows for said in notes(r)]
    return "\n".join(text) + "\n"
