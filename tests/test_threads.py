"""The number of threads: its public functions, and that a training step does not depend on it."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import pullback as pb


def test_number_of_threads() -> None:
    """PyTorch's functions: RuntimeError for all that is no positive integer."""
    before = pb.get_num_threads()
    try:
        pb.set_num_threads(np.int64(3))
        assert pb.get_num_threads() == 3
        for wrong in (0, -1, 2.5, True, "3", None):
            with pytest.raises(RuntimeError, match="set_num_threads: expected a"):
                pb.set_num_threads(wrong)  # type: ignore[arg-type]
        assert pb.get_num_threads() == 3
    finally:
        pb.set_num_threads(before)


STEP = """
import hashlib
import numpy as np
import pullback as pb
from pullback import nn, optim, _cpu

pb.manual_seed(1)
rng = np.random.default_rng(0)
x = pb.from_numpy(rng.standard_normal((64, 784)).astype(np.float32))
y = pb.from_numpy(rng.integers(0, 10, 64))
layers = [nn.Linear(784, 256), nn.ReLU(), nn.Dropout(0.2), nn.Linear(256, 128), nn.GELU(), nn.Linear(128, 10)]
model = nn.Sequential(*layers)
optimizer = optim.Adam(model.parameters(), lr=1e-3)
bits = hashlib.sha256()
for n in THREADS:
    if n:
        pb.set_num_threads(n)
    for _ in range(3):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
    for t in (loss, *model.parameters(), *(p.grad for p in model.parameters())):
        bits.update(t.detach().numpy().tobytes())
print(pb.get_num_threads(), _cpu.parallel_loops(), bits.hexdigest())
"""


def trained(environment: str, threads: tuple[int, ...]) -> tuple[int, int, str]:
    """Threads at the end, loops that ran on the pool, and a digest of losses, parameters and gradients."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": environment}
    source = STEP.replace("THREADS", repr(threads))
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60, env=env)
    assert done.returncode == 0, done.stderr
    last, loops, digest = done.stdout.split()
    return int(last), int(loops), digest


def test_a_training_step_has_the_same_bits_for_any_number_of_threads() -> None:
    """An MLP with dropout and Adam, forward, backward and step, under OMP_NUM_THREADS=1, 2, 3, 4 (obeyed above the
    number of cores), and with the number changed between steps."""
    keep = (0, 0, 0, 0)
    count, loops, serial = trained("1", keep)
    assert (count, loops) == (1, 0)
    for n in (2, 3, 4):
        count, loops, digest = trained(str(n), keep)
        assert count == n and loops > 0
        assert digest == serial, f"{n} threads give other bits than one"
    count, loops, digest = trained("1", (1, 2, 3, 4))
    assert count == 4 and loops > 0 and digest == serial
