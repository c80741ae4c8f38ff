"""Files written for PyTorch run with only their imports changed, and give PyTorch's numbers from PyTorch's weights."""

from __future__ import annotations

import re
import types
from pathlib import Path

import numpy as np
import pytest

import pullback

FILES = sorted((Path(__file__).parent / "peer").glob("*.py"))


def load(path: Path, ours: bool) -> types.ModuleType:
    """The file as a module; with its import lines, and nothing else, pointed at pullback."""
    source = path.read_text()
    if ours:
        source = re.sub(r"^import torch$", "import pullback as torch", source, flags=re.M)
        source = re.sub(r"^(import|from) torch\b", r"\1 pullback", source, flags=re.M)
    module = types.ModuleType(path.stem)
    exec(compile(source, str(path), "exec"), module.__dict__)
    return module


class Noise:
    """The same normal numbers for both libraries in place of `randn_like`."""

    def __init__(self, make) -> None:
        self.rng, self.make = np.random.default_rng(7), make

    def __call__(self, like):
        return self.make(self.rng.standard_normal(tuple(like.shape)).astype(np.float32))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_runs_with_imports_changed_alone(path: Path) -> None:
    """Without PyTorch: the model trains, and its loss falls."""
    module = load(path, ours=True)
    pullback.manual_seed(1)
    model, optimizer = module.make()
    data = module.batch(np.random.default_rng(0))
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = module.loss(model, *data)
        loss.backward()
        if hasattr(module, "after_backward"):
            module.after_backward(model)
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_gives_pytorchs_numbers(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (make peers)")
    monkeypatch.setattr(torch, "randn_like", Noise(torch.from_numpy))
    monkeypatch.setattr(pullback, "randn_like", Noise(pullback.from_numpy))
    theirs, ours = load(path, ours=False), load(path, ours=True)
    torch.manual_seed(0)
    (their_model, their_optimizer), (model, optimizer) = theirs.make(), ours.make()
    state = {name: pullback.tensor(value.numpy()) for name, value in their_model.state_dict().items()}
    assert list(state) == list(model.state_dict())
    model.load_state_dict(state)
    rng = np.random.default_rng(5)
    for step in range(5):
        data = ours.batch(rng)
        values = []
        for module, m, o in ((theirs, their_model, their_optimizer), (ours, model, optimizer)):
            o.zero_grad()
            loss = module.loss(m, *data)
            loss.backward()
            norm = module.after_backward(m) if hasattr(module, "after_backward") else None
            values.append((loss.item(), None if norm is None else float(norm)))
            if m is their_model:
                their_gradients = {n: p.grad.numpy().copy() for n, p in m.named_parameters() if p.grad is not None}
            else:
                gradients = {n: p.grad.numpy().copy() for n, p in m.named_parameters() if p.grad is not None}
            o.step()
        np.testing.assert_allclose(values[1][0], values[0][0], rtol=1e-5, err_msg=f"loss of step {step}")
        if values[0][1] is not None:
            np.testing.assert_allclose(values[1][1], values[0][1], rtol=1e-4)
        assert gradients.keys() == their_gradients.keys()
        for name, g in their_gradients.items():
            # From equal weights to 1e-5; afterwards the optimizers' steps have rounded differently, too.
            tolerance = (1e-5 if step == 0 else 1e-4) * np.abs(g).max()
            np.testing.assert_allclose(gradients[name], g, rtol=0, atol=tolerance, err_msg=f"{name}, step {step}")
    # Adam divides a gradient by its own size: where that is rounding noise, the step is, too.
    for name, value in their_model.state_dict().items():
        np.testing.assert_allclose(model.state_dict()[name].numpy(), value.numpy(), rtol=1e-4, atol=2e-4, err_msg=name)
