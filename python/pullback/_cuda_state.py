"""What stands between this installation and a GPU: which piece is missing, and how to get it."""

from __future__ import annotations

import importlib
import importlib.util
import re
from typing import Any

BUILT_BY = "install CUDA's compiler nvcc, then rebuild: PULLBACK_CUDA=on pip install --no-cache-dir ."
DRIVER = "install one from https://www.nvidia.com/drivers, in a container start it with --gpus all"


def extra(module: Any) -> str:
    """The extra of pullback that holds CuPy for the CUDA that the module was built with."""
    return f"cuda{module.runtime_version() // 1000}"


def kernel_module() -> tuple[Any, str | None]:
    """(pullback._cuda, None), or (None, why it cannot be had)."""
    if importlib.util.find_spec("pullback._cuda") is None:
        return None, f"this build of pullback has no CUDA module: {BUILT_BY}"
    try:
        return importlib.import_module("pullback._cuda"), None
    except ImportError as e:
        return None, f"pullback's CUDA module cannot be loaded ({e}): {BUILT_BY}"


def device_problem(module: Any) -> str | None:
    """Why the module has no device to run on, and what helps; None where it has one."""
    reason = module.unavailable_reason()
    if not reason:
        return None
    if "no NVIDIA driver" in reason:
        return f"{reason}: {DRIVER}"
    if "too old" in reason:
        return f"{reason}: update it from https://www.nvidia.com/drivers, or rebuild with an older CUDA"
    return f"{reason}: look at what nvidia-smi and CUDA_VISIBLE_DEVICES say"


def _runs_on(built: str, capability: tuple[int, int]) -> bool:
    """Machine code runs on its generation, PTX on newer ones; of 90a on no other GPU, of 100f on its family."""
    found = re.fullmatch(r"(sm|compute)_(\d+)(\d)([af]?)", built)
    if found is None:
        return False
    of = (int(found[2]), int(found[3]))
    if found[4] == "a":
        return of == capability
    return of <= capability and (of[0] == capability[0] or (found[1] == "compute" and not found[4]))


def architecture_problem(module: Any, device: int = 0) -> str | None:
    """Why kernels cannot run on that GPU; None where they can."""
    found = module.device_properties(device)
    capability = (found["major"], found["minor"])
    if any(_runs_on(built, capability) for built in module.architectures()):
        return None
    number = f"{capability[0]}{capability[1]}"
    return (
        f"pullback's kernels were built for {', '.join(module.architectures())}, and {found['name']} is sm_{number}: "
        f"rebuild with CUDAARCHS={number}"
    )


def array_problem(module: Any) -> str | None:
    """Why CuPy, whose arrays hold tensors on a GPU, cannot be imported; None where it can."""
    install = f'pip install "pullback[{extra(module)}]"'
    if importlib.util.find_spec("cupy") is None:
        return f"CuPy is not installed, whose arrays hold tensors on a GPU: {install}"
    try:
        importlib.import_module("cupy")
    except Exception as e:  # CuPy raises what its libraries make it raise
        return f"CuPy cannot be imported ({e}): {install}"
    return None


def find_cublaslt() -> str:
    """The path of cuBLASLt, which is loaded with what it needs. Raises RuntimeError where it is not to be had."""
    install = "pip install nvidia-cublas, nvidia-cublas-cu12 for CUDA 12"
    if importlib.util.find_spec("cuda") is None or importlib.util.find_spec("cuda.pathfinder") is None:
        raise RuntimeError(
            "cuBLASLt was not looked for, since cuda-pathfinder is not installed: pip install cuda-pathfinder"
        )
    pathfinder: Any = importlib.import_module("cuda.pathfinder")
    try:
        return str(pathfinder.load_nvidia_dynamic_lib("cublasLt").abs_path)
    except (pathfinder.DynamicLibNotFoundError, OSError, RuntimeError) as e:
        raise RuntimeError(f"cuBLASLt was not found ({str(e).splitlines()[0]}): {install}") from None


def cuda_problem() -> str | None:
    """The first piece that is missing for tensors on a GPU, and how to get it; None where all is there."""
    module, problem = kernel_module()
    if module is None:
        return problem
    return device_problem(module) or architecture_problem(module) or array_problem(module)
