"""Steps to capture: two models that are made alike, and that stay alike to the bit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import pullback as pb
from gpu_modules import on_emulation
from pullback import _cuda_state, nn, optim
from pullback.nn import functional as F

CALLS = 12
PROBLEM = _cuda_state.cuda_problem()  # why there is no GPU


# --- where steps are captured -----------------------------------------------------------------------------------------


class Place:
    """The device of the test that runs."""

    device = "cpu"


def put(x: pb.Tensor) -> pb.Tensor:
    return x.to(Place.device)


def same(a: pb.Tensor, b: pb.Tensor) -> bool:
    return a.detach().cpu().numpy().tobytes() == b.detach().cpu().numpy().tobytes()


DEVICES = ["cpu", pytest.param("cuda-emulated", marks=on_emulation), *(["cuda"] if PROBLEM is None else [])]


@pytest.fixture(params=DEVICES)
def on_each_device(request: pytest.FixtureRequest) -> Iterator[None]:
    """The test once for every device: tensors that it puts are there, and so are the models and batches below."""
    Place.device = request.param
    yield
    Place.device = "cpu"


# --- models, batches and steps ----------------------------------------------------------------------------------------


def batches(n=CALLS, rows=9, seed=0):
    rng = np.random.default_rng(seed)
    return [
        (put(pb.from_numpy(rng.standard_normal((rows, 20)).astype("f4"))), put(pb.from_numpy(rng.integers(0, 5, rows))))
        for _ in range(n)
    ]


def mlp(dropout=0.0):
    pb.manual_seed(7)
    return nn.Sequential(
        nn.Linear(20, 33), nn.ReLU(), nn.Dropout(dropout), nn.Linear(33, 16), nn.GELU(), nn.Linear(16, 5)
    ).to(Place.device)


OPTIMIZERS = {
    "sgd": lambda p: optim.SGD(p, lr=0.1),
    "momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "adam": lambda p: optim.Adam(p, lr=1e-2, amsgrad=True),
    "adamw": lambda p: optim.AdamW(p, lr=1e-2),
    "adagrad": lambda p: optim.Adagrad(p, lr=1e-2),
    "adadelta": lambda p: optim.Adadelta(p),
    "adamax": lambda p: optim.Adamax(p, lr=1e-2),
    "nadam": lambda p: optim.NAdam(p, lr=1e-2),
    "radam": lambda p: optim.RAdam(p, lr=1e-2),
    "rmsprop": lambda p: optim.RMSprop(p, lr=1e-3, momentum=0.9, centered=True),
}


class Trained:
    """A model, its optimizer and one step; two of them made alike are to stay alike."""

    def __init__(self, optimizer="adam", dropout=0.0, step=None):
        self.model = mlp(dropout)
        self.optimizer = OPTIMIZERS[optimizer](self.model.parameters())
        self.step = step or self.plain

    def plain(self, x, y):
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.model(x), y, label_smoothing=0.1)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return loss

    def state(self):
        arrays = [p.detach().cpu().numpy() for p in self.model.parameters()]
        arrays += [None if p.grad is None else p.grad.cpu().numpy() for p in self.model.parameters()]
        for s in self.optimizer.state.values():
            arrays += [v.cpu().numpy() for v in s.values() if isinstance(v, pb.Tensor)]
        return [None if a is None else a.tobytes() for a in arrays]


def assert_alike(eager, captured, step=None, between=None, data=None, replays=None):
    """Both take the same batches; results, parameters, gradients and states agree to the bit after every call."""
    step = step or pb.capture(captured.step)
    for i, (x, y) in enumerate(data or batches()):
        pb.manual_seed(100 + i)
        expected = eager.step(x, y)
        pb.manual_seed(100 + i)
        got = step(x, y)
        assert same(got, expected), f"call {i}"
        assert captured.state() == eager.state(), f"call {i}"
        if between:
            between(i, eager)
            between(i, captured)
    if replays is not None:
        assert step.stats()["replayed"] == replays
    return step
