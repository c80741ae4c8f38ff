"""A GPU without memory left: the error says what was asked for and what is held, nothing leaks, and less fits afterwards."""

from __future__ import annotations

import gc
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback import _gpu_memory
from test_device import EMULATED, emulated

F = pb.nn.functional
KIB = 1024


def test_it_is_an_error_of_both_kinds() -> None:
    assert issubclass(pb.cuda.OutOfMemoryError, RuntimeError) and issubclass(pb.cuda.OutOfMemoryError, MemoryError)


# --- on the emulated device ---------------------------------------------------------------------------------------------


@pytest.fixture
def pool() -> Iterator[Any]:
    """The emulated device's, with nothing kept for reuse."""
    from pullback._emulated import pool

    gc.collect()
    pool.free_all_blocks()
    yield pool
    pool.set_limit(0)


class Training:
    def __init__(self, optimizer: str) -> None:
        self.model = pb.nn.Sequential(pb.nn.Linear(16, 64), pb.nn.ReLU(), pb.nn.Linear(64, 3)).to(EMULATED)
        self.optimizer = getattr(pb.optim, optimizer)(self.model.parameters(), lr=0.01)

    def step(self, rows: int) -> float:
        x, y = pb.ones(rows, 16, device=EMULATED), pb.zeros(rows, dtype=pb.int64, device=EMULATED)
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.model(x), y)
        loss.backward()
        self.optimizer.step()
        return loss.item()


@emulated
@pytest.mark.parametrize("room", [8, 40, 80, 130])  # KiB besides what is held: inputs, forward, backward
def test_a_smaller_batch_works_afterwards(pool: Any, room: int) -> None:
    training, alone = Training("Adam"), Training("Adam")
    alone.model.load_state_dict(training.model.state_dict())
    for t in (training, alone):
        t.step(2)
    before = pool.used_bytes()
    pool.set_limit(before + room * KIB)
    message = (
        r"cuda-emulated is out of memory: \d+\.\d KiB were asked for; the pool holds \d+\.\d KiB, \d+\.\d KiB of them "
        r"in use; the GPU has \d+\.\d KiB, .* free"
    )
    with pytest.raises(pb.cuda.OutOfMemoryError, match=message):
        training.step(256)
    training.optimizer.zero_grad()
    alone.optimizer.zero_grad()
    after = pool.used_bytes()
    assert training.step(4) == alone.step(4)
    training.optimizer.zero_grad()
    alone.optimizer.zero_grad()
    assert pool.used_bytes() == after < before


@emulated
def test_what_is_kept_for_reuse_is_given_back_first(pool: Any) -> None:
    before = pool.used_bytes()
    x = pb.zeros(100, 256, device=EMULATED)
    assert pool.used_bytes() - before == 100 * KIB
    del x
    assert pool.used_bytes() == before and pool.total_bytes() >= before + 100 * KIB
    pool.set_limit(before + 150 * KIB)
    held = pb.zeros(120, 256, device=EMULATED)
    assert pool.total_bytes() == before + held.nbytes
    with pytest.raises(MemoryError, match=r"31\.0 KiB were asked for"):
        pb.zeros(31, 256, device=EMULATED)
    pb.zeros(30, 256, device=EMULATED)


@emulated
def test_memory_of_a_kernel_s_own(pool: Any) -> None:
    """cumsum of float16 takes room for its operands in float; what it got of that is given back."""
    x = pb.zeros(10, KIB, dtype=pb.float16, device=EMULATED)
    before = pool.used_bytes()
    pool.set_limit(before + 70 * KIB)  # the result takes 20, x in float 40, the result in float 40 more
    with pytest.raises(pb.cuda.OutOfMemoryError, match=r"40\.0 KiB were asked for; .* of them in use"):
        x.cumsum(1)
    assert pool.used_bytes() == before
    assert (x[:1] + 1).cumsum(1)[0, -1].item() == KIB


@emulated
def test_more_than_the_machine_has() -> None:
    with pytest.raises(pb.cuda.OutOfMemoryError, match="GiB were asked for"):
        pb.empty(1 << 30, 1 << 25, device=EMULATED)


# --- CuPy's half, without CuPy ------------------------------------------------------------------------------------------


class Full(MemoryError):
    """As CuPy's."""


class Cupy(ModuleType):
    """What _cupy.py asks of CuPy, on a GPU that fails so many times."""

    def __init__(self) -> None:
        super().__init__("cupy")
        self.failures = self.given_back = 0
        self.ndarray = self._make
        memory = SimpleNamespace(PooledMemory=type("PooledMemory", (), {}))
        self.cuda = SimpleNamespace(
            runtime=SimpleNamespace(getDevice=lambda: 1),
            get_current_stream=lambda: SimpleNamespace(ptr=0),
            alloc=lambda size: self._make((size,), "u1"),
            memory=memory,
            UnownedMemory=object,
            Device=lambda index: SimpleNamespace(mem_info=(5 * KIB, 7 * KIB << 10)),
        )

    def _make(self, shape: Any, dtype: Any) -> Any:
        self.failures -= 1
        if self.failures >= 0:
            raise Full
        return shape, dtype

    def get_default_memory_pool(self) -> Any:
        def free_all_blocks() -> None:
            self.given_back += 1

        return SimpleNamespace(free_all_blocks=free_all_blocks, used_bytes=lambda: 3, total_bytes=lambda: 2 << 30)


def cupy_half(monkeypatch: pytest.MonkeyPatch, cupy: Any, connected: list[Any]) -> Any:
    """pullback._cupy over this CuPy."""
    kernels = ModuleType("pullback._cuda")
    kernels.connect = lambda stream, memory, over: connected.append(memory)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setitem(sys.modules, "pullback._cuda", kernels)
    monkeypatch.setattr(pb, "_cuda", kernels, raising=False)
    path = Path(_gpu_memory.__file__).with_name("_cupy.py")
    spec = importlib.util.spec_from_file_location("cupy_half", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("size", [100, 1 << 20])
def test_copies_go_by_the_stream_of_the_array_s_gpu(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Which need not be the current one; and what CUDA may still be reading when it returns is waited for."""
    done: list[Any] = []
    cupy = Cupy()
    cupy.cuda.get_current_stream = lambda index: SimpleNamespace(of=index, synchronize=lambda: done.append("waited"))
    module = cupy_half(monkeypatch, cupy, [])
    array = SimpleNamespace(
        device=SimpleNamespace(id=3),
        set=lambda host, stream: done.append(("set", stream.of)),
        get=lambda stream: done.append(("get", stream.of)),
    )
    module.upload(array, np.zeros(size, np.uint8))
    assert done == [("set", 3)] + ["waited"] * (size > 64 << 10)
    module.download(array)
    assert done[-1] == ("get", 3)


@pytest.mark.parametrize("scratch", [False, True])
def test_cupy_s_memory(monkeypatch: pytest.MonkeyPatch, scratch: bool) -> None:
    connected: list[Any] = []
    cupy = Cupy()
    module = cupy_half(monkeypatch, cupy, connected)

    make = (lambda: connected[0](2500)) if scratch else (lambda: module.allocator(1)((25, 25), "float32"))
    made = ((2500,), "u1") if scratch else ((25, 25), "float32")
    assert make() == made and cupy.given_back == 0
    cupy.failures = 1
    assert make() == made and cupy.given_back == 1
    cupy.failures = 2
    words = (
        "cuda:1 is out of memory: 2.4 KiB were asked for; the pool holds 2.0 GiB, 3 bytes of them in use; "
        "the GPU has 7.0 MiB, 5.0 KiB of them free"
    )
    with pytest.raises(pb.cuda.OutOfMemoryError, match=words):
        make()
    assert make() == made
