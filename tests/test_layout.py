"""The layout says what it should: every kernel has its contract, op, case, dtypes, second derivative and benchmark; the
stubs are fresh; imports go down only."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pullback as pb
from harness import Arrays, Case, all_cases
from pullback import _cpu
from pullback._backend import cpu
from pullback._walk import gradients
from test_cases import first, forward_and_backward, make, tensors

ROOT = Path(__file__).parents[1]
CASES = all_cases()

# What lacks its twin, and why. Nothing else may.
NO_OP_OF_ITS_NAME = {
    "copy": "copies and fills serve ops/create.py, ops/view.py and ops/convert.py",
    "clip_grad": "its Python half is pullback.nn.utils.clip_grad",
    "grad_scaler": "its Python half is pullback.amp.grad_scaler",
    "optimizer": "its Python half is the package pullback.optim",
    "optimizer_adaptive": "its Python half is the package pullback.optim",
}
NO_SECOND_DERIVATIVE: dict[str, str] = {}
NOT_IN_A_CASE: dict[str, str] = {}


def stems(folder: str, ending: str) -> set[str]:
    return {p.stem for p in (ROOT / folder).glob(f"*{ending}") if p.stem != "__init__"}


def test_every_family_has_contract_op_and_cases() -> None:
    families = stems("csrc/kernels", ".cpp")
    assert families, "no kernel sources found"
    assert not families - stems("csrc/kernels", ".h")
    assert not families - stems("python/pullback/ops", ".py") - set(NO_OP_OF_ITS_NAME)
    assert not families - stems("tests/cases", ".py")


def small(case: Case, most: int = 4096) -> tuple[int, ...]:
    """The largest of its shapes that is quickly done."""
    fitting = [s for s in case.shapes if np.prod(s) <= most] or case.shapes[:1]
    return max(fitting, key=lambda s: int(np.prod(s)))


@pytest.fixture(scope="module")
def launches() -> dict[str, dict[str, int]]:
    """How often each kernel ran while the cases ran, in float32 and in float64."""
    counts = {}
    for dtype in ("float32", "float64"):
        before = _cpu.launch_counts()
        for case in CASES:
            forward_and_backward(case, make(case, small(case), dtype)[0])
            if case.vjp is not None:
                twice_differentiated(case, make(case, small(case), dtype)[0])
        after = _cpu.launch_counts()
        counts[dtype] = {name: after[name] - before[name] for name in after}
    return counts


def twice_differentiated(case: Case, arrays: Arrays, device: Any = cpu) -> None:
    """The pullback in ops, and its own pullback: what only second derivatives call."""
    inputs = tensors(case, arrays, device=device)
    wanted = [t for t in inputs if t.requires_grad]
    y = first(case.run(*inputs))
    pulled = gradients([y], wanted, [pb.ones_like(y)], None, True, True)
    again = [g for g in pulled if g is not None and g.requires_grad]
    if again:
        gradients(again, wanted, [pb.ones_like(g) for g in again], None, False, True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_kernel_is_in_a_case(launches: dict[str, dict[str, int]], dtype: str) -> None:
    unseen = {name for name, n in launches[dtype].items() if n == 0} - set(NOT_IN_A_CASE)
    assert not unseen, f"kernels that no case reaches in {dtype}: {sorted(unseen)}"


def test_every_differentiable_case_has_a_second_derivative() -> None:
    lacking = {c.name for c in CASES if c.vjp is not None and not c.second}
    assert lacking == set(NO_SECOND_DERIVATIVE)


def test_every_case_has_a_benchmark() -> None:
    assert not [c.name for c in CASES if not c.bench]


def test_exemptions_are_still_needed() -> None:
    assert set(NO_OP_OF_ITS_NAME) <= stems("csrc/kernels", ".cpp") - stems("python/pullback/ops", ".py")
    assert all(reason for d in (NO_OP_OF_ITS_NAME, NO_SECOND_DERIVATIVE, NOT_IN_A_CASE) for reason in d.values())


def test_stubs_are_fresh() -> None:
    script = ROOT / "csrc" / "bind" / "stubs.py"
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


LAYERS = ("_cpu", "_dtype", "_backend", "_tape", "_walk", "_methods", "_tensor", "ops")


def test_imports_go_down_only() -> None:
    """At the top level of a module: the core never imports what stands on it."""
    above = {"nn", "optim", "utils", "datasets", "io", "cli", "autograd", "func", "models"}
    for path in (ROOT / "python/pullback").rglob("*.py"):
        relative = path.relative_to(ROOT / "python/pullback")
        if relative.parts[0].removesuffix(".py") not in LAYERS:
            continue
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("pullback."):
                target = node.module.split(".")[1]
                assert target not in above, f"{relative} imports pullback.{target}"
            if isinstance(node, ast.ImportFrom) and node.module == "pullback":
                assert not {a.name for a in node.names} & above, f"{relative} imports from above"


def test_one_header_of_each_module_includes_numpy_s() -> None:
    """It says first under which name the module has NumPy's C interface, which since NumPy 2.5 comes with every header."""
    sources = [
        p for folder in ("csrc", "cuda") for p in (ROOT / folder).rglob("*") if p.suffix in (".cpp", ".h", ".cu")
    ]
    found = {str(p.relative_to(ROOT)) for p in sources if "#include <numpy/" in p.read_text()}
    assert found == {"csrc/bind/numpy.h", "csrc/tape/numpy.h"}


def test_files_stay_short() -> None:
    """A file of over 500 lines is asking to be two."""
    sources = [
        p
        for folder in ("csrc", "python", "tests")
        for p in (ROOT / folder).rglob("*")
        if p.suffix in (".py", ".cpp", ".h")
    ]
    long = {str(p.relative_to(ROOT)): n for p in sources if (n := len(p.read_text().splitlines())) > 500}
    assert not long, long
