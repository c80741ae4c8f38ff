"""Calls of a captured function with arguments of the same shapes: the first one, the recorded ones, the replays."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from pullback import _core
from pullback._backend import cpu, device, device_of
from pullback._recorded import Plan, Recorded, Session, at
from pullback._session import CaptureError, marks, two_devices
from pullback._tape import grad_enabled
from pullback._tensor import Tensor
from pullback._trees import flatten, unflatten
from pullback.ops._arrays import copy_array

if TYPE_CHECKING:
    from pullback._capture import Capture


class Signature:
    """Calls with arguments of the same shapes: what was recorded of them, and the plans made of that.

    The captured function, which holds this, comes with every call: a reference back would keep the plans' memory."""

    def __init__(self, structure: Any, plain: bool) -> None:
        self.structure = structure
        self.plain = plain  # tensors, none of them by name or in a list
        self.fixed: tuple[Any, ...] | None = None  # arrays that arguments are copied to
        self.device: device | None = None  # that the arguments are on
        self.leaves: list[Tensor] = []  # whose gradients the step sets
        self.known: set[int] = set()  # their ids
        self.recorded: dict[bytes, Any] = {}  # first recordings, by which leaves have a gradient before the step
        self.plans: dict[bytes, Plan] = {}
        self.generation = marks.generation
        self.broken = False  # cannot be captured: ordinary calls only

    def call(self, owner: Capture, args: Any, kwargs: Any, tensors: list[Any]) -> Any:
        if self.broken:
            return owner._eager(args, kwargs)
        if self.fixed is None:
            return self._first(owner, args, kwargs, tensors)
        state = _core.presence(self.leaves)
        plan = self.plans.get(state)
        if plan is not None and plan.fits():
            return self._replay(owner, plan, state, args, kwargs, tensors)
        return self._record(owner, state, tensors)

    # --- the first calls ----------------------------------------------------------------------------------------------

    def _first(self, owner: Capture, args: Any, kwargs: Any, tensors: list[Any]) -> Any:
        """An ordinary call, in which optimizer states and gradients come into being."""
        for i, t in enumerate(tensors):
            on = device_of(array_of(t))
            if self.device is not None and on is not self.device:
                self._give_up(owner, f"capture: argument {i}: {two_devices(self.device, on)}")
                return owner._eager(args, kwargs)
            self.device = on
            if isinstance(t, Tensor) and t.requires_grad and grad_enabled():
                raise CaptureError(
                    f"capture: argument {i} of shape {list(t.shape)} requires grad: a captured step takes data; call "
                    "detach(), or requires_grad_() and autograd.grad inside of the step"
                )
        found: list[Tensor] = []
        _core.watch(found, None)
        before = marks.generation
        try:
            value = owner._fn(*args, **kwargs)
        finally:
            _core.watch(None, None)
        self._know(found)
        owner._note_exchange(marks.generation != before)
        self.fixed = tuple([_room_for(array_of(t)) for t in tensors])
        owner._count["eager"] += 1
        return _detached(value)

    def _know(self, leaves: list[Tensor]) -> None:
        for leaf in leaves:
            if id(leaf) not in self.known:
                self.known.add(id(leaf))
                self.leaves.append(leaf)

    def _record(self, owner: Capture, state: bytes, tensors: list[Any]) -> Any:
        """A call that is recorded; where it is the same as the one before from this state, it becomes a plan."""
        owner._count["recorded"] += 1
        known = len(self.leaves)
        before = self.recorded.get(state)
        modes = _modes()
        value, recorded, problem = self._run(owner, tensors, again=before is not None)
        if problem is None and before is not None:
            different = recorded.recording.differs(before)
            if different is None:
                assert self.fixed is not None
                plan = self.plans[state] = Plan(recorded, self.fixed, owner._cells, owner._passes)
                del self.recorded[state]
                if _modes() == modes:
                    self._let_remember(owner, plan, state, tensors)
                return value
            problem = f"capture: the step is not the same in every call: {different[0]}{at(different[1])}"
        if problem is not None:
            self._give_up(owner, problem)
        elif known == len(self.leaves):
            self.recorded[state] = recorded
        return value

    def _run(self, owner: Capture, tensors: list[Any], again: bool) -> tuple[Any, Any, str | None]:
        """The function on the fixed arrays: its value, why there can be no plan, and the recording: alone the first
        time, so that it holds no gradient, and with what a plan needs if it is made `again`."""
        assert self.fixed is not None
        for array, t in zip(self.fixed, tensors):
            _copy(array, array_of(t))
        given = [Tensor._wrap(a) if isinstance(t, Tensor) else a for a, t in zip(self.fixed, tensors)]
        before = _core.gradients(self.leaves)
        named = [*self.fixed, *[None if leaf.grad is None else leaf.grad._array for leaf in self.leaves]]
        session = Session(owner._cells, not owner._falls_back, self.device)
        args, kwargs = (given, {}) if self.plain else unflatten(self.structure, given)
        value = session.run(owner._fn, args, kwargs, named, lines=again)
        self._know(session.leaves)
        problem = session.problem
        if session.generation != marks.generation:
            problem = problem or EXCHANGES
        leaves: list[Any] = []
        spec = flatten(value, leaves)
        sources = [self._source(session, leaf, given) for leaf in leaves]
        handed = [_handed(source, leaf, tensors) for source, leaf in zip(sources, leaves)]
        del value, leaves, given, args, kwargs  # what is alive after this was kept by the step
        if problem is not None:
            return unflatten(spec, handed), None, problem
        session.recording.settle()
        written = [i for i in session.recording.written_names() if i < len(tensors)]
        for i in written:
            _copy(array_of(tensors[i]), self.fixed[i])
        if session.hosts and owner._check:
            problem = "capture: check=n cannot be had for a step with host code, which would run twice"
        if written:
            problem = f"capture: argument {written[0]} is changed in place; work on a copy, or return the result"
        recorded = (
            Recorded(session, len(self.fixed), self.leaves, before, spec, sources) if again else session.recording
        )
        return handed[0] if spec is Tensor else unflatten(spec, handed), recorded, problem

    def _source(self, session: Session, leaf: Any, given: list[Any]) -> Any:
        """Where a replay finds a part of the value: a result, the number of an argument, or what does not change."""
        for i, t in enumerate(given):
            if leaf is t:
                return i
        if not isinstance(leaf, Tensor):
            return ("same", leaf)
        if leaf.device is session.device:
            if session.recording.add_result(leaf._array):
                return "result"
            if any(leaf.device.may_share_memory(leaf._array, array_of(t)) for t in given):
                return ("view", leaf.detach())
        return ("same", leaf if leaf._node is None else leaf.detach())

    def _give_up(self, owner: Capture, problem: str) -> None:
        self.recorded.clear()
        if not owner._falls_back:
            raise CaptureError(problem)
        self.broken = True
        warnings.warn(f"{problem}; it runs as an ordinary function", RuntimeWarning, stacklevel=6)

    # --- the others ---------------------------------------------------------------------------------------------------

    def _replay(self, owner: Capture, plan: Plan, state: bytes, args: Any, kwargs: Any, tensors: list[Any]) -> Any:
        owner._replayed += 1
        arrays = tuple([array_of(t) for t in tensors])
        if owner._check and owner._replayed % owner._check == 0:
            return self._checked(owner, plan, args, kwargs, tensors, arrays)
        value = plan.run(tensors, arrays)
        self._let_remember(owner, plan, state, tensors)
        return value

    def _let_remember(self, owner: Capture, plan: Plan, state: bytes, tensors: list[Any]) -> None:
        if self.plain and not owner._check:
            plan.let_remember(owner, tensors, self.leaves, state)

    def _checked(
        self, owner: Capture, plan: Plan, args: Any, kwargs: Any, tensors: list[Any], arrays: tuple[Any, ...]
    ) -> Any:
        """A replay, and an ordinary call from where it began; CaptureError where a bit differs."""
        given, kept = plan.native.written()
        begin = snapshots(given)
        value = plan.run(tensors, arrays)
        gradients = _copies(self.leaves)
        end, end_kept = snapshots(given), snapshots(kept)
        overwrite(given, begin)
        eager = owner._fn(*args, **kwargs)
        same = _same(value, eager) and _equal(gradients, _copies(self.leaves)) and _equal(end, snapshots(given))
        overwrite([*given, *kept], [*end, *end_kept])
        _core.restore(plan.recorded.leaves, plan.recorded.gradients)
        if not same:
            raise CaptureError(
                "capture: a replay and an ordinary call differ: a Python value has changed that the recording froze"
            )
        return value


EXCHANGES = "capture: the step exchanges an array, a parameter, a hook or options for others in every call"


def _modes() -> Any:
    """What a call depends on that a step may turn itself, and that its key has as it was before."""
    return marks.modes, grad_enabled(), _core.autocasting()


def array_of(t: Any) -> Any:
    return t._array if isinstance(t, Tensor) else t


def _room_for(array: Any) -> Any:
    """Uninitialised memory of the same shape, strides and dtype."""
    low = sum(min(0, (n - 1) * s) for n, s in zip(array.shape, array.strides)) if array.size else 0
    high = sum(max(0, (n - 1) * s) for n, s in zip(array.shape, array.strides)) if array.size else 0
    on = device_of(array)
    room = on.empty((high - low + array.itemsize if array.size else 0,), np.dtype(np.uint8))
    if on is cpu:
        return np.ndarray(array.shape, array.dtype, room, -low, array.strides)
    return on.as_strided(room[-low:].view(array.dtype), array.shape, array.strides)


def _copy(to: Any, source: Any) -> None:
    if type(to) is np.ndarray:
        np.copyto(to, source)
    else:
        device_of(to).kernels.copy(source, to)


def _detached(value: Any) -> Any:
    if type(value) is Tensor:
        return value if value._node is None else value.detach()
    leaves: list[Any] = []
    spec = flatten(value, leaves)
    return unflatten(spec, [t.detach() if isinstance(t, Tensor) and t._node is not None else t for t in leaves])


def _handed(source: Any, leaf: Any, tensors: list[Any]) -> Any:
    """What the caller of a recorded call gets: copies, so that nothing of the recording is held."""
    if isinstance(source, int):
        return tensors[source]
    if source == "result" or source[0] == "view":
        return Tensor._wrap(copy_array(leaf._array))
    return source[1]


def _copies(leaves: list[Tensor]) -> list[Any]:
    return [None if leaf.grad is None else leaf.device.snapshot(leaf.grad._array) for leaf in leaves]


def snapshots(arrays: list[Any]) -> list[Any]:
    return [device_of(array).snapshot(array) for array in arrays]


def overwrite(arrays: list[Any], values: list[Any]) -> None:
    for array, value in zip(arrays, values):
        device_of(array).overwrite(array, value)


def _equal(a: list[Any], b: list[Any]) -> bool:
    """To the bit; NaN equals itself."""
    return all((x is None) == (y is None) and (x is None or x.tobytes() == y.tobytes()) for x, y in zip(a, b))


def _same(a: Any, b: Any) -> bool:
    left: list[Any] = []
    right: list[Any] = []
    return bool(flatten(a, left) == flatten(b, right)) and _equal(
        snapshots([array_of(t) for t in left]), snapshots([array_of(t) for t in right])
    )
