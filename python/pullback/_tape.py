"""The tape: nodes, in the order in which they were made. `_walk` goes back over them.

An op y = f(x) records a node with what its pullback x̄ = (df_x)ᵀ ȳ needs. The graph is made of nodes, not tensors: a
node holds its parents, the order in which it was made, and the arrays that its pullback reads, never its own result
as a tensor (that would be a cycle, and memory would wait for the garbage collector).

A rule has its pullback in two ways: on arrays, with fused kernels, for first derivatives; and in ops on tensors, so
that `create_graph=True` can differentiate the derivative.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from pullback import _core
from pullback._core import OUTPUT as OUTPUT, Node as Node, grad_enabled as grad_enabled, record as record

if TYPE_CHECKING:
    from pullback._tensor import Tensor

_F = TypeVar("_F", bound=Callable[..., Any])
_grad_mode = _core.grad_mode  # every thread has its own


class Rule:
    """How one op is differentiated.

    `pullback(node, dy)` takes and returns arrays, one for each parent (None where it has no gradient), and never one that
    was saved: a leaf keeps what it is handed as its gradient;
    `pullback_ops(node, dy)` is the same in ops on tensors, reading `node.tensors()` for what was saved.
    """

    __slots__ = ("name", "pullback", "pullback_ops")

    def __init__(
        self,
        name: str,
        pullback: Callable[[Node, Any], Sequence[Any]],
        pullback_ops: Callable[[Node, Any], Sequence[Any]] | None = None,
    ) -> None:
        self.name = name
        self.pullback = pullback
        self.pullback_ops = pullback_ops


def quick(kind: str, rule: Rule, saves: str = "", activation: int = 0) -> Callable[[_F], _F]:
    """Give an op a short way: where its arguments are floating-point arrays that fit together, launch and record happen
    in `_core`; anything else goes to the function below the decorator. `saves` names what the pullback reads: "inputs",
    "output", both or nothing; `activation` is the number that the kernel of kind "linear" is given."""

    def decorate(function: _F) -> _F:
        return functools.update_wrapper(_core.Op(function, kind, rule, saves, activation), function)  # type: ignore[return-value]

    return decorate


def record_many(
    rule: Rule,
    arrays: Sequence[Any],
    inputs: Sequence[Tensor],
    saved: Sequence[Any] = (),
    args: tuple[Any, ...] = (),
) -> tuple[Tensor, ...]:
    """`record` for an op with several results: its pullback gets a list of gradients, None for a result that was not used.

    Results of an integer type carry no gradient.
    """
    from pullback._tensor import Tensor

    outs = tuple([Tensor._wrap(a) for a in arrays])
    first = record(rule, arrays[0], inputs, saved, args)
    if first._node is not None:
        first._node.outputs = tuple([(o.shape, o.dtype, o.device) for o in outs])
        for i, o in enumerate(outs):
            if o.dtype.is_floating_point:
                o._node, o._output, o._requires_grad = first._node, i, True
    return outs


# --- grad mode --------------------------------------------------------------------------------------------------------


class set_grad_enabled:
    """Switch recording on or off: at once, and back again at the end of a `with` block or of a decorated function."""

    def __init__(self, mode: bool) -> None:
        self._mode = bool(mode)
        self._before = grad_enabled()
        _grad_mode.set(self._mode)

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _grad_mode.set(self._before)

    def __call__(self, function: _F) -> _F:
        _grad_mode.set(self._before)
        return _decorated(function, enable_grad if self._mode else no_grad)


def _decorated(function: _F, mode: type[_GradMode]) -> _F:
    """The function under a grad mode; a generator has it whenever it runs, and its caller keeps their own."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with mode():
            return function(*args, **kwargs)

    @functools.wraps(function)
    def generate(*args: Any, **kwargs: Any) -> Any:
        generator = function(*args, **kwargs)
        resume, value = generator.send, None
        while True:
            try:
                with mode():
                    item = resume(value)
            except StopIteration as stop:
                return stop.value
            try:
                resume, value = generator.send, (yield item)
            except GeneratorExit:
                generator.close()
                raise
            except BaseException as error:
                resume, value = generator.throw, error

    return generate if inspect.isgeneratorfunction(function) else call  # type: ignore[return-value]


class _GradMode:
    """`with no_grad():`, `@no_grad()` and `@no_grad`, likewise `enable_grad`."""

    _mode = False

    def __new__(cls, function: Any = None) -> Any:
        made = super().__new__(cls)
        if function is None:
            return made
        made.__init__()  # type: ignore[misc]
        return made(function)

    def __init__(self, function: Any = None) -> None:
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(grad_enabled())
        _grad_mode.set(self._mode)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _grad_mode.set(self._before.pop())

    def __call__(self, function: _F) -> _F:
        return _decorated(function, type(self))


class no_grad(_GradMode):
    """Nothing is recorded inside: `with pullback.no_grad():`, or as a decorator."""


class enable_grad(_GradMode):
    """Recording is on inside, also within `no_grad`."""

    _mode = True


def inference_mode(mode: Any = True) -> Any:
    """`no_grad`, or with False `enable_grad`; a context or a decorator."""
    if callable(mode):
        return no_grad(mode)
    return no_grad() if mode else enable_grad()


def is_grad_enabled() -> bool:
    """Whether ops are being recorded."""
    return grad_enabled()
