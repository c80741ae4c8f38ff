"""What the rest of the library tells a capture that is recording: reads on the host, rebinding, host code, options.

Nothing here has an effect while nothing is being recorded.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from pullback import _core

_F = TypeVar("_F", bound=Callable[..., Any])


class CaptureError(RuntimeError):
    """A step that cannot be captured, with the line of the program where it can't."""


class _Here(threading.local):
    session: Any = None  # of this thread: the capture that is recording


here = _Here()


# What a recorded step depends on and no argument shows: `generation`, how often an array, a hook or a parameter was
# exchanged for another; `modes`, an exclusive or over the switches that are not as at first (modules, parameters, the
# default dtype); `sessions`, captures that are recording now, in all threads.
marks = _core.marks


def two_devices(a: object, b: object) -> str:
    return f"the step works on {a} and on {b}: a captured step has one device"


def rebound() -> None:
    """An array, a parameter, a hook or a group of options was exchanged: steps recorded before are out of date."""
    marks.generation += 1


def toggled(owner: object) -> None:
    """A switch of `owner` was turned, or `owner` was chosen, or is no longer; turned back, what was recorded before is
    valid again."""
    marks.modes ^= hash(id(owner))


def host_read(op: str) -> None:
    """A tensor's value is asked for by Python: what happens next may depend on it. CaptureError while recording."""
    if marks.sessions and here.session is not None:
        here.session.refuse(f"{op} reads a value, and what follows may depend on it")


def on_host(function: _F) -> _F:
    """A function that stays Python in a step that is captured: it is called whenever the step runs again."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not marks.sessions or here.session is None:
            return function(*args, **kwargs)
        if any(hasattr(a, "_array") for a in (*args, *kwargs.values())):
            here.session.refuse(f"{function.__qualname__} reads the value of a tensor")
        return here.session.host(functools.partial(function, *args, **kwargs))

    return call  # type: ignore[return-value]
