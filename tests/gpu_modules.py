"""The GPU's modules that this build has, and arrays as the binding reads them, for tests without a GPU."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest


def _module(name: str) -> Any:
    try:
        return importlib.import_module(f"pullback.{name}")
    except ModuleNotFoundError:
        return None


MODULES = {name: found for name in ("_cuda", "_cuda_emulated") if (found := _module(name)) is not None}
emulated: Any = MODULES.get("_cuda_emulated")
on_emulation = pytest.mark.skipif(emulated is None, reason="this build has no emulated kernels: make emulated")
on_each = pytest.mark.parametrize(
    "gpu",
    MODULES.values()
    or [pytest.param(None, marks=pytest.mark.skip(reason="neither _cuda nor _cuda_emulated is built"))],
    ids=MODULES.keys() or None,
)


def reconnect() -> None:
    """Let the emulated device's kernels take their stream and memory from where they do in use."""
    from pullback import _emulated

    _emulated.connect()


@pytest.fixture
def stand_in() -> Iterator[None]:
    """What stands in for cuBLASLt takes the products."""
    reconnect()
    emulated.use_cublaslt(True)
    yield
    emulated.use_cublaslt(False)
    emulated.drop_workspaces()
    reconnect()


class Array:
    """As CuPy's arrays look to the binding."""

    def __init__(self, values: Any, dtype: str = "float32", device: int = 0) -> None:
        self.host = np.array(values, dtype)
        self.device = SimpleNamespace(id=device)

    @property
    def data(self) -> Any:
        return SimpleNamespace(ptr=self.host.ctypes.data)

    shape = property(lambda self: self.host.shape)
    strides = property(lambda self: self.host.strides)
    dtype = property(lambda self: self.host.dtype)
