"""What lives above kernels on the emulated device, where a build has it: random numbers, nn, optimizers, saving, training."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback import _cuda_state
from pullback.cli import main
from test_device import EMULATED, emulated, no_gpu, normal

F = pb.nn.functional


# --- random numbers ---------------------------------------------------------------------------------------------------


@emulated
def test_random_numbers_are_the_cpu_s() -> None:
    drawn = []
    for device in ("cpu", EMULATED):
        pb.manual_seed(3)
        x = pb.ones(1000, device=device)
        found = [F.dropout(x, 0.3), pb.rand(77, device=device), pb.randint(0, 100, (50,), device=device)]
        found += [pb.randperm(20, device=device), pb.bernoulli(x * 0.5), x.clone().uniform_(-1, 1)]
        drawn.append([t.cpu().numpy().tobytes() for t in found])
    assert drawn[0] == drawn[1]


@emulated
def test_generators_belong_to_devices() -> None:
    own = pb.Generator(EMULATED).manual_seed(1)
    with pytest.raises(RuntimeError, match="rand: generator expects device cpu, got cuda-emulated:0"):
        pb.rand(3, generator=own)
    first = pb.rand(3, generator=own, device=EMULATED).tolist()
    state = own.get_state()
    second = pb.rand(3, generator=own, device=EMULATED).tolist()
    own.set_state(state)
    assert first != second == pb.rand(3, generator=own, device=EMULATED).tolist()


# --- nn, optim, io ----------------------------------------------------------------------------------------------------


def mlp(device: Any = None, dtype: Any = None) -> pb.nn.Module:
    on = {"device": device, "dtype": dtype}
    return pb.nn.Sequential(
        pb.nn.Linear(5, 7, **on), pb.nn.Tanh(), pb.nn.Linear(7, 6, **on), pb.nn.ReLU(), pb.nn.Linear(6, 3, **on)
    )


OPTIMIZERS: dict[str, Any] = {
    "SGD": lambda p: pb.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "Adam": lambda p: pb.optim.Adam(p, lr=0.01, amsgrad=True),
    "AdamW": lambda p: pb.optim.AdamW(p, lr=pb.tensor(0.01, dtype=pb.float64)),
    "RMSprop": lambda p: pb.optim.RMSprop(p, lr=0.01, centered=True, momentum=0.5),
}


def trained(net: pb.nn.Module, optimizer: pb.optim.Optimizer, device: Any, steps: int = 4) -> list[float]:
    x, y = normal(9, 5, dtype=pb.float64).to(device), pb.tensor([k % 3 for k in range(9)], device=device)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y) + 0.1 * net(x).square().mean()
        loss.backward()
        pb.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


@emulated
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_goes_as_on_the_cpu(name: str) -> None:
    """In float64 only the order of sums differs: some hundred terms a number, and four steps."""
    pb.manual_seed(0)
    nets = {"cpu": mlp(dtype=pb.float64)}
    nets[EMULATED] = copy.deepcopy(nets["cpu"]).to(EMULATED)
    losses = {}
    for device, net in nets.items():
        optimizer = OPTIMIZERS[name](net.parameters())
        losses[device] = trained(net, optimizer, device)
        for p in net.parameters():
            assert {s.device for s in optimizer.state[p].values() if s is not None} == {p.device}
    np.testing.assert_allclose(losses["cpu"], losses[EMULATED], rtol=1e-11)
    for a, b in zip(nets["cpu"].parameters(), nets[EMULATED].parameters(), strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().cpu().numpy(), rtol=1e-9, atol=1e-11)


def leaves() -> list[pb.Tensor]:
    """More than one launch has room for, of all sizes; some begin off a pack's border, some have gaps or lie transposed."""
    rng = np.random.default_rng(4)
    made = []
    for k in range(230):
        x = pb.tensor(rng.standard_normal((1 + k % 3, 1 + k * k % 61)), device=EMULATED, dtype=pb.float32)
        made.append([x, x.t(), x[:, ::2], x.flatten()[1:]][k % 7 % 4])
    made += [pb.tensor(rng.standard_normal(9001), device=EMULATED)]  # several pieces
    for k, x in enumerate(made):
        x.requires_grad_()
        x.grad = (x.detach().t().contiguous() * 0.5).t() if x.ndim == 2 and k % 5 == 0 else x.detach() * 0.5
    return made


@emulated
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_many_parameters_step_as_each_alone(name: str) -> None:
    together, alone = leaves(), leaves()
    several = [OPTIMIZERS[name](together), *[OPTIMIZERS[name]([p]) for p in alone]]
    for _ in range(2):
        for optimizer in several:
            optimizer.step()
    for p, q in zip(together, alone, strict=True):
        assert p.numpy(force=True).tobytes() == q.numpy(force=True).tobytes()


@emulated
def test_state_goes_from_device_to_device() -> None:
    pb.manual_seed(1)
    there, here = mlp(EMULATED), mlp()
    assert {p.device for p in there.parameters()} == {pb.zeros(0, device=EMULATED).device}
    here.load_state_dict(there.state_dict())
    x = normal(4, 5)
    np.testing.assert_allclose(
        here(x).detach().numpy(), there(x.to(EMULATED)).detach().cpu().numpy(), rtol=1e-5, atol=1e-6
    )
    optimizer = pb.optim.Adam(there.parameters())
    there(x.to(EMULATED)).sum().backward()
    optimizer.step()
    other = pb.optim.Adam(here.parameters())
    other.load_state_dict(optimizer.state_dict())
    assert {s.device for state in other.state.values() for s in state.values()} == {pb.device("cpu")}
    moved = copy.deepcopy(there).cpu()
    assert [p.tolist() for p in moved.parameters()] == [p.tolist() for p in there.parameters()]


@emulated
def test_files_hold_tensors_of_devices(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    w = normal(3, 4).to(EMULATED)
    pb.io.save_file({"w": w, "wt": w.t()}, tmp_path / "w.safetensors")
    assert pb.io.load_file(tmp_path / "w.safetensors")["wt"].tolist() == w.t().tolist()
    assert pb.io.load_file(tmp_path / "w.safetensors", device=EMULATED)["w"].device is w.device
    pb.save({"w": w, "again": w, "here": normal(2)}, tmp_path / "c")
    mapped = pb.load(tmp_path / "c", map_location={str(w.device): f"{EMULATED}:1"}, weights_only=True)
    assert str(mapped["w"].device) == f"{EMULATED}:1" and mapped["here"].device is pb.device("cpu")
    with pytest.raises(RuntimeError, match=r"^device: there is no cuda-emulated:7"):
        pb.load(tmp_path / "c", map_location=f"{EMULATED}:7")
    with pytest.raises(TypeError, match="device: expected a string"):
        pb.load(tmp_path / "c", map_location=lambda storage, saved: storage)
    back = pb.load(tmp_path / "c")
    assert back["w"].device is w.device and back["again"] is back["w"] and back["w"].tolist() == w.tolist()
    assert back["here"].device is pb.device("cpu")
    assert {t.device for t in pb.load(tmp_path / "c", map_location="cpu").values()} == {pb.device("cpu")}


@no_gpu
def test_a_checkpoint_of_a_gpu_says_how_to_read_it_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("safetensors")
    pb.save({"w": normal(2)}, tmp_path / "c")
    text = (tmp_path / "c").read_bytes()
    size, header = int.from_bytes(text[:8], "little"), text[8:]
    old, new = b'{\\"tensor\\":\\"w\\"}', b'{\\"tensor\\":\\"w\\",\\"device\\":\\"cuda:0\\"}'
    assert header.count(old) == 1
    grown = size + len(new) - len(old)
    padded = header.replace(old, new)
    (tmp_path / "c").write_bytes(grown.to_bytes(8, "little") + padded)
    with pytest.raises(RuntimeError, match="load: 'w' was saved on cuda:0, pass map_location='cpu'"):
        pb.load(tmp_path / "c")
    assert pb.load(tmp_path / "c", map_location="cpu")["w"].shape == (2,)


@emulated
def test_gradcheck_and_initialization() -> None:
    x = normal(2, 3, dtype=pb.float64).to(EMULATED).requires_grad_()
    assert pb.gradcheck(lambda t: (t.tanh() * t).sum(1), (x,))
    w = pb.empty(6, 4, device=EMULATED)
    pb.nn.init.orthogonal_(w)
    np.testing.assert_allclose((w.t() @ w).cpu().numpy(), np.eye(4), atol=1e-5)
    pb.nn.init.sparse_(w, 0.5)
    assert ((w == 0).sum(0) == 3).all()


@emulated
def test_train_runs_on_a_device(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rich"), pytest.importorskip("matplotlib"), pytest.importorskip("safetensors")
    options = ["--model", "linear", "--epochs", "1", "--batch-size", "512", "--device", EMULATED]
    assert main(["train", *options, "--out", str(tmp_path)]) == 0
    assert "test accuracy:" in capsys.readouterr().out


@no_gpu
def test_train_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rich"), pytest.importorskip("matplotlib"), pytest.importorskip("safetensors")
    assert main(["train", "--device", "cuda", "--out", str(tmp_path)]) == 2
    assert f"pullback: device: {_cuda_state.cuda_problem()}" in capsys.readouterr().err
    assert main(["train", "--device", "auto", "--epochs", "1", "--model", "linear", "--out", str(tmp_path)]) == 0


@no_gpu
def test_bench_says_what_is_missing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich"), pytest.importorskip("matplotlib"), pytest.importorskip("safetensors")
    monkeypatch.chdir(Path(__file__).resolve().parent.parent)
    assert main(["bench", "--device", "cuda"]) == 2
    assert f"pullback bench: {_cuda_state.cuda_problem()}" in capsys.readouterr().err
