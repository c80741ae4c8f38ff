"""`pullback doctor`: what this installation is and what it runs on, a line each, with what helps where a piece is missing."""

from __future__ import annotations

import importlib
import os
import platform
from collections.abc import Sequence
from typing import Any

import numpy as np

import pullback
from pullback import _cpu, _cuda_state

Lines = list[tuple[str, str]]


def report(missing: Sequence[str]) -> Lines:
    """(what, how it is) for every line."""
    forced = os.environ.get("PULLBACK_ISA")
    chosen = "forced by PULLBACK_ISA" if forced else "the best that this CPU has"
    return [
        ("pullback", pullback.__version__),
        ("python", f"{platform.python_version()} on {platform.platform()}"),
        ("numpy", np.__version__),
        ("cpu", _cpu.cpu_model() or platform.machine()),
        ("instruction set", f"{_cpu.isa()} ({chosen}; this build runs {', '.join(_cpu.isas())})"),
        ("threads", f"{_cpu.num_threads()} ({_cpu.num_threads_reason()})"),
        *gpu_lines(),
        ("extra cli", f'lacks {", ".join(missing)}: pip install "pullback[cli]"' if missing else "installed"),
    ]


def gpu_lines() -> Lines:
    """The module, the driver, the GPUs, and the libraries that are used on them."""
    module, problem = _cuda_state.kernel_module()
    if module is None:
        return [("gpu", f"none: {problem}")]
    built_with, kernels = version(module.runtime_version()), len(module.kernel_names())
    driver = module.driver_version()
    return [
        ("cuda module", f"built with CUDA {built_with} for {', '.join(module.architectures())}; {kernels} kernels"),
        ("driver", f"knows CUDA up to {version(driver)}" if driver else "none"),
        *device_lines(module),
        ("cupy", _cuda_state.array_problem(module) or of_module("cupy")),
        ("cublaslt", cublaslt_line(module)),
    ]


def device_lines(module: Any) -> Lines:
    """Each GPU, or why there is none."""
    problem = _cuda_state.device_problem(module)
    if problem is not None:
        return [("gpu", f"none: {problem}")]
    lines = []
    for i in range(module.device_count()):
        p = module.device_properties(i)
        found = f"{p['name']}, {p['total_memory'] / 2**30:.0f} GiB, {p['multi_processor_count']} multiprocessors"
        number = f"compute capability {p['major']}.{p['minor']}"
        problem = _cuda_state.architecture_problem(module, i)
        lines.append((f"gpu {i}", f"{found}, {number}" + (f"; {problem}" if problem else "")))
    return lines


def cublaslt_line(module: Any) -> str:
    """Where it was found, and its version; opening it needs no GPU."""
    try:
        path = module.load_cublaslt(_cuda_state.find_cublaslt())
    except RuntimeError as e:
        return f"none, so that products of matrices take pullback's own slower kernel: {e}"
    v = module.cublaslt_version()
    return f"{v // 10000}.{v // 100 % 100}.{v % 100} in {path}"


def version(number: int) -> str:
    """13.0 of 13000."""
    return f"{number // 1000}.{number % 1000 // 10}"


def of_module(name: str) -> str:
    """A module's version and where it lies."""
    module = importlib.import_module(name)
    return f"{module.__version__} in {os.path.dirname(module.__file__ or '')}"


def doctor(missing: Sequence[str]) -> int:
    """Print the report."""
    for what, how in report(missing):
        print(f"{what:<16} {how}")
    return 0
