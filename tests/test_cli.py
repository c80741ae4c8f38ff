"""The command line: a run from data to pictures, its determinism, Ctrl-C, and every wrong option."""

from __future__ import annotations

import gzip
import json
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

import pullback
from pullback import _cpu
from pullback.cli import main, train as train_module
from pullback.io import load_file

SHORT = ["train", "--epochs", "3", "--hidden", "24"]


def run(tmp_path: Path, *options: str) -> int:
    return main([*SHORT, "--out", str(tmp_path / "out"), *options])


def write_idx(folder: Path, train: int = 60, test: int = 20, size: int = 6) -> None:
    """A few generated images in MNIST's files: class k is noise of brightness 20, 120 or 220."""
    rng = np.random.default_rng(0)
    for part, n in (("train", train), ("t10k", test)):
        labels = np.arange(n) % 3
        images = (20 + 100 * labels[:, None, None] + rng.integers(0, 20, (n, size, size))).astype(np.uint8)
        with gzip.open(folder / f"{part}-images-idx3-ubyte.gz", "wb") as file:
            file.write(struct.pack(">IIII", 0x803, n, size, size) + images.tobytes())
        label_file = folder / f"{part}-labels-idx1-ubyte"
        label_file.write_bytes(struct.pack(">II", 0x801, n) + labels.astype(np.uint8).tobytes())


def is_png(path: Path) -> bool:
    return path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" and path.stat().st_size > 5000


def test_train_writes_everything_and_prints_the_accuracy_last(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert lines[-1] == f"test accuracy: {100 * results['test_accuracy']:.1f} %"
    assert results["test_accuracy"] > 0.6
    assert len(results["history"]) == 3
    assert is_png(tmp_path / "out" / "curves.png") and is_png(tmp_path / "out" / "wrong.png")
    weights = load_file(tmp_path / "out" / "weights.safetensors")
    assert weights["layers.1.weight"].shape == (24, 64)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "curves.png",
        "results.json",
        "weights.safetensors",
        "wrong.png",
    ]


def test_same_seed_same_bits_for_any_number_of_threads(tmp_path: Path) -> None:
    before = _cpu.num_threads()
    try:
        for name, threads in (("a", 1), ("b", 2), ("c", 3)):
            _cpu.set_num_threads(threads)
            assert main([*SHORT, "--hidden", "300", "--seed", "5", "--out", str(tmp_path / name)]) == 0
    finally:
        _cpu.set_num_threads(before)
    first = (tmp_path / "a" / "weights.safetensors").read_bytes()
    assert (
        first
        == (tmp_path / "b" / "weights.safetensors").read_bytes()
        == (tmp_path / "c" / "weights.safetensors").read_bytes()
    )
    assert main([*SHORT, "--seed", "6", "--out", str(tmp_path / "d")]) == 0
    assert first != (tmp_path / "d" / "weights.safetensors").read_bytes()


def test_idx_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_idx(tmp_path)
    assert (
        run(
            tmp_path,
            "--data",
            f"idx:{tmp_path}",
            "--epochs",
            "20",
            "--batch-size",
            "7",
            "--model",
            "linear",
            "--lr",
            "0.05",
        )
        == 0
    )
    assert "test accuracy: 100.0 %" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--epochs", "0"], "--epochs expects at least 1, got 0"),
        (["--batch-size", "-3"], "--batch-size expects at least 1, got -3"),
        (["--lr", "-1"], "--lr expects a positive number, got -1.0"),
        (["--lr", "nan"], "--lr expects a positive number, got nan"),
        (["--weight-decay", "-0.1"], "--weight-decay expects a non-negative number"),
        (["--hidden", "0"], "--hidden expects positive widths, got [0]"),
        (["--data", "cifar"], "--data expects digits or idx:DIR, got 'cifar'"),
        (["--data", "idx:/nowhere"], "no train-images"),
        (["--lr", "1e30"], "loss expects a finite value, got"),
    ],
)
def test_wrong_options_are_one_line_and_leave_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    assert run(tmp_path, *options) == 2
    error = capsys.readouterr().err.strip()
    assert words in error and len(error.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("options", [["--frobnicate"], ["--model", "cnn"], ["--epochs", "many"]])
def test_unknown_options(options: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["train", *options])
    assert stopped.value.code == 2


def test_truncated_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_idx(tmp_path)
    labels = tmp_path / "train-labels-idx1-ubyte"
    labels.write_bytes(labels.read_bytes()[:-5])
    before = sorted(tmp_path.iterdir())
    assert run(tmp_path, "--data", f"idx:{tmp_path}") == 2
    assert "train-labels-idx1-ubyte" in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


def test_out_that_is_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").write_text("mine")
    assert run(tmp_path) == 2
    assert "--out expects a folder" in capsys.readouterr().err
    assert (tmp_path / "out").read_text() == "mine"


def test_interrupt_keeps_the_best_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = train_module.Run.train_step

    def interrupted(self, images, labels):
        if self.step == 30:
            raise KeyboardInterrupt
        return real(self, images, labels)

    monkeypatch.setattr(train_module.Run, "train_step", interrupted)
    assert run(tmp_path, "--epochs", "5") == 130
    out = capsys.readouterr().out
    assert "interrupted in epoch 2; keeping the weights of epoch 1" in out
    assert out.strip().splitlines()[-1].startswith("test accuracy: ")
    assert (tmp_path / "out" / "weights.safetensors").exists()


def test_missing_extra_is_named_before_any_work(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import pullback.cli

    monkeypatch.setattr(pullback.cli, "NEEDED", ("rich", "no_such_package"))
    assert main(["train"]) == 2
    assert 'no_such_package not installed: pip install "pullback[cli]"' in capsys.readouterr().err
    assert main(["doctor"]) == 0
    assert "lacks no_such_package" in capsys.readouterr().out


def test_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert pullback.__version__ in out and _cpu.isa() in out and _cpu.num_threads_reason() in out and "gpu" in out


def test_module_runs_as_a_program() -> None:
    import subprocess

    done = subprocess.run([sys.executable, "-m", "pullback", "--version"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.strip() == f"pullback {pullback.__version__}"
