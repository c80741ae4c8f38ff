"""Captured functions in files: the same bits without the model, what cannot be saved, and files that lie."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import plan_mutations
import pullback as pb
from captured import Trained, batches, mlp
from pullback import nn
from pullback.cli import main
from pullback.io import save_file
from pullback.nn import functional as F

MUTATIONS = 5000 if os.environ.get("PULLBACK_TEST_ALL") == "1" else 600


def rand(*shape: int, seed: int = 0) -> pb.Tensor:
    return pb.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype("f4"))


def recorded(fn: Any, *args: Any) -> Any:
    step = pb.capture(fn)
    for _ in range(3):
        step(*args)
    return step


def saved(path: Path, fn: Any, *args: Any) -> Any:
    step = recorded(fn, *args)
    step.save(path / "plan.safetensors")
    return step


def same(a: Any, b: Any) -> bool:
    if isinstance(a, pb.Tensor):
        return isinstance(b, pb.Tensor) and a.dtype is b.dtype and a.numpy().tobytes() == b.numpy().tobytes()
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (tuple, list)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return bool(a == b and type(a) is type(b))


# --- functions --------------------------------------------------------------------------------------------------------


def classifier() -> tuple[Any, tuple[Any, ...]]:
    model = mlp(0.3).eval()

    def predict(x: pb.Tensor) -> Any:
        scores = model(x)
        return F.softmax(scores, 1), scores.argmax(1)

    return predict, (rand(9, 20),)


def autoencoder() -> tuple[Any, tuple[Any, ...]]:
    pb.manual_seed(1)
    sizes = [784, 128, 16, 128, 784]
    layers = [layer for a, b in zip(sizes, sizes[1:]) for layer in (nn.Linear(a, b), nn.Tanh())]
    return nn.Sequential(*layers), (rand(32, 784),)


def many() -> tuple[Any, tuple[Any, ...]]:
    """Two arguments, a dict, a frozen number, and results of several kinds."""
    weight = rand(8, 5, seed=3)

    def fn(x: pb.Tensor, parts: dict[str, Any], power: float) -> Any:
        y = (x @ weight) ** power
        z = pb.cat([y, parts["b"]], 0)
        values, order = z.topk(3, 1)
        return {"values": values, "more": [order, z.cumsum(0), (x, None, 2.5, "text")]}

    return fn, (rand(4, 8, seed=1), {"b": rand(2, 5, seed=2)}, 2.0)


def text() -> tuple[Any, tuple[Any, ...]]:
    """An embedding, and most families of kernels that have rules."""
    table = rand(11, 6, seed=4)

    def fn(tokens: pb.Tensor, mask: pb.Tensor) -> Any:
        x = table[tokens]
        x = pb.where(mask.unsqueeze(-1), x, pb.zeros_like(x))
        x = F.pad(x, (1, 2), mode="constant", value=0.5)
        mean = x.mean(1, keepdim=True)
        x = F.log_softmax(x - mean, -1).tril()
        sorted_x, _ = x.sort(1)
        picked = x.gather(2, pb.zeros(*x.shape[:2], 1, dtype=pb.int64) + 3)
        var, m = x.var(-1), x.amax(-1)
        return sorted_x.transpose(1, 2).contiguous(), picked, var + m, (x > 0).any(1), pb.arange(4) + tokens[0, 0]

    rng = np.random.default_rng(5)
    tokens, mask = rng.integers(0, 11, (3, 4)), rng.random((3, 4)) > 0.3
    return fn, (pb.from_numpy(tokens), pb.from_numpy(mask))


def strided() -> tuple[Any, tuple[Any, ...]]:
    return (lambda x, y, z: (x + y, x, z * 2)), (rand(5, 7).t(), rand(7, 1).expand(7, 5), rand(4, 9)[:1, :2])


FUNCTIONS: list[Callable[[], tuple[Any, tuple[Any, ...]]]] = [classifier, autoencoder, many, text, strided]


@pytest.mark.parametrize("make", FUNCTIONS)
def test_a_file_gives_the_bits_of_the_function(tmp_path: Path, make: Any) -> None:
    fn, args = make()
    saved(tmp_path, fn, *args)
    plan = pb.load_plan(tmp_path / "plan.safetensors")
    with pb.no_grad():
        expected = fn(*args)
    for _ in range(2):
        assert same(plan(*args), expected)
    assert os.listdir(tmp_path) == ["plan.safetensors"]


def test_a_plan_follows_its_arguments_and_returns_new_memory(tmp_path: Path) -> None:
    fn, (x,) = classifier()
    saved(tmp_path, fn, x)
    plan = pb.load_plan(tmp_path / "plan.safetensors")
    before = plan(x)
    copy = before[0].numpy().copy()
    with pb.no_grad():
        other = rand(9, 20, seed=8)
        assert same(plan(other), fn(other))
        assert same(plan(other.numpy()), fn(other))
    assert before[0].numpy().tobytes() == copy.tobytes()


def test_weights_are_those_of_when_it_was_saved(tmp_path: Path) -> None:
    model = mlp().eval()
    x = rand(9, 20)
    step = recorded(model, x)
    with pb.no_grad():
        for p in model.parameters():
            p.mul_(0.5)
        expected = model(x)
        step.save(tmp_path / "plan.safetensors")
        for p in model.parameters():
            p.mul_(0.5)
    assert same(pb.load_plan(tmp_path / "plan.safetensors")(x), expected)


def test_memory_that_the_host_fills_is_filled_for_every_run(tmp_path: Path) -> None:
    def fn(x: pb.Tensor) -> pb.Tensor:
        total = pb.tensor([1.0, 2.0, 3.0])
        total += x
        return total * 2

    x = rand(3)
    saved(tmp_path, fn, x)
    plan = pb.load_plan(tmp_path / "plan.safetensors")
    assert same(plan(x), fn(x)) and same(plan(x), fn(x))


def test_a_process_without_the_model_runs_it(tmp_path: Path) -> None:
    fn, (x,) = classifier()
    saved(tmp_path, fn, x)
    np.save(tmp_path / "x.npy", x.numpy())
    script = (
        "import sys, numpy as np, pullback as pb\n"
        "y, k = pb.load_plan('plan.safetensors')(np.load('x.npy'))\n"
        "np.save('y.npy', y.numpy()), np.save('k.npy', k.numpy())\n"
        "assert 'pullback.nn' not in sys.modules and 'pullback.optim' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment(), check=True)
    with pb.no_grad():
        y, k = fn(x)
    assert np.load(tmp_path / "y.npy").tobytes() == y.numpy().tobytes()
    assert np.array_equal(np.load(tmp_path / "k.npy"), k.numpy())


def environment() -> dict[str, str]:
    folders = [str(Path(pb.__file__).parents[1]), str(Path(__file__).parent)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}


# --- arguments --------------------------------------------------------------------------------------------------------


def test_other_arguments_are_refused_by_name(tmp_path: Path) -> None:
    fn, (x,) = classifier()
    saved(tmp_path, fn, x)
    plan = pb.load_plan(tmp_path / "plan.safetensors")
    with pytest.raises(
        ValueError, match=r"argument 0 expects float32 of shape \[9, 20\], got float32 of shape \[8, 20\]"
    ):
        plan(rand(8, 20))
    with pytest.raises(ValueError, match="argument 0 expects float32 .* got float64"):
        plan(x.double())
    for args, kwargs in (((), {}), ((x, x), {}), ((), {"x": x}), ((1.0,), {}), (([x],), {})):
        with pytest.raises(TypeError, match=r"expected arguments float32 \[9, 20\], got others"):
            plan(*args, **kwargs)
    with pytest.raises(ValueError, match="argument 0 requires grad"):
        plan(x.clone().requires_grad_())


def test_a_frozen_argument_has_to_be_the_same(tmp_path: Path) -> None:
    fn, (x, parts, power) = many()
    saved(tmp_path, fn, x, parts, power)
    plan = pb.load_plan(tmp_path / "plan.safetensors")
    with pytest.raises(TypeError, match="3.0"):
        plan(x, parts, 3.0)


def test_a_plan_is_no_part_of_a_captured_step(tmp_path: Path) -> None:
    fn, (x,) = classifier()
    saved(tmp_path, fn, x)
    plan = pb.load_plan(tmp_path / "plan.safetensors")
    step = pb.capture(lambda x: plan(x)[0] + 1)
    step(x)
    with pytest.raises(pb.CaptureError, match="a plan from a file"):
        step(x)


# --- what cannot be saved ---------------------------------------------------------------------------------------------


def test_steps_that_write_to_what_outlives_them_are_refused(tmp_path: Path) -> None:
    trained = Trained("sgd")
    state = pb.zeros(3)
    data = batches(1)[0]
    steps = [
        (trained.step, data, r"save: \w+ writes to memory .*captured\.py:\d+"),
        (lambda x: x + pb.rand(3), (rand(3),), r"save: uniform writes to memory from before .*test_capture_file"),
        (lambda x: state.add_(x).clone(), (rand(3),), r"save: add writes to memory from before"),
    ]
    for fn, args, message in steps:
        with pytest.raises(pb.CaptureError, match=message):
            saved(tmp_path, fn, *args)
    assert os.listdir(tmp_path) == []


def test_what_has_no_place_in_a_file_is_refused(tmp_path: Path) -> None:
    weight = rand(3)
    functions = [
        (lambda x: (x + 1, weight), "returns a view"),
        (lambda x: (x + 1, x[1:]), "returns a view"),
        (lambda x: {1: x + 1}, "keys must be strings"),
        (lambda x: (x + 1, 1j), "a complex"),
        (lambda x: nn.utils.get_total_norm([x]), r"kernel total_norm cannot .*test_capture_file"),
    ]
    for fn, message in functions:
        with pytest.raises(pb.CaptureError, match=message):
            saved(tmp_path, fn, rand(3))
    with pytest.raises(RuntimeError, match="nothing is recorded yet"):
        pb.capture(lambda x: x).save(tmp_path / "plan.safetensors")
    assert os.listdir(tmp_path) == []


def test_a_plan_that_is_out_of_date_is_not_saved(tmp_path: Path) -> None:
    model = mlp()
    step = recorded(model, rand(9, 20))
    model.to(pb.float64)
    with pytest.raises(RuntimeError, match="out of date"):
        step.save(tmp_path / "plan.safetensors")


# --- files that lie ---------------------------------------------------------------------------------------------------


def rewritten(path: Path, change: Callable[[Any], None]) -> Path:
    header, data = plan_mutations.parts(path)
    plan = json.loads(header["__metadata__"]["plan"])
    change(plan)
    header["__metadata__"]["plan"] = json.dumps(plan)
    path.write_bytes(plan_mutations.assembled(header, data))
    return path


def first_step(plan: Any, name: str) -> Any:
    return next(s for s in plan["steps"] if s[0] == name)


LIES: list[tuple[str, Callable[[Any], Any], str]] = [
    ("kernel", lambda p: p["steps"][0].__setitem__(0, "launch"), "no kernel 'launch'"),
    ("no rule", lambda p: p["steps"].append(["permutation", [p["outputs"][:1], p["outputs"][:1]], []]), "permutation"),
    ("offset", lambda p: p["outputs"][0].__setitem__(1, 4), "leaves its buffer"),
    ("misaligned", lambda p: p["outputs"][0].__setitem__(1, 2), "outside of its buffer"),
    ("negative", lambda p: p["outputs"][0].__setitem__(1, -4), "outside of its buffer"),
    ("stride", lambda p: p["outputs"][0][4].__setitem__(0, 2**62), "leaves its buffer"),
    ("size", lambda p: p["outputs"][0][3].__setitem__(0, 2**62), "too large"),
    ("empty", lambda p: p["outputs"][0][3].__setitem__(0, 0), "no elements"),
    ("buffer", lambda p: p["outputs"][0].__setitem__(0, 999), "no such buffer"),
    ("bytes", lambda p: p["buffers"].append(["made", 2**50]), "max_bytes"),
    (
        "weights",
        lambda p: next(b for b in p["buffers"] if b[0] == "constant").__setitem__(1, 8),
        "bytes as an array has",
    ),
    ("unwritten", lambda p: p["steps"].clear(), "read before it is written"),
    ("weights written", lambda p: first_step(p, "matmul")[1].__setitem__(2, first_step(p, "matmul")[1][1]), "given"),
    ("axis", lambda p: first_step(p, "softmax")[2].__setitem__(0, ["integer", 2]), "softmax: the shapes or numbers"),
    ("scalar", lambda p: first_step(p, "softmax")[2].__setitem__(0, ["real", "0x1p0"]), "constant integer"),
    ("dtype", lambda p: first_step(p, "argmax")[1][1][0].__setitem__(2, "float64"), "does not admit float64"),
    (
        "activation",
        lambda p: first_step(p, "matmul")[2].__setitem__(2, ["integer", 7]),
        "matmul: the shapes or numbers",
    ),
    ("reduced", lambda p: first_step(p, "argmax")[1][1][0][3].__setitem__(0, 3), "argmax: the shapes or numbers"),
    ("argument", lambda p: p["inputs"][0][1].__setitem__(0, 2**40), "."),
    ("argument stride", lambda p: p["inputs"][0][4].__setitem__(1, 2**63 - 1), "an argument leaves its buffer"),
    ("argument bytes", lambda p: p["inputs"].__setitem__(0, ["float32", [2**38], None, 0, [4]]), "max_bytes"),
    ("key", lambda p: p.pop("steps"), "damaged"),
    ("call", lambda p: p.__setitem__("arguments", []), "those of a call"),
]


@pytest.mark.parametrize("change,message", [lie[1:] for lie in LIES], ids=[lie[0] for lie in LIES])
def test_a_lie_is_named(tmp_path: Path, change: Any, message: str) -> None:
    saved(tmp_path, *classifier_with_arguments())
    path = rewritten(tmp_path / "plan.safetensors", change)
    with pytest.raises(ValueError, match=message):
        pb.load_plan(path)


def classifier_with_arguments() -> tuple[Any, ...]:
    fn, args = classifier()
    return (fn, *args)


def test_an_output_over_an_index_is_refused(tmp_path: Path) -> None:
    """Indices are checked before they are followed, so nothing may change them in between."""
    x = pb.from_numpy(np.arange(6))
    saved(tmp_path, lambda x, i: x[i + 0], x, pb.from_numpy(np.array([1, 2, 3])))

    def overlap(plan: Any) -> None:
        operands = first_step(plan, "index")[1]
        operands[2][0] = operands[1][0]

    def overlap_a_part(plan: Any) -> None:
        operands = first_step(plan, "index")[1]
        operands[2][0][1] = 8
        operands[1][0][3] = operands[2][0][3] = [2]

    for lie in (overlap, overlap_a_part):
        with pytest.raises(ValueError, match="overlaps another operand"):
            pb.load_plan(rewritten(tmp_path / "plan.safetensors", lie))


def test_pads_that_lie_are_refused(tmp_path: Path) -> None:
    saved(tmp_path, lambda x: F.pad(x, (2, 1), mode="reflect"), rand(1, 4))
    path = tmp_path / "plan.safetensors"
    header, data = plan_mutations.parts(path)
    plan = json.loads(header["__metadata__"]["plan"])
    buffer = first_step(plan, "pad")[1][1][0][0]
    begin, end = header[f"constant.{buffer}"]["data_offsets"]
    pads = np.frombuffer(data[begin:end], np.int64).copy()
    pads[-2:] = pads[-2:] + [10**6, -(10**6)]
    path.write_bytes(plan_mutations.assembled(header, data[:begin] + pads.tobytes() + data[end:]))
    with pytest.raises(ValueError, match="pad: the shapes or numbers"):
        pb.load_plan(path)


def test_index_values_are_checked_when_it_runs(tmp_path: Path) -> None:
    table = rand(4, 3)
    saved(tmp_path, lambda i: table[i], pb.from_numpy(np.array([0, 3])))
    plan = pb.load_plan(tmp_path / "plan.safetensors")
    with pytest.raises(IndexError):
        plan(np.array([0, 4]))


def test_files_that_are_no_plans(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        pb.load_plan(tmp_path / "none")
    save_file({"x": rand(3)}, tmp_path / "weights.safetensors")
    with pytest.raises(ValueError, match="expected format"):
        pb.load_plan(tmp_path / "weights.safetensors")
    fn, args = autoencoder()
    saved(tmp_path, fn, *args)
    with pytest.raises(ValueError, match="max_bytes"):
        pb.load_plan(tmp_path / "plan.safetensors", max_bytes=1000)


@pytest.mark.parametrize("make", [classifier, text])
def test_damaged_files_run_or_are_refused(tmp_path: Path, make: Any) -> None:
    fn, args = make()
    saved(tmp_path, fn, *args)
    damage(tmp_path / "plan.safetensors", MUTATIONS // 2)


def damage(plan: Path, times: int) -> None:
    """In a process of its own, which must not crash, hang, or take more memory than it may."""
    script = Path(__file__).with_name("plan_mutations.py")
    command = [sys.executable, str(script), str(plan), "0", str(times)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["refused"] > times // 4 and seen["ran"] > times // 50
    assert seen["peak"] < 4 * plan_mutations.LIMIT


# --- the command line -------------------------------------------------------------------------------------------------


def test_run_prints_a_summary_and_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fn, (x,) = classifier()
    saved(tmp_path, fn, x)
    plan = str(tmp_path / "plan.safetensors")
    assert main(["run", plan]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["argument 0: float32 [9, 20]", "result 0: float32 [9, 5]", "result 1: int64 [9]"]
    np.save(tmp_path / "x.npy", x.numpy())
    assert main(["run", plan, "--input", str(tmp_path / "x.npy")]) == 0
    assert "result 1: int64 [9]" in capsys.readouterr().out
    outputs = [str(tmp_path / name) for name in ("y.npy", "k.npy")]
    assert main(["run", plan, "--input", str(tmp_path / "x.npy"), "--output", *outputs]) == 0
    with pb.no_grad():
        y, k = fn(x)
    assert np.load(outputs[0]).tobytes() == y.numpy().tobytes() and np.array_equal(np.load(outputs[1]), k.numpy())


def test_run_says_what_is_wrong_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fn, (x,) = classifier()
    saved(tmp_path, fn, x)
    plan, array = str(tmp_path / "plan.safetensors"), str(tmp_path / "x.npy")
    np.save(array, x.numpy())
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    (tmp_path / "empty.npy").write_bytes(b"")
    wrong = [
        [str(tmp_path / "none")],
        [array],
        [plan, "--input", array, array],
        [plan, "--input", str(tmp_path / "objects.npy")],
        [plan, "--input", str(tmp_path / "empty.npy")],
        [plan, "--input", str(tmp_path / "none.npy")],
        [plan, "--output", array],
        [plan, "--input", array, "--output", array],
        [plan, "--max-bytes", "10"],
    ]
    for options in wrong:
        assert main(["run", *options]) == 2
        printed = capsys.readouterr()
        assert printed.out == "" and len(printed.err.splitlines()) == 1 and printed.err.startswith("pullback: ")
