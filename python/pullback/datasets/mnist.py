"""MNIST and the data sets that took over its four files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from pullback import Tensor

from .idx import read_idx
from .images import ImageDataset


class MNIST(ImageDataset):
    """Handwritten digits, 28 × 28: 60,000 to train with, 10,000 to test (LeCun, Cortes and Burges, 1998).

    Args:
        root: the folder with the IDX files, or one that has them in `MNIST/raw` as torchvision does. Their
            names are `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and the same with `t10k`, with a
            dot in place of the second dash, with `.gz` or without.
        train: the images to train with, otherwise those to test with.
        transform, target_transform: called with x, float32 [1, 28, 28] in [0, 1], and with the label.
        download: accepted; the files must be there.

    Raises FileNotFoundError that lists the names that were looked for, ValueError for a damaged file.
    """

    names: ClassVar[list[str]] = [str(digit) for digit in range(10)]

    def __init__(
        self,
        root: str | os.PathLike[str],
        train: bool = True,
        transform: Callable[[Tensor], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        download: bool = False,
    ) -> None:
        part = "train" if train else "t10k"
        images = read_idx(self._find(Path(root), f"{part}-images", "idx3-ubyte"))
        labels = read_idx(self._find(Path(root), f"{part}-labels", "idx1-ubyte"))
        super().__init__(
            images,
            labels,
            scale=255,
            classes=self.names,
            transform=transform,
            target_transform=target_transform,
        )
        self.root = root
        self.train = train

    @classmethod
    def _find(cls, root: Path, stem: str, kind: str) -> Path:
        names = [f"{stem}{mark}{kind}{end}" for mark in "-." for end in ("", ".gz")]
        folders = [root, root / cls.__name__ / "raw"]
        for path in (folder / name for folder in folders for name in names):
            if path.is_file():
                return path
        raise FileNotFoundError(
            f"{cls.__name__}: no {' or '.join(names)} in {folders[0]} or {folders[1]}; nothing is downloaded"
        )


class FashionMNIST(MNIST):
    """Articles of clothing in MNIST's format (Xiao, Rasul and Vollgraf, 2017)."""

    names: ClassVar[list[str]] = [
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ]
