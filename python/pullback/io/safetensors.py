"""Weights as safetensors, the format that PyTorch's tools share.

https://github.com/huggingface/safetensors
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

import pullback
from pullback import Tensor

from ._files import atomic_path

_RESERVED = "__metadata__"  # the format's own entry in the header


def save_file(
    tensors: Mapping[str, Tensor | NDArray[Any]],
    path: str | os.PathLike[str],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Writes tensors, a `state_dict()` for instance, under their names; `metadata` goes into the header.

    The file is written under another name, flushed and renamed, so that `path` is never half a file. Tensors
    that share memory are written once for each name. Raises ImportError without the extra `io`, TypeError for
    names that are not strings or values that are not tensors, FileNotFoundError when the folder does not
    exist.
    """
    arrays = {_checked_name(name): _to_array(name, value) for name, value in tensors.items()}
    for key, value in (metadata or {}).items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(f"save_file: metadata must map strings to strings, got {key!r}: {value!r}")
    write_arrays(arrays, path, dict(metadata) if metadata is not None else None)


def load_file(path: str | os.PathLike[str], device: Any = "cpu") -> dict[str, Tensor]:
    """The tensors in a safetensors file by name, on a device.

    Raises ImportError without the extra `io`, FileNotFoundError, ValueError when the file is damaged or cut
    short, and TypeError for an element type that pullback lacks.
    """
    arrays, _ = read_arrays("load_file", path)
    return {name: to_tensor("load_file", name, array).to(device) for name, array in arrays.items()}


def write_arrays(
    arrays: Mapping[str, NDArray[Any]], path: str | os.PathLike[str], metadata: dict[str, str] | None
) -> None:
    """`save_file` on arrays that were checked."""
    library = _library()
    # The library reads the memory behind an array as it lies there. (np.ascontiguousarray would add a
    # dimension to a scalar.)
    dense = {name: array if array.flags.c_contiguous else array.copy(order="C") for name, array in arrays.items()}
    with atomic_path(path) as temporary:
        library.numpy.save_file(dense, temporary, metadata)


def read_arrays(op: str, path: str | os.PathLike[str]) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """The arrays in a file, and its metadata; `op` asks."""
    library = _library()
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{op}: there is no file {path}")
    try:
        with library.safe_open(path, framework="np") as file:
            return {name: _read_array(op, name, file) for name in file.keys()}, file.metadata() or {}
    except library.SafetensorError as error:
        raise ValueError(f"{op}: {path} is not a whole safetensors file: {error}") from None


def to_tensor(op: str, name: str, array: NDArray[Any]) -> Tensor:
    """A tensor over what `read_arrays` found under `name`."""
    try:
        return pullback.from_numpy(array)
    except TypeError as error:
        raise TypeError(f"{op}: {name!r}: {error}") from None


def _read_array(op: str, name: str, file: Any) -> NDArray[Any]:
    try:
        return np.require(file.get_tensor(name), requirements="W")
    except (TypeError, AttributeError):  # the floats of eight bits
        found = file.get_slice(name).get_dtype()
        raise TypeError(f"{op}: {name!r} has elements of type {found}, which NumPy lacks") from None


def _checked_name(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"save_file: names must be strings, got {name!r}")
    if name == _RESERVED:
        raise ValueError(f"save_file: the name {name!r} is reserved by the format")
    return name


def _to_array(name: str, value: Any) -> NDArray[Any]:
    if isinstance(value, Tensor):
        array: NDArray[Any] = value.detach().cpu().numpy()
        return array
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        return value
    found = f"an array of dtype {value.dtype}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
    raise TypeError(f"save_file: {name!r} must be a tensor, got {found}")


def _library() -> Any:
    try:
        import safetensors
        import safetensors.numpy
    except ImportError:
        raise ImportError('safetensors is not installed: pip install "pullback[io]"') from None
    return safetensors
