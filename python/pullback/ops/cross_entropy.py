"""Cross-entropy and negative log-likelihood, k running over the C classes, i over everything else.

With p = softmax(x): ℓ_i = −Σ_k q_ik log p_ik, x̄_ik = g_i (p_ik Σ_j q_ij − q_ik), where q is what the target asks for (see
`cross_entropy`) and g_i what the reduction makes of ȳ. The loss and its gradient for ȳ = 1 come from one pass over x;
backward scales that gradient, if ȳ is something else.

Kernels: csrc/kernels/cross_entropy.cpp. Seed 001, section on losses; Szegedy et al. (2016) for label smoothing.
"""

from __future__ import annotations

from typing import Any

from pullback import _dtype
from pullback._autocast import cast
from pullback._backend import device_of
from pullback._tape import Node, Rule, grad_enabled, record
from pullback._tensor import Tensor
from pullback.ops._arrays import empty_as, fill_array
from pullback.ops._broadcast import check_devices, check_tensor
from pullback.ops._elementwise import recording
from pullback.ops.loss import choose_reduction
from pullback.ops.reduce import sum
from pullback.ops.softmax import log_softmax, softmax
from pullback.ops.view import reshape, unsqueeze

__all__ = ["cross_entropy", "nll_loss"]

CODES = {"none": 0, "mean": 1, "sum": 2}  # as the kernels number them


# --- against classes --------------------------------------------------------------------------------------------------


def _arrays(node: Node) -> tuple[Any, Any, Any]:
    """x, target, and weight or None."""
    saved = node.saved
    return saved[0], saved[1], saved[2] if len(saved) > 2 else None


def _pullback(node: Node, dy: Any) -> tuple[Any]:
    """dx = g (p Σ q − q). The gradient that forward left goes to the first who asks; a second pass computes its own."""
    kernel, arguments, ready = node.args
    x, target, weight = _arrays(node)
    if ready:
        dx = ready.pop()
    else:
        dx = empty_as(x)
        own = dy if arguments[-1] == CODES["none"] else None
        getattr(device_of(x).kernels, kernel)(x, target, weight, own, None, dx, *arguments)
    if arguments[-1] != CODES["none"]:
        device_of(dx).kernels.cross_entropy_scale(dx, dy, dx)
    return (dx,)


def _one_hot(target: Any, weight: Any, shape: tuple[int, ...], dtype: Any, axis: int, ignore: int) -> Tensor:
    """w_k [k = target_i], 0 where target_i is ignored."""
    on = device_of(target)
    minus_one = fill_array(on.empty(target.shape, dtype), -1.0)
    out = on.empty(shape, dtype)
    on.kernels.nll_loss_backward(minus_one, target, weight, out, axis, ignore, CODES["none"])
    return Tensor._wrap(out)


def _spread(weight: Tensor | None, like: Tensor, axis: int) -> Tensor | float:
    """w_k along `axis`."""
    return 1.0 if weight is None else reshape(weight, [-1 if d == axis else 1 for d in range(like.ndim)])


def _each(dy: Tensor, axis: int, code: int, lines: Any) -> Tensor:
    """g_i, as it broadcasts against x."""
    return unsqueeze(dy, axis) if code == CODES["none"] else dy / lines if code == CODES["mean"] else dy


def _hard_ops(node: Node, dy: Tensor) -> tuple[Tensor]:
    axis, ignore, smoothing, code = node.args[1]
    x, target, *rest = node.tensors()
    weight = rest[0] if rest else None
    hot = _one_hot(
        target._array, None if weight is None else weight._array, x._array.shape, x._array.dtype, axis, ignore
    )
    q = hot
    if smoothing:
        counts = unsqueeze((target != ignore).to(x.dtype), axis)
        q = (1 - smoothing) * hot + smoothing / x.shape[axis] * counts * _spread(weight, x, axis)
    p = softmax(x, axis)
    return ((p * sum(q, axis, keepdim=True) - q) * _each(dy, axis, code, sum(hot)),)


def _soft_ops(node: Node, dy: Tensor) -> tuple[Tensor]:
    axis, smoothing, code = node.args[1]
    x, target, *rest = node.tensors()
    classes = x.shape[axis]
    q = ((1 - smoothing) * target + smoothing / classes) * _spread(rest[0] if rest else None, x, axis)
    p = softmax(x, axis)
    return ((p * sum(q, axis, keepdim=True) - q) * _each(dy, axis, code, x.numel() // max(classes, 1)),)


_HARD = Rule("cross_entropy", _pullback, _hard_ops)
_SOFT = Rule("cross_entropy_soft", _pullback, _soft_ops)


def _launch(
    rule: Rule, x: Tensor, target: Tensor, weight: Tensor | None, shape: tuple[int, ...], arguments: tuple[Any, ...]
) -> Tensor:
    """The loss, and with it its gradient, if backward may come."""
    array, reduced, wanted = x._array, arguments[-1] != CODES["none"], grad_enabled() and x.requires_grad
    loss = x.device.empty(() if reduced else shape, array.dtype)
    dx = empty_as(array) if reduced and wanted else None
    kernel = getattr(x.device.kernels, rule.name)
    kernel(array, target._array, None if weight is None else weight._array, None, loss, dx, *arguments)
    if not wanted:
        return Tensor._wrap(loss)
    saved = (x, target) if weight is None else (x, target, weight)
    return record(rule, loss, (x,), saved, (rule.name, arguments, [] if dx is None else [dx]))


def _check(op: str, input: Any, target: Any, weight: Any) -> int:
    """The class axis. RuntimeError or ValueError where shapes or dtypes do not fit."""
    x, t = check_tensor(op, input), check_tensor(op, target, "target")
    shape: tuple[int, ...] = x._array.shape
    if not x.dtype.is_floating_point or not shape:
        raise RuntimeError(
            f"{op}: input expects floating-point values of shape [C] or [N, C, …], got {x.dtype} of shape {list(shape)}"
        )
    axis = 1 if len(shape) > 1 else 0
    if weight is not None:
        check_tensor(op, weight, "weight")
        if weight.shape != (shape[axis],) or weight.dtype is not x.dtype or weight.requires_grad:
            raise RuntimeError(
                f"{op}: weight expects shape [{shape[axis]}] and {x.dtype} without a gradient, got {weight.dtype} of "
                f"shape {list(weight.shape)}{', requires_grad' if weight.requires_grad else ''}"
            )
    if t.device is not x.device or (weight is not None and weight.device is not x.device):
        check_devices(op, input=x, target=t, **({} if weight is None else {"weight": weight}))
    if t.dtype is _dtype.int64:
        expected = shape[:axis] + shape[axis + 1 :]
        if t._array.shape != expected:
            kind = ValueError if t.ndim and axis and t.shape[0] != shape[0] else RuntimeError
            raise kind(
                f"{op}: target expects classes of shape {list(expected)} for input {list(shape)}, got {list(t.shape)}"
            )
    return axis


@cast
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """The cross-entropy of softmax(x) against a target, ℓ_i = −Σ_k q_ik log p_ik.

    input [C] or [N, C, …]: logits x. target: int64 classes of shape [] or [N, …], q_ik = (1 − ε) w_k [k = target_i] +
    ε w_k / C, lines with target `ignore_index` left out; or probabilities t of the input's shape,
    q_ik = w_k ((1 − ε) t_ik + ε / C). weight [C] is w (1 if None), label_smoothing ε.
    reduction: "none" (ℓ_i), "sum", or "mean": the sum divided by Σ_i w_{target_i} of the lines that count; for
    probabilities by their number.
    x̄_ik = g_i (p_ik Σ_j q_ij − q_ik). IndexError for a class out of range; RuntimeError, ValueError for shapes and dtypes
    that do not fit; RuntimeError for ε outside of [0, 1].
    """
    op = "cross_entropy"
    code = CODES[choose_reduction(op, reduction, size_average, reduce)]
    axis = _check(op, input, target, weight)
    if not 0 <= label_smoothing <= 1:
        raise RuntimeError(f"{op}: label_smoothing expects a value from 0 to 1, got {label_smoothing}")
    shape = input._array.shape
    lines = shape[:axis] + shape[axis + 1 :]
    if target.dtype is _dtype.int64:
        return _launch(_HARD, input, target, weight, lines, (axis, ignore_index, float(label_smoothing), code))
    if not target.dtype.is_floating_point or target.shape != input.shape:
        raise RuntimeError(
            f"{op}: target expects int64 classes of shape {list(lines)} or probabilities of shape {list(shape)}, got "
            f"{target.dtype} of shape {list(target.shape)}"
        )
    if ignore_index >= 0:
        raise RuntimeError(f"{op}: ignore_index has no meaning for probabilities, got {ignore_index}")
    target = target.to(input.dtype)
    if not recording(target):
        return _launch(_SOFT, input, target, weight, lines, (axis, float(label_smoothing), code))
    # The target wants a gradient too: in ops.
    q = ((1 - label_smoothing) * target + label_smoothing / shape[axis]) * _spread(weight, input, axis)
    loss = -sum(q * log_softmax(input, axis), axis)
    return loss if code == 0 else loss.mean() if code == 1 else sum(loss)


# --- negative log-likelihood ------------------------------------------------------------------------------------------


def _nll_pullback(node: Node, dy: Any) -> tuple[Any]:
    shape, *arguments = node.args
    target, weight = node.saved[0], node.saved[1] if len(node.saved) > 1 else None
    dx = device_of(dy).empty(shape, dy.dtype)
    device_of(dy).kernels.nll_loss_backward(dy, target, weight, dx, *arguments)
    return (dx,)


def _nll_ops(node: Node, dy: Tensor) -> tuple[Tensor]:
    """dx_ik = −g_i w_k [k = target_i], which is linear in dy."""
    shape, axis, ignore, code = node.args
    target, *rest = node.tensors()
    hot = _one_hot(target._array, rest[0]._array if rest else None, shape, dy.dtype.numpy, axis, ignore)
    return (-hot * _each(dy, axis, code, sum(hot)),)


_NLL = Rule("nll_loss", _nll_pullback, _nll_ops)


@cast
def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The negative log-likelihood ℓ_i = −w_k x_ik, k = target_i, of log-probabilities x.

    input [C] or [N, C, …], target int64 of shape [] or [N, …], weight [C] or None; lines with target `ignore_index` count
    as 0 and in no mean. Reductions and errors as of `cross_entropy`. x̄_ik = −g_i w_k [k = target_i].
    """
    op = "nll_loss"
    code = CODES[choose_reduction(op, reduction, size_average, reduce)]
    axis = _check(op, input, target, weight)
    if target.dtype is not _dtype.int64:
        raise RuntimeError(f"{op}: target expects int64 classes, got {target.dtype}")
    x = input._array
    loss = input.device.empty(target._array.shape if code == 0 else (), x.dtype)
    input.device.kernels.nll_loss(
        x, target._array, None if weight is None else weight._array, loss, axis, ignore_index, code
    )
    saved = (target,) if weight is None else (target, weight)
    return record(_NLL, loss, (input,), saved, (x.shape, axis, ignore_index, code))
