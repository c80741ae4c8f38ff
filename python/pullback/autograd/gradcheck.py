"""Derivatives against central differences: ∂f_j/∂x_i ≈ (f_j(x + ε e_i) − f_j(x − ε e_i)) / 2ε, in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from pullback import _tape, _walk
from pullback._tensor import Tensor


class GradcheckError(RuntimeError):
    """What `gradcheck` found: the message names input, index, and both derivatives."""


Function = Callable[..., Any]


def _refuse(**options: bool) -> None:
    for name, value in options.items():
        if value:
            raise NotImplementedError(f"gradcheck: {name}=True is not supported")


def gradcheck(
    func: Function,
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Whether |analytical − numerical| ≤ atol + rtol |numerical| for every element of the Jacobian of `func`.

    Every input that requires grad is checked, and must be float64; the outputs may be a tensor or a tuple of them. A
    failure raises GradcheckError, or returns False without `raise_exception`. Also checked: that two passes give the
    same gradient (within `nondet_tol`), that gradients have their input's dtype (`check_grad_dtypes`), and that an
    output without gradient is taken for zero (`check_undefined_grad`). `fast_mode` takes the full check, `masked` only
    concerns sparse tensors; forward mode and batches are not supported and raise NotImplementedError.
    """
    _refuse(
        check_batched_grad=check_batched_grad,
        check_batched_forward_grad=check_batched_forward_grad,
        check_forward_ad=check_forward_ad,
    )
    tensors = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    try:
        checked = _check_inputs(tensors)
        if not check_backward_ad:
            return True
        _check_jacobian(func, tensors, checked, eps, atol, rtol, nondet_tol, check_grad_dtypes)
        if check_undefined_grad:
            _check_undefined(func, tensors, checked)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def _check_inputs(tensors: list[Any]) -> list[int]:
    """Which inputs are checked: those that require grad."""
    from pullback._dtype import float64

    checked = [i for i, t in enumerate(tensors) if isinstance(t, Tensor) and t.requires_grad]
    if not checked:
        raise ValueError("gradcheck: inputs expects at least one tensor that requires grad, got none")
    for i in checked:
        t = tensors[i]
        if t.dtype is not float64:
            raise ValueError(f"gradcheck: input {i} expects float64, got {t.dtype}; differences need the digits")
        if any(s == 0 and n > 1 for n, s in zip(t._array.shape, t._array.strides)):
            raise RuntimeError(f"gradcheck: elements of input {i} share memory, so one cannot be moved alone")
        if not t.is_leaf:
            t.retain_grad()
    return checked


def _outputs(func: Function, tensors: list[Any]) -> list[Tensor]:
    """The outputs that have derivatives."""
    result = func(*tensors)
    results = list(result) if isinstance(result, (tuple, list)) else [result]
    return [y for y in results if isinstance(y, Tensor) and y.dtype.is_floating_point]


def _check_jacobian(
    func: Function,
    tensors: list[Any],
    checked: list[int],
    eps: float,
    atol: float,
    rtol: float,
    nondet_tol: float,
    check_dtypes: bool,
) -> None:
    outputs = _outputs(func, tensors)
    if not outputs:
        raise ValueError("gradcheck: func expects a floating-point tensor or several as its result, got none")
    analytical = [_analytical(y, tensors, checked, check_dtypes) for y in outputs]
    again = [_analytical(y, tensors, checked, False) for y in outputs]
    numerical = {i: _numerical(func, tensors, i, eps) for i in checked}
    for j in range(len(outputs)):
        for k, i in enumerate(checked):
            if np.abs(analytical[j][k] - again[j][k]).max(initial=0) > nondet_tol:
                raise GradcheckError(f"gradcheck: two backward passes from output {j} differ for input {i}")
            _compare(analytical[j][k], numerical[i][j], tensors[i], outputs[j], i, j, atol, rtol)


def _compare(a: Any, n: Any, x: Tensor, y: Tensor, i: int, j: int, atol: float, rtol: float) -> None:
    """Raise for the worst element of two Jacobians [elements of x, elements of y]."""
    with np.errstate(invalid="ignore"):
        excess = np.abs(a - n) - (atol + rtol * np.abs(n))
    wrong = ~(excess <= 0) & ~(a == n)  # equal infinities pass, NaN does not
    if not wrong.any():
        return
    at = np.unravel_index(np.argmax(np.where(np.isnan(excess), np.inf, excess) * wrong), a.shape)
    index = [list(map(int, np.unravel_index(k, t.shape))) for k, t in zip(at, (x, y))]
    raise GradcheckError(
        f"gradcheck: the derivative of output {j} at {index[1]} with respect to input {i} at {index[0]} is wrong: "
        f"analytical {a[at]:.10g}, numerical {n[at]:.10g} ({int(wrong.sum())} of {a.size} elements are off)"
    )


def _unit_vectors(y: Tensor) -> Iterator[Tensor]:
    for k in range(y.shape.numel()):
        e = np.zeros(y.shape, y._array.dtype)
        e.flat[k] = 1
        yield Tensor._wrap(y.device.from_host(e))


def _analytical(y: Tensor, tensors: list[Any], checked: list[int], check_dtypes: bool) -> list[Any]:
    """∂y/∂x for every input that is checked, by one backward pass an element of y: columns of [|x|, |y|]."""
    inputs = [tensors[i] for i in checked]
    jacobians = [np.zeros((x.shape.numel(), y.shape.numel())) for x in inputs]
    if not y.requires_grad:
        return jacobians
    for k, seed in enumerate(_unit_vectors(y)):
        found = _walk.gradients([y], inputs, [seed], True, False, True, op="gradcheck")
        for i, x, jacobian, g in zip(checked, inputs, jacobians, found):
            if g is None:
                continue
            if g.shape != x.shape or (check_dtypes and g.dtype is not x.dtype):
                raise GradcheckError(
                    f"gradcheck: the gradient of input {i} expects {x.dtype} of shape {list(x.shape)}, got "
                    f"{g.dtype} of shape {list(g.shape)}"
                )
            jacobian[:, k] = g._host().reshape(-1)
    return jacobians


def _numerical(func: Function, tensors: list[Any], i: int, eps: float) -> list[Any]:
    """∂y/∂x_i for every output y, by moving one element of x_i at a time: rows of [|x|, |y|]."""
    on, x = tensors[i].device, np.array(tensors[i]._host())

    def outputs(at: tuple[int, ...], value: Any) -> list[Any]:
        x[at] = value
        on.kernels.copy(on.from_host(x), tensors[i]._array)
        return [np.array(y._host(), np.float64) for y in _outputs(func, tensors)]

    rows: list[list[Any]] = []
    with _tape.no_grad():
        for at in np.ndindex(x.shape):
            before = x[at]
            above, below = outputs(at, before + eps), outputs(at, before - eps)
            outputs(at, before)
            rows.append([(a - b).reshape(-1) / (2 * eps) for a, b in zip(above, below)])
        sizes = [y.shape.numel() for y in _outputs(func, tensors)]
    return [np.array([row[j] for row in rows]).reshape(x.size, size) for j, size in enumerate(sizes)]


def _check_undefined(func: Function, tensors: list[Any], checked: list[int]) -> None:
    """Of several outputs, any may have no gradient: the others' gradients must be the same as with zeros for it."""
    inputs = [tensors[i] for i in checked]
    outputs = [y for y in _outputs(func, tensors) if y.requires_grad]
    if len(outputs) < 2:
        return
    for j, y in enumerate(outputs):
        seeds = [
            Tensor._wrap(z.device.from_host((np.ones if y is z else np.zeros)(z.shape, z._array.dtype)))
            for z in outputs
        ]
        alone = _walk.gradients([y], inputs, [seeds[j]], True, False, True, op="gradcheck")
        together = _walk.gradients(outputs, inputs, seeds, True, False, True, op="gradcheck")
        for i, a, b in zip(checked, alone, together):
            left = 0.0 if a is None else a._host()
            right = 0.0 if b is None else b._host()
            if not np.allclose(left, right, equal_nan=True):
                raise GradcheckError(
                    f"gradcheck: input {i} has another gradient when only output {j} has one than with zeros for the rest"
                )


def gradgradcheck(
    func: Function,
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """`gradcheck` of the map (inputs, grad_outputs) → gradients of Σ ⟨grad_output, output⟩, under `create_graph=True`.

    `grad_outputs` default to normal numbers, transposed in memory with `gen_non_contig_grad_outputs`.
    """
    _refuse(check_fwd_over_rev=check_fwd_over_rev)
    tensors = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    checked = _check_inputs(tensors)
    with_grad = [y for y in _outputs(func, tensors) if y.requires_grad]
    if grad_outputs is None:
        rng = np.random.default_rng(0)
        order: Any = "F" if gen_non_contig_grad_outputs else "C"
        arrays = [np.asarray(rng.standard_normal(y.shape), y._array.dtype, order=order) for y in with_grad]
        seeds = [Tensor._wrap(y.device.from_host(a)).requires_grad_() for y, a in zip(with_grad, arrays)]
    else:
        seeds = [grad_outputs] if isinstance(grad_outputs, Tensor) else list(grad_outputs)

    def first_derivative(*args: Any) -> tuple[Tensor, ...]:
        xs, ws = args[: len(tensors)], args[len(tensors) :]
        with _tape.enable_grad():
            outputs = [y for y in _outputs(func, list(xs)) if y.requires_grad]
            wanted = [xs[i] for i in checked]
            found = _walk.gradients(outputs, wanted, list(ws), True, True, True, op="gradgradcheck")
        return tuple(g for g in found if g is not None)

    return gradcheck(
        first_derivative,
        [*tensors, *seeds],
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        nondet_tol=nondet_tol,
        check_undefined_grad=check_undefined_grad,
        check_grad_dtypes=check_grad_dtypes,
        check_batched_grad=check_batched_grad,
        check_backward_ad=check_rev_over_rev,
    )
