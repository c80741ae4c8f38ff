"""`capture`: Python once, native ever after.

The first call of a captured function with arguments of new shapes is an ordinary one. The next two are recorded: every
kernel call, with the memory that it touches. If both recordings are the same but for where their temporaries lie, the
second becomes a *plan*, rewritten by passes, and from then on a call copies its arguments into the plan's buffers and
runs the list in C++.
"""

from __future__ import annotations

import functools
import json
import threading
import types
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

from pullback import _core
from pullback._autocast import autocast_key
from pullback._backend import device_of
from pullback._recorded import EXACT, PASSES, Cells, Plan, at
from pullback._session import CaptureError, here, marks
from pullback._signature import EXCHANGES, Signature, array_of, overwrite, snapshots
from pullback._tape import grad_enabled
from pullback._tensor import Tensor
from pullback._trees import flatten

_NO_NAMES = flatten({}, [])


class Capture(_core.Replayer):
    """A captured function; see `capture`."""

    def __init__(self, fn: Callable[..., Any], check: int, passes: tuple[str, ...], max_plans: int, falls_back: bool):
        functools.update_wrapper(self, fn, updated=())
        self._fn = fn
        self._check = check
        self._passes = passes
        self._max = max_plans
        self._falls_back = falls_back
        self._cells = Cells()
        self._signatures: OrderedDict[Any, Signature] = OrderedDict()
        self._count = {"eager": 0, "recorded": 0}
        self._exchanges = 0  # first calls in a row after which the recordings before were out of date
        self._lock = threading.RLock()

    def _call(self, *args: Any, **kwargs: Any) -> Any:
        """What a call is, but where it is the same replay as the call before, which csrc/tape/replay.cpp sees sooner."""
        if marks.sessions and here.session is not None:  # inside of another step, which records what this one does
            return self._fn(*args, **kwargs)
        mode = (grad_enabled(), marks.generation, marks.modes, autocast_key())
        quick: Any = None if kwargs else _core.layout(args)
        tensors: Any = args
        structure = None
        if quick is None:
            tensors = []
            structure = flatten((args, kwargs), tensors)
            quick = (
                structure,
                tuple(
                    [
                        (
                            type(t),
                            device_of(array_of(t)),
                            array_of(t).dtype,
                            array_of(t).shape,
                            array_of(t).strides,
                            getattr(t, "requires_grad", False),
                        )
                        for t in tensors
                    ]
                ),
            )
        with self._lock:
            self._forget()
            signature = self._find((quick, mode), args, kwargs, structure)
            return signature.call(self, args, kwargs, tensors)

    def _find(self, key: Any, args: Any, kwargs: Any, structure: Any) -> Signature:
        try:
            found = self._signatures.get(key)
        except TypeError as error:
            raise CaptureError(f"capture: arguments expect tensors, arrays and hashable values ({error})") from None
        if found is not None:
            self._signatures.move_to_end(key)
            return found
        for stale in [k for k, s in self._signatures.items() if s.generation != marks.generation]:
            del self._signatures[stale]
        while len(self._signatures) >= self._max:
            self._signatures.popitem(last=False)
        plain = structure is None
        made = Signature((tuple, (tuple, *[Tensor] * len(args)), _NO_NAMES) if plain else structure, plain)
        self._signatures[key] = made
        return made

    def _note_exchange(self, exchanged: bool) -> None:
        """The first call of a signature may exchange what later ones find; if every call does, no plan ever fits."""
        self._exchanges = self._exchanges + 1 if exchanged else 0
        if self._exchanges > 2 and not self._falls_back:
            raise CaptureError(EXCHANGES)

    def _eager(self, args: Any, kwargs: Any) -> Any:
        self._count["eager"] += 1
        return self._fn(*args, **kwargs)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.__dict__["_fn"], name)  # of a module: parameters(), train(), …

    def __repr__(self) -> str:
        return f"<captured {getattr(self._fn, '__qualname__', repr(self._fn))}: {self._replayed} replays>"

    # --- looking at it ------------------------------------------------------------------------------------------------

    def _all_plans(self) -> list[Plan]:
        return [plan for s in self._signatures.values() for plan in s.plans.values()]

    def _last_plan(self) -> Plan:
        plans = self._all_plans()
        if not plans:
            raise RuntimeError(
                "capture: nothing is recorded yet: a plan is made in the third call with the same shapes"
            )
        return plans[-1]

    def stats(self) -> dict[str, Any]:
        """Ordinary, recorded and replayed calls; for each plan, the kernel calls recorded and left, and its memory in
        bytes: `made` and gone within a step, `kept` by it (gradients), `result`s handed out."""
        plans = [
            {
                "recorded_calls": len(p.recorded.recording.names()),
                "calls": p.native.calls(),
                "memory": p.native.memory(),
            }
            for p in self._all_plans()
        ]
        return {**self._count, "replayed": self._replayed, "plans": plans}

    def _timed(self, plan: Plan, runs: int) -> list[list[Any]]:
        """Rows of several runs, after which everything is as it was."""
        with self._lock:
            given, kept = plan.native.written()
            before = snapshots([*given, *kept])
            rows = [plan.native.timed(plan.fixed) for _ in range(runs)]
            overwrite([*given, *kept], before)
        return rows

    def save(self, path: Any) -> None:
        """Write the plan that was used last to one file, weights included, which `pullback.load_plan` and
        `pullback run` run without the function that was captured.

        The weights are those of now, and are constants from here on. Raises CaptureError, naming the kernel and its
        line, for a step that changes memory which outlives it (optimizers, random state, gradients), that calls Python,
        or that returns what it did not make; RuntimeError before anything is recorded, ImportError without the extra
        `io`.
        """
        from pullback.io.plan import save_plan

        with self._lock:
            current = [s for s in self._signatures.values() if s.plans and s.generation == marks.generation]
            if not current:
                self._last_plan()
                raise RuntimeError("save: what was recorded is out of date: call the function again, three times")
            save_plan(list(current[-1].plans.values())[-1], current[-1].structure, path)

    def explain(self, runs: int = 20) -> str:
        """The calls as they were recorded, and what the passes made of them, with the median time of each.

        Runs the plan of the shapes that were used last, and then puts back what it changed."""
        plan = self._last_plan()
        rows = self._timed(plan, runs)
        recorded = plan.recorded.recording.names()
        lines = [f"recorded: {len(recorded)} calls", "  " + ", ".join(recorded)]
        lines.append(f"left by {', '.join(plan.passes) or 'no pass'}: {len(rows[0])} launches")
        total = 0.0
        for step in zip(*rows):
            seconds = float(np.median([row[4] for row in step]))
            total += seconds
            name, shapes, line = step[0][:3]
            lines.append(f"  {seconds * 1e6:9.2f} µs  {name:32} {shapes}{at(line)}")
        memory = plan.native.memory()
        lines.append(f"  {total * 1e6:9.2f} µs  together; memory: " + ", ".join(f"{k} {v}" for k, v in memory.items()))
        return "\n".join(lines)

    def profile(self, path: Any, runs: int = 1) -> None:
        """Write the timeline of the plan that was used last as a Chrome trace (chrome://tracing, ui.perfetto.dev)."""
        events = []
        start = 0.0
        for rows in self._timed(self._last_plan(), runs):
            for name, shapes, line, begin, seconds in rows:
                where = {"shapes": shapes, "line": line}
                event = {"name": name, "ph": "X", "pid": 0, "tid": 0, "args": where}
                events.append({**event, "ts": (start + begin) * 1e6, "dur": seconds * 1e6})
            start += rows[-1][3] + rows[-1][4] if rows else 0.0
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"traceEvents": events, "displayTimeUnit": "ns"}, file)


def capture(
    fn: Callable[..., Any] | None = None,
    *,
    check: int = 0,
    without: tuple[str, ...] | list[str] = (),
    also: tuple[str, ...] | list[str] = (),
    max_plans: int = 8,
) -> Any:
    """Record a step once, and run it natively from then on: `step = pullback.capture(step)`, or as a decorator.

    **What freezes.** A replay runs kernels, not Python. Every Python number, branch and length that the function met
    when it was recorded stays what it was; so do appends to lists, prints and counters. What changes between calls has to
    be an argument (a tensor, or a hashable value: each gets a plan of its own), the content of a tensor that is changed in
    place, or an option of an optimizer's `param_groups`, which is read anew. Learning-rate schedulers stepped inside run
    as Python in every call. `check=n` compares every n-th replay with an ordinary call, to the bit.

    The first call with new shapes is an ordinary one, the second and third are recorded and must be the same; from the
    fourth on the plan runs, and gives the bits of the ordinary call. Values that are returned belong to the caller and
    carry no graph. Parameters, gradients and states stay the same tensors, so that `state_dict`, evaluation in between,
    loading weights and changing options work as ever. Modes of modules, grad mode and which gradients are there choose
    among plans.

    `without` names passes to leave out, `also` such to run that do not keep the bits (`pullback.capture.passes` says what each
    does): "accumulate" computes what is added to a gradient where that lies, so that g + Σ ab is summed in another order, and
    0 + −0 is −0. `max_plans` bounds how many shapes are kept.
    Raises CaptureError, naming the line, for a step that reads values on the host (`item()`, `numpy()`, `bool()`, shapes
    that depend on data), changes an argument in place, or is not the same in every call.
    """
    if fn is None:
        return functools.partial(capture, check=check, without=without, also=also, max_plans=max_plans)
    return _make("capture", fn, check, without, also, max_plans, falls_back=False)


def compile(fn: Callable[..., Any] | None = None, **options: Any) -> Any:
    """`capture` that falls back to ordinary calls, saying so once, where a step cannot be captured."""
    if fn is None:
        return functools.partial(compile, **options)
    return _make("compile", fn, falls_back=True, **options)


capture.passes = dict(PASSES)  # type: ignore[attr-defined]


def _make(
    op: str,
    fn: Any,
    check: int = 0,
    without: Any = (),
    also: Any = (),
    max_plans: int = 8,
    falls_back: bool = False,
) -> Capture:
    if not callable(fn):
        raise TypeError(f"{op}: expected a function or a module, got {type(fn).__name__}")
    for argument, names in (("without", without), ("also", also)):
        unknown = [name for name in names if name not in PASSES]
        if unknown:
            raise ValueError(f"{op}: {argument} expects names among {', '.join(PASSES)}, got {unknown[0]!r}")
    if check < 0 or max_plans < 1:
        raise ValueError(f"{op}: expected check ≥ 0 and max_plans ≥ 1, got {check} and {max_plans}")
    passes = tuple(name for name in PASSES if (name in EXACT or name in also) and name not in without)
    return Capture(fn, int(check), passes, int(max_plans), falls_back)
