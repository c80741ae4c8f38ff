"""Checkpoints: nested values with tensors in them, as one safetensors file.

The tensors lie under the path that leads to them, such as `model.fc1.weight`; the header's metadata holds the
rest as JSON. There None, bool, int, str, list and finite float stand for themselves, everything else is an
object with a tag:

    {"dict": [[key, value], ...]}     {"tuple": [...]}            {"float": "nan" | "inf" | "-inf"}
    {"tensor": name}                  {"array": name}             {"scalar": name}    (a NumPy scalar)

A tensor or array that occurs twice, or two that are the same memory, is stored once.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pullback import Tensor
from pullback._backend import as_device, cpu, device as Device

from .safetensors import read_arrays, to_array, to_tensor, write_arrays

_FORMAT = "pullback.checkpoint.1"
_Place = Callable[[str], Device | None]


def save(obj: Any, path: str | os.PathLike[str]) -> None:
    """Writes nested dicts, lists and tuples of tensors, arrays, numbers, strings, bools and None: for
    instance `{"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}`.

    The file is written under another name, flushed and renamed. A subclass of dict comes back as a dict, a
    parameter as a tensor. Raises TypeError that names the place of a value that can't be stored, ValueError
    when `obj` contains itself, ImportError without the extra `io`.
    """
    encoder = _Encoder()
    try:
        structure = encoder.encode(obj, ())
        text = json.dumps(structure, allow_nan=False, separators=(",", ":"))
    except RecursionError:
        raise ValueError("save: obj is nested too deeply, or contains itself") from None
    write_arrays(encoder.arrays, path, {"format": _FORMAT, "structure": text})


def load(path: str | os.PathLike[str], map_location: Any = None, *, weights_only: bool = True) -> Any:
    """What `save` wrote. Nothing in the file is executed, whatever `weights_only` is. Tensors come to the device that they
    were on, to `map_location`, or to what that says of it: `{"cuda:1": "cuda:0"}`.

    Raises FileNotFoundError, ValueError when the file is damaged or is not a checkpoint, RuntimeError for a device
    that is not here, TypeError for a `map_location` that names none, ImportError without the extra `io`.
    """
    place = _placement(map_location)
    arrays, metadata = read_arrays("load", path)
    if metadata.get("format") != _FORMAT:
        raise ValueError(
            f"load: {os.fspath(path)} is not a checkpoint of this version: expected format {_FORMAT!r}, "
            f"found {metadata.get('format')!r}; plain weights are read by pullback.io.load_file"
        )
    try:
        return _Decoder(arrays, place).decode(json.loads(metadata["structure"]))
    except _NoDevice:
        raise
    except (KeyError, TypeError, ValueError, StopIteration, RuntimeError) as error:
        raise ValueError(f"load: {os.fspath(path)}: the description of the checkpoint is damaged: {error!r}") from None


def _placement(map_location: Any) -> _Place:
    """Where tensors that were on a device of this name come to; None for the device of that name."""
    if isinstance(map_location, dict):
        return {str(saved): _there(on) for saved, on in map_location.items()}.get
    on = None if map_location is None else _there(map_location)
    return lambda saved: on


def _there(name: Any) -> Device:
    on = as_device(name)
    assert on.kernels  # RuntimeError where there is none of its index
    return on


class _NoDevice(RuntimeError):
    """A tensor was saved on a device that is not here."""


class _Encoder:
    def __init__(self) -> None:
        self.arrays: dict[str, NDArray[Any]] = {}
        self._names: dict[tuple[Any, ...], str] = {}

    def encode(self, value: Any, path: tuple[str, ...]) -> Any:
        if isinstance(value, Tensor):
            array = value._array
            memory = (value.device, value.device.pointer(array), array.shape, array.strides, array.dtype.str)
            tag: dict[str, Any] = {"tensor": self._store(to_array(value), memory, path)}
            if value.device is not cpu:
                tag["device"] = str(value.device)
            return tag | {"requires_grad": True} if value.requires_grad else tag
        if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biufc":
            array = np.asarray(value)
            memory = (cpu, array.ctypes.data, array.shape, array.strides, array.dtype.str)
            return {"array" if isinstance(value, np.ndarray) else "scalar": self._store(array, memory, path)}
        if value is None or isinstance(value, (bool, int, str)):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else {"float": str(value)}
        if isinstance(value, dict):
            return {
                "dict": [[self._key(key, path), self.encode(item, (*path, str(key)))] for key, item in value.items()]
            }
        if isinstance(value, list) or (isinstance(value, tuple) and not hasattr(value, "_fields")):
            items = [self.encode(item, (*path, str(i))) for i, item in enumerate(value)]
            return items if isinstance(value, list) else {"tuple": items}
        raise TypeError(f"save: obj{_place(path)} is a {type(value).__name__}, which a checkpoint can't hold")

    def _key(self, key: Any, path: tuple[str, ...]) -> Any:
        if key is None or isinstance(key, (bool, int, str)) or (isinstance(key, float) and math.isfinite(key)):
            return key
        raise TypeError(f"save: obj{_place(path)} has the key {key!r}: keys must be strings or finite numbers")

    def _store(self, array: NDArray[Any], memory: tuple[Any, ...], path: tuple[str, ...]) -> str:
        """The name of the array in the file, the same for the same memory."""
        if array.size and memory in self._names:
            return self._names[memory]
        stem = ".".join(path) or "obj"
        name, count = stem, 1
        while name in self.arrays or name == "__metadata__":
            count += 1
            name = f"{stem}#{count}"
        self.arrays[name] = array
        self._names[memory] = name
        return name


class _Decoder:
    def __init__(self, arrays: dict[str, NDArray[Any]], place: _Place) -> None:
        self.arrays = arrays
        self.place = place
        self.tensors: dict[tuple[str, bool], Tensor] = {}

    def decode(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self.decode(item) for item in node]
        if not isinstance(node, dict):
            return node
        tag = next(iter(node))
        return self._readers[tag](self, node)

    def _tensor(self, node: dict[str, Any]) -> Tensor:
        key = (node["tensor"], bool(node.get("requires_grad", False)))
        if key not in self.tensors:
            stored = to_tensor("load", key[0], self.arrays[key[0]])
            on = self.place(node.get("device", "cpu"))
            try:
                self.tensors[key] = stored.to(on or as_device(node.get("device"))).requires_grad_(key[1])
            except RuntimeError as error:
                if on is None and "device" in node:
                    raise _NoDevice(
                        f"load: {key[0]!r} was saved on {node['device']}, pass map_location='cpu': {error}"
                    ) from None
                raise
        return self.tensors[key]

    _readers: dict[str, Callable[[_Decoder, dict[str, Any]], Any]] = {
        "tensor": _tensor,
        "array": lambda self, node: self.arrays[node["array"]],
        "scalar": lambda self, node: self.arrays[node["scalar"]][()],
        "float": lambda self, node: float(node["float"]),
        "tuple": lambda self, node: tuple(self.decode(item) for item in node["tuple"]),
        "dict": lambda self, node: {key: self.decode(item) for key, item in node["dict"]},
    }


def _place(path: tuple[str, ...]) -> str:
    return "".join(f"[{part!r}]" for part in path)
