"""Small random distortions of images, so that a network sees more digits than there are."""

from __future__ import annotations

from typing import Any

import numpy as np

ANGLE, STRETCH, SHIFT = 0.15, 0.08, 1 / 16  # radians; a share of the size; a share of the width


def distort(images: Any, rng: np.random.Generator) -> Any:
    """Each image [N, H, W] turned, scaled and moved a little about its centre, with bilinear interpolation and white
    outside: value at p is the input's at A⁻¹(p − c) + c + t."""
    n, h, w = images.shape
    angle, scale = rng.uniform(-ANGLE, ANGLE, n), 1 + rng.uniform(-STRETCH, STRETCH, n)
    move_y, move_x = rng.uniform(-SHIFT, SHIFT, (2, n, 1, 1)) * w
    cos, sin = (np.cos(angle) / scale)[:, None, None], (np.sin(angle) / scale)[:, None, None]
    y, x = np.mgrid[:h, :w]
    y, x = y - (h - 1) / 2, x - (w - 1) / 2
    from_y = sin * x + cos * y + (h - 1) / 2 + move_y
    from_x = cos * x - sin * y + (w - 1) / 2 + move_x
    top, left = np.floor(from_y).astype(np.int64), np.floor(from_x).astype(np.int64)
    down, right = (from_y - top).astype(np.float32), (from_x - left).astype(np.float32)
    margin = 2 + max(h, w) // 4
    padded = np.pad(images, ((0, 0), (margin, margin), (margin, margin)))
    top, left = np.clip(top + margin, 0, h + 2 * margin - 2), np.clip(left + margin, 0, w + 2 * margin - 2)
    i = np.arange(n)[:, None, None]
    upper = (1 - right) * padded[i, top, left] + right * padded[i, top, left + 1]
    lower = (1 - right) * padded[i, top + 1, left] + right * padded[i, top + 1, left + 1]
    return (1 - down) * upper + down * lower
