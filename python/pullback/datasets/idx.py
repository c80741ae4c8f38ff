"""The IDX file format, in which MNIST is distributed (http://yann.lecun.com/exdb/mnist).

bytes 0, 1    zero
byte 2        type of the elements
byte 3        number of dimensions d
4 d bytes     sizes, unsigned, big-endian
the rest      elements in row-major order, big-endian
"""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from io import BufferedIOBase
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MAX_DIMENSIONS = 32
_MAX_DEFLATE_RATIO = 1032  # deflate's best case: 258 bytes in two bits


def read_idx(path: str | os.PathLike[str]) -> NDArray[Any]:
    """The array in an IDX file, plain or compressed with gzip, in the machine's byte order.

    Reads what the header promises and not more: a header that promises more than the file can hold is refused
    before memory is taken. Raises FileNotFoundError, and ValueError that names the file, what was expected
    and what was found, for a file that is not IDX, is cut short, or goes on after its last element.
    """
    path = os.fspath(path)
    size = os.path.getsize(path)
    with open(path, "rb") as raw:
        compressed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        if not compressed:
            return _read(raw, path, size)
        try:
            with gzip.GzipFile(fileobj=raw) as file:
                return _read(file, path, size * _MAX_DEFLATE_RATIO)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"read_idx: {path}: the compressed data is damaged or cut short: {error}") from None


def _read(file: BufferedIOBase, path: str, size: int) -> NDArray[Any]:
    """`size` bounds how many bytes the file can hold."""
    dtype, shape = _read_header(file, path)
    expected = math.prod(shape) * dtype.itemsize
    what = f"{expected} bytes for {dtype.name} {list(shape)}"
    if expected > size:
        raise ValueError(f"read_idx: {path}: expected {what}, found at most {size}")
    array = np.empty(shape, dtype)
    buffer = array.reshape(-1).view(np.uint8).data
    found = 0
    while found < expected:
        count = file.readinto(buffer[found:])
        if not count:
            raise ValueError(f"read_idx: {path}: expected {what}, found {found}")
        found += count
    if file.read(1):
        raise ValueError(f"read_idx: {path}: expected {what}, found more after them")
    return array.astype(dtype.newbyteorder("="), copy=False)


def _read_header(file: BufferedIOBase, path: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _DTYPES:
        raise ValueError(
            f"read_idx: {path}: not an IDX file: expected bytes 00 00, a type among "
            f"{' '.join(f'{code:02x}' for code in _DTYPES)} and a dimension count, found {magic.hex(' ')}"
        )
    dimensions = magic[3]
    if not 1 <= dimensions <= _MAX_DIMENSIONS:
        raise ValueError(f"read_idx: {path}: expected 1 to {_MAX_DIMENSIONS} dimensions, found {dimensions}")
    sizes = file.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise ValueError(f"read_idx: {path}: expected a header of {4 + 4 * dimensions} bytes, found {4 + len(sizes)}")
    return np.dtype(_DTYPES[magic[2]]), struct.unpack(f">{dimensions}I", sizes)
