"""A step that is being recorded, one that was, and the plan made of it: the Python around csrc/plan/."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Callable, Container
from typing import Any

import numpy as np

from pullback import _core
from pullback._autocast import clear_autocast_cache
from pullback._backend import cpu, device, device_of, modules
from pullback._session import CaptureError, here, marks, two_devices
from pullback._tensor import Tensor
from pullback._trees import unflatten

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
PASSES: dict[str, str] = {name: what for name, what, _ in cpu.kernels.PASSES}
EXACT: tuple[str, ...] = tuple(name for name, _, exact in cpu.kernels.PASSES if exact)


def _users_line() -> str:
    """The innermost line of the program that is not this package's own, as "file:line"."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


def at(line: str | None) -> str:
    return f" ({line})" if line else ""


class Session:
    """One recording under way: what ops and optimizers meet in `_session.here`."""

    def __init__(self, cells: Cells, strict: bool, on: device | None) -> None:
        self.device = on  # None until it is known
        self._recordings = {type: module.Recording() for type, module in modules.items()}
        self.leaves: list[Tensor] = []
        self.versions: dict[int, Any] = {}
        self.hosts: list[Callable[[], Any]] = []
        self.generation = marks.generation
        self.problem: str | None = None
        self._cells = cells
        self._strict = strict

    def refuse(self, why: str) -> None:
        """Raise, or remember for a caller that falls back to ordinary calls."""
        self.problem = self.problem or f"capture: {why}{at(_users_line())}"
        if self._strict:
            raise CaptureError(self.problem)

    def host(self, function: Callable[[], Any]) -> Any:
        for recording in self._recordings.values():
            recording.pause()
        self.hosts.append(function)
        here.session = None
        try:
            return function()
        finally:
            here.session = self

    def cell(self, group: dict[str, Any], name: str, index: int | None, on: device) -> Any:
        cell, is_new = self._cells.of(group, name, index, on)
        if is_new:
            self._recordings[on.type].outside(cell)
        return cell

    def run(self, function: Callable[..., Any], args: Any, kwargs: Any, named: list[Any], lines: bool) -> Any:
        """Call the function, and note what it launches, with the program's lines where they are wanted."""
        here.session = self
        marks.sessions += 1
        _core.watch(self.leaves, self.versions)
        for type, recording in self._recordings.items():
            one = len(self._recordings) == 1
            own = named if one else [a if a is not None and device_of(a).type == type else None for a in named]
            recording.start(own, _PACKAGE if lines else "")
            del own
        named.clear()  # gradients that the step forgets are to be free for what it makes
        clear_autocast_cache()  # a replay casts anew, and what the step makes is free when it ends
        try:
            value = function(*args, **kwargs)
        finally:
            for recording in self._recordings.values():
                recording.stop()
            clear_autocast_cache()
            _core.watch(None, None)
            marks.sessions -= 1
            here.session = None
        if len(self._recordings) > 1:
            self._find_device()
        self.recording = self._recordings["cpu" if self.device is None else self.device.type]
        return value

    def _find_device(self) -> None:
        """The device whose kernels were called; there must be one."""
        for type, recording in self._recordings.items():
            for number, line in recording.devices():
                on = cpu if type == "cpu" else device(type, number)
                if self.device is not None and on is not self.device:
                    self.problem = self.problem or f"capture: {two_devices(self.device, on)}{at(line)}"
                self.device = self.device or on
        if self.problem and self._strict:
            raise CaptureError(self.problem)

    def changed(self) -> list[Any]:
        """The counters of what was changed in place and is still there."""
        found = []
        for counter, before in self.versions.values():
            if counter[0] != before and sys.getrefcount(counter) > 3:
                found.append(counter)
        return found


_FLOAT64 = np.dtype(np.float64)


class Cells:
    """Options of optimizers, in memory that a plan reads: a float64 without dimensions each."""

    def __init__(self) -> None:
        # [group, name, index, device, cell, what the group said last, and its number]
        self._all: dict[tuple[int, str, int | None, int], list[Any]] = {}

    def of(self, group: dict[str, Any], name: str, index: int | None, on: device) -> tuple[Any, bool]:
        """The cell of an option, and whether it was made just now."""
        key = (id(group), name, index, id(on))
        entry = self._all.get(key)
        is_new = entry is None
        if entry is None:
            cell = on.reserve((), _FLOAT64)
            entry = self._all[key] = [group, name, index, on, cell, None, None]
        if group[name] is not entry[5]:
            _fill(entry)
        return entry[4], is_new

    def all(self) -> list[list[Any]]:
        """[group, name, index, device, cell, what the group said last, …] of each."""
        return list(self._all.values())

    def refresh(self) -> None:
        """Let every cell hold what its group says now."""
        for entry in self._all.values():
            if entry[0][entry[1]] is not entry[5]:
                _fill(entry)


def _fill(entry: list[Any]) -> None:
    group, name, index, on, cell, _, before = entry
    value = group[name]
    number = entry[6] = float(value if index is None else value[index])
    if number != before:
        on.overwrite(cell, number)
    entry[5] = None if isinstance(value, list) else value  # a list may change and be the same


class Recorded:
    """A recording at rest: its trace, and how its results are put together."""

    def __init__(
        self, session: Session, fixed: int, leaves: list[Tensor], before: list[Any], spec: Any, sources: list[Any]
    ) -> None:
        self.device = session.device or cpu
        self.recording = session.recording
        self.hosts = session.hosts
        self.versions = session.changed()
        self.spec, self.sources = spec, sources
        self.leaves = _core.exchanged(leaves, before)
        self.gradients = [leaf.grad for leaf in self.leaves]
        # Gradients from before the step that it reads: where they lie, and None for one that is gone since.
        used = [i - fixed for i in self.recording.used_names() if i >= fixed]
        gone = {id(leaf) for leaf in self.leaves}
        self.read = [(leaf, None if id(leaf) in gone else leaf.grad._array) for leaf in [leaves[i] for i in used]]


class Plan:
    """A recorded step that runs natively, and what Python has to put right around it."""

    def __init__(self, recorded: Recorded, fixed: tuple[Any, ...], cells: Cells, passes: Container[str]) -> None:
        self.recorded = recorded
        gradients = recorded.gradients
        movable = tuple([None if g is None or sys.getrefcount(g) > 4 else g._array for g in gradients])
        kernels = recorded.device.kernels
        self.passes = [p[0] for p in kernels.PASSES if p[0] in passes]
        self.native = kernels.Plan(recorded.recording, fixed, recorded.versions, self.passes, movable)
        for i, array in enumerate(self.native.gradients(movable)):
            if array is not None:
                gradients[i] = Tensor._wrap(array)
        _core.restore(recorded.leaves, gradients)
        self.cells = cells
        self.fixed = fixed
        self._single = recorded.sources == ["result"] and recorded.spec is Tensor

    def fits(self) -> bool:
        """Whether the gradients that it reads lie where they lay."""
        for leaf, array in self.recorded.read:
            if leaf.grad is None or leaf.grad._array is not array:
                return False
        return True

    def run(self, tensors: list[Any], arrays: tuple[Any, ...]) -> Any:
        recorded = self.recorded
        self.cells.refresh()
        if recorded.hosts:
            results = self._run_with_pauses(arrays)
        else:
            results = self.native.run(arrays)
        _core.restore(recorded.leaves, recorded.gradients)
        if self._single:
            return Tensor._wrap(results[0])
        return self.results(tensors, results)

    def let_remember(self, owner: Any, tensors: Any, leaves: list[Tensor], state: bytes) -> None:
        """Let the next call be such a run at once, if it finds the same."""
        recorded = self.recorded
        if recorded.hosts:
            return
        results = None if self._single else self.results
        lock, cells = owner._lock, self.cells.all()
        owner._remember(
            *(tensors, leaves, state, recorded.read, cells, lock.acquire, lock.release, self.native.run),
            *(recorded.leaves, recorded.gradients, results),
        )

    def _run_with_pauses(self, arrays: tuple[Any, ...]) -> Any:
        paused = self.native.begin(arrays)
        for function in self.recorded.hosts:
            assert paused
            _core.restore(self.recorded.leaves, self.recorded.gradients)
            function()
            self.cells.refresh()
            paused = self.native.resume()
        return self.native.finish()

    def results(self, tensors: list[Any], arrays: Any) -> Any:
        """The value that the function returned, of this run."""
        leaves: list[Any] = []
        made = iter(arrays)
        for source in self.recorded.sources:
            if source == "result":
                leaves.append(Tensor._wrap(next(made)))
            elif isinstance(source, int):
                leaves.append(tensors[source])
            else:
                kind, value = source
                leaves.append(value.clone() if kind == "view" else value)
        return unflatten(self.recorded.spec, leaves)
