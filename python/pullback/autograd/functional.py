"""Derivatives of a function at given inputs: PyTorch's `torch.autograd.functional`.

`pullback.func` has the same as transforms of functions, which nest; here values come back at once, off the tape unless
`create_graph`. Inputs are a tensor or a tuple of them, and results have the same form.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pullback import _tape, func as transforms
from pullback._tensor import Tensor
from pullback.func._level import Level, check_outputs
from pullback.ops import ones_like

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]


def jacobian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """∂f_i/∂x_j as a tensor of shape [*f_i, *x_j]: one, or a tuple over inputs, or over outputs, or a tuple of tuples.

    `strategy` is "reverse-mode" (one pass for each output element) or "forward-mode" (one for each input element, and
    only with `vectorize`, which otherwise has no effect). With `strict`, an output that does not depend on an input
    raises RuntimeError; otherwise its derivative is zero.
    """
    transform = _strategy("jacobian", "strategy", strategy, vectorize)
    xs = _inputs("jacobian", inputs)
    if strict:
        _check_dependence("jacobian", func, xs)
    with _mode(create_graph):
        found = transform(func, tuple(range(len(xs))))(*xs)
    if not isinstance(inputs, Tensor):
        return found
    return found[0] if isinstance(found[0], Tensor) else tuple(row[0] for row in found)


def hessian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """∂²f/∂x_i∂x_j of a function with a single element, of shape [*x_i, *x_j]: a tensor, or a tuple of tuples.

    Options as in `jacobian`; `outer_jacobian_strategy` is that of the gradient's Jacobian.
    """
    outer = _strategy("hessian", "outer_jacobian_strategy", outer_jacobian_strategy, vectorize)
    xs = _inputs("hessian", inputs)
    if strict:
        _check_dependence("hessian", lambda *x: _gradient("hessian", func)(*x)[0], xs)
    every = tuple(range(len(xs)))
    with _mode(create_graph):
        found = outer(transforms.jacrev(_scalar("hessian", func), every), every)(*xs)
    return found[0][0] if isinstance(inputs, Tensor) else found


def vjp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """(f(x), df_xᵀ v); v has the outputs' form, and is 1 where it is left out and f has a single element."""
    xs = _inputs("vjp", inputs)
    if strict:
        _check_dependence("vjp", func, xs)
    with _mode(create_graph):
        outputs, pullback = transforms.vjp(func, *xs)
        return outputs, pullback(_direction("vjp", v, outputs))


def jvp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """(f(x), df_x v); v has the inputs' form, and is 1 where it is left out and there is a single element."""
    xs = _inputs("jvp", inputs)
    if strict:
        _check_dependence("jvp", func, xs)
    with _mode(create_graph):
        return transforms.jvp(func, xs, _inputs("jvp", _direction("jvp", v, inputs), "v"))


def vhp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """(f(x), vᵀH) with the Hessian H of a function with a single element: the pullback of ∇f, at the cost of two of f."""
    xs = _inputs("vhp", inputs)
    if strict:
        _check_dependence("vhp", lambda *x: _gradient("vhp", func)(*x)[0], xs)
    vs = _inputs("vhp", _direction("vhp", v, inputs), "v")
    with _mode(create_graph):
        _, pullback, value = transforms.vjp(_gradient("vhp", func), *xs, has_aux=True)
        found = pullback(vs)
    return value, found if isinstance(inputs, Tensor) or len(xs) > 1 else (found,)


def hvp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """(f(x), Hv), which is `vhp`, since H is symmetric wherever second derivatives are continuous."""
    return vhp(func, inputs, v, create_graph, strict)


# --- what they share ---------------------------------------------------------------------------------------------------


def _mode(create_graph: bool) -> Any:
    return _tape.enable_grad() if create_graph else _tape.no_grad()


def _strategy(op: str, name: str, strategy: str, vectorize: bool) -> Callable[..., Any]:
    if strategy not in ("forward-mode", "reverse-mode"):
        raise ValueError(f"{op}: {name} expects 'forward-mode' or 'reverse-mode', got {strategy!r}")
    if strategy == "forward-mode" and not vectorize:
        raise NotImplementedError(f"{op}: {name}='forward-mode' expects vectorize=True, as in PyTorch")
    return transforms.jacfwd if strategy == "forward-mode" else transforms.jacrev


def _inputs(op: str, inputs: Any, name: str = "inputs") -> tuple[Tensor, ...]:
    found = (inputs,) if isinstance(inputs, Tensor) else inputs
    if not isinstance(found, tuple) or not found or not all(isinstance(x, Tensor) for x in found):
        raise TypeError(f"{op}: {name} expects a Tensor or a tuple of them, got {type(inputs).__name__}")
    return found


def _direction(op: str, v: Any, like: Any) -> Any:
    if v is not None:
        return v
    if not isinstance(like, Tensor) or like.numel() != 1:
        raise RuntimeError(f"{op}: v may be left out only where it has a single element")
    return ones_like(like.detach())


def _scalar(op: str, func: Callable[..., Any]) -> Callable[..., Any]:
    """The function with its only element as a tensor without dimensions."""

    def scalar(*xs: Any) -> Any:
        y = func(*xs)
        if not isinstance(y, Tensor) or y.numel() != 1:
            got = f"shape {list(y.shape)}" if isinstance(y, Tensor) else type(y).__name__
            raise RuntimeError(f"{op}: func expects to return a tensor with a single element, got {got}")
        return y.reshape(())

    return scalar


def _gradient(op: str, func: Callable[..., Any]) -> Callable[..., Any]:
    """x ↦ (∇f(x), f(x)), the gradient as a tuple over the inputs."""
    scalar = _scalar(op, func)

    def gradient(*xs: Any) -> Any:
        return transforms.grad_and_value(scalar, tuple(range(len(xs))))(*xs)

    return gradient


def _check_dependence(op: str, func: Callable[..., Any], xs: tuple[Tensor, ...]) -> None:
    """RuntimeError where an output does not depend on an input."""
    level = Level(op, xs, "inputs")
    for i, y in enumerate(check_outputs(op, level.run(lambda: func(*level.inputs)))):
        for j, g in enumerate(level.pull([y], [ones_like(y.detach())], create_graph=False)):
            if g is None:
                raise RuntimeError(f"{op}: with strict=True output {i} has to depend on input {j}")
