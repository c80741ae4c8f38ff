"""Calls of a captured function with arguments of the same shapes: the first one, the recorded ones, the replays."""

from __future__ import annotations

import warnings
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from pullback import _core
from pullback._backend import cpu
from pullback._recorded import Plan, Recorded, Session, at
from pullback._session import CaptureError, marks
from pullback._tape import grad_enabled
from pullback._tensor import Tensor
from pullback._trees import flatten, unflatten

if TYPE_CHECKING:
    from pullback._capture import Capture


class Signature:
    """Calls with arguments of the same shapes: what was recorded of them, and the plans made of that."""

    def __init__(self, owner: Capture, structure: Any) -> None:
        self.owner: Any = weakref.proxy(owner)  # which holds this: a cycle would keep plans and their memory
        self.structure = structure
        self.fixed: tuple[Any, ...] | None = None  # arrays that arguments are copied to
        self.leaves: list[Tensor] = []  # whose gradients the step sets
        self.recorded: dict[bytes, Any] = {}  # recordings, by which leaves have a gradient before the step
        self.plans: dict[bytes, Plan] = {}
        self.generation = marks.generation
        self.broken = False  # cannot be captured: ordinary calls only

    def call(self, args: Any, kwargs: Any, tensors: list[Any]) -> Any:
        if self.broken:
            return self.owner._eager(args, kwargs)
        if self.fixed is None:
            return self._first(args, kwargs, tensors)
        state = _core.presence(self.leaves)
        plan = self.plans.get(state)
        if plan is not None and plan.fits():
            return self._replay(plan, args, kwargs, tensors)
        return self._record(state, tensors)

    # --- the first calls ----------------------------------------------------------------------------------------------

    def _first(self, args: Any, kwargs: Any, tensors: list[Any]) -> Any:
        """An ordinary call, in which optimizer states and gradients come into being."""
        for i, t in enumerate(tensors):
            if isinstance(t, Tensor) and t.device is not cpu:
                self._give_up(f"capture: argument {i} is on {t.device}: steps are captured on the CPU so far")
                return self.owner._eager(args, kwargs)
            if isinstance(t, Tensor) and t.requires_grad and grad_enabled():
                raise CaptureError(
                    f"capture: argument {i} of shape {list(t.shape)} requires grad: a captured step takes data; call "
                    "detach(), or requires_grad_() and autograd.grad inside of the step"
                )
        found: list[Tensor] = []
        _core.watch(found, None)
        before = marks.generation
        try:
            value = self.owner._fn(*args, **kwargs)
        finally:
            _core.watch(None, None)
        self._know(found)
        self.owner._note_exchange(marks.generation != before)
        self.fixed = tuple(_room_for(array_of(t)) for t in tensors)
        self.owner._count["eager"] += 1
        return _detached(value)

    def _know(self, leaves: list[Tensor]) -> None:
        known = {id(leaf) for leaf in self.leaves}
        for leaf in leaves:
            if id(leaf) not in known:
                known.add(id(leaf))
                self.leaves.append(leaf)

    def _record(self, state: bytes, tensors: list[Any]) -> Any:
        """A call that is recorded; where it is the same as the one before from this state, it becomes a plan."""
        self.owner._count["recorded"] += 1
        known = len(self.leaves)
        value, recorded, problem = self._run(tensors)
        before = self.recorded.get(state)
        if problem is None and before is not None and recorded is not None:
            different = recorded.recording.differs(before)
            if different is None:
                assert self.fixed is not None
                self.plans[state] = Plan(recorded, self.fixed, self.owner._cells, self.owner._passes)
                del self.recorded[state]
                return value
            problem = f"capture: the step is not the same in every call: {different[0]}{at(different[1])}"
        if problem is not None:
            self._give_up(problem)
        elif recorded is not None and known == len(self.leaves):
            self.recorded[state] = recorded.recording  # and nothing that holds its gradients
        return value

    def _run(self, tensors: list[Any]) -> tuple[Any, Recorded | None, str | None]:
        """The function on the fixed arrays: its value, the recording, and why there can be none."""
        assert self.fixed is not None
        for array, t in zip(self.fixed, tensors):
            np.copyto(array, array_of(t))
        given = [Tensor._wrap(a) if isinstance(t, Tensor) else a for a, t in zip(self.fixed, tensors)]
        before = [None if leaf.grad is None else weakref.ref(leaf.grad._array) for leaf in self.leaves]
        named = [*self.fixed, *[_NONE if leaf.grad is None else leaf.grad._array for leaf in self.leaves]]
        session = Session(self.owner._cells, strict=not self.owner._falls_back)
        args, kwargs = unflatten(self.structure, given)
        value = session.run(self.owner._fn, args, kwargs, named)
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
        recorded = Recorded(session, len(self.fixed), self.leaves, before, spec, sources)
        written = [i for i in recorded.recording.written_names() if i < len(tensors)]
        for i in written:
            np.copyto(array_of(tensors[i]), self.fixed[i])
        if recorded.hosts and self.owner._check:
            problem = "capture: check=n cannot be had for a step with host code, which would run twice"
        if written:
            problem = f"capture: argument {written[0]} is changed in place; work on a copy, or return the result"
        return unflatten(spec, handed), recorded, problem

    def _source(self, session: Session, leaf: Any, given: list[Any]) -> Any:
        """Where a replay finds a part of the value: a result, the number of an argument, or what does not change."""
        for i, t in enumerate(given):
            if leaf is t:
                return i
        if not isinstance(leaf, Tensor):
            return ("same", leaf)
        if session.recording.add_result(leaf._array):
            return "result"
        shares = any(np.may_share_memory(leaf._array, array_of(t)) for t in given)
        if shares:
            return ("view", leaf.detach())
        return ("same", leaf if leaf._node is None else leaf.detach())

    def _give_up(self, problem: str) -> None:
        self.recorded.clear()
        if not self.owner._falls_back:
            raise CaptureError(problem)
        self.broken = True
        warnings.warn(f"{problem}; it runs as an ordinary function", RuntimeWarning, stacklevel=6)

    # --- the others ---------------------------------------------------------------------------------------------------

    def _replay(self, plan: Plan, args: Any, kwargs: Any, tensors: list[Any]) -> Any:
        owner = self.owner
        owner._count["replayed"] += 1
        arrays = tuple([array_of(t) for t in tensors])
        if owner._check and owner._count["replayed"] % owner._check == 0:
            return self._checked(plan, args, kwargs, tensors, arrays)
        return plan.run(tensors, arrays)

    def _checked(self, plan: Plan, args: Any, kwargs: Any, tensors: list[Any], arrays: tuple[Any, ...]) -> Any:
        """A replay, and an ordinary call from where it began; CaptureError where a bit differs."""
        given, kept = plan.native.written()
        begin = [w.copy() for w in given]
        value = plan.run(tensors, arrays)
        gradients = _copies(self.leaves)
        end, end_kept = [w.copy() for w in given], [w.copy() for w in kept]
        overwrite(given, begin)
        eager = self.owner._fn(*args, **kwargs)
        same = _same(value, eager) and _equal(gradients, _copies(self.leaves)) and _equal(end, given)
        overwrite([*given, *kept], [*end, *end_kept])
        _core.restore(plan.recorded.leaves, plan.recorded.gradients)
        if not same:
            raise CaptureError(
                "capture: a replay and an ordinary call differ: a Python value has changed that the recording froze"
            )
        return value


EXCHANGES = "capture: the step exchanges an array, a parameter, a hook or options for others in every call"
_NONE = np.empty(1, np.uint8)  # stands for a gradient that is not there


def array_of(t: Any) -> Any:
    return t._array if isinstance(t, Tensor) else t


def _room_for(array: Any) -> Any:
    """Uninitialised memory of the same shape, strides and dtype."""
    low = sum(min(0, (n - 1) * s) for n, s in zip(array.shape, array.strides)) if array.size else 0
    high = sum(max(0, (n - 1) * s) for n, s in zip(array.shape, array.strides)) if array.size else 0
    room = cpu.empty((high - low + array.itemsize if array.size else 0,), np.dtype(np.uint8))
    return np.ndarray(array.shape, array.dtype, room, -low, array.strides)


def _detached(value: Any) -> Any:
    leaves: list[Any] = []
    spec = flatten(value, leaves)
    return unflatten(spec, [t.detach() if isinstance(t, Tensor) and t._node is not None else t for t in leaves])


def _handed(source: Any, leaf: Any, tensors: list[Any]) -> Any:
    """What the caller of a recorded call gets: copies, so that nothing of the recording is held."""
    if isinstance(source, int):
        return tensors[source]
    if source == "result" or source[0] == "view":
        return leaf.detach().clone()
    return source[1]


def _copies(leaves: list[Tensor]) -> list[Any]:
    return [None if leaf.grad is None else leaf.grad._array.copy() for leaf in leaves]


def overwrite(arrays: list[Any], values: list[Any]) -> None:
    for array, value in zip(arrays, values):
        array[...] = value


def _equal(a: list[Any], b: list[Any]) -> bool:
    """To the bit; NaN equals itself."""
    return all((x is None) == (y is None) and (x is None or x.tobytes() == y.tobytes()) for x, y in zip(a, b))


def _same(a: Any, b: Any) -> bool:
    left: list[Any] = []
    right: list[Any] = []
    return bool(flatten(a, left) == flatten(b, right)) and _equal(
        [array_of(t) for t in left], [array_of(t) for t in right]
    )
