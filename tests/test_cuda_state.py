"""Asking for a GPU that is not there: every missing piece has its own words and its own remedy, in errors and in doctor."""

from __future__ import annotations

import importlib
import importlib.util
import re
from types import SimpleNamespace
from typing import Any

import pytest

from pullback import _cuda_state
from pullback.cli.doctor import gpu_lines

GPU = {"name": "A GPU", "major": 9, "minor": 0, "total_memory": 80 << 30, "multi_processor_count": 132}


def gpu(**changes: Any) -> Any:
    """A kernel module as it looks on a machine that has everything."""
    values: dict[str, Any] = {
        "unavailable_reason": "",
        "runtime_version": 13000,
        "architectures": ["sm_80", "sm_90", "compute_90"],
        "device_properties": GPU,
        "device_count": 1,
        "driver_version": 13000,
        "kernel_names": ["exp"],
        "load_cublaslt": "/lib/libcublasLt.so.13",
        "cublaslt_version": 131002,
    } | changes
    return SimpleNamespace(**{name: lambda *_, value=value: value for name, value in values.items()})


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Any:
    """install(module, cupy): what `import` finds; None stands for what is absent."""

    def install(module: Any, cupy: Any) -> None:
        found = {"pullback._cuda": module, "cupy": cupy}

        def import_module(name: str) -> Any:
            if isinstance(found[name], Exception):
                raise found[name]
            return found[name]

        monkeypatch.setattr(importlib.util, "find_spec", found.get)
        monkeypatch.setattr(importlib, "import_module", import_module)

    return install


CUPY = SimpleNamespace(__version__="14.2.0", __file__="/lib/cupy/__init__.py")
PROBLEMS = {
    "no module": (None, CUPY, "this build of pullback has no CUDA module: install CUDA's compiler nvcc"),
    "a broken module": (ImportError("libstdc++"), CUPY, r"cannot be loaded \(libstdc\+\+\): .*PULLBACK_CUDA=on"),
    "no driver": (
        gpu(unavailable_reason="no NVIDIA driver was found"),
        CUPY,
        "no NVIDIA driver was found: install one from",
    ),
    "an old driver": (
        gpu(unavailable_reason="the NVIDIA driver is too old: it knows CUDA up to 12.4, and this build needs 13.0"),
        CUPY,
        "CUDA up to 12.4, and this build needs 13.0: update it from",
    ),
    "no GPU": (gpu(unavailable_reason="the NVIDIA driver found no GPU"), CUPY, "found no GPU: look at what nvidia-smi"),
    "an old GPU": (
        gpu(device_properties=GPU | {"name": "T4", "major": 7, "minor": 5}),
        CUPY,
        "built for sm_80, sm_90, compute_90, and T4 is sm_75: rebuild with CUDAARCHS=75",
    ),
    "no CuPy": (gpu(), None, r'CuPy is not installed, .*: pip install "pullback\[cuda13\]"'),
    "no CuPy for CUDA 12": (gpu(runtime_version=12040), None, r'pip install "pullback\[cuda12\]"'),
    "a broken CuPy": (gpu(), ImportError("libnvrtc"), r'CuPy cannot be imported \(libnvrtc\): pip install "pullback\['),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_missing_piece_is_named_with_its_remedy(name: str, install: Any) -> None:
    module, cupy, words = PROBLEMS[name]
    install(module, cupy)
    found = _cuda_state.cuda_problem()
    assert found is not None
    assert re.search(words, found), found


@pytest.mark.parametrize(("major", "minor"), [(8, 0), (8, 9), (9, 0), (12, 0)])
def test_nothing_is_missing_where_all_is_there(install: Any, major: int, minor: int) -> None:
    """sm_80 runs on 8.9 too, and PTX of 9.0 on what came later."""
    install(gpu(device_properties=GPU | {"major": major, "minor": minor}), CUPY)
    assert _cuda_state.cuda_problem() is None


@pytest.mark.parametrize(
    ("built", "capability", "runs"),
    [
        ("sm_90", (9, 0), True),
        ("sm_80", (9, 0), False),
        ("compute_80", (12, 1), True),
        ("compute_100", (9, 0), False),
        ("sm_90a", (9, 0), True),
        ("compute_90a", (10, 0), False),
        ("sm_100f", (10, 3), True),
        ("compute_100f", (12, 0), False),
        ("sm_120", (12, 1), True),
        ("sm_native", (9, 0), False),
    ],
)
def test_what_was_built_runs_on_some_gpus(install: Any, built: str, capability: tuple[int, int], runs: bool) -> None:
    major, minor = capability
    install(gpu(architectures=[built], device_properties=GPU | {"major": major, "minor": minor}), CUPY)
    found = _cuda_state.cuda_problem()
    assert found is None if runs else found is not None and f"rebuild with CUDAARCHS={major}{minor}" in found


def test_doctor_tells_of_module_driver_devices_and_libraries(install: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    install(gpu(), CUPY)
    monkeypatch.setattr(_cuda_state, "find_cublaslt", lambda: "libcublasLt.so.13")
    assert gpu_lines() == [
        ("cuda module", "built with CUDA 13.0 for sm_80, sm_90, compute_90; 1 kernels"),
        ("driver", "knows CUDA up to 13.0"),
        ("gpu 0", "A GPU, 80 GiB, 132 multiprocessors, compute capability 9.0"),
        ("cupy", "14.2.0 in /lib/cupy"),
        ("cublaslt", "13.10.2 in /lib/libcublasLt.so.13"),
    ]


def test_doctor_has_a_remedy_for_each_piece(install: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    install(None, None)
    assert gpu_lines() == [("gpu", f"none: {_cuda_state.cuda_problem()}")]
    install(gpu(driver_version=0, unavailable_reason="no NVIDIA driver was found"), None)
    monkeypatch.setattr(
        _cuda_state, "find_cublaslt", lambda: _raise(RuntimeError("not found: pip install nvidia-cublas"))
    )
    lines = dict(gpu_lines())
    assert lines["driver"] == "none" and lines["gpu"].endswith(_cuda_state.DRIVER)
    assert "pip install" in lines["cupy"] and lines["cublaslt"].endswith("pip install nvidia-cublas")
    install(gpu(device_properties=GPU | {"major": 7, "minor": 5}), CUPY)
    assert "rebuild with CUDAARCHS=75" in dict(gpu_lines())["gpu 0"]


def _raise(error: Exception) -> Any:
    raise error
