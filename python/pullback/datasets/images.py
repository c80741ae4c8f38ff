"""What the image data sets have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import pullback
from pullback import Tensor
from pullback.utils.data import Dataset


class ImageDataset(Dataset[tuple[Any, Any]]):
    """Grey images kept as bytes; sample i is (x, label) with x = images[i] / scale, float32 [1, H, W] in [0,
    1].

    Args:
        images: uint8 [N, H, W], values 0 to `scale`.
        labels: integers [N], 0 to len(classes) − 1.
        scale: the value of white.
        classes: the names of the labels.
        transform, target_transform: called with x and with the label of each sample.

    `images` and `labels` are the arrays; `data` and `targets` are the same as tensors, as in torchvision.
    Raises ValueError when the arrays do not fit together or a label is out of range.
    """

    def __init__(
        self,
        images: NDArray[np.uint8],
        labels: NDArray[Any],
        *,
        scale: int,
        classes: list[str],
        transform: Callable[[Tensor], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
    ) -> None:
        name = type(self).__name__
        if images.ndim != 3 or images.dtype != np.uint8:
            raise ValueError(f"{name}: images must be uint8 [N, H, W], got {images.dtype} {list(images.shape)}")
        if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
            raise ValueError(
                f"{name}: labels must be integers [{len(images)}] for images {list(images.shape)}, "
                f"got {labels.dtype} {list(labels.shape)}"
            )
        if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) < len(classes):
            raise ValueError(f"{name}: labels must be in 0..{len(classes) - 1}, got {labels.min()}..{labels.max()}")
        self.images = images
        self.labels = labels.astype(np.int64)
        self.data = pullback.from_numpy(images)
        self.targets = pullback.from_numpy(self.labels)
        self.scale = scale
        self.classes = classes
        self.transform = transform
        self.target_transform = target_transform

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"{type(self).__name__}: index {index} is out of range for {len(self)} samples")
        x: Any = self._scaled(self.images[index])
        label: Any = int(self.labels[index])
        if self.transform is not None:
            x = self.transform(x)
        if self.target_transform is not None:
            label = self.target_transform(label)
        return x, label

    def __getbatch__(self, indices: list[int]) -> list[Tensor] | None:
        overridden = type(self).__getitem__ is not ImageDataset.__getitem__
        if overridden or self.transform is not None or self.target_transform is not None:
            return None
        index = np.array(indices, dtype=np.int64)
        return [self._scaled(self.images[index]), pullback.from_numpy(self.labels[index])]

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        n, height, width = self.images.shape
        return f"{type(self).__name__}({n} images of {height} × {width}, {len(self.classes)} classes)"

    def _scaled(self, images: NDArray[np.uint8]) -> Tensor:
        """[..., H, W] bytes to [..., 1, H, W] float32."""
        return pullback.from_numpy(np.divide(images, self.scale, dtype=np.float32)[..., None, :, :])
