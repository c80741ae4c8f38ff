"""pullback.datasets: the embedded digits, the IDX reader, MNIST's files, stratified splits."""

from __future__ import annotations

import gzip
import hashlib
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pullback
from pullback.datasets import (
    MNIST,
    Digits,
    FashionMNIST,
    ImageDataset,
    load_digits,
    read_idx,
    stratified_split,
)
from pullback.utils.data import DataLoader, Subset

CODES = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}


def idx_bytes(array: np.ndarray[Any, Any]) -> bytes:
    header = bytes([0, 0, CODES[array.dtype.name], array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write(path: Path, data: bytes, compressed: bool = False) -> Path:
    path.write_bytes(gzip.compress(data) if compressed else data)
    return path


# --- IDX ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("shape", [(0,), (5,), (2, 3), (2, 0, 4), (2, 3, 1, 4)])
def test_idx(tmp_path: Path, dtype: str, shape: tuple[int, ...], compressed: bool) -> None:
    expected = (np.arange(np.prod(shape)) * 37 % 101).reshape(shape).astype(dtype)
    array = read_idx(write(tmp_path / "a", idx_bytes(expected), compressed))
    assert array.dtype == np.dtype(dtype) and array.dtype.isnative and array.flags.writeable
    np.testing.assert_array_equal(array, expected)


IMAGES = idx_bytes(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
BIG = bytes([0, 0, 8, 3]) + struct.pack(">3I", 2**32 - 1, 2**32 - 1, 2**32 - 1)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not an IDX file.*found $"),
        (b"\0\0\x08", "not an IDX file.*found 00 00 08"),
        (b"P5 28 28", "not an IDX file.*found 50 35 20 32"),
        (b"\0\0\x07\x01\0\0\0\0", "not an IDX file.*found 00 00 07 01"),
        (b"\0\0\x08\x00", "expected 1 to 32 dimensions, found 0"),
        (b"\0\0\x08\xff" + bytes(4 * 255), "expected 1 to 32 dimensions, found 255"),
        (IMAGES[:10], "expected a header of 16 bytes, found 10"),
        (IMAGES[:-1], r"expected 24 bytes for uint8 \[2, 3, 4\], found (at most 39|23)"),
        (IMAGES[:16], r"expected 24 bytes for uint8 \[2, 3, 4\], found (at most 16|0)"),
        (IMAGES + b"x", r"expected 24 bytes for uint8 \[2, 3, 4\], found more after them"),
        (BIG, rf"expected {(2**32 - 1) ** 3} bytes .*, found at most"),
    ],
)
def test_idx_refuses(tmp_path: Path, data: bytes, message: str, compressed: bool) -> None:
    path = write(tmp_path / "broken", data, compressed)
    with pytest.raises(ValueError, match=rf"(?s)read_idx: .*broken: .*{message}"):
        read_idx(path)


def test_idx_names_a_damaged_gzip(tmp_path: Path) -> None:
    whole = gzip.compress(IMAGES)
    flipped = bytearray(whole)
    flipped[-8] ^= 1  # the checksum
    for data in (whole[:-12], whole[:12], bytes(flipped), whole + b"trailing"):
        with pytest.raises(ValueError, match="broken: the compressed data is damaged or cut short"):
            read_idx(write(tmp_path / "broken", data))


def test_idx_without_a_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_idx(tmp_path / "nowhere")


def test_idx_takes_no_more_memory_than_the_header_says(tmp_path: Path) -> None:
    zeros = bytes(50_000_000)
    bombs = [
        bytes([0, 0, 8, 1]) + struct.pack(">I", 10) + zeros,  # goes on long after its last element
        BIG,  # promises what no compressed file of its size can hold
        bytes([0, 0, 8, 1]) + struct.pack(">I", 200_000_000),
    ]
    paths = [write(tmp_path / f"bomb{i}", bomb, compressed=True) for i, bomb in enumerate(bombs)]
    tracemalloc.start()
    for path in paths:
        with pytest.raises(ValueError, match="expected"):
            read_idx(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


# --- digits -------------------------------------------------------------------------------------


def test_digits_are_the_uci_digits() -> None:
    images, labels = load_digits()
    assert images.shape == (1797, 8, 8) and images.dtype == np.uint8 and images.max() == 16
    assert labels.shape == (1797,) and labels.dtype == np.uint8
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    # of scikit-learn's copy: load_digits().images.astype("u1"), load_digits().target.astype("u1")
    assert (
        hashlib.sha256(images.tobytes()).hexdigest()
        == "8f26b2bd9d135c256808f68f14fdabddde6d9c7f869ae419704b051f0f14b3b3"
    )
    assert (
        hashlib.sha256(labels.tobytes()).hexdigest()
        == "8ba4f891220f5e4c9c819638d1602d74b83618f167043c6da52a2a247841ddf0"
    )


def test_the_digits_licence_is_installed() -> None:
    folder = Path(pullback.__file__).parent / "datasets" / "data"
    assert "CC BY 4.0" in (folder / "LICENSE-digits.txt").read_text()


def test_digits_samples() -> None:
    digits, (images, labels) = Digits(), load_digits()
    assert len(digits) == 1797 and digits.classes == list("0123456789")
    x, label = digits[3]
    assert x.shape == (1, 8, 8) and x.dtype is pullback.float32 and label == labels[3] and type(label) is int
    np.testing.assert_array_equal(x.numpy()[0], images[3] / 16)
    assert digits[-1][1] == labels[-1]
    assert digits.targets.dtype is pullback.int64 and digits.targets.tolist() == labels.tolist()
    assert digits.data.shape == (1797, 8, 8)
    for index in (1797, -1798):
        with pytest.raises(IndexError, match=f"Digits: index {index} is out of range for 1797"):
            digits[index]
    assert repr(digits) == "Digits(1797 images of 8 × 8, 10 classes)"


def test_digits_batches_are_stacked_samples() -> None:
    digits = Digits()
    same = Digits(transform=lambda x: x, target_transform=lambda label: label)
    assert same.__getbatch__([0]) is None
    wrapped: list[Any] = [DataLoader(Subset(d, range(5, 70)), 32) for d in (digits, same)]
    for (x, y), (other_x, other_y) in zip(*wrapped, strict=True):
        assert x.dtype is other_x.dtype and y.dtype is other_y.dtype is pullback.int64
        np.testing.assert_array_equal(x.numpy(), other_x.numpy())
        assert y.tolist() == other_y.tolist()


def test_transforms() -> None:
    digits = Digits(transform=lambda x: x.tolist()[0][0], target_transform=lambda label: -label)
    assert digits[4] == ((load_digits()[0][4][0] / 16).tolist(), -4)


# --- MNIST's files ------------------------------------------------------------------------------


def write_mnist(folder: Path, name: Callable[[str, int], str], n: int = 6, **other: Any) -> tuple[Any, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    images = np.random.default_rng(0).integers(0, 256, (n, 28, 28)).astype(np.uint8)
    labels = (np.arange(n) % 10).astype(np.uint8)
    for part, shift in (("train", 0), ("t10k", 1)):
        for kind, array in (("images", images + np.uint8(shift)), ("labels", labels)):
            array = other.get(kind, array)
            path = folder / name(f"{part}-{kind}", array.ndim)
            write(path, idx_bytes(array), path.suffix == ".gz")
    return images, labels


@pytest.mark.parametrize("sub", ["", "MNIST/raw"])
@pytest.mark.parametrize("pattern", ["{}-idx{}-ubyte", "{}-idx{}-ubyte.gz", "{}.idx{}-ubyte", "{}.idx{}-ubyte.gz"])
def test_mnist_finds_its_files(tmp_path: Path, pattern: str, sub: str) -> None:
    images, labels = write_mnist(tmp_path / sub, pattern.format)
    train, test = MNIST(tmp_path, download=True), MNIST(str(tmp_path), train=False)
    np.testing.assert_array_equal(train.images, images)
    np.testing.assert_array_equal(test.images, images + np.uint8(1))
    x, label = train[2]
    assert x.shape == (1, 28, 28) and label == labels[2] == train.targets[2].item()
    np.testing.assert_array_equal(x.numpy()[0], images[2] / np.float32(255))
    batch_x, batch_y = next(iter(DataLoader(train, 4)))
    assert batch_x.shape == (4, 1, 28, 28) and batch_y.tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(batch_x.numpy()[:, 0], images[:4] / np.float32(255))


def test_fashion_mnist(tmp_path: Path) -> None:
    write_mnist(tmp_path / "FashionMNIST" / "raw", "{}-idx{}-ubyte".format)
    dataset = FashionMNIST(tmp_path)
    assert dataset.classes[9] == "Ankle boot" and len(dataset.classes) == 10 and len(dataset) == 6


def test_mnist_without_files(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"MNIST: no train-images-idx3-ubyte or .*\.gz.* in .*; nothing is down"
    ):
        MNIST(tmp_path)
    with pytest.raises(FileNotFoundError, match="t10k-images"):
        MNIST(tmp_path / "nowhere", train=False, download=True)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"labels": np.arange(5, dtype=np.uint8)}, r"labels must be integers \[6\] for images \[6, 28, 28\]"),
        ({"labels": np.full(6, 10, np.uint8)}, r"labels must be in 0..9, got 10..10"),
        ({"labels": np.arange(6, dtype=np.float32)}, "labels must be integers"),
        ({"images": np.zeros((6, 28, 28), np.int16)}, "images must be uint8"),
    ],
)
def test_mnist_refuses(tmp_path: Path, other: dict[str, Any], message: str) -> None:
    write_mnist(tmp_path, "{}-idx{}-ubyte".format, **other)
    with pytest.raises(ValueError, match=f"MNIST: {message}"):
        MNIST(tmp_path)


def test_mnist_refuses_swapped_files(tmp_path: Path) -> None:
    write_mnist(tmp_path, lambda part, ndim: f"{part}-idx{ndim}-ubyte")
    (tmp_path / "train-labels-idx1-ubyte").replace(tmp_path / "train-images-idx3-ubyte")
    write(tmp_path / "train-labels-idx1-ubyte", idx_bytes(np.zeros(6, np.uint8)))
    with pytest.raises(ValueError, match=r"images must be uint8 \[N, H, W\], got uint8 \[6\]"):
        MNIST(tmp_path)


# --- stratified_split ---------------------------------------------------------------------------


def seeded(seed: int) -> pullback.Generator:
    return pullback.Generator().manual_seed(seed)


def test_stratified_split_keeps_the_proportions() -> None:
    digits = Digits()
    train, test = stratified_split(digits, [0.8, 0.2], seeded(0))
    indices = [list(part.indices) for part in (train, test)]
    assert sorted(indices[0] + indices[1]) == list(range(1797))
    assert all(part == sorted(part) for part in indices)
    totals = np.bincount(digits.labels)
    for part, share in zip(indices, (0.8, 0.2), strict=True):
        assert (np.abs(np.bincount(digits.labels[part]) - share * totals) <= 1).all()


def test_stratified_split_is_seeded() -> None:
    one, two, other = ([list(s.indices) for s in stratified_split(Digits(), [0.8, 0.2], seeded(s))] for s in (1, 1, 2))
    assert one == two != other


class Labelled(ImageDataset):
    def __init__(self, labels: list[int]) -> None:
        n = len(labels)
        super().__init__(np.zeros((n, 2, 2), np.uint8), np.array(labels, np.int64), scale=1, classes=["a", "b"])


def test_stratified_split_of_small_classes() -> None:
    train, test = stratified_split(Labelled([0, 1, 1, 0, 1]), [0.5, 0.5], seeded(0))
    assert (len(train), len(test)) == (3, 2)
    assert [len(part) for part in stratified_split(Labelled([]), [0.5, 0.5])] == [0, 0]


def test_stratified_split_refuses() -> None:
    for fractions in ([0.5, 0.4], [], [5, 5]):
        with pytest.raises(ValueError, match="stratified_split: fraction"):
            stratified_split(Digits(), fractions)
    with pytest.raises(TypeError, match="Subset has no targets"):
        stratified_split(Subset(Digits(), [1]), [0.5, 0.5])
