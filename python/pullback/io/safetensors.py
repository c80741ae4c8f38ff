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
from pullback import Tensor, bfloat16

from ._files import atomic_path

_RESERVED = "__metadata__"  # the format's own entry in the header
_BFLOAT16 = np.dtype([("bfloat16", "<u2")])  # stands for what NumPy lacks, between tensors and files


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
    dense = {name: np.asarray(array, array.dtype.newbyteorder("<"), order="C") for name, array in arrays.items()}
    specs = {
        name: library.TensorSpec(
            dtype="bfloat16" if array.dtype == _BFLOAT16 else array.dtype.name,
            shape=array.shape,
            data_ptr=array.ctypes.data,
            data_len=array.nbytes,
        )
        for name, array in dense.items()
    }
    with atomic_path(path) as temporary:
        library.serialize_file(specs, temporary, metadata)


def read_arrays(op: str, path: str | os.PathLike[str]) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """The arrays in a file, and its metadata; `op` asks."""
    library = _library()
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{op}: there is no file {path}")
    try:
        with library.safe_open(path, framework="np") as file:
            types = {name: file.get_slice(name).get_dtype() for name in file.keys()}
            arrays = {name: _read_array(op, name, file) for name, found in types.items() if found != "BF16"}
            metadata = file.metadata() or {}
        if len(arrays) < len(types):
            with open(path, "rb") as whole:
                raw = dict(library.deserialize(whole.read()))
            arrays |= {name: _read_bfloat16(raw[name]) for name in types if name not in arrays}
        return {name: arrays[name] for name in types}, metadata
    except library.SafetensorError as error:
        raise ValueError(f"{op}: {path} is not a whole safetensors file: {error}") from None


def to_tensor(op: str, name: str, array: NDArray[Any]) -> Tensor:
    """A tensor over what `read_arrays` found under `name`."""
    if array.dtype == _BFLOAT16:
        return Tensor._wrap(array.view(np.uint16))
    try:
        return pullback.from_numpy(array)
    except TypeError as error:
        raise TypeError(f"{op}: {name!r}: {error}") from None


def to_array(tensor: Tensor) -> NDArray[Any]:
    """What `write_arrays` writes for a tensor."""
    host: NDArray[Any] = tensor.device.to_host(tensor._array)
    return host.view(_BFLOAT16) if tensor.dtype is bfloat16 else host


def _read_bfloat16(raw: Any) -> NDArray[Any]:
    array: NDArray[Any] = np.frombuffer(bytearray(raw["data"]), _BFLOAT16).reshape(raw["shape"])
    return array


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
        return to_array(value)
    if isinstance(value, np.ndarray) and value.dtype.name == "bfloat16":  # of ml_dtypes
        halves: NDArray[Any] = value.view(_BFLOAT16)
        return halves
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        return value
    found = f"an array of dtype {value.dtype}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
    raise TypeError(f"save_file: {name!r} must be a tensor, got {found}")


def _library() -> Any:
    try:
        import safetensors
    except ImportError:
        raise ImportError('safetensors is not installed: pip install "pullback[io]"') from None
    return safetensors
