"""A replay that is the same as the one before goes a short way, which sees whatever the long way would see."""

from __future__ import annotations

import contextlib
import gc
import weakref
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback import nn, optim
from pullback.nn import functional as F


def remembering() -> Any:
    """A captured function whose last call was a replay, so that the next one may be the same at once."""
    layer = nn.Linear(3, 2)
    step = pb.capture(lambda x: layer(x) * pb.tensor([1.5]))
    for _ in range(5):
        step(pb.ones(4, 3))
    assert step.stats()["replayed"] == 2
    return step, layer


@pytest.mark.parametrize("change", ["rebound", "mode", "no_grad", "dtype", "autocast", "shape", "layout", "double"])
def test_what_a_remembered_replay_depends_on_is_seen(change: str) -> None:
    """The next call is an ordinary one; once the change is taken back, where it can be, it is a replay again."""
    step, layer = remembering()
    x = pb.ones(4, 3)
    other = {"shape": pb.ones(5, 3), "layout": pb.ones(3, 4).T, "double": pb.ones(4, 3, dtype=pb.float64)}
    try:
        if change == "rebound":
            layer.bias = nn.Parameter(pb.ones(2))
        elif change == "mode":
            layer.weight.requires_grad_(False)
        elif change == "dtype":
            pb.set_default_dtype(pb.float64)
        with contextlib.ExitStack() as stack:
            if change == "no_grad":
                stack.enter_context(pb.no_grad())
            if change == "autocast":
                stack.enter_context(pb.autocast("cpu"))
            if change == "double":
                with pytest.raises(RuntimeError, match="dtype"):
                    step(other[change])
            else:
                value, eager = step(other.get(change, x)), step._fn(other.get(change, x))
                assert value.dtype is eager.dtype and np.array_equal(
                    value.float().numpy(), eager.detach().float().numpy()
                )
        assert step.stats()["replayed"] == 2
    finally:
        pb.set_default_dtype(pb.float32)
    layer.weight.requires_grad_(True)
    step(x)
    assert step.stats()["replayed"] == (2 if change == "rebound" else 3)


def test_remembered_replays_read_options_count_changes_and_give_new_results() -> None:
    weight = nn.Parameter(pb.ones(3))
    optimizer = optim.SGD([weight], lr=1.0)

    @pb.capture
    def step(x):
        optimizer.zero_grad()
        loss = (weight * x).sum()
        loss.backward()
        optimizer.step()
        return loss

    x = pb.ones(3)
    for _ in range(5):
        step(x)
    before, version, first = weight.detach().clone(), weight._version[0], step(x)
    second = step(x)
    assert weight._version[0] == version + 2 and first.item() == before.sum().item() != second.item()
    optimizer.param_groups[0]["lr"] = 0.25
    step(x)
    assert np.array_equal(weight.detach().numpy(), before.numpy() - 2.25)
    weight.grad = None
    step(x)  # from another state: an ordinary call
    assert step.stats()["replayed"] == 5 and np.array_equal(weight.grad.numpy(), x.numpy())


def test_a_remembered_replay_adds_to_the_gradient_that_is_there() -> None:
    weight = nn.Parameter(pb.ones(3))
    step = pb.capture(lambda x: (weight * x).sum().backward())
    for _ in range(6):
        step(pb.ones(3))
    assert step.stats()["replayed"] == 3 and weight.grad.tolist() == [6, 6, 6]
    weight.grad = pb.full((3,), 10.0)
    step(pb.ones(3))
    assert weight.grad.tolist() == [11, 11, 11]


def test_a_replay_that_is_remembered_keeps_nothing_alive() -> None:
    step, _ = remembering()
    step.itself = step
    gone = weakref.ref(step)
    del step
    gc.collect()
    assert gone() is None


def test_an_error_in_a_remembered_replay_leaves_it_usable() -> None:
    step = pb.capture(lambda x, y: F.cross_entropy(x, y))
    x, right, wrong = pb.randn(4, 3), pb.tensor([0, 1, 2, 0]), pb.tensor([0, 1, 7, 0])
    expected = [step(x, right).item() for _ in range(5)]
    for _ in range(2):
        with pytest.raises(IndexError, match="target 7"):
            step(x, wrong)
        assert step(x, right).item() == expected[0]
    assert step.stats()["replayed"] == 6
