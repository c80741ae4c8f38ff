"""First derivatives of a function at a point: as a gradient, as a pullback, as a pushforward.

    f: ℝⁿ → ℝᵐ,     df_x: ℝⁿ → ℝᵐ linear,     ⟨df_xᵀ v, u⟩ = ⟨v, df_x u⟩

`vjp` gives v ↦ df_xᵀ v by the tape's reverse mode; `jvp` gives df_x u as the transpose of the pullback: v ↦ df_xᵀ v is linear, so
its own pullback at u is df_x u, at no value of v in particular (seed 000, section 1.2; seed 003, the complexity of gradients).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from pullback import _tape, _walk
from pullback._tensor import Tensor
from pullback.func import _tree
from pullback.func._level import (
    Level,
    Variable,
    check_direction,
    check_outputs,
    released,
    split_aux,
    zeros_where_none,
)
from pullback.ops import zeros_like

Argnums = int | tuple[int, ...]


def pick(op: str, args: tuple[Any, ...], argnums: Any) -> Any:
    """The arguments that are differentiated: one, or a tuple of them."""
    numbers = argnums if isinstance(argnums, tuple) else (argnums,)
    if not numbers:
        raise RuntimeError(f"{op}: argnums expects at least one number, got ()")
    for n in numbers:
        if not isinstance(n, int) or isinstance(n, bool):
            raise RuntimeError(f"{op}: argnums expects an int or a tuple of ints, got {argnums!r}")
        if not -len(args) <= n < len(args):
            raise RuntimeError(f"{op}: argnums {n} expects more positional arguments, got {len(args)}")
    if len({n % len(args) for n in numbers}) != len(numbers):
        raise RuntimeError(f"{op}: argnums expects different arguments, got {argnums!r}")
    return tuple(args[n] for n in numbers) if isinstance(argnums, tuple) else args[argnums]


def put(args: tuple[Any, ...], argnums: Argnums, new: Any) -> list[Any]:
    """The arguments with others in the places that `pick` took."""
    changed = list(args)
    for n, value in zip(argnums, new) if isinstance(argnums, tuple) else [(argnums, new)]:
        changed[n] = value
    return changed


def grad(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """∇f: a function that returns ∂f/∂x for the argument `argnums` of f, a tuple for a tuple of numbers.

    f returns a tensor without dimensions, with `has_aux` (that tensor, aux), and then so does the result: (∇f, aux).
    RuntimeError for any other result, or an argument that is not floating-point.

        >>> pullback.func.grad(lambda x: (x * x).sum())(pullback.tensor([1.0, 2.0]))
        tensor([2., 4.])
    """
    both = grad_and_value(func, argnums, has_aux)

    @wraps(func)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        g, value = both(*args, **kwargs)
        return (g, value[1]) if has_aux else g

    return gradient


def grad_and_value(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """`grad`, with the value beside the gradient: (∇f, f), or (∇f, (f, aux)) with `has_aux`."""
    op = "grad"

    @wraps(func)
    def gradient_and_value(*args: Any, **kwargs: Any) -> Any:
        level = Level(op, pick(op, args, argnums), f"argument {argnums}")
        y, aux = split_aux(op, level.run(lambda: func(*put(args, argnums, level.inputs), **kwargs)), has_aux)
        if not isinstance(y, Tensor) or y.ndim != 0:
            got = f"shape {list(y.shape)}" if isinstance(y, Tensor) else type(y).__name__
            raise RuntimeError(
                f"{op}: func expects to return a tensor without dimensions, got {got}; for others there are vjp and jacrev"
            )
        check_outputs(op, y)
        found = level.pull([y], [None], level.tracked, retain_graph=level.tracked)
        gradient = _tree.rebuild(level.inputs, zeros_where_none(found, level.given))
        value = (released(y), released(aux)) if has_aux else released(y)
        return released(gradient), value

    return gradient_and_value


def vjp(func: Callable[..., Any], *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """(f(x), v ↦ df_xᵀ v), with `has_aux` (f(x), v ↦ df_xᵀ v, aux).

    The pullback takes one tensor for each output of f and returns one for each primal, alone where there is one; it may be
    called any number of times. Primals and outputs may be nested in tuples, lists and dictionaries. RuntimeError for
    shapes that do not fit.
    """
    level = Level("vjp", primals, "primals")
    result, aux = split_aux("vjp", level.run(lambda: func(*level.inputs)), has_aux)
    outputs = check_outputs("vjp", result)

    def pullback(*cotangents: Any, retain_graph: bool = True, create_graph: bool | None = None) -> Any:
        """df_xᵀ of the cotangents."""
        seeds = check_direction("vjp", "cotangents", cotangents, outputs)
        if create_graph is None:
            create_graph = _tape.grad_enabled() and (level.tracked or any(v.requires_grad for v in seeds))
        found = level.pull(outputs, seeds, create_graph, retain_graph)
        pulled = _tree.rebuild(primals, released(zeros_where_none(found, level.given)))
        return pulled[0] if len(primals) == 1 else pulled

    return (released(result), pullback, released(aux)) if has_aux else (released(result), pullback)


class Pushforward:
    """u ↦ df_x u of one run of a function, by the transpose of its pullback, which is recorded once.

    `pulled` are df_xᵀ v for variables v in the outputs' place; None where nothing depends on them.
    """

    def __init__(self, level: Level, outputs: Sequence[Tensor]) -> None:
        self.level = level
        self.outputs = outputs
        with _tape.enable_grad():
            self._cotangents = [_cotangent(y) for y in outputs]
            self.pulled = level.pull(outputs, self._cotangents, create_graph=True)

    def __call__(self, tangents: Sequence[Tensor | None]) -> list[Tensor | None]:
        """df_x of the tangents, one for each variable (None stands for zeros); None for an output without derivative."""
        pairs = [(g, u) for g, u in zip(self.pulled, tangents) if g is not None and u is not None and g.requires_grad]
        if not pairs:
            return [None] * len(self.outputs)
        gs, us = zip(*pairs)
        create_graph = self.level.outside and (self.level.tracked or any(u.requires_grad for u in us))
        return list(_walk.gradients(gs, self._cotangents, us, True, create_graph, True, op=self.level.op))


def _cotangent(y: Tensor) -> Tensor:
    """v: a variable in the shape of an output. Its value has no influence."""
    made = Variable._wrap(zeros_like(y.detach())._array)
    made._requires_grad, made.open = True, False
    return made


def jvp(
    func: Callable[..., Any], primals: Any, tangents: Any, *, strict: bool = False, has_aux: bool = False
) -> tuple[Any, ...]:
    """(f(x), df_x u) for primals x and tangents u, tuples of the same structure; with `has_aux` (f(x), df_x u, aux).

    It costs a small multiple of f whatever the number of inputs, so it suits functions with few inputs and many outputs.
    With `strict`, an output that does not depend on the primals raises RuntimeError; otherwise its tangent is zero.
    """
    for name, value in (("primals", primals), ("tangents", tangents)):
        if not isinstance(value, tuple) or not value:
            raise RuntimeError(f"jvp: {name} expects a tuple of at least one tensor, got {type(value).__name__}")
    level = Level("jvp", primals, "primals")
    us = check_direction("jvp", "tangents", tangents, primals)
    result, aux = split_aux("jvp", level.run(lambda: func(*level.inputs)), has_aux)
    outputs = check_outputs("jvp", result)
    found = Pushforward(level, outputs)(us)
    if strict and any(d is None for d in found):
        raise RuntimeError("jvp: with strict=True every output of func has to depend on the primals")
    pushed = _tree.rebuild(result, released(zeros_where_none(found, outputs)))
    return (released(result), pushed, released(aux)) if has_aux else (released(result), pushed)


def linearize(func: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """(f(x), u ↦ df_x u): f runs once, and its differential may be applied to any number of tangents."""
    level = Level("linearize", primals, "primals")
    result = level.run(lambda: func(*level.inputs))
    outputs = check_outputs("linearize", result)
    push = Pushforward(level, outputs)

    def pushforward(*tangents: Any) -> Any:
        """df_x of the tangents, which have the primals' structure."""
        us = check_direction("linearize", "tangents", tangents, primals)
        return _tree.rebuild(result, released(zeros_where_none(push(us), outputs)))

    return released(result), pushforward
