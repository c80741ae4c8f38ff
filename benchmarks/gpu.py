"""`make gpu`: on a machine with a GPU, builds, tests every case on it, and measures. Ends within eight minutes, needs no network.

    python benchmarks/gpu.py [--seconds 470] [--only build,sanitizers,cases,bench] [--out benchmarks/results]

Needs CUDA with compute-sanitizer, and CMake; CuPy, nanobind, pybind11, scikit-build-core, NumPy and pytest in the running
Python; PyTorch to compare with. Writes <device>-<commit>.json, a picture of where the GPU overtakes the CPU, and prints a
short table last. A stage that fails, or that no time was left for, is said so and does not stop the others.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.gpu_rows import OWN, crossover  # noqa: E402
from benchmarks.machine import git  # noqa: E402
from benchmarks.table import ratio_text, time_text  # noqa: E402

STAGES = ("build", "sanitizers", "cases", "bench")
TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")
CAPTURED = ("tests/test_capture.py", "tests/test_capture_errors.py", "tests/test_capture_passes.py")
SMALL_CASES, ALL_CASES = "test_small_cases", "not test_small_cases and not cpu"  # what pytest calls them
NEEDED = ("cupy", "nanobind", "pybind11", "scikit_build_core", "numpy", "pytest")
LEAST = {"sanitizers": 60.0, "cases": 100.0, "bench": 170.0}  # seconds that the stages before have to leave
FAILURES, SHOWN = 20, 6000  # tests that may fail before a stage ends, and what is kept of its output
WIDTHS = (36, 10, 8, 9, 9)
HEAD = ("row", "time", "ceiling", "PyTorch", "CPU")
Say = Callable[[str], None]


class Clock:
    """How much of the time is left, and how much of it one stage may take."""

    def __init__(self, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self.now, self.end = now, now() + seconds

    def left(self) -> float:
        return max(0.0, self.end - self.now())

    def share(self, stage: str) -> float:
        """What is left when the stages after this one have their least."""
        after = STAGES[STAGES.index(stage) + 1 :]
        return max(0.0, self.left() - sum(LEAST[name] for name in after))


def run(command: Sequence[str], seconds: float, **variables: str) -> tuple[int | None, str]:
    """Exit code and output; None for what did not end in time. It is stopped with all that it started: a program that
    compute-sanitizer left behind would go on using the GPU while the next stage measures."""
    begun = subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output = "".join(begun.communicate(timeout=max(1.0, seconds)))
        return begun.returncode, output
    except subprocess.TimeoutExpired:
        os.killpg(begun.pid, signal.SIGKILL)
        return None, "".join(begun.communicate())


def outcome(code: int | None, output: str) -> dict[str, Any]:
    """Of a stage, with the end of what it printed where it failed."""
    state = "out of time" if code is None else "passed" if code == 0 else "failed"
    return {"state": state} | ({} if code == 0 else {"output": output[-SHOWN:]})


# --- the stages ---------------------------------------------------------------------------------------------------------


def build(clock: Clock) -> dict[str, Any]:
    """pip install, for this GPU's architecture and this CPU's best instruction set."""
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    best = "avx512" if "avx512vl" in flags else "avx2" if "avx2" in flags else "portable"
    defines = {"PULLBACK_CUDA": "on", "PULLBACK_ISAS": best, "CMAKE_CUDA_ARCHITECTURES": "native"}
    options = [word for name, value in defines.items() for word in ("-C", f"cmake.define.{name}={value}")]
    command = [sys.executable, "-m", "pip", "install", "--no-build-isolation", "--no-deps", *options, "."]
    begin = clock.left()
    found = outcome(*run(command, clock.share("build")))
    return found | {"seconds": round(begin - clock.left(), 1)}


def sanitizers(clock: Clock) -> dict[str, Any]:
    """A few small cases under each tool of compute-sanitizer."""
    program = shutil.which("compute-sanitizer") or shutil.which("compute-sanitizer", path="/usr/local/cuda/bin")
    if program is None:
        return {"state": "not run", "output": "compute-sanitizer is not in PATH: it comes with CUDA's toolkit"}
    found: dict[str, Any] = {}
    for i, tool in enumerate(TOOLS):
        wrapped = [program, "--tool", tool, "--error-exitcode", "86", sys.executable, *cases_command(SMALL_CASES)]
        found[tool] = outcome(*run(wrapped, clock.share("sanitizers") / (len(TOOLS) - i)))
    states = {result["state"] for result in found.values()}
    said = "\n".join(
        f"{tool}: {result['state']}\n{result['output']}" for tool, result in found.items() if "output" in result
    )
    state = "passed" if states == {"passed"} else "failed" if "failed" in states else "out of time"
    return {"state": state, "output": said, **found}


def cases(clock: Clock) -> dict[str, Any]:
    """Every case on the device against NumPy, and captured steps against ordinary ones."""
    code, output = run([sys.executable, *cases_command(ALL_CASES, *CAPTURED)], clock.share("cases"))
    return outcome(code, output) | {"summary": (output.strip().splitlines() or [""])[-1]}


def cases_command(which: str, *more: str) -> list[str]:
    options = ["-q", "--tb=short", f"--maxfail={FAILURES}", "-p", "no:cacheprovider"]
    return ["-m", "pytest", *options, "tests/test_gpu.py", *more, "-k", which]


def bench(clock: Clock) -> dict[str, Any]:
    """PyTorch's figures and ours, one process after the other."""
    figures: list[dict[str, Any]] = []
    states = {}
    for library, part in (("torch", 0.3), ("pullback", 0.9)):
        seconds = clock.left() * part
        command = [sys.executable, "-m", "benchmarks.gpu_worker", library, "--seconds", str(int(seconds - 15))]
        code, output = run(command, seconds)
        figures += read_figures(output)
        states[library] = outcome(code, output)
    said = "\n".join(f"{library}: {found['output']}" for library, found in states.items() if "output" in found)
    return {"state": states["pullback"]["state"], "libraries": states, "output": said, **collect(figures)}


# Whether pullback has a GPU to run on: where it has none its tests are skipped, which is no pass.
USABLE = "from pullback import _cuda_state; raise SystemExit(_cuda_state.cuda_problem())"


def attempt(name: str, clock: Clock) -> dict[str, Any]:
    """A stage's outcome, whatever goes wrong in it."""
    try:
        code, said = (0, "") if name == "build" else run([sys.executable, "-c", USABLE], 60)
        return globals()[name](clock) if code == 0 else outcome(code, said)  # type: ignore[no-any-return]
    except Exception:
        return outcome(1, traceback.format_exc())


# --- figures ------------------------------------------------------------------------------------------------------------


def read_figures(output: str) -> list[dict[str, Any]]:
    """The lines of a worker that are JSON: a process that ended early has said what it had measured."""
    found = []
    for line in output.splitlines():
        if line.startswith('{"kind"'):
            try:
                found.append(json.loads(line))
            except json.JSONDecodeError:
                continue
    return found


def collect(figures: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Rows with their ceilings and ratios, curves with their crossovers."""
    of_kind = {kind: [f for f in figures if f["kind"] == kind] for kind in ("hello", "ceiling", "row", "point")}
    ceilings: dict[str, float] = {}
    for f in of_kind["ceiling"]:
        ceilings[f["name"]] = max(ceilings.get(f["name"], 0.0), f.get("rate", 0.0))
    theirs = {f["name"]: f for f in of_kind["row"] if f["library"] == "torch"}
    ours = [f for f in of_kind["row"] if f["library"] == "pullback"]
    rows = [finished(f, theirs.get(f["name"].removesuffix(OWN), {}), ceilings) for f in ours]
    curves: dict[str, Any] = {}
    for f in of_kind["point"]:
        if "seconds" in f:
            curves.setdefault(f["name"], {"points": []})["points"].append([f["size"], f["cpu_seconds"], f["seconds"]])
    for curve in curves.values():
        curve["crossover"] = crossover([tuple(point) for point in curve["points"]])
    hello = {f["library"]: {k: v for k, v in f.items() if k not in ("kind", "library")} for f in of_kind["hello"]}
    return {"hello": hello, "ceilings": ceilings, "rows": rows, "curves": curves}


def finished(row: dict[str, Any], peer: dict[str, Any], ceilings: dict[str, float]) -> dict[str, Any]:
    """A row with its share of the ceiling, PyTorch's time over ours and the CPU's over the GPU's."""
    found = {k: v for k, v in row.items() if k not in ("kind", "library")}
    seconds = found.get("seconds")
    if seconds is None:
        return found
    product = ceilings.get(found.pop("ceiling", "product"))
    if ceilings.get("copy") and product:
        least = max(found["flops"] / product, found["bytes"] / ceilings["copy"])
        found["ceiling_percent"] = 100 * least / seconds
    if "seconds" in peer:
        found |= {"torch_seconds": peer["seconds"], "torch_ratio": peer["seconds"] / seconds}
    if "cpu_seconds" in found:
        found["cpu_ratio"] = found["cpu_seconds"] / seconds
    return found


# --- what is written ----------------------------------------------------------------------------------------------------


def line(texts: Sequence[str]) -> str:
    """The first to the left, the others to the right."""
    return f"{texts[0]:<{WIDTHS[0]}}" + "".join(f"{text:>{width}}" for text, width in zip(texts[1:], WIDTHS[1:]))


def table(results: dict[str, Any]) -> list[str]:
    """The short table that comes last."""
    bench = results["stages"].get("bench", {})
    lines = [line(HEAD)]
    for row in bench.get("rows", []):
        if "seconds" not in row:
            lines.append(f"{row['name']:<{WIDTHS[0]}} {row.get('error', '')}")
            continue
        percent = f"{row['ceiling_percent']:.0f} %" if "ceiling_percent" in row else "–"
        ratios = [ratio_text(row.get(name)) for name in ("torch_ratio", "cpu_ratio")]
        lines.append(line([row["name"], time_text(row["seconds"]), percent, *ratios]))
    for name, curve in bench.get("curves", {}).items():
        size = curve["crossover"]
        lines.append(
            f"{name}: " + ("the CPU is faster at all sizes" if size is None else f"the GPU is faster from {size}")
        )
    for name, rate in bench.get("ceilings", {}).items():
        lines.append(
            f"ceiling, {name}: " + (f"{rate / 1e9:.0f} GB/s" if name == "copy" else f"{rate / 1e12:.1f} TFLOP/s")
        )
    lines += [f"{stage}: {found['state']}" for stage, found in results["stages"].items()]
    return lines


def slug(device: str) -> str:
    """nvidia-h100-80gb-hbm3"""
    return re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-") or "unknown"


def device_of(results: dict[str, Any]) -> str:
    """As the libraries named it."""
    hello = results["stages"].get("bench", {}).get("hello", {})
    return next((said["device"] for said in hello.values() if "device" in said), "unknown")


def write(results: dict[str, Any], folder: Path) -> Path:
    """<device>-<commit>.json, and the picture beside it where matplotlib is there."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{slug(device_of(results))}-{results['commit'][:10] or 'unknown'}.json"
    path.write_text(json.dumps(results, indent=1) + "\n")
    curves = results["stages"].get("bench", {}).get("curves")
    if curves:
        draw(curves, path.with_suffix(".png"))
    return path


def draw(curves: dict[str, Any], path: Path) -> None:
    """CPU over GPU by size: above 1 the GPU is faster."""
    try:
        import matplotlib
    except ImportError:
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5))
    for name, curve in curves.items():
        sizes, cpu, gpu = zip(*curve["points"])
        axes.loglog(sizes, [c / g for c, g in zip(cpu, gpu)], marker="o", label=name)
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set(xlabel="size", ylabel="time on the CPU / time on the GPU", title="Where the GPU overtakes the CPU")
    axes.legend()
    figure.savefig(path, dpi=120, bbox_inches="tight")
    pyplot.close(figure)


def missing() -> list[str]:
    """What has to be installed first."""
    import importlib.util

    lacking = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if not shutil.which("cmake") and importlib.util.find_spec("cmake") is None:
        lacking.append("cmake")
    return lacking if shutil.which(os.environ.get("CUDACXX", "nvcc")) else [*lacking, "nvcc"]


def main(argv: Sequence[str] | None = None, say: Say = print) -> int:
    """All stages in order; 1 where one failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=470)
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(STAGES))
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results")
    args = parser.parse_args(argv)
    if unknown := set(args.only) - set(STAGES):
        parser.error(f"--only: expected some of {', '.join(STAGES)}, got {', '.join(sorted(unknown))}")
    if "build" in args.only and (lacking := missing()):
        say(f"make gpu: needs {', '.join(lacking)} in {sys.executable}")
        return 2
    clock = Clock(args.seconds)
    results: dict[str, Any] = {
        "commit": git(ROOT, "rev-parse", "HEAD"),
        "dirty": bool(git(ROOT, "status", "--porcelain", "--untracked-files=no")),
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "stages": {},
    }
    for name in args.only:
        say(f"== {name}, {clock.left():.0f} s left")
        results["stages"][name] = found = attempt(name, clock)
        say(f"{name}: {found['state']}")
        if found["state"] != "passed":
            say(found.get("output", ""))
    path = write(results, args.out)
    say(f"\nwrote {path}, after {args.seconds - clock.left():.0f} s")
    say("\n".join(table(results)))
    return int(any(found["state"] == "failed" for found in results["stages"].values()))


if __name__ == "__main__":
    sys.exit(main())
