"""The UCI optical digits, which come with the package.

E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998,
https://doi.org/10.24432/C50P49, licence CC BY 4.0: see `data/LICENSE-digits.txt` beside this file.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pullback import Tensor

from .idx import read_idx
from .images import ImageDataset

_DATA = Path(__file__).parent / "data"


def load_digits() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """1797 images, uint8 [1797, 8, 8] with values 0 (white) to 16 (black), and their labels, uint8 [1797], 0
    to 9.

    A value is the number of black pixels in a 4 × 4 block of a 32 × 32 bitmap.
    """
    return read_idx(_DATA / "digits-images-idx3-ubyte.gz"), read_idx(_DATA / "digits-labels-idx1-ubyte.gz")


class Digits(ImageDataset):
    """`load_digits` as a dataset: sample i is (float32 [1, 8, 8] in [0, 1], label)."""

    def __init__(
        self,
        transform: Callable[[Tensor], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
    ) -> None:
        images, labels = load_digits()
        super().__init__(
            images,
            labels,
            scale=16,
            classes=[str(digit) for digit in range(10)],
            transform=transform,
            target_transform=target_transform,
        )
