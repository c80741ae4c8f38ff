"""Before and after: two results of the bench, row by row."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.processes import BenchError
from benchmarks.table import time_text


def load(path: Path) -> dict[str, Any]:
    """A result of the bench; BenchError where it is none."""
    try:
        results = json.loads(path.read_text())
        if not all("pullback" in row["libraries"] for row in results["rows"]):
            raise KeyError("pullback")
    except OSError as error:
        raise BenchError(f"--compare: {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise BenchError(f"--compare: {path} is no result of the bench") from None
    return dict(results)


def own(results: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Our times by row."""
    return {row["name"]: row["libraries"]["pullback"] for row in results["rows"]}


def verdict(before: dict[str, Any], after: dict[str, Any]) -> str:
    """faster or slower where the change exceeds both spreads together."""
    change = after["median_s"] / before["median_s"] - 1
    if abs(change) <= (before["spread_percent"] + after["spread_percent"]) / 100:
        return ""
    return "faster" if change < 0 else "slower"


def compare(first: Path, second: Path, say: Callable[..., None]) -> int:
    """Prints a line for each row that both have, and the geometric mean of the changes."""
    results = [load(first), load(second)]
    for name, r in zip(("before", "after"), results):
        say(
            f"{name}: {r.get('date', '')} commit {str(r.get('commit', ''))[:10]} {'with changes' if r.get('dirty') else ''}"
        )
    for key in ("machine", "settings", "versions"):
        if results[0].get(key) != results[1].get(key):
            say(f"not the same {key}: {results[0].get(key)} and {results[1].get(key)}", style="yellow")
    before, after = map(own, results)
    both = [name for name in before if name in after]
    if not both:
        raise BenchError(f"--compare: {first} and {second} have no row in common")
    say(f"{'row':<44} {'before':>9} {'±%':>4} {'after':>9} {'±%':>4} {'speed-up':>9}", style="bold")
    for name in both:
        a, b = before[name], after[name]
        said = verdict(a, b)
        say(
            f"{name:<44} {time_text(a['median_s']):>9} {a['spread_percent']:>4.0f} {time_text(b['median_s']):>9} "
            f"{b['spread_percent']:>4.0f} {a['median_s'] / b['median_s']:>8.2f}× {said}",
            style={"faster": "green", "slower": "red"}.get(said),
        )
    mean = math.exp(statistics.fmean(math.log(before[n]["median_s"] / after[n]["median_s"]) for n in both))
    marks = [verdict(before[n], after[n]) for n in both]
    say(f"{len(both)} rows: {marks.count('faster')} faster, {marks.count('slower')} slower; geometric mean {mean:.3f}×")
    for name, left in (("before", before), ("after", after)):
        only = [n for n in left if n not in both]
        if only:
            say(f"only {name}: {', '.join(only)}")
    return 0
