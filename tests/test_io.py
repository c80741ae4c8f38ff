"""pullback.io: safetensors files and checkpoints, whole or not there."""

from __future__ import annotations

import json
import math
import os
import stat
import sys
from collections import OrderedDict, namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pullback
from pullback.io import load, load_file, save, save_file
from pullback.io._files import atomic_path

safetensors = pytest.importorskip("safetensors", reason="needs the extra io")
safetensors_numpy = pytest.importorskip("safetensors.numpy", reason="needs the extra io")

DTYPES = ["float32", "float64", "int64", "int32", "uint8", "bool"]


def arrays_of_each_dtype() -> dict[str, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    return {name: (rng.standard_normal((3, 4)) * 3).astype(name) for name in DTYPES}


def tensors(arrays: dict[str, Any]) -> dict[str, pullback.Tensor]:
    return {name: pullback.from_numpy(array) for name, array in arrays.items()}


# --- safetensors --------------------------------------------------------------------------------


def test_round_trip_is_exact(tmp_path: Path) -> None:
    arrays = arrays_of_each_dtype() | {
        "scalar": np.array(1.5, np.float32),
        "empty": np.zeros((0, 3), np.float32),
        "special": np.array([np.nan, np.inf, -np.inf, -0.0, 1e-45], np.float32),
    }
    save_file(tensors(arrays), tmp_path / "w.safetensors")
    loaded = load_file(tmp_path / "w.safetensors")
    assert sorted(loaded) == sorted(arrays)
    for name, array in arrays.items():
        back = loaded[name].numpy()
        assert back.shape == array.shape and back.dtype == array.dtype, name
        assert back.tobytes() == array.tobytes(), name
        assert back.flags.writeable and not loaded[name].requires_grad


def test_files_are_those_of_the_library(tmp_path: Path) -> None:
    arrays = arrays_of_each_dtype()
    save_file(tensors(arrays), tmp_path / "ours", {"epoch": "3"})
    safetensors_numpy.save_file(arrays, tmp_path / "theirs", {"epoch": "3"})
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def halves() -> dict[str, pullback.Tensor]:
    x = pullback.from_numpy(np.random.default_rng(1).standard_normal((3, 4)).astype("f4"))
    numbers = {"transposed": x.t(), "number": x[0, 0], "empty": x[:0], "special": x.new_tensor([np.nan, np.inf, -0.0])}
    return {f"{name}.{t.name}": n.to(t) for name, n in numbers.items() for t in (pullback.bfloat16, pullback.float16)}


def same_bits(a: pullback.Tensor, b: pullback.Tensor) -> bool:
    return (a.dtype, a.shape) == (b.dtype, b.shape) and bool(
        (a.contiguous().view(pullback.int16) == b.contiguous().view(pullback.int16)).all()
    )


def test_halves_come_back_to_the_bit(tmp_path: Path) -> None:
    state = {**halves(), "wide": pullback.ones(2)}
    save_file(state, tmp_path / "w", {"epoch": "3"})
    save({"model": state, "again": list(halves().values())}, tmp_path / "c")
    checkpoint = load(tmp_path / "c")
    for back in (load_file(tmp_path / "w"), checkpoint["model"]):
        assert set(back) == set(state) and back.pop("wide").dtype is pullback.float32
        assert all(same_bits(back[name], state[name]) for name in back)
        back["number.bfloat16"].fill_(2.0)  # the memory is its own
    assert all(same_bits(a, b) for a, b in zip(checkpoint["again"], halves().values()))


def test_files_of_bfloat16_are_those_of_the_library(tmp_path: Path) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    theirs = {"a": values.astype(ml_dtypes.bfloat16), "b": values}
    safetensors_numpy.save_file(theirs, tmp_path / "theirs")
    save_file(theirs, tmp_path / "arrays")
    save_file({"a": pullback.from_numpy(values).bfloat16(), "b": values}, tmp_path / "tensors")
    assert (tmp_path / "theirs").read_bytes() == (tmp_path / "arrays").read_bytes()
    assert (tmp_path / "theirs").read_bytes() == (tmp_path / "tensors").read_bytes()
    assert load_file(tmp_path / "theirs")["a"].dtype is pullback.bfloat16


def test_models_in_halves_keep_their_weights(tmp_path: Path) -> None:
    for half in (pullback.nn.Module.half, pullback.nn.Module.bfloat16):
        model, other = [half(pullback.nn.Linear(3, 2)) for _ in range(2)]
        save_file(model.state_dict(), tmp_path / "w")
        other.load_state_dict(load_file(tmp_path / "w"))
        assert all(same_bits(a.detach(), b.detach()) for a, b in zip(model.parameters(), other.parameters()))
        wide = pullback.nn.Linear(3, 2)
        wide.load_state_dict(load_file(tmp_path / "w"))
        assert pullback.equal(wide.weight, model.weight.float())


def test_strided_tensors_are_written_as_they_look(tmp_path: Path) -> None:
    x = np.arange(24, dtype=np.float32).reshape(4, 6)
    views = {
        "t": x.T,
        "rows": x[::2],
        "flipped": x[:, ::-1],
        "one": x[1],
        "wide": np.broadcast_to(x[0], (3, 6)),
    }
    save_file(views, tmp_path / "w")
    for name, back in load_file(tmp_path / "w").items():
        np.testing.assert_array_equal(back.numpy(), views[name])


def test_shared_tensors_are_written_under_each_name(tmp_path: Path) -> None:
    x = pullback.from_numpy(np.arange(3, dtype=np.float32))
    save_file({"a": x, "b": x}, tmp_path / "w")
    assert load_file(tmp_path / "w")["b"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("state", "metadata", "error", "message"),
    [
        ({"a": 1.0}, None, TypeError, "'a' must be a tensor, got a float"),
        ({"a": np.array(["s"])}, None, TypeError, "'a' must be a tensor, got an array of dtype <U1"),
        ({1: np.zeros(1)}, None, TypeError, "names must be strings, got 1"),
        ({"__metadata__": np.zeros(1)}, None, ValueError, "reserved"),
        ({}, {"epoch": 3}, TypeError, "metadata must map strings to strings"),
    ],
)
def test_save_file_refuses(tmp_path: Path, state: Any, metadata: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        save_file(state, tmp_path / "w", metadata)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("read", [load_file, load])
def test_damaged_files_are_named(tmp_path: Path, read: Any) -> None:
    save_file(arrays_of_each_dtype(), tmp_path / "whole")
    whole = (tmp_path / "whole").read_bytes()
    broken = tmp_path / "broken"
    huge = (2**60).to_bytes(8, "little") + whole[8:]
    for data in (b"", whole[:4], whole[:100], whole[:-1], whole + b"x", b"not a file of tensors", huge):
        broken.write_bytes(data)
        with pytest.raises(ValueError, match=f"{read.__name__}: .*broken is not a whole safetensors file"):
            read(broken)


@pytest.mark.parametrize("read", [load_file, load])
def test_missing_files(tmp_path: Path, read: Any) -> None:
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(FileNotFoundError, match=f"{read.__name__}: there is no file"):
            read(path)


def test_types_that_pullback_lacks_are_named(tmp_path: Path) -> None:
    safetensors_numpy.save_file({"words": np.zeros(2, np.uint16)}, tmp_path / "w")
    with pytest.raises(TypeError, match="load_file: 'words'.*uint16"):
        load_file(tmp_path / "w")
    header = b'{"b":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}}'
    (tmp_path / "w").write_bytes(len(header).to_bytes(8, "little") + header + bytes(2))
    with pytest.raises(TypeError, match="load_file: 'b'.*(F8_E4M3|float8_e4m3fn)"):  # NumPy has it where ml_dtypes is
        load_file(tmp_path / "w")


@pytest.mark.parametrize("call", [lambda p: save_file({}, p), load_file, lambda p: save({}, p), load])
def test_without_safetensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Any) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ImportError, match=r'pip install "pullback\[io\]"'):
        call(tmp_path / "w")


# --- whole or not at all ------------------------------------------------------------------------


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "w"
    path.write_text("old")
    for error in (OSError, KeyboardInterrupt):
        with pytest.raises(error), atomic_path(path) as temporary:
            assert os.path.dirname(temporary) == str(tmp_path)
            Path(temporary).write_text("half of the new")
            raise error
        assert path.read_text() == "old" and os.listdir(tmp_path) == ["w"]


def test_an_interrupted_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "w"
    save_file({"a": np.zeros(3)}, path)
    before = path.read_bytes()

    def full_disk(arrays: Any, temporary: str, metadata: Any) -> None:
        Path(temporary).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(safetensors, "serialize_file", full_disk)
    for write in (save_file, save):
        with pytest.raises(OSError, match="No space"):
            write({"a": np.ones(3)}, path)
        assert path.read_bytes() == before and os.listdir(tmp_path) == ["w"]


def test_the_new_file_replaces_the_old(tmp_path: Path) -> None:
    for value in (1.0, 2.0):
        save_file({"a": np.array(value)}, tmp_path / "w")
        assert load_file(tmp_path / "w")["a"].item() == value and os.listdir(tmp_path) == ["w"]


def test_no_folder(tmp_path: Path) -> None:
    for write in (save_file, save):
        with pytest.raises(FileNotFoundError, match=r"can't write .*/no/w: there is no folder"):
            write({}, tmp_path / "no" / "w")
        with pytest.raises(IsADirectoryError, match="it is a folder"):
            write({}, tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="permissions and links are POSIX's")
def test_permissions_and_links(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        save_file({}, tmp_path / "target")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "target").stat().st_mode) == 0o640
    (tmp_path / "link").symlink_to("target")
    save_file({"a": np.zeros(1)}, tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and "a" in load_file(tmp_path / "target")


# --- checkpoints --------------------------------------------------------------------------------

PLAIN = {
    "none": None,
    "flags": [True, False],
    "numbers": [0, -7, 2**80, 0.1, 1e-300, -0.0, math.inf, -math.inf],
    "text": ["", "é", "line\n", '"'],
    "tuple": (1, (2, ()), [3, []]),
    "empty": {},
    3: "integer key",
    2.5: "float key",
    None: "no key",
    True: "bool key",
    "nested": {"a": {"b": [{"c": (1,)}]}},
}


def test_plain_values_come_back(tmp_path: Path) -> None:
    save(PLAIN, tmp_path / "c")
    back = load(tmp_path / "c")
    assert back == PLAIN and list(back) == list(PLAIN)
    assert repr(back) == repr(PLAIN)  # equality alone takes 1 for True and 0.0 for -0.0
    save(math.nan, tmp_path / "c")
    assert math.isnan(load(tmp_path / "c"))


def test_save_and_load_have_pytorchs_names() -> None:
    assert pullback.save is save and pullback.load is load


@pytest.mark.parametrize("value", [None, 3, "s", [], {}, (), 1.5])
def test_any_value_may_be_the_root(tmp_path: Path, value: Any) -> None:
    save(value, tmp_path / "c")
    back = load(tmp_path / "c")
    assert back == value and type(back) is type(value)


def test_tensors_come_back(tmp_path: Path) -> None:
    w = pullback.from_numpy(np.arange(6, dtype=np.float32).reshape(2, 3)).requires_grad_()
    obj = {
        "model": OrderedDict(weight=w, bias=pullback.from_numpy(np.ones(2))),
        "optimizer": {"state": {0: {"step": 3, "exp_avg": pullback.from_numpy(np.full((2, 3), 0.5, np.float32))}}},
        "rng": np.array([1, 2], np.uint64),
        "best": np.float32(0.25),
    }
    save(obj, tmp_path / "c")
    back = load(tmp_path / "c")
    assert back["model"]["weight"].tolist() == [[0, 1, 2], [3, 4, 5]] and back["model"]["weight"].requires_grad
    assert not back["model"]["bias"].requires_grad and back["model"]["bias"].dtype is pullback.float64
    assert back["optimizer"]["state"][0]["step"] == 3
    assert back["optimizer"]["state"][0]["exp_avg"].tolist() == [[0.5] * 3] * 2
    assert type(back["rng"]) is np.ndarray and back["rng"].dtype == np.uint64 and back["rng"].tolist() == [1, 2]
    assert type(back["best"]) is np.float32 and back["best"] == 0.25
    names = {"model.weight", "model.bias", "optimizer.state.0.exp_avg", "rng", "best"}
    assert set(safetensors_numpy.load_file(tmp_path / "c")) == names


@pytest.mark.parametrize("name", ["SGD", "RMSprop", "Adam", "AdamW"])
def test_training_goes_on_from_a_checkpoint(tmp_path: Path, name: str) -> None:
    x, y = pullback.randn(8, 5), pullback.randint(0, 3, (8,))

    def build() -> tuple[Any, Any]:
        model = pullback.nn.Sequential(pullback.nn.Linear(5, 4), pullback.nn.Tanh(), pullback.nn.Linear(4, 3))
        options = {"momentum": 0.9} if name == "SGD" else {}
        return model, getattr(pullback.optim, name)(model.parameters(), lr=0.01, **options)

    def step(model: Any, optimizer: Any) -> float:
        optimizer.zero_grad()
        loss = pullback.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return float(loss.item())

    pullback.manual_seed(0)
    model, optimizer = build()
    for _ in range(3):
        step(model, optimizer)
    save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "c")
    expected = [step(model, optimizer) for _ in range(3)]

    other, other_optimizer = build()
    state = load(tmp_path / "c")
    other.load_state_dict(state["model"])
    other_optimizer.load_state_dict(state["optimizer"])
    assert [step(other, other_optimizer) for _ in range(3)] == expected
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert a.tolist() == b.tolist()


def test_a_tensor_is_stored_once(tmp_path: Path) -> None:
    x = np.arange(4, dtype=np.float32)
    tensor = pullback.from_numpy(x)
    save({"a": tensor, "b": [tensor, pullback.from_numpy(x), pullback.from_numpy(x[::2])]}, tmp_path / "c")
    assert sorted(safetensors_numpy.load_file(tmp_path / "c")) == ["a", "b.2"]
    back = load(tmp_path / "c")
    assert back["b"][0] is back["a"] is back["b"][1] and back["b"][2].tolist() == [0, 2]


def test_names_that_collide(tmp_path: Path) -> None:
    def value(number: int) -> pullback.Tensor:
        return pullback.from_numpy(np.array([number]))

    obj = {"a": {"b": value(1)}, "a.b": value(2), "__metadata__": value(3), 1: value(4), "1": value(5)}
    save(obj, tmp_path / "c")
    back = load(tmp_path / "c")
    assert back["a"]["b"].item() == 1
    assert [back[key].item() for key in ("a.b", "__metadata__", 1, "1")] == [2, 3, 4, 5]


Named = namedtuple("Named", ["x"])


@pytest.mark.parametrize(
    ("obj", "message"),
    [
        (object(), "obj is a object"),
        ({"a": [1, {2}]}, r"obj\['a'\]\['1'\] is a set"),
        ({"f": len}, r"obj\['f'\] is a builtin_function"),
        ({"n": Named(1)}, r"obj\['n'\] is a Named"),
        ({"b": b"bytes"}, r"obj\['b'\] is a bytes"),
        ({"z": 1j}, r"obj\['z'\] is a complex"),
        ({"s": np.array(["s"])}, r"obj\['s'\] is a ndarray"),
        ({(1, 2): 3}, r"obj has the key \(1, 2\)"),
        ({"a": {math.nan: 3}}, r"obj\['a'\] has the key nan"),
    ],
)
def test_save_names_what_it_cannot_hold(tmp_path: Path, obj: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        save(obj, tmp_path / "c")
    assert os.listdir(tmp_path) == []


def test_save_refuses_cycles(tmp_path: Path) -> None:
    cycle: list[Any] = []
    cycle.append({"self": cycle})
    with pytest.raises(ValueError, match="contains itself"):
        save(cycle, tmp_path / "c")


def test_load_tells_weights_from_checkpoints(tmp_path: Path) -> None:
    save_file({"a": np.zeros(1)}, tmp_path / "w")
    with pytest.raises(ValueError, match=r"w is not a checkpoint .* found None; plain weights .*load_file"):
        load(tmp_path / "w")


@pytest.mark.parametrize(
    "structure",
    [
        None,
        "",
        "{",
        "{}",
        '{"unknown": 1}',
        '{"tensor": "missing"}',
        '{"tensor": ["a"]}',
        '{"scalar": 3}',
        '{"float": "much"}',
        '{"tuple": 3}',
        '{"dict": [[1]]}',
        '{"dict": [[[], 1]]}',
        "[" * 100_000,
        json.dumps({"tensor": "a", "requires_grad": True}),  # an integer tensor
    ],
)
def test_damaged_descriptions_are_named(tmp_path: Path, structure: str | None) -> None:
    metadata = {"format": "pullback.checkpoint.1"} | ({} if structure is None else {"structure": structure})
    save_file({"a": np.zeros(1, np.int64)}, tmp_path / "c", metadata)
    with pytest.raises(ValueError, match="load: .*c: the description of the checkpoint is damaged"):
        load(tmp_path / "c")
