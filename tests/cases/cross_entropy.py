"""Cross-entropy and negative log-likelihood: references from the definition, ℓ_i = −Σ_k q_ik log p_ik with q written out.

The shape of a case is that of the logits; classes come second, or first where there is one dimension only.
"""

from __future__ import annotations

import functools

import numpy as np

import pullback as pb
from harness import Case

SHAPES = (
    (5,),
    (4, 3),
    (3, 1),
    (33, 2),
    (7, 40),
    (2, 3, 4),
    (3, 5, 2, 3),
    (2, 20, 33),
    (6, 1030),
    (2, 2052),
    (2, 16404),
)
IGNORED = -7


def _axis(x):
    return 1 if x.ndim > 1 else 0


def _log_softmax(x):
    a = _axis(x)
    m = x - x.max(a, keepdims=True)
    return m - np.log(np.exp(m).sum(a, keepdims=True))


def _targets(rng, shape, ignoring):
    a = 1 if len(shape) > 1 else 0
    target = rng.integers(0, shape[a], shape[:a] + shape[a + 1 :])
    return np.where(rng.random(target.shape) < 0.2, IGNORED, target) if ignoring and target.size > 1 else target


def _weight(c):
    """Weights and probabilities are constants here, not inputs, as nothing has a gradient with respect to them; multiples
    of 1/64, which float32 holds exactly."""
    return (20 + np.arange(c) * 37 % 101) / 64


def _probabilities(shape):
    return (np.arange(int(np.prod(shape))) * 29 % 64 / 64).reshape(shape)


@functools.lru_cache(maxsize=8)
def _constant(make, of, dtype, device):
    """make(of) as a tensor, kept: at the benchmarks' sizes it takes longer to make than the loss."""
    return pb.tensor(make(of), dtype=dtype, device=device)


def _spread(w, x):
    return w.reshape([-1 if d == _axis(x) else 1 for d in range(x.ndim)])


def _hot(x, target, w):
    """w_k [k = target_i], and whether line i counts."""
    a = _axis(x)
    counts = np.expand_dims(target != IGNORED, a)
    hot = np.zeros_like(x)
    np.put_along_axis(hot, np.expand_dims(np.where(target == IGNORED, 0, target), a), 1.0, a)
    return hot * counts * _spread(w, x), counts


class _Loss:
    """The reference of one set of options: q and the divisor of the mean from the inputs."""

    def __init__(self, reduction, smoothing=0.0, probabilities=False, logits=True):
        self.reduction, self.smoothing, self.probabilities, self.logits = reduction, smoothing, probabilities, logits

    def q(self, x, target, w):
        e, c = self.smoothing, x.shape[_axis(x)]
        if self.probabilities:
            return _spread(w, x) * ((1 - e) * target + e / c), x.size / c
        hot, counts = _hot(x, target, w)
        return (1 - e) * hot + e / c * _spread(w, x) * counts, hot.sum()

    def _terms(self, x, target, w):
        q, divisor = self.q(x, target, w)
        return q, _log_softmax(x) if self.logits else x, divisor if self.reduction == "mean" else 1.0

    def value(self, x, target, w):
        q, log_p, divisor = self._terms(x, target, w)
        each = -(q * log_p).sum(_axis(x))
        return each if self.reduction == "none" else each.sum() / divisor

    def scale(self, x, target, w):
        """Σ |terms|, log p being rounded to the size of the logits and of ln C."""
        q, log_p, divisor = self._terms(x, target, w)
        size = np.abs(x).max(_axis(x), keepdims=True) + np.log(x.shape[_axis(x)]) + 1
        each = (q * (np.abs(log_p) + size)).sum(_axis(x))
        return each if self.reduction == "none" else each.sum() / divisor

    def vjp(self, dy, x, target, w):
        q, log_p, divisor = self._terms(x, target, w)
        g = np.expand_dims(dy, _axis(x)) if self.reduction == "none" else dy / divisor
        return g * (np.exp(log_p) * q.sum(_axis(x), keepdims=True) - q) if self.logits else -g * q

    def vjp_scale(self, dy, x, target, w):
        q, log_p, divisor = self._terms(x, target, w)
        g = np.expand_dims(np.abs(dy), _axis(x)) if self.reduction == "none" else np.abs(dy) / divisor
        size = 1 + np.abs(x).max(_axis(x), keepdims=True)
        return g * (np.exp(log_p) * q.sum(_axis(x), keepdims=True) * size + q)


def _case(name, run, loss, *, weighted=True, **options):
    """run(x, target, weight) of tensors, weight None where there is none."""

    def inputs(rng, shape):
        x = rng.standard_normal(shape)
        x = x * 5 if loss.logits else _log_softmax(x)
        return [x] if loss.probabilities else [x, _targets(rng, shape, ignoring=True)]

    def on_tensors(x, target=None):
        c = x.shape[1] if x.ndim > 1 else x.shape[0]
        target = _constant(_probabilities, tuple(x.shape), x.dtype, x.device) if target is None else target
        return run(x, target, _constant(_weight, c, x.dtype, x.device) if weighted else None)

    def on_arrays(function):
        def f(*arrays):
            *before, x, target = arrays if not loss.probabilities else (*arrays, _probabilities(arrays[-1].shape))
            w = _weight(x.shape[_axis(x)]) if weighted else np.ones(x.shape[_axis(x)])
            return function(*before, x, target, w)

        return f

    def gradients(function):
        return lambda *arrays: (on_arrays(function)(*arrays), None)[: 1 if loss.probabilities else 2]

    return Case(
        name=name,
        run=on_tensors,
        inputs=inputs,
        value=on_arrays(loss.value),
        vjp=gradients(loss.vjp),
        scale=on_arrays(loss.scale),
        vjp_scale=gradients(loss.vjp_scale),
        shapes=SHAPES,
        layouts=("contiguous", "transposed", "strided", "misaligned"),
        bench=((8192, 1000), (512, 32000), (64, 10)),
        **options,
    )


_SOFT = _Loss("sum", 0.125, probabilities=True)

CASES = [
    *[
        _case(
            f"cross_entropy[{reduction}, smoothing {smoothing}{', weighted' if weighted else ''}]",
            lambda x, t, w, r=reduction, e=smoothing: pb.cross_entropy(
                x, t, w, ignore_index=IGNORED, reduction=r, label_smoothing=e
            ),
            _Loss(reduction, smoothing),
            weighted=weighted,
            torch=None
            if weighted
            else f"torch.nn.functional.cross_entropy(a, b, ignore_index={IGNORED}, reduction='{reduction}')",
        )
        for reduction in ("mean", "sum", "none")
        for smoothing, weighted in ((0.0, False), (0.0, True), (0.1, True))
    ],
    *[
        _case(
            f"cross_entropy[probabilities, {reduction}, smoothing {smoothing}]",
            lambda x, t, w, r=reduction, e=smoothing: pb.cross_entropy(x, t, w, reduction=r, label_smoothing=e),
            _Loss(reduction, smoothing, probabilities=True),
        )
        for reduction, smoothing in (("mean", 0.0), ("sum", 0.2), ("none", 0.1))
    ],
    *[
        _case(
            f"nll_loss[{reduction}]",
            lambda x, t, w, r=reduction: pb.nll_loss(x, t, w, ignore_index=IGNORED, reduction=r),
            _Loss(reduction, logits=False),
        )
        for reduction in ("mean", "sum", "none")
    ],
    # The target's own gradient, which is written in ops.
    Case(
        name="cross_entropy[probabilities with a gradient]",
        run=lambda x, t: pb.cross_entropy(x, t, reduction="sum", label_smoothing=0.125),
        inputs=lambda rng, shape: [rng.standard_normal(shape), rng.uniform(0, 1, shape)],
        value=lambda x, t: _SOFT.value(x, t, np.ones(x.shape[_axis(x)])),
        vjp=lambda dy, x, t: (_SOFT.vjp(dy, x, t, np.ones(x.shape[_axis(x)])), -0.875 * dy * _log_softmax(x)),
        scale=lambda x, t: _SOFT.scale(x, t, np.ones(x.shape[_axis(x)])),
        vjp_scale=lambda dy, x, t: (
            _SOFT.vjp_scale(dy, x, t, np.ones(x.shape[_axis(x)])),
            np.abs(dy) * (np.abs(_log_softmax(x)) + np.abs(x).max(_axis(x), keepdims=True) + 1),
        ),
        shapes=SHAPES[:-3],
        bench=((8192, 1000),),
        torch="torch.nn.functional.cross_entropy(a, b, reduction='sum', label_smoothing=0.125)",
    ),
]
