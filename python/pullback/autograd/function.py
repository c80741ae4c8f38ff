"""`Function`: a map whose pullback its author writes, as in PyTorch.

    class Square(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, dy):
            (x,) = ctx.saved_tensors
            return 2 * x * dy

    y = Square.apply(x)

A `backward` written in ops can be differentiated again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from pullback import _tape
from pullback._dtype import dtype as DType
from pullback._tape import Node, Rule
from pullback._tensor import Tensor
from pullback.ops import strided
from pullback.ops.view import to_dtype

__all__ = ["Function", "FunctionCtx", "once_differentiable"]


class FunctionCtx:
    """What one call of a `Function` carries from `forward` to `backward`; other attributes may be set freely."""

    def __init__(self, args: tuple[Any, ...]) -> None:
        self.needs_input_grad = tuple(isinstance(a, Tensor) and a.requires_grad for a in args)
        self.materialize_grads = True
        self._to_save: tuple[Tensor | None, ...] = ()
        self._dirty: tuple[Tensor, ...] = ()
        self._without_gradient: tuple[Tensor, ...] = ()
        self._saved: tuple[Tensor | None, ...] | None = None  # while backward runs

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep inputs, results or other tensors for `backward`; it notices if they were changed in place since."""
        for t in tensors:
            if t is not None and not isinstance(t, Tensor):
                raise TypeError(f"save_for_backward: expected tensors or None, got {type(t).__name__}")
        self._to_save = tensors

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """What was saved; RuntimeError outside of `backward`."""
        if self._saved is None:
            raise RuntimeError("saved_tensors: they are there while backward() runs")
        return self._saved

    def mark_dirty(self, *args: Tensor) -> None:
        """Say which inputs `forward` changed in place; they are results too."""
        self._dirty = args

    def mark_non_differentiable(self, *args: Tensor) -> None:
        """Say which results have no gradient."""
        self._without_gradient = args

    def set_materialize_grads(self, value: bool) -> None:
        """Whether `backward` gets zeros (the default) or None for a result that was not used."""
        self.materialize_grads = value


class _Call:
    """What the pullback of one call needs to know: where tensors stood among arguments, results and saved tensors."""

    def __init__(
        self, function: type[Function], ctx: FunctionCtx, args: tuple[Any, ...], results: tuple[Any, ...]
    ) -> None:
        self.function = function
        self.ctx = ctx
        self.arguments = len(args)
        self.results = len(results)
        self.inputs = [i for i, a in enumerate(args) if isinstance(a, Tensor)]
        self.forms = [(args[i].shape, args[i].dtype) for i in self.inputs]
        self.outputs = [i for i, r in enumerate(results) if isinstance(r, Tensor)]
        # Of each saved tensor: None, or which output it is, or −1 for any other.
        number = {id(results[i]): j for j, i in enumerate(self.outputs)}
        self.saved = [None if t is None else number.get(id(t), -1) for t in ctx._to_save]

    def backward(self, node: Node, dy: list[Tensor | None]) -> list[Tensor | None]:
        """One gradient for each tensor among the arguments."""
        given: list[Tensor | None] = [None] * self.results
        for i, g, (shape, dtype, device) in zip(self.outputs, dy, node.outputs):
            if g is None and self.ctx.materialize_grads:
                from pullback.ops import zeros

                g = zeros(shape, dtype=dtype, device=device)
            given[i] = g
        self.ctx._saved = self.restore(node)
        try:
            found = self.function.backward(self.ctx, *given)
        finally:
            self.ctx._saved = None
        found = found if isinstance(found, tuple) else (found,)
        name = self.function.__name__
        if len(found) < self.arguments or any(g is not None for g in found[self.arguments :]):
            raise RuntimeError(f"{name}: backward expects {self.arguments} gradients to return, got {len(found)}")
        return [self.fitting(found[i], *form, i) for i, form in zip(self.inputs, self.forms)]

    def fitting(self, g: Any, shape: tuple[int, ...], dtype: DType, i: int) -> Tensor | None:
        """A gradient in its input's shape and dtype: broadcast dimensions are summed."""
        if g is None or (isinstance(g, Tensor) and g.shape == shape):
            return g if g is None or g.dtype is dtype else to_dtype(g, dtype)
        name = self.function.__name__
        if not isinstance(g, Tensor):
            raise TypeError(f"{name}: backward expects tensors or None to return, got {type(g).__name__}")
        lead = g.ndim - len(shape)
        if lead < 0 or any(n not in (1, m) for n, m in zip(shape, g.shape[lead:])):
            raise RuntimeError(
                f"{name}: backward expects shape {list(shape)} for the gradient of argument {i}, got {list(g.shape)}"
            )
        from pullback.ops._broadcast import sum_to

        return self.fitting(sum_to(g, shape), shape, dtype, i)

    def restore(self, node: Node) -> tuple[Tensor | None, ...]:
        """The saved tensors, as part of the graph again."""
        kept = iter(node.tensors())
        saved: list[Tensor | None] = []
        for output in self.saved:
            t = None if output is None else next(kept)
            if t is not None and output is not None and output >= 0:
                t._node, t._output, t._requires_grad = node, output, True
            saved.append(t)
        return tuple(saved)


def _pullback(node: Node, dy: list[Any]) -> list[Any]:
    wrapped = [None if g is None else Tensor._wrap(g) for g in dy]
    # A view each: what backward returns may be kept elsewhere, so no leaf may take it for its own.
    return [None if g is None else g._array[...] for g in node.args[0].backward(node, wrapped)]


def _pullback_ops(node: Node, dy: list[Tensor | None]) -> list[Any]:
    found: list[Any] = node.args[0].backward(node, list(dy))
    return found


class Function:
    """Subclass it with static `forward(ctx, *args)` and `backward(ctx, *grad_outputs)`, and call `apply(*args)`.

    `forward` runs unrecorded and returns a tensor or a tuple; `backward` returns a gradient or None for each argument.
    Instead of taking `ctx`, `forward(*args)` may come with `setup_context(ctx, inputs, output)`.
    """

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """The map: `forward(ctx, *args)`, or `forward(*args)` with `setup_context`."""
        raise NotImplementedError("Function: it has no forward()")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        """Save what `backward` needs, where `forward` does not take `ctx`."""
        raise NotImplementedError("Function: it has no setup_context()")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """The pullback: a gradient or None for each argument of `forward`."""
        raise NotImplementedError("Function: it has no backward()")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run `forward` and put the results on the tape with `backward` as their pullback."""
        ctx = FunctionCtx(args)
        with _tape.no_grad():
            if cls.setup_context is Function.setup_context:
                result = cls.forward(ctx, *args)
            else:
                result = cls.forward(*args)
                cls.setup_context(ctx, args, result)
        for t in ctx._dirty:
            t._version[0] += 1
        if not _tape.is_grad_enabled() or not any(ctx.needs_input_grad):
            return result
        results = result if isinstance(result, tuple) else (result,)
        recorded = _record(cls, ctx, args, results)
        return recorded if isinstance(result, tuple) else recorded[0]


def _record(cls: type[Function], ctx: FunctionCtx, args: tuple[Any, ...], results: tuple[Any, ...]) -> tuple[Any, ...]:
    call = _Call(cls, ctx, args, results)
    rule = Rule(cls.__name__, _pullback, None if hasattr(cls.backward, "_once") else _pullback_ops)
    inputs = [args[i] for i in call.inputs]
    saved = [t for t in ctx._to_save if t is not None]
    raw = [results[i] for i in call.outputs]
    if not raw:
        return results
    outs = _tape.record_many(rule, [t._array for t in raw], inputs, saved, (call,))
    final = list(results)
    for i, before, out in zip(call.outputs, raw, outs):
        out._version = before._version
        if any(before is t for t in ctx._without_gradient):
            out._node, out._output, out._requires_grad = None, 0, False
        if any(before is t for t in ctx._dirty):
            strided.check_writable_leaf(before)
            strided.move(before, out)
            out = before
        final[i] = out
    ctx._to_save, ctx._dirty, ctx._without_gradient = (), (), ()
    return tuple(final)


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a `backward` that is not written in ops: under `create_graph=True` it raises RuntimeError."""

    @wraps(backward)
    def wrapper(ctx: Any, *grad_outputs: Any) -> Any:
        with _tape.no_grad():
            return backward(ctx, *grad_outputs)

    wrapper._once = True  # type: ignore[attr-defined]
    return wrapper
