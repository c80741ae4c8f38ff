"""The allocator's public face, and memory that stays flat while a network trains."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import pullback as pb

STEPS = 10_000
SCRATCH = 64 << 10  # bytes that a worker keeps from its first piece on, whenever it is given one
COLUMNS = ("in_use", "cached", "peak", "limit", "allocations", "hits", "misses", "system_calls")
sanitized = "asan" in os.environ.get("LD_PRELOAD", "")
linux = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc/self/statm")


@pytest.fixture(autouse=True)
def bound() -> Iterator[None]:
    """Every test leaves the bound as it was, and nothing cached."""
    gc.collect()
    before = pb.memory.stats()["limit"]
    yield
    pb.memory.set_limit(before)
    pb.memory.release()


def test_stats_follow_an_array() -> None:
    """A MiB is in use while the array lives, cached when it has gone, and then used again."""
    pb.memory.release()
    before = pb.memory.stats()
    assert sorted(before) == sorted(COLUMNS) and before["cached"] == 0
    a = pb.empty(1 << 18)
    held = pb.memory.stats()
    assert held["in_use"] == before["in_use"] + (1 << 20) and held["misses"] == before["misses"] + 1
    assert held["peak"] >= held["in_use"]
    del a
    after = pb.memory.stats()
    assert after["in_use"] == before["in_use"] and after["cached"] == 1 << 20
    a = pb.empty(1 << 18)
    again = pb.memory.stats()
    assert again["hits"] == after["hits"] + 1 and again["cached"] == 0
    assert again["allocations"] == again["hits"] + again["misses"]
    del a


def test_release_returns_the_bytes() -> None:
    pb.memory.release()
    del (a := [pb.empty(1 << 18), pb.empty(1 << 20)])[:]
    assert not a
    assert pb.memory.release() == (1 << 20) + (4 << 20)
    assert pb.memory.release() == 0 and pb.memory.stats()["cached"] == 0


def test_reset_peak() -> None:
    before = pb.memory.stats()["in_use"]
    a = pb.empty(1 << 20)
    del a
    assert pb.memory.stats()["peak"] >= before + (4 << 20)
    pb.memory.reset_peak()
    assert pb.memory.stats()["peak"] == pb.memory.stats()["in_use"] == before


def test_set_limit_bounds_the_cache() -> None:
    pb.memory.release()
    pb.memory.set_limit(1 << 20)
    assert pb.memory.stats()["limit"] == 1 << 20
    blocks = [pb.empty(1 << 17) for _ in range(4)]
    del blocks
    assert pb.memory.stats()["cached"] == 1 << 20
    pb.memory.set_limit(np.int64(0))
    assert pb.memory.stats()["cached"] == 0
    a = pb.empty(10)
    del a
    assert pb.memory.stats()["cached"] == 0


@pytest.mark.parametrize("wrong", [2.5, True, "1", None])
def test_set_limit_wants_an_integer(wrong: object) -> None:
    with pytest.raises(TypeError, match="memory.set_limit: expected an integer"):
        pb.memory.set_limit(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [-1, 1 << 63])
def test_set_limit_wants_what_a_machine_can_have(wrong: int) -> None:
    with pytest.raises(ValueError, match="memory.set_limit: expected 0 to"):
        pb.memory.set_limit(wrong)


TRAIN = """
import gc, sys
import numpy as np
import pullback as pb
from pullback import nn, optim
from pullback.utils.data import DataLoader, TensorDataset

steps, loader, collect = int(sys.argv[1]), sys.argv[2] == "loader", sys.argv[3] == "gc"
rng = np.random.default_rng(0)
x = pb.from_numpy(rng.standard_normal((256, 32)).astype(np.float32))
y = pb.from_numpy(rng.integers(0, 10, 256))
model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 10))
optimizer = optim.Adam(model.parameters(), lr=1e-3)
loss_of = nn.CrossEntropyLoss()

def batches():
    data = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True) if loader else None
    while True:
        yield from data if loader else [(x[:32], y[:32])]

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

source = batches()
def train(steps):
    for _ in range(steps):
        a, b = next(source)
        optimizer.zero_grad()
        loss = loss_of(model(a), b)
        loss.backward()
        optimizer.step()
    return loss.item()

first = train(500)
gc.collect()
if not collect:
    gc.disable()
in_use, before = pb.memory.stats()["in_use"], resident()
last = train(steps)
if collect:
    gc.collect()
print(resident() - before, pb.memory.stats()["in_use"] - in_use, first > last)
"""


@linux
@pytest.mark.skipif(sanitized, reason="AddressSanitizer holds back what is freed")
@pytest.mark.parametrize(
    ("source", "collector", "threads"),
    [("batch", "gc", 2), ("batch", "no-gc", 1), ("loader", "gc", 1), ("loader", "no-gc", 2)],
)
def test_memory_is_flat_over_training(source: str, collector: str, threads: int) -> None:
    """After a warm-up, training grows the process by less than 1 MB and the allocator by nothing.

    Without the garbage collector too, since nothing on the tape is a cycle.
    """
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, str(STEPS), source, collector],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": str(threads)},
    )
    assert done.returncode == 0, done.stderr
    grown, in_use, learned = done.stdout.split()
    assert int(grown) < 1_000_000, f"{grown} bytes in {STEPS} steps"
    assert int(in_use) in {SCRATCH * i for i in range(threads)}, f"the allocator holds {in_use} bytes more"
    assert learned == "True"
