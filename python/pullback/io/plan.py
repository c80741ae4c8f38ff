"""Captured functions as files: a recorded step with its weights, which runs where the model is never built.

One safetensors file. Its tensors are the bytes of the memory that the step was given; the header's metadata holds the
kernel calls as they were recorded, before any pass, as JSON:

    arguments, results    trees of lists, {"tuple": [...]}, {"dict": [[key, tree], ...]}, {"float": hexadecimal}; None,
                          bool, int and str stand for themselves; {"tensor": n} and {"array": n} are argument n, or
                          output n among the results, where {"argument": n} is an argument handed back
    inputs                [dtype, shape, buffer or null, offset, strides in bytes] of each argument
    buffers               [kind, bytes]; kinds are input, constant, filled (anew for each run), made, result
    steps                 [kernel, [[operand, ...] of a parameter, ...], [scalar, ...]]
    outputs               operands

    operand               [buffer, offset in bytes, dtype, shape, strides in elements]
    scalar                ["real", hexadecimal], ["integer", n], or the cell [dtype, buffer, offset]
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

import pullback
from pullback import Tensor
from pullback._backend import cpu
from pullback._recorded import EXACT, Plan, at
from pullback._session import CaptureError, here
from pullback._signature import array_of
from pullback._tape import grad_enabled
from pullback._trees import flatten, unflatten

from .safetensors import read_arrays, write_arrays

_FORMAT = "pullback.plan.1"
_MOST_BYTES = 2**40  # that any plan may have
_BYTES = 2**30  # that a plan may have unless its file is large

Arrays = dict[str, NDArray[Any]]

# --- writing ----------------------------------------------------------------------------------------------------------


def save_plan(plan: Plan, structure: Any, path: str | os.PathLike[str]) -> None:
    """Write a recorded step whose arguments have this structure; see `Capture.save`."""
    if plan.recorded.device is not cpu:
        raise CaptureError(f"save: expected a step on the CPU, got one on {plan.recorded.device}")
    recording = plan.recorded.recording
    buffers, steps, outputs = cpu.kernels.describe_recording(recording)
    _refuse_lasting(plan, buffers, steps)
    rows: list[Any] = []
    arrays: Arrays = {}
    for b, (kind, size, name, written) in enumerate(buffers):
        if kind == "given" and name >= 0:
            rows.append(["input", size])
        elif kind in ("given", "filled"):
            rows.append(["filled" if written else "constant", size])
            arrays[_name(b)] = cpu.kernels.buffer_content(recording, b)
        else:
            rows.append([kind, size])
    description = {
        "arguments": _encode(structure, ({"tensor": i} for i in range(len(plan.fixed)))),
        "results": _encode(plan.recorded.spec, _outputs(plan.recorded.sources)),
        "inputs": [_input(array, i, buffers) for i, array in enumerate(plan.fixed)],
        "buffers": rows,
        "steps": [[kernel, operands, [_to_text(s) for s in scalars]] for kernel, operands, scalars, _ in steps],
        "outputs": outputs,
    }
    try:
        _restore(description, arrays, _MOST_BYTES)
    except ValueError as error:
        lines = [line for kernel, *_, line in steps if kernel in str(error).replace(":", " ").split()]
        raise CaptureError(f"save: {error}{at(lines[0]) if lines else ''}") from None
    text = json.dumps(description, allow_nan=False, separators=(",", ":"))
    write_arrays(arrays, path, {"format": _FORMAT, "pullback": pullback.__version__, "plan": text})


def _refuse_lasting(plan: Plan, buffers: Any, steps: Any) -> None:
    """A step that leaves traces behind, but for its results."""
    if plan.recorded.hosts:
        line = next(line for kernel, *_, line in steps if kernel is None)
        raise CaptureError(f"save: the step calls Python in every run, which a file can't hold{at(line)}")
    if any(kind == "given" and name >= len(plan.fixed) for kind, _, name, _ in buffers):
        raise CaptureError("save: the step reads gradients from before: only inference can be saved")
    for kernel, operands, _, line in steps:
        roles = [role for _, kind, role, *_ in _CONTRACTS[kernel] if kind == "operand"]
        for role, parameter in zip(roles, operands):
            for buffer, *_ in parameter:
                kind = buffers[buffer][0]
                if role != "in" and kind in ("given", "kept"):
                    what = "memory from before the step" if kind == "given" else "memory that outlives the step"
                    raise CaptureError(f"save: {kernel} writes to {what}: only inference can be saved{at(line)}")


_CONTRACTS = {name: parameters for name, _, parameters in cpu.kernels.signatures()}


def _name(buffer: int) -> str:
    return f"constant.{buffer}"


def _input(array: NDArray[Any], i: int, buffers: Any) -> list[Any]:
    found = [b for b, (kind, _, name, _) in enumerate(buffers) if kind == "given" and name == i]
    offset = cpu.pointer(array) - cpu.pointer(cpu.root(array))
    strides = [stride if n > 1 else 0 for n, stride in zip(array.shape, array.strides)]
    return [array.dtype.name, list(array.shape), found[0] if found else None, offset, strides]


def _outputs(sources: list[Any]) -> Iterator[Any]:
    count = 0
    for source in sources:
        if isinstance(source, int):
            yield {"argument": source}
        elif source == "result":
            yield {"tensor": count}
            count += 1
        else:
            raise CaptureError(
                "save: the step returns a view of an argument, or a tensor from before; return its clone()"
            )


def _to_text(scalar: list[Any]) -> list[Any]:
    return ["real", scalar[1].hex()] if scalar[0] == "real" else scalar


def _encode(structure: Any, leaves: Iterator[Any]) -> Any:
    """A structure of `flatten`, with these at its leaves."""
    if structure is Tensor or structure is np.ndarray:
        return next(leaves)
    kind, *rest = structure
    if kind is None:
        value = rest[1]
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is float:
            return {"float": value.hex()}
        raise CaptureError(f"save: a {type(value).__name__} among arguments or results can't be written to a file")
    if kind is dict:
        if not all(isinstance(key, str) for key in rest[0]):
            raise CaptureError("save: a dict's keys must be strings to be written to a file")
        return {"dict": [[key, _encode(part, leaves)] for key, part in zip(rest[0], rest[1:])]}
    if kind is not tuple and kind is not list:
        raise CaptureError(f"save: a {kind.__name__} among arguments or results can't be written to a file")
    parts = [_encode(part, leaves) for part in rest]
    return parts if kind is list else {"tuple": parts}


# --- reading ----------------------------------------------------------------------------------------------------------


class LoadedPlan:
    """A step from a file, called as the function that was captured; see `load_plan`."""

    def __init__(self, description: Any, arrays: Arrays, max_bytes: int) -> None:
        recording, self._fixed = _restore(description, arrays, max_bytes)
        found: list[Any] = []
        self._structure = _decode(description["arguments"], found)
        if [source for _, source in found] != list(range(len(self._fixed))) or not _is_call(self._structure):
            raise ValueError("its arguments are not those of a call")
        self._sources: list[Any] = []
        self._spec = _decode(description["results"], self._sources)
        outputs = [source for kind, source in self._sources if kind != "argument"]
        if outputs != list(range(len(description["outputs"]))):
            raise ValueError("the results are not numbered in order")
        for kind, source in self._sources:
            if kind == "argument" and not 0 <= source < len(self._fixed):
                raise ValueError("a result is an argument that is not there")
        self._outputs = [(dtype, shape) for _, _, dtype, shape, _ in description["outputs"]]
        self._kernels = recording.names()
        self._native = cpu.kernels.Plan(recording, self._fixed, [], EXACT, ())
        self._lock = threading.Lock()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Raises TypeError or ValueError for arguments other than those recorded."""
        if here.session is not None:
            here.session.refuse("a plan from a file can't be part of a captured step")
        given: list[Any] = []
        structure = flatten((args, kwargs), given)
        if _form(structure) != _form(self._structure):
            raise TypeError(f"plan: expected arguments {self._text()}, got others: {_shown(structure, given)}")
        for i, (t, fixed) in enumerate(zip(given, self._fixed)):
            _check_argument(i, t, fixed)
        with self._lock:
            results = self._native.run(tuple([array_of(t) for t in given]))
        leaves = [
            given[source] if kind == "argument" else Tensor._wrap(results[source]) for kind, source in self._sources
        ]
        return unflatten(self._spec, leaves)

    @property
    def arguments(self) -> list[tuple[str, tuple[int, ...]]]:
        """dtype and shape of each tensor among the arguments."""
        return [(a.dtype.name, a.shape) for a in self._fixed]

    def stats(self) -> dict[str, Any]:
        """The kernel calls recorded and left, and the memory in bytes, as `Capture.stats` has them."""
        return {
            "recorded_calls": len(self._kernels),
            "calls": self._native.calls(),
            "memory": self._native.memory(),
        }

    def summary(self) -> str:
        """Arguments, results, calls and memory, a line each."""
        stats = self.stats()
        lines = [f"argument {i}: {dtype} {list(shape)}" for i, (dtype, shape) in enumerate(self.arguments)]
        lines += [f"result {i}: {dtype} {shape}" for i, (dtype, shape) in enumerate(self._outputs)]
        lines.append(f"calls: {stats['recorded_calls']} recorded, {stats['calls']} launched")
        lines.append("memory: " + ", ".join(f"{kind} {size} bytes" for kind, size in stats["memory"].items()))
        return "\n".join(lines)

    def _text(self) -> str:
        return _shown(self._structure, list(self._fixed))

    def __repr__(self) -> str:
        return f"<plan of {self._native.calls()} launches, arguments {self._text()}>"


def load_plan(path: str | os.PathLike[str], *, max_bytes: int | None = None) -> LoadedPlan:
    """The step that `captured.save(path)` wrote: called with tensors or arrays of the shapes and dtypes recorded, it
    returns what the function returned, to the bit.

    Nothing in the file is executed or believed: every number is checked against the kernels' contracts and the memory
    before the first run. `max_bytes` bounds the memory besides the weights; by default it is 1 GiB, or 16 times the
    size of the file where that is more. Raises FileNotFoundError, ValueError for a file that is damaged or no plan,
    ImportError without the extra `io`.
    """
    arrays, metadata = read_arrays("load_plan", path)
    name = os.fspath(path)
    if metadata.get("format") != _FORMAT:
        raise ValueError(f"load_plan: {name}: expected format {_FORMAT!r}, found {metadata.get('format')!r}")
    limit = max(_BYTES, 16 * os.path.getsize(path)) if max_bytes is None else max_bytes
    if not 0 < limit <= _MOST_BYTES:
        raise ValueError(f"load_plan: max_bytes expects a number from 1 to {_MOST_BYTES}, got {limit}")
    try:
        return LoadedPlan(json.loads(metadata["plan"]), arrays, limit)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, RecursionError) as error:
        reason = str(error) if isinstance(error, ValueError) else f"its description is damaged: {error!r}"
        raise ValueError(f"load_plan: {name}: {reason}") from None


def _restore(description: Any, arrays: Arrays, max_bytes: int) -> tuple[Any, tuple[NDArray[Any], ...]]:
    """The recording, checked, and the arrays that arguments are copied to."""
    buffers = description["buffers"]
    kinds = [kind for kind, _ in buffers]
    names = [_name(b) for b, kind in enumerate(kinds) if kind in ("constant", "filled")]
    if sorted(names) != sorted(arrays):
        raise ValueError("the tensors of the file are not those of its plan")
    fixed: list[NDArray[Any]] = []
    rooms: dict[int, NDArray[Any]] = {}
    left = max_bytes
    for dtype, shape, buffer, offset, strides in description["inputs"]:
        whole = _known(dtype).itemsize * _product(shape)
        size = whole if buffer is None else int(buffers[buffer][1])
        if whole > max_bytes or not 0 <= size <= left or buffer in rooms:
            raise ValueError(f"its arguments expect at most {max_bytes} bytes (max_bytes), in a buffer each")
        left -= size
        room = cpu.empty((size,), np.dtype(np.uint8))
        if buffer is not None:
            rooms[buffer] = room
            _check_inside(shape, offset, strides, _known(dtype).itemsize, size)
        layout = (0, None) if buffer is None else (offset, tuple(strides))
        fixed.append(np.ndarray(tuple(shape), _known(dtype), room, *layout))
    inputs = [rooms[b] for b, kind in enumerate(kinds) if kind == "input"]
    steps = [[kernel, operands, [_from_text(s) for s in scalars]] for kernel, operands, scalars in description["steps"]]
    recording = cpu.kernels.restore_recording(
        buffers, steps, description["outputs"], [_aligned(arrays[name]) for name in names], inputs, max_bytes
    )
    return recording, tuple(fixed)


def _product(shape: Any) -> int:
    size = 1
    for n in shape:
        if type(n) is not int or n < 0:
            raise ValueError(f"a shape expects sizes, got {n!r}")
        size *= n
    return size


def _check_inside(shape: Any, offset: Any, strides: Any, itemsize: int, size: int) -> None:
    """In Python's integers: NumPy's own check overflows."""
    if len(strides) != len(shape) or not all(type(n) is int for n in (offset, *strides)):
        raise ValueError("an argument expects an offset and as many strides as it has dimensions")
    spans = [(n - 1) * stride for n, stride in zip(shape, strides)] if 0 not in shape else []
    low = offset + sum(span for span in spans if span < 0)
    high = offset + sum(span for span in spans if span > 0) + (itemsize if 0 not in shape else 0)
    if (
        low < 0
        or high > size
        or any(n % itemsize for n in (offset, *strides))
        or max(map(abs, strides), default=0) > size
    ):
        raise ValueError("an argument leaves its buffer")


def _known(dtype: Any) -> np.dtype[Any]:
    found: np.dtype[Any] = np.dtype(dtype)
    if found.name != dtype or found.kind not in "biuf":
        raise ValueError(f"expected a dtype, got {dtype!r}")
    return found


def _aligned(array: NDArray[Any]) -> NDArray[Any]:
    """Bytes in memory of the library's own, which is aligned as kernels expect."""
    if array.dtype != np.uint8 or array.ndim != 1:
        raise ValueError("a constant is not bytes")
    room: NDArray[Any] = cpu.empty(array.shape, array.dtype)
    np.copyto(room, array)
    return room


def _from_text(scalar: Any) -> Any:
    return ["real", float.fromhex(scalar[1])] if scalar[0] == "real" else scalar


def _decode(node: Any, leaves: list[Any]) -> Any:
    """A structure as `flatten` gives it; its leaves are (kind, number)."""
    if isinstance(node, list):
        return (list, *[_decode(part, leaves) for part in node])
    if not isinstance(node, dict):
        return (None, type(node), node)
    ((tag, value),) = node.items()
    if tag == "float":
        return (None, float, float.fromhex(value))
    if tag == "tuple":
        return (tuple, *[_decode(part, leaves) for part in value])
    if tag == "dict":
        return (dict, tuple([str(key) for key, _ in value]), *[_decode(part, leaves) for _, part in value])
    if tag not in ("tensor", "argument") or type(value) is not int:
        raise ValueError(f"expected a tensor among arguments and results, got {tag!r}")
    leaves.append((tag, value))
    return Tensor


# --- arguments --------------------------------------------------------------------------------------------------------


def _check_argument(i: int, given: Any, fixed: NDArray[Any]) -> None:
    array = array_of(given)
    if not isinstance(array, np.ndarray):
        raise TypeError(f"plan: argument {i} expects a tensor on the CPU, got one on {given.device}")
    if isinstance(given, Tensor) and given.requires_grad and grad_enabled():
        raise ValueError(f"plan: argument {i} requires grad, but a plan from a file has no derivative; call detach()")
    if array.dtype != fixed.dtype or array.shape != fixed.shape:
        raise ValueError(
            f"plan: argument {i} expects {fixed.dtype.name} of shape {list(fixed.shape)}, "
            f"got {array.dtype.name} of shape {list(array.shape)}"
        )


def _form(structure: Any) -> Any:
    """The structure with arrays taken for tensors."""
    if structure is np.ndarray:
        return Tensor
    if not isinstance(structure, tuple) or not structure or structure[0] is None:
        return structure
    return tuple([_form(part) for part in structure])


def _is_call(structure: Any) -> bool:
    """Whether it is that of (args, kwargs)."""
    return (
        isinstance(structure, tuple)
        and len(structure) == 3
        and structure[0] is tuple
        and [part[0] for part in structure[1:] if isinstance(part, tuple)] == [tuple, dict]
    )


def _shown(structure: Any, leaves: list[Any]) -> str:
    args, kwargs = unflatten(structure, [_Shown(array_of(t)) for t in leaves])
    return ", ".join([*[repr(a) for a in args], *[f"{name}={a!r}" for name, a in kwargs.items()]]) or "none"


class _Shown:
    def __init__(self, array: Any) -> None:
        self._text = f"{array.dtype} {list(array.shape)}"

    def __repr__(self) -> str:
        return self._text
