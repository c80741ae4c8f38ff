"""The door is complete: a training step recorded at `launch` and replayed naively gives the eager step's bits."""

from __future__ import annotations

import numpy as np
import pytest

import pullback as pb
from harness import Recorded
from pullback import _cpu, _random, nn, optim
from pullback.nn import functional as F


def snapshot(arrays):
    return [a.copy() for a in arrays]


def restore(arrays, values) -> None:
    for a, v in zip(arrays, values, strict=True):
        a[...] = v


@pytest.mark.parametrize("name", ["sgd", "adam", "rmsprop"])
def test_recorded_training_step_replays_to_the_bit(name: str) -> None:
    """Forward, dropout, loss, backward, clipping and the optimizer: everything passes through the door."""
    pb.manual_seed(3)
    model = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 16), nn.GELU(), nn.Linear(16, 5))
    make = {
        "sgd": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3),
        "adam": lambda p: optim.AdamW(p, lr=1e-2),
        "rmsprop": lambda p: optim.RMSprop(p, lr=1e-3, momentum=0.9, centered=True),
    }
    optimizer = make[name](model.parameters())
    rng = np.random.default_rng(0)
    x = pb.from_numpy(rng.standard_normal((17, 20)).astype(np.float32))
    y = pb.from_numpy(rng.integers(0, 5, 17))

    def step():
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y, label_smoothing=0.1)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    step()  # the optimizer's state comes into being
    state = [p.detach().numpy() for p in model.parameters()]
    state += [v.numpy() for s in optimizer.state.values() for v in s.values() if isinstance(v, pb.Tensor)]
    state.append(_random.default_generator.state)
    before = snapshot(state)
    with Recorded() as calls:
        loss = step().detach().numpy()
    eager = snapshot([*state, loss])
    assert any((a != b).any() for a, b in zip(before, state, strict=True)), "the step changed nothing"
    for _ in range(2):
        restore(state, before)
        loss[...] = 0
        calls.replay()
        for a, b in zip(eager, [*state, loss], strict=True):
            np.testing.assert_array_equal(a, b)
    assert {"matmul", "cross_entropy"} <= {n.removesuffix("_backward") for n in calls.names()}


def test_replay_reads_new_inputs_and_cells() -> None:
    x, cell = np.arange(4.0), np.array([3.0])
    out = _cpu.empty((4,), x.dtype)
    with Recorded() as calls:
        _cpu.fill(out, cell)
        _cpu.add(out, x, out)
    assert out.tolist() == [3.0, 4.0, 5.0, 6.0]
    x += 10
    cell[0] = 1
    calls.replay()
    assert out.tolist() == [11.0, 12.0, 13.0, 14.0]
    assert calls.names() == ["fill", "add"]


def test_a_plan_has_memory_of_its_own_and_recording_is_one_at_a_time() -> None:
    with Recorded() as calls:
        out = (pb.ones(1000) * 2 + 1).numpy()
        with pytest.raises(RuntimeError, match="recording already"):
            _cpu.Recording().start()
    plan = calls.plan()
    for _ in range(10):
        pb.zeros(1000)  # would reuse the temporaries' memory, were they free
    out[...] = 0
    plan.run(())
    assert (out == 3).all()


def test_an_error_in_a_replay_is_raised() -> None:
    a, b = np.array([6, 8]), np.array([2, 4])
    out = _cpu.empty((2,), a.dtype)
    with Recorded() as calls:
        _cpu.floor_divide(a, b, out)
    b[1] = 0
    with pytest.raises(ZeroDivisionError, match="divided by zero"):
        calls.replay()
