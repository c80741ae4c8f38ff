"""Passes leave every bit as it was, and do what they are for; a captured step can be looked at."""

from __future__ import annotations

import gc
import json

import numpy as np
import pytest

import pullback as pb
from captured import Place, Trained, batches, on_each_device, put, same
from harness import Recorded
from pullback import _cpu, nn, optim
from pullback.nn import functional as F

__all__ = ["on_each_device"]
everywhere = pytest.mark.usefixtures("on_each_device")


def plans(function, *args, **options):
    step = pb.capture(function, **options)
    results = [step(*args) for _ in range(4)]
    return step, results[0], results[-1]


def calls(step):
    return step.stats()["plans"][0]["calls"]


@everywhere
def test_dead_calls_are_dropped() -> None:
    def f(x):
        pb.exp(x).sum()
        return x + 1

    step, _, _ = plans(f, put(pb.ones(4)))
    sum_only, _, _ = plans(lambda x: x + 1, put(pb.ones(4)), without=("dead",))
    assert calls(step) == calls(sum_only)
    step, _, _ = plans(f, put(pb.ones(4)), without=("dead",))
    assert calls(step) == calls(sum_only) + 2


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh", "gelu", "silu"])
def test_epilogues_are_folded_to_the_bit(activation: str) -> None:
    pb.manual_seed(0)
    for m, k, n in ((1, 5, 3), (7, 33, 19), (64, 100, 65)):
        x, w, b = pb.randn(m, k), pb.randn(k, n), pb.randn(n)
        function = getattr(F, activation)

        def f(x, w, b, function=function):
            return function(x @ w + b)

        step, eager, replayed = plans(f, x, w, b)
        assert calls(step) == 1
        assert np.array_equal(eager.numpy(), replayed.numpy())


def test_epilogues_stay_apart_where_the_sums_are_read_again() -> None:
    x, w, b = pb.randn(4, 5), pb.randn(5, 6), pb.randn(6)

    def f(x, w, b):
        s = x @ w
        y = F.relu(s + b)
        return y, s.sum(), (x @ w).relu_().exp_()

    step, eager, replayed = plans(f, x, w, b)
    for a, c in zip(eager, replayed, strict=True):
        assert np.array_equal(a.numpy(), c.numpy())


@pytest.mark.parametrize("shape", [(70001,), (300, 257), (3, 40000), (2000, 7, 5)])
def test_elementwise_calls_run_in_tiles_to_the_bit(shape: tuple[int, ...]) -> None:
    pb.manual_seed(0)
    x, y = pb.randn(*shape), pb.randn(*shape)
    row, one = pb.randn(shape[-1]), pb.randn(())

    def f(x, y, row, one):
        a = (x * y + row).tanh() * one
        b = pb.where(a > 0, a, y * 0.5).exp_()
        a += b
        return a.sqrt_().clamp_(0.1, 2.0), b, (x > y).float() + row

    step, eager, replayed = plans(f, x, y, row, one)
    plain, _, apart = plans(f, x, y, row, one, without=("tile",))
    assert calls(step) <= 2 < calls(plain)
    for p, q, r in zip(eager, replayed, apart, strict=True):
        assert p.numpy().tobytes() == q.numpy().tobytes() == r.numpy().tobytes()
    assert step.stats()["plans"][0]["memory"]["made"] < plain.stats()["plans"][0]["memory"]["made"]


def test_tiles_do_not_mix_up_views() -> None:
    """What is read shifted, transposed or as a number must be complete before: such calls are not taken together."""
    x = pb.randn(300, 300)

    def f(x):
        a = x * 2
        b = a.T + 1
        c = a[1:] + a[:-1]
        d = b * a[0, 0]
        return b + x, c * 2, d

    step, eager, replayed = plans(f, x)
    for p, q in zip(eager, replayed, strict=True):
        assert np.array_equal(p.numpy(), q.numpy())


def accumulating(set_to_none: bool, backwards: int, also=()):
    """A step whose gradients are added up, and what it has made of its parameters."""
    pb.manual_seed(0)
    model = nn.Sequential(nn.Linear(33, 40), nn.ReLU(), nn.Linear(40, 7))
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    x, y = pb.randn(2, 16, 33), pb.randn(2, 16, 7)

    def f(x, y):
        optimizer.zero_grad(set_to_none=set_to_none)
        for k in range(backwards):
            F.mse_loss(model(x[k]), y[k]).backward()
        optimizer.step()

    step = pb.capture(f, also=also)
    for _ in range(10):
        step(x, y)
    return step, [p.numpy(force=True) for p in model.parameters()], [p.grad.numpy() for p in model.parameters()]


def test_a_first_write_takes_the_place_of_zeros_and_a_sum() -> None:
    """Four parameters: their fills and adds are gone, and nothing but the sign of a zero has changed."""
    plain, weights, gradients = accumulating(False, 1)
    step, same_weights, same_gradients = accumulating(False, 1, also=("accumulate",))
    assert calls(step) == calls(plain) - 8
    for a, b in zip([*weights, *gradients], [*same_weights, *same_gradients], strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize(("set_to_none", "fewer"), [(True, 2), (False, 10)])
def test_a_product_adds_to_the_gradient_that_is_there(set_to_none: bool, fewer: int) -> None:
    """The sums of the two products, in another order: |error| ≤ eps · terms · Σ|terms|, of ten steps with rate 0.1."""
    plain, weights, gradients = accumulating(set_to_none, 2)
    step, other_weights, other_gradients = accumulating(set_to_none, 2, also=("accumulate",))
    assert calls(step) == calls(plain) - fewer
    for a, b in zip([*weights, *gradients], [*other_weights, *other_gradients], strict=True):
        assert np.abs(a - b).max() <= 32 * np.finfo(np.float32).eps * max(1, np.abs(a).max())


def test_only_what_keeps_the_bits_is_run_unasked() -> None:
    assert "accumulate" in pb.capture.passes
    assert "accumulate" not in pb.capture(lambda x: x)._passes
    with pytest.raises(ValueError, match="also expects names among"):
        pb.capture(lambda x: x, also=("fast",))


def test_what_somebody_reads_between_is_not_added_early() -> None:
    """g is read between the product and the sum, x is read after it, x is a view of what a call made: all stay."""

    def f(a, b, g):
        h = g + 1
        x = a @ b
        early = h.sum()
        h += x
        y = a @ b
        h += y
        z = a @ b
        h += z[0]
        return h, early, y * 2

    a, b, g = pb.randn(8, 8), pb.randn(8, 8), pb.randn(8, 8)
    _, eager, replayed = plans(f, a, b, g, also=("accumulate",))
    for p, q in zip(eager, replayed, strict=True):
        assert np.array_equal(p.numpy(), q.numpy())


@pytest.mark.parametrize("rows", [8, 512])
def test_memory_of_a_step_is_no_more_than_an_ordinary_one_s(rows: int) -> None:
    """Large gradients stay where they are, and lend their memory until they are written; small ones move."""
    model = nn.Sequential(*[m for _ in range(6) for m in (nn.Linear(256, 256), nn.GELU())])
    optimizer = optim.SGD(model.parameters(), lr=0.1)

    def f(x):
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()
        return loss

    x = pb.randn(rows, 256)
    f(x)

    optimizer.zero_grad()
    pb.memory.reset_peak()
    begin = pb.memory.stats()["in_use"]
    f(x)
    eager = pb.memory.stats()["peak"] - begin
    step = pb.capture(f)
    for _ in range(3):
        step(x)
    places = [p.grad.data_ptr() for p in model.parameters()]
    gradients = sum(4 * p.numel() for p in model.parameters())
    step(x)
    memory = step.stats()["plans"][0]["memory"]
    assert sum(memory.values()) <= eager
    assert memory["kept"] == (gradients if rows == 8 else 0)
    assert places == [p.grad.data_ptr() for p in model.parameters()]


def test_recordings_and_captures_hold_no_memory_that_nobody_needs() -> None:
    """Gradients are free for the next recording when the step forgets them, and a plan goes with its capture, at once."""
    model = nn.Linear(300, 200)
    x = pb.randn(8, 300)

    @pb.capture
    def step():
        model.zero_grad()
        model(x).square().mean().backward()

    def in_use() -> int:
        return pb.memory.stats()["in_use"]

    gc.disable()
    try:
        begin = in_use()
        for _ in range(4):
            step()
            if step.stats()["recorded"] == 1:
                gradients = in_use() - begin
                model.zero_grad()
                assert in_use() == begin and gradients > 4 * 300 * 200
        del step
        model.zero_grad()
        assert in_use() == begin
    finally:
        gc.enable()


# --- looking at it ----------------------------------------------------------------------------------------------------


@everywhere
def test_explain_profile_and_stats(tmp_path) -> None:
    t = Trained()
    step = pb.capture(t.step)
    with pytest.raises(RuntimeError, match="nothing is recorded yet"):
        step.explain()
    for x, y in batches(5):
        step(x, y)
    before = t.state()
    text = step.explain(runs=3)
    assert "matmul" in text and "captured.py:" in text and "together" in text
    step.profile(tmp_path / "trace.json", runs=2)
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert len(events) == 2 * calls(step) and {"ts", "dur", "name"} <= set(events[0])
    assert t.state() == before, "looking at it changed the model"
    assert step.stats()["eager"] == 1 and step.stats()["recorded"] == 2 and step.stats()["replayed"] == 2


@everywhere
def test_methods_and_modules_can_be_captured() -> None:
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 3)

        @pb.capture
        def forward(self, x):
            return self.layer(x)

    net = Net().to(Place.device)
    with pb.no_grad():
        for k in range(6):
            x = put(pb.full((2, 3), float(k)))
            assert same(net(x), net.layer(x))
    captured = pb.compile(net.layer)
    assert len(list(captured.parameters())) == 2


def test_tiles_keep_apart_what_overlaps_from_before() -> None:
    """Two arrays over one memory, neither a view of the other, as buffers of other libraries give them."""
    memory = bytearray(4 * 70_001)
    low = pb.from_numpy(np.frombuffer(memory, "f4", 70_000))
    high = pb.from_numpy(np.frombuffer(memory, "f4", 70_000, offset=4))
    expected = np.zeros(70_001, "f4")

    @pb.capture
    def f():
        low.add_(1)
        high.mul_(2)

    for _ in range(6):
        f()
        expected[:-1] += 1
        expected[1:] *= 2
        assert np.frombuffer(memory, "f4").tobytes() == expected.tobytes()


def test_tiles_do_not_write_to_numbers_that_they_read() -> None:
    """A number in memory is read for every tile, so no call of the group may change it before the last."""
    x, y = np.zeros(70_000), np.arange(70_000.0)
    with Recorded() as calls:
        _cpu.fill(x, y[5:6])
        _cpu.neg(y, y)
    expected = x.tobytes() + y.tobytes()
    y[...] = np.arange(70_000.0)
    calls.replay()
    assert x.tobytes() + y.tobytes() == expected
