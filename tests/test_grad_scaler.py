"""`GradScaler`: its scale is PyTorch's step for step, steps with infinite gradients change nothing, also captured ones."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import pullback as pb
from captured import OPTIMIZERS
from pullback import nn
from pullback.amp import GradScaler
from test_device import EMULATED, emulated, no_gpu

each_device = pytest.mark.parametrize("device", ["cpu", pytest.param(EMULATED, marks=emulated)])
INF_STEPS = (0, 1, 7, 8, 9, 23, 40)


def scales(library: Any, steps: int = 50, device: str = "cpu", captured: bool = False) -> tuple[list[float], Any]:
    """The scale and the count after each step, infinite factors planted in some, and the weight in the end."""
    scaler = library.amp.GradScaler(
        device, init_scale=1024.0, growth_interval=4, growth_factor=2.0, backoff_factor=0.25
    )
    w = library.full((3,), 0.5, device=device).requires_grad_()
    optimizer = library.optim.SGD([w], lr=0.125, momentum=0.5)

    def step(factor: Any) -> Any:
        optimizer.zero_grad()
        scaler.scale((w * w * factor).sum()).backward()
        scaler.step(optimizer)
        scaler.update()

    run = library.capture(step) if captured else step
    found = []
    for k in range(steps):
        run(library.full((3,), float("inf") if k in INF_STEPS else 1.0, device=device))
        found += [scaler.get_scale(), scaler.state_dict()["_growth_tracker"]]
    return found, w.detach().cpu().numpy().tobytes()


# With γ = 2, β = ¼, n = 4, from the definition.
def expected_scales(steps: int = 50) -> list[float]:
    s, t, found = 1024.0, 0, []
    for k in range(steps):
        s, t = (s / 4, 0) if k in INF_STEPS else (s * 2, 0) if t == 3 else (s, t + 1)
        found += [s, t]
    return found


@each_device
def test_the_scale_follows_its_definition(device: str) -> None:
    assert scales(pb, 12, device)[0] == expected_scales(12)


def test_scale_and_weights_are_pytorchs() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (make peers)")
    assert scales(torch) == scales(pb) and scales(pb)[0] == expected_scales()


@each_device
def test_a_captured_step_has_the_bits_of_the_ordinary_one(device: str) -> None:
    """Its second step is infinite, when the step is first recorded, and others when it is replayed."""
    assert scales(pb, 30, device, captured=True) == scales(pb, 30, device)


def parameters(device: str) -> list[Any]:
    rng = np.random.default_rng(2)
    made = [pb.from_numpy(rng.standard_normal(s).astype("f4")).to(device).requires_grad_() for s in ((3, 5), (7,))]
    for p in made:
        p.grad = pb.from_numpy(rng.standard_normal(p.shape).astype("f4")).to(device)
    return made


def contents(params: list[Any], optimizer: Any) -> list[bytes]:
    tensors = [*params, *[t for p in params for t in optimizer.state[p].values() if isinstance(t, pb.Tensor)]]
    return [t.detach().cpu().numpy().tobytes() for t in tensors]


@pytest.mark.parametrize("name", OPTIMIZERS)
@each_device
def test_a_skipped_step_changes_nothing(device: str, name: str) -> None:
    params = parameters(device)
    optimizer = OPTIMIZERS[name](params)
    optimizer.step()
    before = contents(params, optimizer)
    optimizer.found_inf = pb.full((), 2.0, device=device)
    optimizer.step()
    assert contents(params, optimizer) == before
    optimizer.found_inf = pb.full((), 0.0, device=device)
    optimizer.step()
    after = contents(params, optimizer)
    assert not any(a == b for a, b in zip(after[: len(params)], before))


@pytest.mark.parametrize("dampening", [0.0, 0.5])
def test_sgds_first_step_is_the_first_that_is_not_skipped(dampening: float) -> None:
    results = []
    for skipped in (False, True):
        params = parameters("cpu")
        optimizer = pb.optim.SGD(params, lr=0.1, momentum=0.9, dampening=dampening)
        if skipped:
            optimizer.found_inf = pb.full((), 1.0)
            optimizer.step()
        optimizer.found_inf = pb.full((), 0.0)
        for _ in range(2):
            optimizer.step()
        results.append(contents(params, optimizer))
    assert results[0] == results[1]


@each_device
def test_unscaled_gradients_can_be_clipped_before_the_step(device: str) -> None:
    scaler = GradScaler(device, init_scale=256.0)
    params = parameters(device)
    optimizer = pb.optim.SGD(params, lr=1.0)
    plain = [p.detach().clone().requires_grad_() for p in params]
    sum((p * p).sum() for p in plain).backward()
    pb.nn.utils.clip_grad_norm_(plain, 1.0)
    optimizer.zero_grad()
    scaler.scale(sum((p * p).sum() for p in params)).backward()
    scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match="unscale_: it was called for this optimizer since the last update"):
        scaler.unscale_(optimizer)
    pb.nn.utils.clip_grad_norm_(params, 1.0)
    for p, q in zip(params, plain):
        assert pb.equal(p.grad, q.grad)  # powers of two: scaling is exact
    scaler.step(optimizer)
    with pytest.raises(RuntimeError, match=r"unscale_: step\(\) was called"):
        scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match="step: it was called"):
        scaler.step(optimizer)
    scaler.update()
    assert scaler.get_scale() == 256.0


def test_one_scaler_serves_several_optimizers_and_losses() -> None:
    scaler = GradScaler("cpu", init_scale=8.0)
    a, b = (pb.ones(2).requires_grad_() for _ in range(2))
    first, second = pb.optim.SGD([a], lr=1.0), pb.optim.SGD([b], lr=1.0)
    losses = scaler.scale([a.sum(), (b * pb.tensor([1.0, float("inf")])).sum()])
    assert [type(losses), losses[0].item()] == [list, 16.0]
    for loss in losses:
        loss.backward()
    scaler.step(first)
    scaler.step(second)
    scaler.update()
    assert (a.tolist(), b.tolist(), scaler.get_scale()) == ([0.0, 0.0], [1.0, 1.0], 4.0)


class Own(pb.optim.Optimizer):
    """An optimizer of somebody else, which knows of no scaler."""

    def step(self, closure: Any = None) -> str:
        for p in self.param_groups[0]["params"]:
            with pb.no_grad():
                p.sub_(p.grad)
        return "stepped"


def test_optimizers_that_know_of_no_scaler_are_not_called() -> None:
    w = pb.ones(2).requires_grad_()
    scaler, optimizer = GradScaler("cpu", init_scale=4.0), Own([w], {})
    for factor, result, value in ((float("inf"), None, 1.0), (1.0, "stepped", 0.0)):
        w.grad = None
        scaler.scale((w * factor).sum()).backward()
        assert scaler.step(optimizer) == result
        scaler.update()
        assert w.tolist() == [value, value]


def test_its_state_goes_on_in_another() -> None:
    scaler = GradScaler("cpu", init_scale=8.0, growth_interval=3)
    w = pb.ones(2).requires_grad_()
    optimizer = pb.optim.SGD([w], lr=1.0)

    def step(s: Any) -> None:
        optimizer.zero_grad()
        s.scale(w.sum()).backward()
        s.step(optimizer)
        s.update()

    step(scaler)
    state = scaler.state_dict()
    assert state == {
        "scale": 8.0,
        "growth_factor": 2.0,
        "backoff_factor": 0.5,
        "growth_interval": 3,
        "_growth_tracker": 1,
    }
    other = GradScaler("cpu")
    other.load_state_dict(state)
    for s in (other, copy.deepcopy(scaler), pickle.loads(pickle.dumps(scaler)), scaler):
        step(s)
        step(s)
        assert s.get_scale() == 16.0
    scaler.update(2.0)
    assert scaler.get_scale() == 2.0
    scaler.update(pb.tensor([5.0]))
    assert scaler.get_scale() == 5.0
    scaler.load_state_dict(state)
    assert scaler.state_dict() == state


@no_gpu
def test_a_scaler_that_is_off_only_steps() -> None:
    with pytest.warns(UserWarning, match="there is no GPU"):
        off = GradScaler()
    for scaler in (off, GradScaler("cpu", enabled=False)):
        w = pb.ones(2).requires_grad_()
        optimizer = pb.optim.SGD([w], lr=1.0)
        loss = w.sum()
        assert scaler.scale(loss) is loss and not scaler.is_enabled() and scaler.get_scale() == 1.0
        loss.backward()
        scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        assert w.tolist() == [0.0, 0.0] and scaler.state_dict() == {}


def test_what_makes_no_sense_raises() -> None:
    with pytest.raises(ValueError, match="growth_factor expects a number > 1, got 1"):
        GradScaler("cpu", growth_factor=1.0)
    with pytest.raises(ValueError, match="backoff_factor expects a number < 1, got 2"):
        GradScaler("cpu", backoff_factor=2.0)
    scaler = GradScaler("cpu")
    w = pb.ones(2).half().requires_grad_()
    optimizer = pb.optim.SGD([w], lr=1.0)
    for name, call in (
        ("step", lambda: scaler.step(optimizer)),
        ("update", scaler.update),
        ("unscale_", lambda: scaler.unscale_(optimizer)),
    ):
        with pytest.raises(RuntimeError, match=f"{name}: there is no scale yet"):
            call()
    scaler.scale(w.sum()).backward()
    with pytest.raises(ValueError, match="unscale_: gradients expect float32, got float16"):
        scaler.step(optimizer)
    with pytest.raises(RuntimeError, match="update: no optimizer was stepped"):
        scaler.update()
    with pytest.raises(RuntimeError, match="step: a closure"):
        scaler.step(optimizer, closure=lambda: None)
    w.grad = None
    with pytest.raises(RuntimeError, match="step: the optimizer's parameters have no gradients"):
        scaler.step(optimizer)
    with pytest.raises(ValueError, match="scale: outputs expects a tensor or an iterable of them, got int"):
        scaler.scale(3)
    with pytest.raises(ValueError, match="new_scale expects a number or a tensor of one element"):
        scaler.update(pb.ones(2))


def digits(captured: bool, device: str = "cpu") -> list[Any]:
    """float16 under autocast with a scaler that begins too high."""
    pb.manual_seed(4)
    model = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 3)).to(device)
    optimizer = pb.optim.AdamW(model.parameters(), lr=1e-2)
    scaler = GradScaler(device, init_scale=2.0**24, growth_interval=5)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        with pb.autocast(device, dtype=pb.float16):
            loss = nn.functional.cross_entropy(model(x), y)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        return loss

    run = pb.capture(step) if captured else step
    rng = np.random.default_rng(1)
    x, y = pb.from_numpy(rng.standard_normal((16, 6)).astype("f4")), pb.from_numpy(rng.integers(0, 3, 16))
    losses = [run(x.to(device), y.to(device)).item() for _ in range(30)]
    assert not captured or run.stats()["replayed"] == 27
    assert scaler.get_scale() < 2.0**24 and losses[-1] < losses[0] / 2
    return [*losses, *[p.detach().cpu().numpy().tobytes() for p in model.parameters()]]


@each_device
def test_training_in_float16_finds_its_scale(device: str) -> None:
    digits(False, device)


@each_device
def test_captured_training_in_float16_has_the_bits_of_the_ordinary(device: str) -> None:
    assert digits(True, device) == digits(False, device)
